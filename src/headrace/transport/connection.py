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
import math
import socket
import struct
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, cast

from headrace.transport.log import get_logger
from headrace.transport.loop_work import LIGHT_READ, LIGHT_WORK, LOW_WORK, loop_work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.engine.contract import Endpoint
    from headrace.engine.events import Event

WRITE_LIMIT: Final = 262_144  # bytes taken from the engine in one loop turn, so that connections share the loop
LARGE_READ: Final = 131_072  # bytes of a read that may not be the last of its turn: uvloop reads on 32 times
READS_IN_A_ROW: Final = 2  # large reads of one loop turn; the third waits in the kernel, while others have their turn
HELD: Final = 65_536  # bytes that are kept while input waits for its turn, before reading stops
READ_WHILE_BLOCKED: Final = 65_536  # bytes that are read while the peer takes none of ours: resets, windows
CLOSE_TIMEOUT_S: Final = 2.0  # from the end of the connection to the end of the transport, whatever the peer does
LINGER_S: Final = 0.5  # time for the peer to read our last words, after we said that no more will come
STALL_PROGRESS: Final = 4_096  # bytes within the stall timeout that count; less is a drip
RESUMED: Final = -1
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER, on, for no time
_TCP: Final = (socket.AF_INET, socket.AF_INET6)
NEVER: Final = math.inf

logger: Final = get_logger("headrace.error")


class Connection(asyncio.Protocol):
    """Owns one transport and the `engine` that is given to it in `connection_made` of a subclass.

    Subclasses override `on_events` and `on_lost`. `flush_due` is True while a flush will certainly happen: during a
    batch of input, and after `schedule_flush`. Check it first, which is cheaper than the call.
    """

    __slots__ = (
        "_close_timer",
        "_ending",
        "_eof_due",
        "_held",
        "_is_kept",
        "_loss_due",
        "_read_blocked",
        "_read_paused",
        "_reads",
        "_stall_mark",
        "_stall_timeout_s",
        "_stall_timer",
        "_timer",
        "_timer_at",
        "_turn_due",
        "_work",
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
        self._stall_timeout_s = stall_timeout_s
        self._stall_timer: asyncio.TimerHandle | None = None
        self._stall_mark = 0
        self.transport: asyncio.Transport | None = None
        self.flush_due: bool = True  # until there is a transport
        self.write_blocked: bool = False
        self.vectored: bool = False
        """Whether large bodies are sent without a copy. Not under TLS, where each buffer would become a record of its
        own, and not through asyncio's own transports, whose `writelines` copies up to Python 3.11 and forgets to hold
        writers back in 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1 (CVE-2024-12254)."""
        self._read_paused = False
        self._read_blocked = 0
        self._reads = 0
        self._turn_due = False
        self._is_kept = False
        self._work = loop_work(loop)
        self._held = b""
        self._eof_due = False
        self._loss_due = False
        self._ending = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._close_timer: asyncio.TimerHandle | None = None

    # -- what a subclass does ----------------------------------------------------------------------------------

    def before_input(self, now: float) -> None:
        """Called at `now`, before the engine gets input."""

    def on_turn(self, change: int) -> None:
        """1: input is left for a later turn; -1: that turn is here."""

    @abstractmethod
    def on_events(self, events: Sequence[Event]) -> None:
        """Handle the engine's events. Output of this call leaves with the batch."""

    def on_lost(self) -> None:
        """Called when the transport is gone, after the last event of every stream."""

    def on_stalled(self) -> None:
        """Called when the peer has accepted no bytes for `stall_timeout_s`, before the transport is aborted."""

    # -- what asyncio calls ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is not one by descent
        is_cleartext = transport.get_extra_info("ssl_object") is None
        self.vectored = is_cleartext and not isinstance(transport, asyncio.Transport)
        # With a limit of 0 uvloop writes at once, not at the end of the loop turn, when all clients would wait for the
        # last one's answer. What the kernel does not take blocks the workers, which is what we want; its own buffer
        # keeps the wire busy meanwhile.
        self.transport.set_write_buffer_limits(0)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if len(data) >= LARGE_READ:
            self._count_read()
        if self._ending:
            return  # read and forgotten, so that the kernel does not drop our last words with a reset
        if self._turn_due:
            self._hold(data)
            return
        work = self._work
        if work.left <= 0 and self._is_heavy(len(data)):
            self._is_kept = self._turn_due = True
            self._hold(data)
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
        if self.write_blocked:
            self._read_blocked += len(data)
            if self._read_blocked > READ_WHILE_BLOCKED:
                self._pause_reading()
        if self.engine.input_pending:
            self._schedule_turn()
        self._flush(now)

    def eof_received(self) -> bool:
        if self._turn_due and not self._ending and self.reads_to_the_end:
            self._eof_due = True
            return True
        self._lose()
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        if self._turn_due and not self._ending and self.reads_to_the_end:
            self._loss_due = True
            self.transport = None
            self.flush_due = True
            return
        self._lose()
        for timer in (self._timer, self._close_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._close_timer = self._stall_timer = None
        self._timer_at = NEVER
        self.transport = None
        self.flush_due = True  # nobody needs to schedule one any more
        self.on_lost()

    def pause_writing(self) -> None:
        self.write_blocked = True
        self._read_blocked = 0
        if self._stall_timer is None:
            self._watch_stall()

    def resume_writing(self) -> None:
        self.write_blocked = False
        self._stall_mark = RESUMED
        # Not now: uvloop calls this from within the write that made room.
        self.schedule_flush()

    # -- writing -----------------------------------------------------------------------------------------------

    def schedule_flush(self) -> None:
        """Write the engine's output at the end of this turn of the event loop. Check `flush_due` before."""
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
        if engine.deadline < self._timer_at:
            self._set_timer(engine.deadline)

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
        if engine.deadline < self._timer_at:
            self._set_timer(engine.deadline)
        if engine.read_paused:
            self._pause_reading()
        elif self._read_paused:
            self._resume_reading()

    def _apart(self, call: Callable[[], None]) -> None:
        """Call a method of the transport that schedules a callback. asyncio's transports keep the context of that call:
        a worker's, which every later request would share and the connection keep."""
        self.context.copy().run(call)

    # -- reading -----------------------------------------------------------------------------------------------

    def _schedule_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self.on_turn(1)
            self.loop.call_soon(self._next_turn, context=self.context.copy())

    def _next_turn(self) -> None:
        """Parse input that the last turn left over, and input since then, so that no busy connection delays others."""
        if self._work.left <= 0 and self._is_heavy(len(self._held)):
            self._work.wait(self)
            return
        self._turn_due = False
        if self._is_kept:
            self._is_kept = False
        else:
            self.on_turn(-1)
        held, self._held = self._held, b""
        if self._ending or (self.transport is None and not self._loss_due):
            return
        self.data_received(held)
        if self._turn_due:
            return
        if self._loss_due:
            self._loss_due = False
            self.connection_lost(None)
        elif self._eof_due and not self._ending:
            self._lose()
            self._close_transport()

    def take_turn(self) -> None:
        """Take the turn for which this connection waited, after the loop's work was used up."""
        self.context.copy().run(self._next_turn)

    def _is_heavy(self, size: int) -> bool:
        """Return whether input of so many bytes may be more than a request or two, by the work of this connection's
        last turn: only such input waits for others. The first input of a connection never waits."""
        engine = self.engine
        last = engine.work
        return last > LIGHT_WORK or (last >= 0 and size > LIGHT_READ) or engine.work_due > LIGHT_WORK

    def _hold(self, data: bytes) -> None:
        """Keep input that arrives after this turn's work is done."""
        self._held = self._held + data if self._held else data
        if len(self._held) > HELD:
            self._pause_reading()

    def _count_read(self) -> None:
        """Handle a read that was so large that the event loop may read again at once, before other connections."""
        if self._reads == 0:
            self.loop.call_soon(self._forget_reads, context=self.context.copy())
        self._reads += 1
        if self._reads >= READS_IN_A_ROW:
            self._pause_reading()

    def _forget_reads(self) -> None:
        self._reads = 0
        if self._read_paused:
            self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused and self.transport is not None:
            self._read_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        """Resume reading, unless one of the four reasons to wait still holds."""
        if self.transport is None or self._reads >= READS_IN_A_ROW:
            return
        if not self._ending:
            if self._turn_due or self.engine.read_paused:
                return
            if self.write_blocked and self._read_blocked > READ_WHILE_BLOCKED:
                return
        self._read_paused = False
        self._apart(self.transport.resume_reading)

    # -- time --------------------------------------------------------------------------------------------------

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self.context.copy().run(self.loop.call_at, when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = NEVER
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
        """Check again after the stall timeout. One timer per connection, not per pause: pauses are many and short."""
        assert self.transport is not None
        self._stall_mark = self.transport.get_write_buffer_size()
        context = self.context.copy()
        self._stall_timer = self.loop.call_later(self._stall_timeout_s, self._check_stall, context=context)

    def _check_stall(self) -> None:
        self._stall_timer = None
        if self.transport is None or not self.write_blocked:
            return
        taken = self._stall_mark - self.transport.get_write_buffer_size()
        if self._stall_mark == RESUMED or taken >= STALL_PROGRESS:
            self._watch_stall()
        else:  # the engine cannot see this: what it wrote is out of its hands
            self.on_stalled()
            self._lose()
            self._apart(self.transport.abort)

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self, code: int = 0, reason: str = "") -> None:
        """End the connection now: GOAWAY with `code`, then the transport. Open streams are reset."""
        self.engine.close(code, reason)
        self._flush()

    def abort(self) -> None:
        """Abort the transport at once, without sending more bytes."""
        if self.transport is not None:
            self._ending = True
            self._apart(self.transport.abort)

    def _end(self) -> None:
        """Write the last output of an ended engine, and close the transport within CLOSE_TIMEOUT_S."""
        transport = self.transport
        if transport is None or self._ending:
            return
        self._ending = True
        self.flush_due = True
        while output := self.engine.take_output(WRITE_LIMIT):
            transport.write(output)
        if self.engine.aborted:
            self._reset()
            return
        if self._read_paused:
            self._resume_reading()
        if transport.can_write_eof() and not transport.is_closing():
            # Closing with unread input makes the kernel send a reset, which may overtake the GOAWAY: half-close first.
            try:
                transport.write_eof()
            except OSError:  # the peer closed in the meantime
                self._close_transport()
            else:
                context = self.context.copy()
                self._close_timer = self.loop.call_later(LINGER_S, self._close_transport, context=context)
        else:
            self._close_transport()

    def _reset(self) -> None:
        """End with a TCP reset, so that the peer cannot take it for an orderly end."""
        assert self.transport is not None
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.family in _TCP:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._apart(self.transport.abort)

    def _close_transport(self) -> None:
        if self.transport is not None:
            context = self.context.copy()
            self._close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.abort, context=context)
            self._apart(self.transport.close)

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
        if self.transport is not None:
            self._apart(self.transport.abort)
