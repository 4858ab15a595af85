"""One request to a WSGI application: the task's side, on the event loop.

The thread's side is `call`, the line between them `line`. The request gets a thread when its content has arrived, as
far as there is room for it, and the thread is free when it has made the response, as far as there is room for that: a
slow client delays only a `CollectedUpload`, or a `Spool` and a task. The task lives until the thread ends, even if the
client has gone before: the request's place is not free earlier.
"""

from __future__ import annotations

import asyncio
import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any

from headrace.engine.errors import CANCEL
from headrace.engine.message import COMPLETE
from headrace.server.connection.exchange import ServerExchange
from headrace.server.connection.worker import start_worker
from headrace.server.errors import ClientDisconnected
from headrace.server.files.response import send_file
from headrace.wsgi.call import WSGICall
from headrace.wsgi.environ import environ
from headrace.wsgi.outlet import Outlet
from headrace.wsgi.spool import PIECE
from headrace.wsgi.upload import CollectedUpload

if TYPE_CHECKING:
    from headrace.server.files.open_file import OpenFile
    from headrace.wsgi.addresses import ClientRecord
    from headrace.wsgi.call import Head
    from headrace.wsgi.resources import Resources
    from headrace.wsgi.spool import Spool


class WSGICycle(ServerExchange):
    """A request and its response, driven by a WSGI application in a thread."""

    gone: str | None

    upload: CollectedUpload | None = None
    address: ClientRecord | None = None
    """The record of the client's address, once the request runs."""
    taken: int = 0
    """Bytes of pieces that came from the thread directly and were accepted, plus a cost per piece."""
    is_spooled: bool = False
    """True once the thread puts content into its spool, and no longer hands it over."""
    is_counted: bool = False
    """True while the thread counts as one that waits for its client. The thread says so."""
    _failure: BaseException | None = None
    """Outcome of a part of the response that the thread did not wait for."""
    _has_ended: bool = False
    _line: Outlet | None = None
    _pump: asyncio.Task[None] | None = None
    """The task that sends the spool's content, once the headers are sent."""
    _content: asyncio.Future[None] | None = None
    """Future that the pump waits for while the spool is empty."""
    _awaits_content: bool = False
    """True while the thread waits for content that the client has not sent."""
    _read: int = 0
    """Bytes of content that the thread has received in this way."""
    _room: asyncio.Future[None] | None = None
    """Future for room in the spool, while the thread waits for it."""

    @property
    def application(self) -> Resources:
        """The adapter that serves the application."""
        application: Any = self.driver.service.application
        return application  # type: ignore[no-any-return]

    async def run(self) -> None:
        driver = self.driver
        application = self.application
        line: Outlet | None = None
        call: WSGICall | None = None
        client = driver.client
        address = application.addresses.enter(None if client is None else client[0], driver)
        self.address = address
        try:
            if self.inbox is not None and application.spools.is_used and not self._asks_first(application):
                await self._gather(CollectedUpload(application.spools, address))
            if self.gone is None:
                line = self._line = Outlet(driver.loop, self, application, address)
                call = self._call(application, line, address)
                begin = partial(self._begin, contextvars.copy_context(), call, line)
                if application.threads.start(begin, address, driver):
                    application.stalls.watch(driver.loop, driver.context)
                await self._serve(line)
                if self._pump is not None and (self._failure is None or self._is_produced):
                    await self._pump  # also when the application fails behind a whole response
                if self._failure is not None:
                    raise self._failure
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            if line is not None:
                line.cut()
            self._failure = None  # it holds this frame
            if self._pump is not None:
                self._pump.cancel()
            if self.upload is not None:
                self.upload.close()
            application.addresses.leave(address)
            application.stalls.leave(self)
            if call is not None and not self._has_ended:
                application.given_up.append(call)
            if self.inbox is not None or self.task is not None:
                self.end()

    def _asks_first(self, application: Resources) -> bool:
        """Return whether the application decides if the client, which waits for 100 (Continue), sends its content.

        Its thread then waits for the client, so at most half of the threads do this: other clients get 100 at once.
        """
        return self.head.expect_continue and application.threads.is_half_free()

    def _call(self, application: Resources, line: Outlet, address: ClientRecord) -> WSGICall:
        variables = environ(self, application.root_path)
        content = None
        inbox = self.inbox
        if self.upload is not None and inbox is not None:
            is_whole = inbox.ended and not inbox.has_content()
            content = self.upload.reader(None if is_whole else partial(line.ask, "read"))
            if is_whole:
                variables["CONTENT_LENGTH"] = str(self.upload.size)  # which a client of HTTP/2 need not send
        return WSGICall(self.driver.handler, variables, line, inbox is not None, content, address.key)

    def _begin(self, context: contextvars.Context, call: WSGICall, line: Outlet) -> None:
        """Run the application, in the thread, unless the request has ended while it waited for one."""
        if self.gone is None and not line.is_cut:
            context.run(call.run)
        else:
            line.tell("ended", None)

    async def _gather(self, upload: CollectedUpload) -> None:
        """Take the content as it arrives, to its end or until there is no more room for it."""
        self.upload = upload
        inbox = self.inbox
        assert inbox is not None
        if self.head.expect_continue:
            self.send_continue()
        while self.gone is None and not upload.is_full:
            if inbox.owed:
                data, owed = inbox.take(), inbox.take_owed()
                try:
                    await upload.add(data, self.driver.loop)
                finally:
                    self._acknowledge(owed)  # not before, so that a slow disk slows the client
            elif inbox.ended:
                return
            else:
                await inbox.changed(self.driver.loop)

    def _acknowledge(self, owed: int) -> None:
        driver = self.driver
        driver.engine.acknowledge_data(self.stream_id, owed)
        driver.schedule_flush()

    async def _serve(self, line: Outlet) -> None:
        """Execute the thread's calls until it has ended."""
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

    @property
    def has_failed(self) -> bool:
        """True once a part of the response could not be sent; no further part can be sent then."""
        return self._failure is not None

    @property
    def _is_produced(self) -> bool:
        """True once the thread has produced the whole response."""
        return self._line is not None and self._line.spool is not None and self._line.spool.is_ended

    # -- calls of the thread -----------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """Wait for content and return all that has arrived; b"" at its end."""
        inbox = self.inbox
        if inbox is None:
            return b""
        while True:
            if inbox.owed:
                data = inbox.take()
                self._acknowledge(inbox.take_owed())
                if data:
                    self._read += len(data)
                    return data
            elif inbox.ended:
                return b""
            elif self.gone is not None:
                raise ClientDisconnected(f"the content of stream {self.stream_id} is not complete: {self.gone}")
            elif self.progress == COMPLETE:
                raise ClientDisconnected(f"the response to stream {self.stream_id} is complete; no more content comes")
            else:
                self.send_continue()
                self.application.stalls.enter(self)
                self._awaits_content = True
                try:
                    await inbox.changed(self.driver.loop)
                finally:
                    self._awaits_content = False

    async def send_piece(self, data: bytes, head: Head | None, is_last: bool) -> None:
        """Send a piece, after the `head` if that has not been sent."""
        if self.has_failed:
            return
        if head is not None:
            self.start(*head)
        if data or is_last:
            await self.write(data, is_last)
        self.taken += len(data) + PIECE

    async def send_spool(self, head: Head | None) -> None:
        """Send content from the spool from now on, after the `head` if that has not been sent."""
        spool = self._line.spool if self._line is not None else None
        assert spool is not None
        if self.has_failed:
            spool.close()
            return
        try:
            if head is not None:
                self.start(*head)
        except BaseException:
            spool.close()
            raise
        self.application.stalls.enter(self)
        self._pump = start_worker(self._send_on(spool), self.driver.loop)

    async def look(self) -> None:
        """Handle that the spool has content again, or its end."""
        self.wake()

    async def make_room(self) -> None:
        """Wait until the spool is sent, or will not be sent any more, or there may be room elsewhere."""
        spool = self._line.spool if self._line is not None else None
        assert spool is not None
        if not spool.is_empty() and not spool.is_closed:
            self._room = self.driver.loop.create_future()
            await self._room

    async def respond_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a response in one piece."""
        if self._line is not None and self._line.spool is not None:
            self.application.stalls.enter(self)
        await self.respond(status, headers, body)

    async def send_file(
        self, status: int, headers: list[tuple[bytes, bytes]], file: OpenFile, offset: int, length: int
    ) -> None:
        """Send a response whose content is a part of a file."""
        await send_file(self, status, headers, file, offset, length)

    async def ended(self, error: BaseException | None) -> None:
        """Handle the end of the application in the thread. `error` is its exception."""
        self._has_ended = True
        if error is not None and self._failure is None:
            self._failure = error
        is_produced = self.progress == COMPLETE or self._pump is not None
        if error is None and not self.has_failed and not is_produced and self.gone is None:
            self._failure = RuntimeError("the WSGI application ended without a whole response")

    def wake(self) -> None:
        super().wake()
        if self._content is not None and not self._content.done():
            self._content.set_result(None)

    # -- for `Stalls` ------------------------------------------------------------------------------------------

    def awaits_client(self) -> bool:
        """Return whether the request is stuck until the client sends or takes something."""
        return self._awaits_content or self.blocked

    def awaits_room(self) -> bool:
        """Return whether the thread waits for room for its response."""
        return self._room is not None and not self._room.done()

    def is_waited_for(self) -> bool:
        """Return whether a thread waits for the client."""
        return self._awaits_content or self.awaits_room() or self.is_counted

    def moved(self) -> int:
        """Return the bytes that the client has sent to a waiting thread, plus those it has taken."""
        return self._read + self.driver.engine.written(self.stream_id)

    def look_for_room(self) -> None:
        """Let the thread try again, if it waits for room, because there may be some now."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def give_up(self, reason: str) -> None:
        """End the request, as if its client had gone, and give back its room at once."""
        self.gone = reason
        self.reset(CANCEL)
        if self._line is not None and self._line.spool is not None:
            self._line.spool.close()

    # -- what goes on meanwhile --------------------------------------------------------------------------------

    async def _send_on(self, spool: Spool) -> None:
        """Send the spool's content until its end."""
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
                if self._room is not None and not self._room.done() and spool.is_empty():
                    self._room.set_result(None)
        except Exception as error:
            if self._failure is None:
                self._failure = error
        finally:
            spool.close()
            if self._room is not None and not self._room.done():
                self._room.set_result(None)
