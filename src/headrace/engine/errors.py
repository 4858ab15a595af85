"""Error codes (RFC 9113 §7) and the exceptions of the engine.

Two kinds of fault, never mixed:

- **The peer's faults** are `StreamFault` and `ConnectionFault`. They are raised by the code that parses a frame and
  caught in one place, the connection's frame loop, which answers with RST_STREAM or GOAWAY. They never leave the
  engine.
- **The caller's misuse** is a `LocalError`: it leaves the engine as an exception.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from headrace.engine.causes import PROTOCOL

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
SETTINGS_TIMEOUT: Final = 0x4
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
CONNECT_ERROR: Final = 0xA
ENHANCE_YOUR_CALM: Final = 0xB
INADEQUATE_SECURITY: Final = 0xC
HTTP_1_1_REQUIRED: Final = 0xD


class ErrorCode(IntEnum):
    """The error codes of RFC 9113 §7, for people and for the public API; the engine itself uses plain ints."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


_NAMES: Final = {code.value: code.name for code in ErrorCode}


def error_name(code: int) -> str:
    """Return the RFC's name of an error code, or its hexadecimal value: unknown codes are legal (RFC 9113 §7)."""
    return _NAMES.get(code, hex(code))


class ProtocolError(Exception):
    """A fault of the peer: `code` (RFC 9113 §7), `reason` in plain words and the `section` it violates; `cause` is one
    of `causes`."""

    def __init__(self, code: int, reason: str, section: str, cause: str = PROTOCOL) -> None:
        super().__init__(reason, section)
        self.code = code
        self.cause = cause
        self.reason = reason
        self.section = section


class ConnectionFault(ProtocolError):
    """Ends the connection with GOAWAY (RFC 9113 §5.4.1). `budget` names the exhausted budget, "" for other faults."""

    def __init__(self, code: int, reason: str, section: str, budget: str = "", cause: str = PROTOCOL) -> None:
        super().__init__(code, reason, section, cause)
        self.budget = budget


class StreamFault(ProtocolError):
    """Ends one stream with RST_STREAM (RFC 9113 §5.4.2); the connection and its other streams go on."""

    def __init__(self, stream_id: int, code: int, reason: str, section: str, cause: str = PROTOCOL) -> None:
        super().__init__(code, reason, section, cause)
        self.stream_id = stream_id


class Oversize(StreamFault):
    """A field section beyond the limits. It costs only its message (RFC 9113 §10.5.1), and counts as odd, not as
    provoked."""

    def __init__(self, stream_id: int, reason: str) -> None:
        super().__init__(stream_id, ENHANCE_YOUR_CALM, reason, "RFC 9113 §10.5.1")


class RequestRefused(StreamFault):
    """A request that is well-formed but cannot be served: a server answers with `status` in place of a reset."""

    def __init__(self, stream_id: int, status: int, reason: str, section: str) -> None:
        super().__init__(stream_id, PROTOCOL_ERROR, reason, section)
        self.status = status


class LocalError(Exception):
    """The owner of the engine called a verb that cannot be carried out. Nothing was written, with one exception, which
    `send_data` names: content that ends before its content-length resets the stream."""


class LocalProtocolError(LocalError):
    """A verb was called in a state that does not allow it, for example DATA before the response's headers."""


class StreamClosedError(LocalError):
    """The stream is gone: reset by the peer, reset by us, or the connection ended. Nothing more can be sent on it.

    `reason` is half a sentence that names the cause.
    """

    def __init__(self, stream_id: int, reason: str) -> None:
        super().__init__(f"stream {stream_id} is closed: {reason}")
        self.stream_id = stream_id
        self.reason = reason


class InvalidFieldError(LocalError, ValueError):
    """A header or trailer from the application must not reach the wire (RFC 9113 §8.2, RFC 9110 §5)."""
