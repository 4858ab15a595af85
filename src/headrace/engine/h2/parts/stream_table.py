"""Which streams are idle, open, or over, by their identifiers, and how many requests had an answer (RFC 9113 §5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.h2.states import CLOSED
from headrace.engine.h2.stream import Stream

if TYPE_CHECKING:
    from mypy_extensions import i64

_REMEMBERED_GAPS: Final = 64


class StreamTable:
    """The open streams of a connection, and the identifiers that both sides have used.

    "The identifier of a newly established stream MUST be numerically greater than all streams that the initiating
    endpoint has opened or reserved." (RFC 9113 §5.1.1)
    """

    def __init__(self, is_server: bool) -> None:
        self.open: dict[int, Stream] = {}
        self.opened: i64 = 0
        """Streams that were opened so far."""
        self.fields_size: i64 = 0
        """Decoded size of the fields of all open requests."""
        self.highest_id: i64 = 0
        """Highest identifier that the peer has used."""
        self.last_taken_id: i64 = 0
        """Highest identifier of the peer's that may have been acted on: what GOAWAY names (RFC 9113 §6.8)."""
        self.next_id: i64 = 2 if is_server else 1
        """Identifier of the next stream that we open."""
        self._own: i64 = 0 if is_server else 1  # the parity of our identifiers
        self._unanswered: i64 = 0  # streams that ended without a whole response
        self._skipped: list[tuple[int, int]] | None = None

    def add(self, stream: Stream) -> None:
        """Add a stream that has opened."""
        self.open[stream.stream_id] = stream
        self.fields_size += stream.fields_size
        self.opened += 1

    def remove(self, stream: Stream, state: int) -> None:
        """Remove a stream that is over in `state`: only CLOSED is a request that had its answer."""
        del self.open[stream.stream_id]
        self.fields_size -= stream.fields_size
        if state != CLOSED:
            self._unanswered += 1

    def answered(self) -> int:
        """Return how many requests had a whole response; counted by what is rare, so that an answer costs nothing."""
        return self.opened - len(self.open) - self._unanswered

    def count_answer(self, is_one: bool) -> None:
        """Correct `answered`: a stream that was reset had its whole answer, or an answer was no handler's work."""
        self._unanswered += -1 if is_one else 1

    # -- identifiers -------------------------------------------------------------------------------------------

    def is_idle(self, stream_id: i64) -> bool:
        """Tell whether neither side has opened this stream yet, or passed it over."""
        if stream_id % 2 == self._own:
            return stream_id >= self.next_id
        return stream_id > self.highest_id

    def own_id(self) -> int:
        """Return the identifier of a stream that we open now."""
        stream_id = self.next_id
        self.next_id = stream_id + 2
        return stream_id

    def use(self, stream_id: i64) -> None:
        """Count an identifier of the peer's, higher than all before, as used; remember a gap below it, for the right
        answer to a peer that goes back to it. Bounded.

        "[...] an endpoint may skip a stream identifier, with the effect being that the skipped stream is immediately
        closed." (RFC 9113 §5.1.1)
        """
        if stream_id > self.highest_id + 2:
            if self._skipped is None:
                self._skipped = []
            if len(self._skipped) < _REMEMBERED_GAPS:
                self._skipped.append((self.highest_id + 1, stream_id - 1))
        self.highest_id = stream_id

    def take(self, stream_id: i64) -> None:
        """Note that a stream of the peer's may be acted on from here on."""
        self.last_taken_id = stream_id

    def was_skipped(self, stream_id: i64) -> bool:
        """Tell whether the peer passed an identifier over, so that its stream was never open."""
        return self._skipped is not None and any(low <= stream_id <= high for low, high in self._skipped)
