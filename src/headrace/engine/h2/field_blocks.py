"""Field blocks: HEADERS and CONTINUATION put together and decoded (RFC 9113 §4.3, §6.2, §6.10).

HPACK's state belongs to the connection, so each block is decoded, whatever becomes of its stream.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.h2 import frames
from headrace.engine.h2.faults import Faults
from headrace.engine.hpack.decoder import Decoder
from headrace.engine.hpack.field import FieldSection, HPACKBombError, HPACKError
from headrace.engine.limits import BYTES_A_FRAME, Limits
from headrace.engine.timed import NEVER

_EMPTY_CONTINUATION_COST: Final = 10  # odd frames that an empty CONTINUATION counts for
_THROWN_AWAY_UNIT: Final = 256  # bytes of a block beyond what a section may have: each costs an odd frame


class FieldBlocks(Faults):
    """The input of a connection as far as field blocks need it, and the block that is not whole yet."""

    def __init__(self, limits: Limits, is_server: bool, now: float) -> None:
        super().__init__(limits, is_server, now)
        self._input = b""
        self._head_at: int = 0
        self._depends_on_itself = False
        self._decoder = Decoder(4_096, limits.max_field_section_size, limits.max_fields)
        self._block_stream: int = 0
        self._block_end_stream = False
        self._block_parts: list[bytes] | None = None
        self._block_size: int = 0

    def _u32(self, position: int) -> int:
        return int.from_bytes(self._input[position : position + 4], "big")

    def _recv_headers(self, flags: int, stream_id: int, start: int, end: int) -> None:
        """HEADERS (RFC 9113 §6.2)."""
        if stream_id == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "HEADERS on stream 0", "RFC 9113 §6.2")
        self._head_at = start
        self._depends_on_itself = False
        if flags & (frames.PADDED | frames.PRIORITY_FLAG):
            if flags & frames.PADDED:
                if start >= end:
                    raise ConnectionFault(errors.FRAME_SIZE_ERROR, "padded HEADERS without a length", "RFC 9113 §6.2")
                end -= self._input[start]
                start += 1
            if flags & frames.PRIORITY_FLAG:  # RFC 7540 priorities are parsed and ignored (RFC 9113 §5.3.2)
                if end - start < 5 and not flags & frames.PADDED:
                    raise ConnectionFault(errors.FRAME_SIZE_ERROR, "HEADERS shorter than its fields", "RFC 9113 §6.2")
                self._depends_on_itself = end - start >= 5 and self._u32(start) & 0x7FFFFFFF == stream_id
                start += 5
            if start > end:
                raise ConnectionFault(errors.PROTOCOL_ERROR, "padding longer than the frame", "RFC 9113 §6.2")
        if flags & frames.END_HEADERS:
            self._take_block(stream_id, flags & frames.END_STREAM != 0, self._input[start:end])
            return
        self._head_at = 0
        self._block_stream = stream_id
        self._block_end_stream = flags & frames.END_STREAM != 0
        self._block_parts = [self._input[start:end]]
        self._block_size = end - start
        self._block_due = self._now + self.limits.request_header_timeout_s
        self._at_latest(self._block_due)

    def _id_octets(self, stream_id: int) -> bytes:
        """Return a stream identifier's octets as they stood in HEADERS: a slice is cheaper than packing."""
        start = self._head_at
        if start == 0 or self._input[start - 4] >= 0x80:  # CONTINUATION followed, or the reserved bit is set
            return frames.write_id(stream_id)
        return self._input[start - 4 : start]

    def _check_dependency(self, stream_id: int) -> None:
        """Refuse HEADERS whose (ignored) RFC 7540 priority names its own stream, as h2spec 5.3.1 asks."""
        if self._depends_on_itself:
            raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "a stream that depends on itself", "RFC 9113 §5.3.2")

    def _recv_continuation(self, flags: int, stream_id: int, start: int, end: int) -> None:
        """CONTINUATION (RFC 9113 §6.10), bounded in frames and octets (a CONTINUATION flood is an attack)."""
        parts = self._block_parts
        if parts is None or stream_id != self._block_stream:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "CONTINUATION without its HEADERS", "RFC 9113 §6.10")
        limits = self.limits
        self._block_size += end - start
        if len(parts) > limits.max_continuations or self._block_size > limits.max_block_size:
            name = "max_block_size" if self._block_size > limits.max_block_size else "max_continuations"
            raise ConnectionFault(errors.ENHANCE_YOUR_CALM, "a field block without end", "RFC 9113 §10.5.1", name)
        if start == end and not flags & frames.END_HEADERS:
            self._spend_odd(_EMPTY_CONTINUATION_COST)
        parts.append(self._input[start:end])
        if flags & frames.END_HEADERS:
            self._block_parts = None
            self._block_due = NEVER
            self.work += self._block_size // BYTES_A_FRAME
            self._take_block(stream_id, self._block_end_stream, b"".join(parts))

    def _decode(self, block: bytes) -> FieldSection:
        """Decode a field block: HPACK state is shared, so each must be, also of a refused stream or one gone.

        What is beyond `max_field_section_size` while compressed is thrown away when it is decoded. It is charged first,
        whatever becomes of the stream: one block of 250 KiB, 14 ms and 40 in pure Python, is for those who err, and the
        next one at once for those who flood.
        """
        beyond = len(block) - self.limits.max_field_section_size
        if beyond > 0:
            self._spend_free(1 + beyond // _THROWN_AWAY_UNIT)
        try:
            return self._decoder.decode(block)
        except HPACKBombError as bomb:
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM, bomb.reason, bomb.section, "max_field_section_size"
            ) from None
        except HPACKError as error:
            raise ConnectionFault(errors.COMPRESSION_ERROR, error.reason, error.section) from None

    def _take_block(self, stream_id: int, end_stream: bool, block: bytes) -> None:
        """A field block is complete; what it means depends on the role."""
        raise NotImplementedError
