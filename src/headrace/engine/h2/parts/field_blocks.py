"""Field blocks: HEADERS and CONTINUATION put together (RFC 9113 §4.3, §6.2, §6.10), and decoded.

"A receiving endpoint reassembles the field block by concatenating its fragments and then decompresses the block to
reconstruct the field section." (RFC 9113 §4.3) HPACK's state belongs to the connection, so each block is decoded,
whatever becomes of its stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.h2 import frames
from headrace.engine.hpack.decoder import Decoder
from headrace.engine.hpack.field import FieldSection, HPACKBombError, HPACKError
from headrace.engine.limits import BYTES_A_FRAME, Limits
from headrace.engine.timed import NEVER

if TYPE_CHECKING:
    from mypy_extensions import i64

EMPTY_CONTINUATION_COST: Final = 10  # odd frames that an empty CONTINUATION counts for
_THROWN_AWAY_UNIT: Final = 256  # bytes of a block beyond what a section may have: each costs a frame


class FieldBlocks:
    """The field block that has come last, or is coming, and the decoder of all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decoder = Decoder(4_096, limits.max_field_section_size, limits.max_fields)
        self.stream_id: int = 0
        self.end_stream: bool = False
        self.due: float = NEVER
        """When the block that is coming has to be whole."""
        self.size: int = 0
        """Bytes of the block."""
        self._fragments: list[bytes] | None = None
        self._block = b""
        self._head_at: int = 0  # where the payload of HEADERS began in the input, 0 where CONTINUATION followed
        self._depends_on_itself = False

    def is_coming(self) -> bool:
        """Tell whether a block has begun and is not whole: only CONTINUATION may follow."""
        return self._fragments is not None

    def work_due(self) -> int:
        """Return the work, in frames, that the end of a block that is coming would bring: it is decoded whole."""
        return 0 if self._fragments is None else self.size // BYTES_A_FRAME

    # -- input -------------------------------------------------------------------------------------------------

    def begin(self, flags: i64, stream_id: int, data: bytes, start: i64, end: i64, now: float) -> bool:
        """Take HEADERS (RFC 9113 §6.2), whose payload is `data[start:end]`; return True when its block is whole.

        Raises ConnectionFault for stream 0, for padding that does not fit, and for a payload that is too short.
        """
        if stream_id == 0:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "HEADERS on stream 0", "RFC 9113 §6.2")
        self._head_at = start
        self._depends_on_itself = False
        if flags & (frames.PADDED | frames.PRIORITY_FLAG):
            if flags & frames.PADDED:
                if start >= end:
                    raise ConnectionFault(errors.FRAME_SIZE_ERROR, "padded HEADERS without a length", "RFC 9113 §6.2")
                end -= data[start]
                start += 1
            if flags & frames.PRIORITY_FLAG:  # RFC 7540 priorities are parsed and ignored (RFC 9113 §5.3.2)
                if end - start < 5 and not flags & frames.PADDED:
                    raise ConnectionFault(errors.FRAME_SIZE_ERROR, "HEADERS shorter than its fields", "RFC 9113 §6.2")
                self._depends_on_itself = end - start >= 5 and frames.read_id(data, start) == stream_id
                start += 5
            if start > end:
                raise ConnectionFault(errors.PROTOCOL_ERROR, "padding longer than the frame", "RFC 9113 §6.2")
        self.stream_id = stream_id
        self.end_stream = flags & frames.END_STREAM != 0
        if flags & frames.END_HEADERS:
            self._block = data[start:end]
            return True
        self._head_at = 0
        self._fragments = [data[start:end]]
        self.size = end - start
        self.due = now + self._limits.request_header_timeout_s
        return False

    def go_on(self, flags: i64, stream_id: int, data: bytes, start: i64, end: i64) -> bool:
        """Take CONTINUATION (RFC 9113 §6.10); return True when the block is whole, and `size` is then its own.

        Raises ConnectionFault for one out of place, and beyond the limits `max_continuations` and `max_block_size`.
        """
        fragments = self._fragments
        if fragments is None or stream_id != self.stream_id:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "CONTINUATION without its HEADERS", "RFC 9113 §6.10")
        limits = self._limits
        self.size += end - start
        if len(fragments) > limits.max_continuations or self.size > limits.max_block_size:
            name = "max_block_size" if self.size > limits.max_block_size else "max_continuations"
            raise ConnectionFault(errors.ENHANCE_YOUR_CALM, "a field block without end", "RFC 9113 §10.5.1", name)
        fragments.append(data[start:end])
        if not flags & frames.END_HEADERS:
            return False
        self._fragments = None
        self.due = NEVER
        self._block = b"".join(fragments)
        return True

    def check(self, now: float) -> float:
        """Return when the block that is coming has to be whole. Raises ConnectionFault when that time has passed."""
        if now >= self.due:
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM,
                "a field block was not finished in time",
                "RFC 9113 §4.3",
                "request_header_timeout_s",
            )
        return self.due

    # -- a block that is whole ---------------------------------------------------------------------------------

    def take(self) -> bytes:
        """Return the block that is whole, and let go of it."""
        block = self._block
        self._block = b""
        return block

    def excess(self, block: bytes) -> int:
        """Return the frames that decoding a block larger than `max_field_section_size` costs beyond its own: the bytes
        beyond are thrown away when they are decoded. One block of 250 KiB, 14 ms and 40 in pure Python, is for those
        who err, and the next one at once for those who flood."""
        return 1 + (len(block) - self._limits.max_field_section_size) // _THROWN_AWAY_UNIT

    def decode(self, block: bytes) -> FieldSection:
        """Return the field section of a block. Raises ConnectionFault: after an error the table is lost."""
        try:
            return self._decoder.decode(block)
        except HPACKBombError as bomb:
            raise ConnectionFault(
                errors.ENHANCE_YOUR_CALM, bomb.reason, bomb.section, "max_field_section_size"
            ) from None
        except HPACKError as error:
            raise ConnectionFault(errors.COMPRESSION_ERROR, error.reason, error.section) from None

    def set_max_table_size(self, size: int) -> None:
        """Let the peer's table grow to `size` bytes: it has acknowledged our HEADER_TABLE_SIZE."""
        self._decoder.set_max_table_size(size)

    def id_bytes(self, data: bytes) -> bytes:
        """Return the bytes of the stream's identifier, as they stand in `data` before HEADERS: a slice is cheaper than
        packing."""
        start = self._head_at
        if start == 0 or data[start - 4] >= 0x80:  # CONTINUATION followed, or the reserved bit is set
            return frames.write_id(self.stream_id)
        return data[start - 4 : start]

    def check_dependency(self) -> None:
        """Refuse HEADERS whose (ignored) RFC 7540 priority names its own stream, as h2spec 5.3.1 asks."""
        if self._depends_on_itself:
            raise StreamFault(
                self.stream_id, errors.PROTOCOL_ERROR, "a stream that depends on itself", "RFC 9113 §5.3.2"
            )
