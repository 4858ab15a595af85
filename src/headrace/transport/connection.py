"""An asyncio protocol that joins a transport to a sans-I/O engine: bytes in, events out, one write a batch.

Read path: `data_received` gives bytes to the engine and its events to `on_events`. Output of any number of workers
stays in the engine until the batch is done, and leaves in one transport write. A worker that sends at another time
calls `schedule_flush`, which writes once per turn of the event loop.

Two things hold a peer to its bounds: while the transport accepts no more, the engine keeps its output, so that workers
wait and bytes do not pile up; and the input of the peer is limited meanwhile, so that replies to it cannot pile up
either.
"""

from __future__ import annotations

import asyncio
import contextvars
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, cast

from headrace.transport.connection_parts.deadline_timer import DeadlineTimer
from headrace.transport.connection_parts.input_turns import InputTurns
from headrace.transport.connection_parts.read_limits import LARGE_READ, ReadLimits
from headrace.transport.connection_parts.stall import StallWatch
from headrace.transport.connection_parts.transport_end import TransportEnd
from headrace.transport.log import get_logger
from headrace.transport.loop_work import LOW_WORK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.engine.contract import Endpoint
    from headrace.engine.events import Event

WRITE_LIMIT: Final = 262_144  # bytes taken from the engine in one loop turn, so that connections share the loop

logger: Final = get_logger("headrace.error")


class Connection(asyncio.Protocol):
    """Owns one transport and the `engine` that is given to it in `connection_made` of a subclass.

    Subclasses override `on_events` and `on_lost`. `flush_due` is True while a flush will certainly happen: during a
    batch of input, and after `schedule_flush`. Check it first where each request passes: a call is 1 % of a small one.
    """

    __slots__ = (
        "_end_of_transport",
        "_ending",
        "_limits",
        "_read_paused",
        "_stall_watch",
        "_timer",
        "_turns",
        "context",
        "engine",
        "flush_due",
        "loop",
        "transport",
        "vectored",
        "write_blocked",
    )

    engine: Endpoint  # the subclass gives it its value, and narrows it to the engine of its role
    reads_to_the_end = False
    """Whether input is read before the end of the connection counts: a client's response may be complete."""
    writes_to_the_end = False
    """Whether an end waits until the peer's kernel has taken all output: a server's last response may be under way."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stall_timeout_s: float = 60.0,
        context: contextvars.Context | None = None,
    ) -> None:
        """`stall_timeout_s`: longest time that the peer's kernel may accept no bytes; then the connection ends.

        Calls that the connection schedules on the event loop run in a copy of `context`, by default an empty one, and
        never in the context of the running worker or caller, because they read and begin requests of others.
        """
        self.loop: asyncio.AbstractEventLoop = loop
        self.context: contextvars.Context = context if context is not None else contextvars.Context()
        self._stall_watch = StallWatch(stall_timeout_s)
        self.transport: asyncio.Transport | None = None
        self.flush_due: bool = True  # until there is a transport
        self.write_blocked: bool = False
        self.vectored: bool = False
        """Whether large bodies are sent without a copy. Not under TLS, where each buffer would become a record of its
        own, and not through asyncio's own transports, whose `writelines` copies up to Python 3.11 and forgets to hold
        writers back in 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1 (CVE-2024-12254)."""
        self._read_paused = False
        self._limits = ReadLimits()
        self._turns = InputTurns(loop)
        self._ending = False
        self._timer = DeadlineTimer(loop, self.context)
        self._end_of_transport: TransportEnd | None = None

    # -- methods of subclasses ---------------------------------------------------------------------------------

    def before_input(self, now: float) -> None:
        """Prepare the engine for input at `now`."""

    def on_turn(self, change: int) -> None:
        """Note that input is left for a later turn (`change` is 1), or that this turn is here (-1)."""

    @abstractmethod
    def on_events(self, events: Sequence[Event]) -> None:
        """Handle the engine's events. Output of this call leaves with the batch."""

    def on_lost(self) -> None:
        """Handle the loss of the transport, after the last event of every stream."""

    def on_stalled(self) -> None:
        """Handle that the peer has accepted no bytes for `stall_timeout_s`, before the transport is aborted."""

    # -- calls of asyncio --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not one by descent
        is_cleartext = transport.get_extra_info("ssl_object") is None
        self.vectored = is_cleartext and not isinstance(transport, asyncio.Transport)
        # With a limit of 0 uvloop writes at once, not at the end of the loop turn, when all clients would wait for the
        # last one's answer. Bytes that the kernel does not take block the workers, as intended; its own buffer keeps
        # the wire busy meanwhile.
        self.transport.set_write_buffer_limits(0)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if len(data) >= LARGE_READ and self._limits.count_large(self.loop, self._on_loop_turn, self.context):
            self._pause_reading()
        if self._ending:
            return  # read and discarded, so that the kernel does not drop our last output with a reset
        turns = self._turns
        if turns.is_due:
            if turns.hold(data):
                self._pause_reading()
            return
        work = turns.work
        if work.left <= 0 and turns.is_heavy(len(data), self.engine.work, self.engine.work_due):
            turns.is_held_back = turns.is_due = True
            if turns.hold(data):
                self._pause_reading()
            work.wait(self)
            return
        self.flush_due = True
        engine = self.engine
        now = self.loop.time()
        try:
            self.before_input(now)
            events = engine.receive_data(data, now)
            while events:  # an answer may let the next pipelined request in, or show which engine it is for
                self.on_events(events)
                events = self.engine.take_events()
        except Exception:
            self._fail()
            return
        spent = self.engine.work
        if spent > 0:
            work.left -= spent
            if work.left <= LOW_WORK:
                work.fill_up()
        if self.write_blocked and self._limits.count_blocked(len(data)):
            self._pause_reading()
        if self.engine.input_pending:
            self._schedule_turn()
        self._flush(now)

    def eof_received(self) -> bool:
        turns = self._turns
        if turns.is_due and not self._ending and self.reads_to_the_end:
            turns.eof_due = True
            return True
        self._lose()
        if self.engine.aborted:
            self._cut_off()
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        turns = self._turns
        if turns.is_due and not self._ending and self.reads_to_the_end:
            turns.loss_due = True
            self.transport = None
            self.flush_due = True
            return
        self._lose()
        self._timer.stop()
        self._stall_watch.stop()
        if self._end_of_transport is not None:
            self._end_of_transport.stop()
        self.transport = None
        self.flush_due = True  # no flush is needed any more
        self.on_lost()

    def pause_writing(self) -> None:
        self.write_blocked = True
        self._limits.begin_blocked()
        if not self._stall_watch.is_running:
            self._watch_stall()

    def resume_writing(self) -> None:
        self.write_blocked = False
        self._stall_watch.resumed()
        # Not now: uvloop calls this from within the write that made room.
        self.schedule_flush()

    # -- writing -----------------------------------------------------------------------------------------------

    def schedule_flush(self) -> None:
        """Write the engine's output at the end of this turn of the event loop; a no-op when that is due already."""
        if not self.flush_due:
            self.flush_due = True
            self.loop.call_soon(self._flush, context=self.context.copy())

    def _flush(self, now: float = -1.0) -> None:
        transport = self.transport
        if transport is None:
            return
        engine = self.engine
        try:
            if not self.write_blocked:
                if now < 0:
                    now = self.loop.time()
                if self.vectored and engine.bodies_queued:
                    transport.writelines(engine.take_buffers(WRITE_LIMIT, now))
                else:
                    output = engine.take_output(WRITE_LIMIT, now)
                    if output:
                        transport.write(output)
            if engine.needs_attention or self._read_paused:  # one question instead of five in the common case
                self._attend()
                return
        except Exception:
            self._fail()
            return
        self.flush_due = False
        if engine.deadline < self._timer.at:
            self._timer.set(engine.deadline, self._on_timer)

    def _attend(self) -> None:
        """Do what may follow a flush: events, more output, the end, a pause in reading or the end of one."""
        engine = self.engine
        while events := engine.take_events():
            self.on_events(events)
        if engine.closed:
            self._end()
            return
        self.flush_due = False
        if engine.input_pending:  # over HTTP/1.1, output that was taken lets the next request in
            self._schedule_turn()
        if engine.output_pending and not self.write_blocked:
            self.schedule_flush()
        if engine.deadline < self._timer.at:
            self._timer.set(engine.deadline, self._on_timer)
        if engine.read_paused:
            self._pause_reading()
        elif self._read_paused:
            self._resume_reading()

    # -- reading -----------------------------------------------------------------------------------------------

    def _schedule_turn(self) -> None:
        if not self._turns.is_due:
            self._turns.is_due = True
            self.on_turn(1)
            self.loop.call_soon(self._next_turn, context=self.context.copy())

    def _next_turn(self) -> None:
        """Parse input that the last turn left over, and input since then, so that no busy connection delays others."""
        turns = self._turns
        if turns.work.left <= 0 and turns.is_heavy(turns.held_size(), self.engine.work, self.engine.work_due):
            turns.work.wait(self)
            return
        turns.take_turn(self)

    def take_turn(self) -> None:
        """Take the turn for which this connection waited, after the loop's work was used up."""
        self.context.copy().run(self._next_turn)

    def _on_loop_turn(self) -> None:
        self._limits.new_turn()
        if self._read_paused:
            self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused and self.transport is not None:
            self._read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        """Resume reading, unless one of the four reasons to wait still holds."""
        if self.transport is None or self._limits.forbids(self.write_blocked, self._ending):
            return
        if self._ending or not (self._turns.is_due or self.engine.read_paused):
            self._read_paused = False
            # asyncio's transports keep the context of this call: a worker's, which every later request would share.
            self.context.copy().run(self.transport.resume_reading)

    @property
    def is_ending(self) -> bool:
        """True once no more input counts."""
        return self._ending

    def end_of_input(self) -> None:
        """Handle the peer's end of input, after the input itself; see `InputTurns.take_turn`."""
        self._lose()
        if self.transport is not None:
            self._make_end(self.transport).close()

    # -- time --------------------------------------------------------------------------------------------------

    def _on_timer(self) -> None:
        self._timer.expired()
        if self.transport is None or self._ending:
            return
        now = self.loop.time()
        self.flush_due = True
        try:
            # A timer may come a clock tick early.
            if self.engine.deadline <= now + 0.001:
                events = self.engine.handle_deadline(max(now, self.engine.deadline))
                if events:
                    self.on_events(events)
        except Exception:
            self._fail()
            return
        self._flush()

    def _watch_stall(self) -> None:
        assert self.transport is not None
        self._stall_watch.start(self.transport, self._check_stall, self.loop, self.context.copy())

    def _check_stall(self) -> None:
        self._stall_watch.expired()
        if self.transport is None or not self.write_blocked:
            return
        if not self._stall_watch.is_stalled(self.transport):
            self._watch_stall()
        else:  # the engine cannot see this: its output has left it
            self.on_stalled()
            self._lose()
            self._cut_off()

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the connection now: GOAWAY with `code`, then the transport. Open streams are reset."""
        self.engine.close(code, reason)
        self._flush()

    def abort(self) -> None:
        """Abort the transport at once, without sending more bytes."""
        if self.transport is not None:
            self._ending = True
            self._cut_off()

    def _end(self) -> None:
        """Write the last output of an ended engine, and end the transport."""
        transport = self.transport
        if transport is None or self._ending:
            return
        self._ending = True
        self.flush_due = True
        while output := self.engine.take_output(WRITE_LIMIT):
            transport.write(output)
        if self.engine.aborted:
            self._cut_off()
            return
        if self._read_paused:
            self._resume_reading()
        self._make_end(transport).linger()

    def _make_end(self, transport: asyncio.Transport) -> TransportEnd:
        if self._end_of_transport is None:
            watch = self._stall_watch if self.writes_to_the_end else None
            self._end_of_transport = TransportEnd(transport, self.loop, self.context, watch)
        return self._end_of_transport

    def _cut_off(self) -> None:
        """End the transport at once, so that nobody takes what it had to say for whole."""
        if self.transport is not None:
            self._make_end(self.transport).abort(self.engine.aborted)

    def _lose(self) -> None:
        """Handle the loss of the peer: end every open stream, and inform its worker."""
        engine = self.engine
        self.flush_due = True
        if not engine.closed:
            try:
                self.on_events(engine.receive_eof(self.loop.time()))
            except Exception:
                logger.exception("a connection could not be ended properly")
        self._ending = True

    def _fail(self) -> None:
        """Handle an internal error: end this connection, without effect on others."""
        logger.exception("a connection failed inside headrace; please report this")
        self.flush_due = True
        self._lose()
        self._cut_off()
