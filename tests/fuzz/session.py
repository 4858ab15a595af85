"""A session that the bytes of a fuzzer direct: a peer's bytes, an owner's verbs, and time, in any order.

What holds of any connection of the engine, whichever its protocol and role, is asserted here. The engine is called by
its public interface alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

from headrace.engine import events as ev
from headrace.engine.errors import LocalError
from headrace.engine.limits import Limits

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source, pieces


@dataclass
class AppMessage:
    """A request and its response, as the application sees them."""

    stream_id: int
    _: KW_ONLY
    head_sent: bool = False
    ended: bool = False
    blocked: bool = False
    over: bool = False
    peer_ended: bool = False
    sent: int = 0
    unread: int = 0
    got: int = 0
    length: int = -1
    heads: list[Any] = field(default_factory=list)


WAITS = (0.0, 0.005, 0.5, 1.0, 5.0, 10.0, 31.0, 61.0, 76.0, 301.0)
MOST_ROUNDS = 400


def request_from(
    source: Source, methods: Sequence[bytes], fields: Sequence[tuple[bytes, bytes]]
) -> tuple[bytes, bool, list[tuple[bytes, bytes]], int, bytes | None]:
    """Draw what a client's request has in both protocols: method, end, fields, length and protocol."""
    method = source.pick(methods)
    end = source.flag()
    chosen = [source.pick(fields) for _ in range(source.below(3))]
    length = source.pick((-1, -1, 0, 5, 1_000))
    return method, end, chosen, length, b"websocket" if source.flag(5) else None


class Session:
    """One connection of the engine. `cut` says how its input is shared out over calls of `receive_data`: that must have
    no influence on what happens. Nor may the length of turns, which is in the limits."""

    conn: Any
    limits: Limits
    verbs: ClassVar[tuple[Callable[[Any], Any], ...]]
    scripts: ClassVar[tuple[str, ...]]
    """Sessions that are worth a seed: names of verbs, with chance deciding all else."""
    edges: ClassVar[tuple[str, ...]] = ()
    """Places where one byte more or less matters, by the names that `reach` has for them. The corpus reaches each."""

    def __init__(self, source: Source, cut: int) -> None:
        self.source = source
        self.cut = cut
        self.now = 0.0
        self.pending = b""
        self.fed = 0
        self.moved = 0
        """Bytes that the peer and the application have given to the engine, besides small frames."""
        self.story: list[str] = []
        self.output = b""
        self.ended = False
        self.acting = 0  # the stream of the verb that was called: nobody has to tell its caller of its end
        self.deadline = float("inf")
        self.hurried = False  # time has passed: a deadline may have ended anything
        self.reached: set[str] = set()
        self.meter = Meter(source.data, calls_a_byte=60, bytes_a_byte=100)

    # -- the wire ----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Let the peer write; the engine gets it with `flush`."""
        self.pending += data

    def flush(self) -> list[Any]:
        """Hand over what the peer has written, in pieces, and turn by turn; return the events."""
        data, self.pending = self.pending, b""
        self.fed += len(data)
        got: list[Any] = []
        size = self.cut if len(data) < 4_000 or not self.cut else max(self.cut, len(data) // 50)
        for piece in pieces(data, size):
            if self.cut:
                got += self.note(self.conn.receive_data(piece, self.now))
            else:
                got += self.note(
                    self.meter.run(self.conn.receive_data, piece, self.now, size=len(piece), held=self.moved)
                )
            got += self.go_on()
        return got

    def go_on(self) -> list[Any]:
        """Let the engine have the turns that it asks for."""
        got: list[Any] = []
        turns = 0
        while self.conn.input_pending and not self.conn.closed:
            assert self.conn.work <= self.limits.frames_per_turn + self.limits.max_block_size // 64 + 1
            got += self.note(self.conn.receive_data(b"", self.now))
            turns += 1
            assert turns <= self.fed + 2, "turns that take nothing"
        return got

    def take(self, limit: int = 262_144, *, buffers: bool = False) -> None:
        """Let the owner write, and the peer read."""
        pending = self.conn.output_pending
        conn = self.conn
        data = b"".join(conn.take_buffers(limit, self.now)) if buffers else conn.take_output(limit, self.now)
        assert pending or not data, "output_pending is False, and there is output"
        self.output += data
        self.took(data)
        self.note(self.conn.take_events())
        self.go_on()

    def took(self, data: bytes) -> None:
        """Read what the engine has written."""

    def take_all(self) -> None:
        """Take until there is no more."""
        rounds = 0
        while self.conn.output_pending:
            self.take()
            rounds += 1
            assert rounds < 1_000, "the output has no end"

    # -- events ------------------------------------------------------------------------------------------------

    def note(self, events: list[Any]) -> list[Any]:
        """Book events."""
        for event in events:
            assert not self.ended, f"{event!r} after ConnectionEnded"
            self.tell(event)
            self.ended = self.ended or event.kind == ev.ENDED
            self.note_one(event)
        self.noted()
        assert self.ended == self.conn.closed, "closed, and no ConnectionEnded, or the other way round"
        deadline = self.conn.deadline
        assert deadline <= self.deadline or self.ended, "between calls of handle_deadline, it can only become earlier"
        self.deadline = deadline
        return events

    def tell(self, event: Any) -> None:
        """Put an event into the story."""
        self.say(repr(event))

    def say(self, text: str) -> None:
        """Put a line into the story."""
        self.story.append(text)

    def note_one(self, event: Any) -> None:
        """Book one event."""

    def noted(self) -> None:
        """All events of a batch are booked."""

    def reach(self, edge: str) -> None:
        """Note that the session has come to one of its class's edges."""
        assert edge in self.edges
        self.reached.add(edge)

    # -- running -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play the input to its end; then the peer is generous, the application done, and the connection ends."""
        rounds = 0
        while self.source.more and rounds < MOST_ROUNDS:
            op = self.source.op()
            self.verbs[(op & 0x7F) % len(self.verbs)](self)
            if not op & 0x80:
                self.flush()
            rounds += 1
        self.flush()
        self.finish()
        self.leave()
        assert self.conn.closed and self.conn.open_streams == 0
        self.take_all()
        self.say(self.stats())
        most = 30 * self.fed + 200 * len(self.source.data) + 2 * self.moved + 2_000
        assert len(self.output) <= most, f"{len(self.output)} bytes of output for {self.fed} of input"

    def written(self) -> int:
        """Ask for the bytes under way, where the role has that question."""
        return 0

    def stats(self) -> str:
        """Return the figures for people, but for the bytes that came: those after the end are not counted."""
        return str(sorted(pair for pair in self.conn.stats().items() if pair[0] != "bytes_in"))

    def finish(self) -> None:
        """Bring everything to its end that can come to an end."""

    def leave(self) -> None:
        """The peer closes the connection."""
        self.note(self.conn.receive_eof(self.now))

    # -- the owner ---------------------------------------------------------------------------------------------

    def attempt(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a verb. It may refuse by a LocalError, and by nothing else; then None is returned."""
        for given in args:
            if isinstance(given, (list, tuple)):
                self.moved += sum(len(name) + len(value) for name, value in given)
        result: Any
        try:
            result = verb(*args, **kwargs)
        except LocalError as error:
            self.say(f"{verb.__name__}: {error!r}")
            result = None
        else:
            self.say(f"{verb.__name__}: {result!r}")
            result = True if result is None else result
        self.acting = args[0] if args and isinstance(args[0], int) else 0
        self.note(self.conn.take_events())
        self.acting = 0
        self.go_on()
        return result

    def app_time(self) -> None:
        """Time passes, and deadlines are kept."""
        seconds = self.source.pick(WAITS)
        self.hurried = self.hurried or seconds >= 1
        target = self.now + seconds
        rounds = 0
        while self.conn.deadline <= target and not self.conn.closed:
            self.now = max(self.now, self.conn.deadline)
            self.keep_deadline()
            rounds += 1
            assert rounds < 2_000, "the deadline does not move on"
        self.now = target
        if self.source.flag(4):
            self.keep_deadline()

    def keep_deadline(self) -> None:
        """Call handle_deadline, in time or early."""
        self.deadline = float("inf")
        self.note(self.conn.handle_deadline(self.now))

    def app_drain(self) -> None:
        """A graceful end begins, or now and then a sudden one."""
        if self.source.flag(4):
            self.attempt(self.conn.close, self.source.pick((0, 2)), "closed")
        else:
            self.attempt(self.conn.begin_drain, self.now, self.source.pick((None, self.now + 1)))

    def app_take(self) -> None:
        """The owner writes."""
        self.take(self.source.pick((262_144, 1, 20_000)), buffers=self.source.flag())
