"""The content of a message as it comes (RFC 9112 §6, §7), and how much of it may wait for the application."""

from __future__ import annotations

from typing import Final

from headrace.engine.fields import Pairs
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.input import Input
from headrace.engine.h1.parse.chunked import ChunkedDecoder
from headrace.engine.limits import Limits

DISCARDED: Final = 65_536  # bytes of a request that are read and forgotten after its response
_SMALL: Final = 256  # content below this is charged as much
# Small pieces are charged as much at which reading stops, even where `small_data_budget` is more: HTTP/1.1 can wait,
# where HTTP/2 has to take what the windows allow.
_SMALL_PAUSE: Final = 65_536


class ContentReader:
    """Reads the content of one message after the other, as its head frames it."""

    def __init__(self, limits: Limits, is_server: bool) -> None:
        self._limits = limits
        self._unfolds = not is_server
        self._left: int = 0
        self._chunks: ChunkedDecoder | None = None
        self.is_complete: bool = False
        """The last of the content has come."""
        self.trailers: Pairs | None = None
        """The trailer section of content that is complete, None when it has none."""
        self.fault: MessageFault | None = None
        """The fault behind the content that `read` returned."""

    def begin(self, length: int, is_chunked: bool) -> None:
        """Begin content in the chunked coding (RFC 9112 §7.1), or of `length` bytes (§6.2), or below 0 up to the end of
        the connection (§6.3)."""
        self._left = -1 if is_chunked else length
        self._chunks = ChunkedDecoder(self._limits, self._unfolds) if is_chunked else None
        self.is_complete = False
        self.trailers = None

    def begin_tunnel(self) -> None:
        """Begin bytes of another protocol, which end with the connection."""
        self.begin(-1, False)

    @property
    def ends_with_connection(self) -> bool:
        """Tell whether the content has no end but the connection's."""
        return self._chunks is None and self._left < 0

    @property
    def is_chunked(self) -> bool:
        """Tell whether the content that comes is in the chunked coding."""
        return self._chunks is not None

    @property
    def left(self) -> int:
        """Bytes that are still to come of content with a length, -1 when it has none."""
        return self._left

    @property
    def is_between_chunks(self) -> bool:
        """Tell whether the peer owes nothing: the content is chunked, and no chunk or line of it has begun."""
        chunks = self._chunks
        return chunks is not None and chunks.is_between

    def read(self, source: Input) -> bytes:
        """Return the content that is in `source`, as far as the turn allows. Look at `is_complete` and `fault` then."""
        chunks = self._chunks
        if chunks is not None:
            return self._read_chunks(chunks, source)
        left = self._left
        if left < 0:
            return source.take(source.left())
        content = source.take(left)
        left -= len(content)
        self._left = left
        if left == 0:
            self.is_complete = True
        return content

    def _read_chunks(self, chunks: ChunkedDecoder, source: Input) -> bytes:
        chunks.turn = source.begin_chunks()
        try:
            source.move_to(chunks.decode(source.data, source.position))
            source.end_chunks(chunks.turn)
        except MessageFault as fault:
            self.fault = fault
        if chunks.is_complete:
            self.is_complete = True
            self.trailers = chunks.trailers if chunks.trailers else None
            self._chunks = None
        return chunks.take_content()


class Unread:
    """Content that the application has and did not consume: reading stops when it is too much."""

    def __init__(self, limits: Limits) -> None:
        small = limits.small_data_budget
        self._most: int = limits.initial_stream_window
        self._most_small: int = small if small < _SMALL_PAUSE else _SMALL_PAUSE
        self.size: int = 0
        """Bytes."""
        self._small: int = 0

    def add(self, size: int, is_joined: bool) -> None:
        """Add a piece of content. A small piece costs more than its bytes, unless the application joins it to others
        (`is_joined`)."""
        self.size += size
        if size < _SMALL and not is_joined:
            self._small += _SMALL

    def consume(self, size: int) -> bool:
        """Remove bytes that the application consumed; return False, and do nothing, when they are not there."""
        left = self.size - size
        if left < 0 or size < 0:
            return False
        self.size = left
        if left == 0:
            self._small = 0
        return True

    def clear(self) -> None:
        """Forget all content: its message is over."""
        self.size = 0
        self._small = 0

    def is_too_much(self) -> bool:
        """Tell whether reading has to stop until the application has consumed more."""
        return self.size >= self._most or self._small > self._most_small
