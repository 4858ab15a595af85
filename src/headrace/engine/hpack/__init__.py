"""HPACK, header compression for HTTP/2 (RFC 7541). Sans-I/O, no dependency on the rest of the engine.

A connection has one `Decoder` for its input and one `Encoder` for its output.
"""

from headrace.engine.hpack.decoder import Decoder
from headrace.engine.hpack.encoder import Encoder
from headrace.engine.hpack.field import Field, FieldSection, HPACKBombError, HPACKError

__all__ = ["Decoder", "Encoder", "Field", "FieldSection", "HPACKBombError", "HPACKError"]
