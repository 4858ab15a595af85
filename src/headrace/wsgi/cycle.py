"""One request to a WSGI application: the task's side, on the event loop.

The thread's side is `call`, the line between them `line`. The request gets a thread once its content is here, as far as
there is room for it, and the thread is free once it has made the response, as far as there is room for that: what a
slow client keeps waiting are an `Upload`, or a `Spool` and a task. The task lives until the thread has come to its end,
also when the client has gone before: the request's place is not free earlier.
"""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace.engine.message import COMPLETE
from headrace.server.exchange import ClientDisconnected, Exchange
from headrace.server.file import send_file
from headrace.server.worker import start_worker
from headrace.wsgi.call import Call
from headrace.wsgi.environ import environ
from headrace.wsgi.line import Line
from headrace.wsgi.outlet import Outlet
from headrace.wsgi.spool import Spool
from headrace.wsgi.upload import Upload

if TYPE_CHECKING:
    from headrace.server.files.open_file import OpenFile
    from headrace.wsgi.addresses import Address
    from headrace.wsgi.application import WSGIApplication


class WSGICycle(Exchange):
    """A request and its response, driven by a WSGI application in a thread."""

    address: Address
    spool: Spool
    upload: Upload | None = None
    _failure: BaseException | None = None
    """What became of a part of the response that the thread did not wait for."""
    _has_ended: bool = False
    _pump: asyncio.Task[None] | None = None
    """What sends the spool's content, once the headers are sent."""
    _content: asyncio.Future[None] | None = None
    """What the pump waits for while the spool is empty."""
    _room: asyncio.Future[None] | None = None
    """What the thread waits for while the spool is full."""

    @property
    def application(self) -> WSGIApplication:
        """What serves the application."""
        application: Any = self.driver.service.application
        return application  # type: ignore[no-any-return]

    async def run(self) -> None:
        driver = self.driver
        application = self.application
        line: Line | None = None
        call: Call | None = None
        address = self.address = application.addresses.enter(driver.client and driver.client[0], driver)
        self.spool = Spool(application.spools, address)
        try:
            is_gathered = application.spools.memory or application.spools.size
            if self.inbox is not None and is_gathered and not self.head.expect_continue:
                await self._gather()
            if self.gone is None:
                line = Line(driver.loop)
                call = self._call(line)
                begin = partial(self._begin, contextvars.copy_context(), call, line)
                application.threads.start(begin, address, driver)
                await self._serve(line)
                if self._pump is not None and (self._failure is None or self.spool.is_ended):
                    await self._pump  # also when the application fails behind a whole response
                if self._failure is not None:
                    raise self._failure
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            self._failure = None  # it holds this frame
            if line is not None:
                line.cut()
            if self._pump is not None:
                self._pump.cancel()
            self.spool.close()
            if self.upload is not None:
                self.upload.close()
            application.addresses.leave(address)
            if call is not None and not self._has_ended:
                application.given_up.append(call)
            if self.inbox is not None or self.task is not None:
                self.end()

    def _call(self, line: Line) -> Call:
        application = self.application
        variables = environ(self, application.root_path)
        outlet: Any = Outlet(line, self, self.spool)
        content = None
        if self.upload is not None:
            is_whole = self.inbox is not None and self.inbox.ended and not self.inbox.has_content()
            content = self.upload.reader(None if is_whole else partial(outlet.ask, "read"))
            if is_whole:
                variables["CONTENT_LENGTH"] = str(self.upload.size)  # which a client of HTTP/2 need not say
        return Call(self.driver.handler, variables, outlet, self.inbox is not None, content)

    def _begin(self, context: contextvars.Context, call: Call, line: Line) -> None:
        """In the thread: run the application, unless the request has ended while it waited for a thread."""
        if self.gone is None and not line.is_cut:
            context.run(call.run)
        else:
            line.tell("ended", None)

    async def _gather(self) -> None:
        """Take the content as it comes, to its end or until there is no more room for it."""
        inbox = self.inbox
        assert inbox is not None
        application = self.application
        upload = self.upload = Upload(application.spools, self.address)
        while self.gone is None and not upload.is_full:
            if inbox.owed:
                data, owed = inbox.take(), inbox.take_owed()
                try:
                    await upload.add(data, self.driver.loop)
                finally:
                    self._acknowledge(owed)  # not before, so that a slow disk holds up the client
            elif inbox.ended:
                return
            else:
                await inbox.changed(self.driver.loop)

    def _acknowledge(self, owed: int) -> None:
        driver = self.driver
        driver.engine.acknowledge_data(self.stream_id, owed)
        if not driver.flush_due:
            driver.schedule_flush()

    async def _serve(self, line: Line) -> None:
        """Do what the thread asks until it has ended."""
        while not self._has_ended:
            question = await line.next()
            try:
                value = await getattr(self, question.verb)(*question.arguments)
            except Exception as error:
                if question.wants_answer:
                    line.answer(error=error)
                elif self._failure is None:
                    self._failure = error
            else:
                if question.wants_answer:
                    line.answer(value)

    # -- what the thread asks for ------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """Everything of the content that is here, once something is; b"" at its end."""
        inbox = self.inbox
        if inbox is None:
            return b""
        while True:
            if inbox.owed:
                data = inbox.take()
                self._acknowledge(inbox.take_owed())
                if data:
                    return data
            elif inbox.ended:
                return b""
            elif self.gone is not None:
                raise ClientDisconnected(f"the content of stream {self.stream_id} is not complete: {self.gone}")
            elif self.progress == COMPLETE:
                raise ClientDisconnected(f"the response to stream {self.stream_id} is complete; no more content comes")
            else:
                self.invite()
                await self._wait_for_client(inbox.changed(self.driver.loop))

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of a response whose content comes out of the spool."""
        self.start(status, headers)
        self._pump = start_worker(self._send_spool(), self.driver.loop)

    async def go_on(self) -> None:
        """The spool has content again, or its end."""
        self.wake()

    async def make_room(self) -> None:
        """Wait until the spool has room. Raises ClientDisconnected when nobody takes its content any more."""
        while not self.spool.has_room() and not self.spool.is_closed:
            self._room = self.driver.loop.create_future()
            await self._wait_for_client(self._room)

    async def respond_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a response in one piece."""
        await self.respond(status, headers, body)

    async def send_file(
        self, status: int, headers: list[tuple[bytes, bytes]], file: OpenFile, offset: int, length: int
    ) -> None:
        """Send a response whose content is a part of a file."""
        await send_file(self, status, headers, file, offset, length)

    async def ended(self, error: BaseException | None) -> None:
        """The thread is through with the application. `error` is what that raised."""
        self._has_ended = True
        if error is not None and self._failure is None:
            self._failure = error
        is_said = self.progress == COMPLETE or self._pump is not None
        if error is None and self._failure is None and not is_said and self.gone is None:
            self._failure = RuntimeError("the WSGI application ended without a whole response")

    def wake(self) -> None:
        super().wake()
        if self._content is not None and not self._content.done():
            self._content.set_result(None)

    # -- what goes on meanwhile --------------------------------------------------------------------------------

    async def _wait_for_client(self, change: Any) -> None:
        """Await `change` for the thread, which is counted as one that waits."""
        threads = self.application.threads
        threads.wait_began(self.address, self.driver)
        try:
            await change
        finally:
            threads.wait_ended(self.address, self.driver)

    async def _send_spool(self) -> None:
        """Send what is in the spool until its end."""
        spool = self.spool
        loop = self.driver.loop
        try:
            while True:
                data = spool.take()
                if not data and spool.has_file_content():
                    data = await loop.run_in_executor(None, spool.read)
                is_last = spool.is_over()
                if data or is_last:
                    await self.write(data, is_last)
                    if is_last:
                        return
                elif spool.await_content():
                    if self.gone is not None:
                        raise self.disconnected(None)
                    self._content = loop.create_future()
                    await self._content
                if self._room is not None and not self._room.done() and spool.has_room():
                    self._room.set_result(None)
        except Exception as error:
            if self._failure is None:
                self._failure = error
        finally:
            spool.close()
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
