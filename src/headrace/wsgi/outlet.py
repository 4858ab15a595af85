"""The way of a response out of its thread: into the spool, so that the thread waits for its client only at the last."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from headrace.engine.message import is_bodiless
from headrace.server.exchange import ClientDisconnected

if TYPE_CHECKING:
    from headrace.wsgi.call import Head
    from headrace.wsgi.cycle import WSGICycle
    from headrace.wsgi.line import Line
    from headrace.wsgi.spool import Spool

SMALL: Final = 16_384
"""A response in one piece of up to so many bytes goes its way at once and uncounted: a hundred of them on each of
twenty connections are 32 MiB."""


class Outlet:
    """In the place of `line` for the thread's side of a request: what it sends is spooled, all else is asked there."""

    def __init__(self, line: Line, cycle: WSGICycle, spool: Spool) -> None:
        self._line = line
        self._cycle = cycle
        self._spool = spool
        self._mutex = threading.Lock()  # an application may hand its request on to threads of its own

    def ask(self, verb: str, *arguments: Any) -> Any:
        """As `Line.ask`; content that is to go on is waited for only when there is no room for it."""
        if verb == "go_on":
            with self._mutex:
                self._go_on(*arguments)
            return None
        return self._line.ask(verb, *arguments)

    def tell(self, verb: str, *arguments: Any) -> None:
        """As `Line.tell`, but the last piece is waited for, too, when there is no room for it."""
        if verb == "finish":
            try:
                with self._mutex:
                    self._go_on(arguments[0], None, is_last=True)
            except ClientDisconnected:
                pass  # nobody is there to get it
        elif verb == "respond_whole" and len(arguments[2]) > SMALL:
            with self._mutex:
                self._respond_whole(*arguments)
        else:
            self._line.tell(verb, *arguments)

    def _respond_whole(self, status: int, headers: list[tuple[bytes, bytes]], data: bytes) -> None:
        size = len(data)
        if is_bodiless(status) or self._cycle.head.method == b"HEAD" or self._spool.keep(size):
            self._line.tell("respond_whole", status, headers, data)
        else:
            if not any(name == b"content-length" for name, _ in headers):
                headers = [*headers, (b"content-length", b"%d" % size)]
            try:
                self._go_on(data, (status, headers), is_last=True)
            except ClientDisconnected:
                pass

    def _go_on(self, data: bytes, head: Head | None, *, is_last: bool = False) -> None:
        spool = self._spool
        left = memoryview(data)
        if head is not None:
            left = left[spool.put(left) :]
            if is_last and not left:
                spool.end()
            self._line.ask("begin", *head)
        while left:
            if self._cycle.gone is not None or spool.is_closed:
                raise ClientDisconnected(f"nothing can be sent any more: {self._cycle.gone or 'its sending failed'}")
            count = spool.put(left)
            left = left[count:]
            if spool.must_tell():
                self._line.tell("go_on")
            if left and not count:
                self._line.ask("make_room")
        if is_last:
            spool.end()
            if spool.must_tell():
                self._line.tell("go_on")
