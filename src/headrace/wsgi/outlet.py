"""The thread's end of a request's line: the thread waits for its client only when nothing else is possible.

Small pieces go straight to the task, which sends them. Pieces that the task has not sent yet add up, and beyond
`DIRECT` the rest of the response goes into a spool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.engine.message import is_bodiless
from headrace.server.errors import ClientDisconnected
from headrace.wsgi.line import Line
from headrace.wsgi.spool import PIECE, Spool

if TYPE_CHECKING:
    import asyncio

    from headrace.engine.events import RequestReceived
    from headrace.server.connection.service import ServedConnection
    from headrace.wsgi.addresses import ClientRecord
    from headrace.wsgi.call import Head
    from headrace.wsgi.resources import Resources

WHOLE: Final = 65_536
"""A response in one piece of up to so many bytes is sent at once and takes no room: it is no more than the engine may
hold of a stream anyway."""
DIRECT: Final = 16_384
"""Bytes of pieces that may be on their way to the task, or wait there for the client."""


class CycleTask(Protocol):
    """The request's task, as its thread sees it: see `WSGICycle`."""

    driver: ServedConnection
    head: RequestReceived
    gone: str | None
    taken: int
    is_spooled: bool
    is_counted: bool

    @property
    def has_failed(self) -> bool:
        """True once a part of the response could not be sent."""
        ...


class Outlet(Line):
    """A line whose content is spooled when its client is slow, and whose waits for the client are counted."""

    __slots__ = ("_address", "_application", "_cycle", "_passed_on", "spool")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, cycle: CycleTask, application: Resources, address: ClientRecord
    ) -> None:
        super().__init__(loop)
        self._cycle = cycle
        self._application = application
        self._address = address
        self._passed_on = 0
        """Bytes of pieces that were handed over, plus a cost per piece; `cycle.taken` has those sent."""
        self.spool: Spool | None = None

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Do as `Line.ask`, but wait for content only when there is no room for it."""
        with self._mutex:
            if verb == "send_piece":
                try:
                    self._send_piece(*arguments, is_last=False)
                except ClientDisconnected:
                    self._count(False)
                    raise
                return None
            return self._wait(verb, *arguments)

    def tell(self, verb: str, *arguments: Any) -> None:
        """Do as `Line.tell`, but wait for content when there is no room for it."""
        with self._mutex:
            try:
                if verb == "ended":
                    self._count(False)
                if verb == "finish":
                    self._send_piece(arguments[0], None, is_last=True)
                elif verb == "respond_whole" and len(arguments[2]) > WHOLE:
                    self._respond_whole(*arguments)
                else:
                    self._tell(verb, *arguments)
            except ClientDisconnected:
                pass  # no client is left to get it

    def cut(self) -> None:
        super().cut()
        if self.spool is not None:
            self.spool.close()

    # -- under the mutex ---------------------------------------------------------------------------------------

    def _wait(self, verb: str, *arguments: Any) -> Any:
        """Make a call that may take as long as the client likes; this thread is counted meanwhile."""
        self._count(True)
        try:
            return self._ask(verb, *arguments)
        finally:
            self._count(False)

    def _count(self, waits: bool) -> None:
        """Count this thread among those that wait for their clients, or no longer."""
        cycle = self._cycle
        if waits != cycle.is_counted:
            cycle.is_counted = waits
            threads = self._application.threads
            (threads.wait_began if waits else threads.wait_ended)(self._address, cycle.driver)

    def _respond_whole(self, status: int, headers: list[tuple[bytes, bytes]], data: bytes) -> None:
        if is_bodiless(status) or self._cycle.head.method == b"HEAD" or self._open().keep(len(data)):
            self._tell("respond_whole", status, headers, data)
            return
        if not any(name == b"content-length" for name, _ in headers):
            headers = [*headers, (b"content-length", b"%d" % len(data))]
        self._send_piece(data, (status, headers), is_last=True)

    def _send_piece(self, data: bytes, head: Head | None, *, is_last: bool) -> None:
        cycle = self._cycle
        if cycle.gone is not None or cycle.has_failed:
            raise ClientDisconnected(f"nothing can be sent any more: {cycle.gone or 'its sending failed'}")
        if not cycle.is_spooled:
            cost = len(data) + PIECE
            if self._passed_on - cycle.taken + cost <= DIRECT:
                self._passed_on += cost
                self._tell("send_piece", data, head, is_last)
                return
            self._open()
            cycle.is_spooled = True
            self._tell("send_spool", head)
        self._put(data, is_last)

    def _put(self, data: bytes, is_last: bool) -> None:
        spool = self._open()
        left = memoryview(data)
        while left:
            if spool.is_closed:
                raise ClientDisconnected(f"nothing can be sent any more: {self._cycle.gone or 'its sending failed'}")
            count = spool.put(left)
            left = left[count:]
            if spool.must_notify():
                self._tell("look")
            # A thread that is so far ahead of its client serves others no more than one that waits.
            self._count(spool.is_filed)
            if left and not count:
                self._wait("make_room")
        if is_last:
            spool.end()
            if spool.must_notify():
                self._tell("look")

    def _open(self) -> Spool:
        spool = self.spool
        if spool is None:
            spool = self.spool = Spool(self._application.spools, self._address, self._cycle.driver)
            if self.is_cut:
                spool.close()
        return spool
