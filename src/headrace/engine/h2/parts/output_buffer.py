"""The output of a connection: frames that have been written and not taken yet, in the order of the wire.

All answers of one read batch stand here and leave in one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.engine.h2.frames import HEADER_SIZE, data_prefix

if TYPE_CHECKING:
    from mypy_extensions import i64


class OutputBuffer:
    """A list of bytes, and of views of large bodies, which are not copied."""

    def __init__(self) -> None:
        self._chunks: list[Any] = []
        self.size: i64 = 0
        """Bytes of messages and control frames that wait."""
        self.control_frames: i64 = 0
        """Control frames that wait: a peer that does not read our answers makes them pile up (limits
        `control_queue_pause` and `control_queue_end`)."""
        self.frames: i64 = 0
        """Frames written so far, in all."""

    def is_empty(self) -> bool:
        """Tell whether there is nothing to take."""
        return not self._chunks

    def write(self, frame: bytes) -> None:
        """Add a frame of a message, or one with the frames that continue it."""
        self._chunks.append(frame)
        self.size += len(frame)
        self.frames += 1

    def write_parts(self, prefix: bytes, id_bytes: bytes, payload: bytes, size: i64) -> None:
        """Add a frame of a message in three parts, which is cheaper than joining them; `size` is that of all."""
        chunks = self._chunks
        chunks.append(prefix)
        chunks.append(id_bytes)
        chunks.append(payload)
        self.size += size
        self.frames += 1

    def write_end(self, id_bytes: bytes) -> None:
        """Add an empty DATA frame with END_STREAM, which a window of 0 does not hold back (RFC 9113 §6.9.1)."""
        self._chunks.append(data_prefix(0, True))
        self._chunks.append(id_bytes)
        self.size += HEADER_SIZE
        self.frames += 1

    def write_header(self, header: bytes, length: i64) -> None:
        """Begin a DATA frame whose payload of `length` bytes follows by `add`."""
        self._chunks.append(header)
        self.size += length + HEADER_SIZE
        self.frames += 1

    def add(self, piece: Any) -> None:
        """Add bytes, or a view of them, that `write_header` has announced."""
        self._chunks.append(piece)

    def write_control(self, frame: bytes) -> None:
        """Add a frame that answers the peer or steers the connection."""
        self._chunks.append(frame)
        self.size += len(frame)
        self.frames += 1
        self.control_frames += 1

    def write_last(self, frame: bytes) -> None:
        """Add the GOAWAY that ends the connection: nothing counts behind it."""
        self._chunks.append(frame)
        self.frames += 1

    def write_opening(self, data: bytes) -> None:
        """Add bytes of the connection preface, which are no answer to anything (RFC 9113 §3.4)."""
        self._chunks.append(data)

    def take(self) -> bytes:
        """Return all that waits, joined, and forget it."""
        chunks = self._chunks
        if not chunks:
            return b""
        self._clear()
        return b"".join(chunks)

    def take_buffers(self, joined: int) -> list[Any]:
        """Return all that waits as a list for a vectored write, and forget it. The first `joined` of its pieces, which
        are small, become one."""
        chunks = self._chunks
        self._clear()
        if joined > 1:
            chunks[:joined] = [b"".join(chunks[:joined])]
        return chunks

    def _clear(self) -> None:
        self._chunks = []
        self.size = 0
        self.control_frames = 0

    def position(self) -> int:
        """Return where the next piece will stand."""
        return len(self._chunks)

    def holds(self, frame: bytes, position: int) -> bool:
        """Tell whether the frame written at `position` has not been taken yet."""
        return position < len(self._chunks) and self._chunks[position] is frame
