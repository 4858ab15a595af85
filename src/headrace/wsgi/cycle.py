"""One request to a WSGI application: the task's side, on the event loop.

The thread's side is `call`, the line between them `line`. The task lives until the thread has come to its end, also
when the client has gone before: the request's place is not free earlier.
"""

from __future__ import annotations

import contextvars
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from headrace.engine.message import COMPLETE
from headrace.server.exchange import ClientDisconnected, Exchange
from headrace.wsgi.call import Call
from headrace.wsgi.environ import environ
from headrace.wsgi.line import Line

if TYPE_CHECKING:
    from headrace.wsgi.call import Head

GATHERED: Final = 65_536
"""Content up to this many octets is gathered before a thread is taken, so that slow uploads do not hold threads."""


class WSGICycle(Exchange):
    """A request and its response, driven by a WSGI application in a thread."""

    _failure: BaseException | None = None
    """What became of a part of the response that the thread did not wait for."""
    _has_ended: bool = False

    async def run(self) -> None:
        driver = self.driver
        application: Any = driver.service.application
        line: Line | None = None
        call: Call | None = None
        try:
            if self.inbox is not None and 0 <= self.head.content_length <= GATHERED and not self.head.expect_continue:
                await self._gather()
            line = Line(driver.loop)
            call = Call(driver.handler, environ(self, application.root_path), line, self.inbox is not None)
            application.threads.start(partial(self._begin, contextvars.copy_context(), call, line))
            await self._serve(line)
            if self._failure is not None:
                raise self._failure
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            self._failure = None  # it holds this frame
            if line is not None:
                line.cut()
            if call is not None and not self._has_ended:
                application.given_up.append(call)
            if self.inbox is not None or self.task is not None:
                self.end()

    def _begin(self, context: contextvars.Context, call: Call, line: Line) -> None:
        """In the thread: run the application, unless the request has ended while it waited for a thread."""
        if self.gone is None and not line.is_cut:
            context.run(call.run)
        else:
            line.tell("ended", None)

    async def _gather(self) -> None:
        inbox = self.inbox
        while inbox is not None and not inbox.ended and self.gone is None:
            await inbox.changed(self.driver.loop)

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
                driver = self.driver
                driver.engine.acknowledge_data(self.stream_id, inbox.take_owed())
                if not driver.flush_due:
                    driver.schedule_flush()
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
                await inbox.changed(self.driver.loop)

    async def go_on(self, data: bytes, head: Head | None) -> None:
        """Send a piece, after the `head` if that has not been sent."""
        if head is not None:
            self.start(*head)
        if data:
            await self.write(data)

    async def finish(self, data: bytes) -> None:
        """Send the last piece, which may be empty."""
        await self.write(data, True)

    async def respond_whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a response in one piece."""
        await self.respond(status, headers, body)

    async def ended(self, error: BaseException | None) -> None:
        """The thread is through with the application. `error` is what that raised."""
        self._has_ended = True
        if error is not None and self._failure is None:
            self._failure = error
        if error is None and self._failure is None and self.progress != COMPLETE and self.gone is None:
            self._failure = RuntimeError("the WSGI application ended without a whole response")
