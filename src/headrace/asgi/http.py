"""One request to an ASGI application: its scope, and `receive` and `send` (ASGI HTTP, specification 2.5).

`http.response.start` is held until the first piece of content comes, so that a response in one piece leaves as HEADERS
and DATA together, and so that an application which fails in between still gives 500.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from headrace.asgi.pathsend import send_file
from headrace.asgi.types import EXTENSIONS, SPEC
from headrace.engine.errors import StreamClosedError
from headrace.server.exchange import BEFORE, COMPLETE, HELD, STREAMING, TRAILERS, Exchange
from headrace.server.inbox import Inbox

if TYPE_CHECKING:
    from headrace.asgi.types import Message

_METHODS: Final = {name.encode(): name for name in ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH")}
_SCHEMES: Final = {b"http": "http", b"https": "https"}
_EXPECTED: Final = {
    BEFORE: "http.response.start",
    HELD: "http.response.body",
    STREAMING: "http.response.body",
    TRAILERS: "http.response.trailers",
}


class HTTPCycle(Exchange):
    """A request and its response, driven by an ASGI application."""

    is_read: bool = False
    """True once `receive` has said `more_body: False`."""
    headers: Any = ()
    has_trailers: bool = False
    trailers: list[tuple[bytes, bytes]] | None = None

    async def run(self) -> None:
        driver = self.driver
        try:
            shared = self.head.shared
            template = shared.memo
            if template is None:
                scope = self._scope()
                if shared.is_repeated:
                    # The request as it comes again: 0.3 us instead of 1.3. The application may change its own lists.
                    shared.memo = {**scope, "headers": scope["headers"].copy()}
            else:
                scope = template.copy()  # type: ignore[attr-defined]  # nobody else writes there
                scope["headers"] = scope["headers"].copy()
                scope["extensions"] = EXTENSIONS.copy()
            state = driver.service.application.state  # type: ignore[attr-defined]  # it is an ASGIApplication
            if state is not None:
                scope["state"] = state.copy()
            await driver.handler(scope, self.receive, self.send)
            if self.state != COMPLETE and self.gone is None:
                when = "without a response" if self.state == BEFORE else "before its response was complete"
                raise RuntimeError(f"the ASGI application returned {when}")
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            if self.inbox is not None or self.task is not None or driver.record is not None:
                self.end()

    def _scope(self) -> dict[str, Any]:
        head = self.head
        driver = self.driver
        application: Any = driver.service.application
        raw_path, _, query = head.path.partition(b"?")
        if b"%" in raw_path or not raw_path.isascii():
            path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
        else:
            path = raw_path.decode("ascii")
        if application.root_path:
            path = application.root_path + path
            raw_path = application.raw_root_path + raw_path
        headers = head.headers
        authority = head.authority
        is_missing = authority and not _has_host(headers)
        return {
            "type": "http",
            "asgi": SPEC,
            "http_version": "2",
            "server": driver.local,
            "client": driver.client,
            "scheme": _SCHEMES.get(head.scheme) or head.scheme.decode("ascii"),
            "method": _METHODS.get(head.method) or head.method.decode("ascii"),
            "root_path": application.root_path,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": [(b"host", authority), *headers] if is_missing else headers.copy(),
            "extensions": EXTENSIONS.copy(),
        }

    # -- receive -----------------------------------------------------------------------------------------------

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        inbox = self.inbox
        if inbox is None:
            if not self.is_read and self.gone is None and self.state != COMPLETE:
                self.is_read = True
                return {"type": "http.request", "body": b"", "more_body": False}
            inbox = self.inbox = Inbox(ended=True)  # a place to wait for the end
        while True:
            if self.gone is not None or self.state == COMPLETE:
                return {"type": "http.disconnect"}
            if not self.is_read:
                if inbox.owed or inbox.ended:
                    body = inbox.take()
                    owed = inbox.take_owed()
                    if owed:
                        driver = self.driver
                        driver.engine.acknowledge_data(self.stream_id, owed)
                        if not driver.flush_due:
                            driver.schedule_flush()
                    self.is_read = inbox.ended
                    return {"type": "http.request", "body": body, "more_body": not inbox.ended}
                self.invite()
            await inbox.changed(self.driver.loop)

    # -- send --------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """ASGI's `send`. Raises ClientDisconnected, an OSError, once the client has gone."""
        kind = message["type"]
        state = self.state
        if kind == "http.response.body":
            if state == HELD:
                body = message.get("body", b"")
                if type(body) is not bytes:
                    body = _content(body)
                if message.get("more_body", False) or self.has_trailers:
                    await self._begin(body, message.get("more_body", False))
                    return
                driver = self.driver
                try:
                    accepted = driver.engine.send_response(self.stream_id, self.status, self.headers, body)
                except StreamClosedError as error:
                    raise self.disconnected(error) from None
                self.sent = len(body)
                self.state = COMPLETE
                if self.inbox is not None:
                    self.inbox.wake()
                if not driver.flush_due:
                    driver.schedule_flush()
                if not accepted:
                    self.blocked = True
                    await self.unblocked()
            elif state == STREAMING:
                body = message.get("body", b"")
                if type(body) is not bytes:
                    body = _content(body)
                is_more = message.get("more_body", False)
                if not (self.blocked or self.has_trailers):  # `write` in place: a coroutine costs 0.2 us a piece
                    driver = self.driver
                    try:
                        accepted = driver.engine.send_data(self.stream_id, body, not is_more)
                    except StreamClosedError as error:
                        raise self.disconnected(error) from None
                    self.sent += len(body)
                    if not is_more:
                        self.complete()
                    if not driver.flush_due:
                        driver.schedule_flush()
                    if not accepted:
                        self.blocked = True
                        await self.unblocked()
                elif is_more:
                    await self.write(body)
                elif self.has_trailers:
                    if body:
                        await self.write(body)
                    self.state = TRAILERS
                else:
                    await self.write(body, True)
            else:
                self._refuse(kind)
        elif kind == "http.response.start":
            if state != BEFORE:
                self._refuse(kind)
            if self.gone is not None:
                raise self.disconnected(None)
            status = message["status"]
            if type(status) is not int:
                status = _status(status)
            headers = message.get("headers", ())
            if type(headers) is not list:
                headers = list(headers)
            self.status = status
            self.headers = headers
            self.has_trailers = bool(message.get("trailers", False))
            self.state = HELD
        else:
            await self._send_other(kind, message)

    async def _begin(self, body: bytes, is_more: bool) -> None:
        """The first piece of a response in several."""
        self.start(self.status, self.headers)
        if body:
            await self.write(body)
        if not is_more:
            self.state = TRAILERS

    async def _send_other(self, kind: str, message: Message) -> None:
        """The messages of extensions."""
        if kind == "http.response.trailers":
            if self.state != TRAILERS:
                self._refuse(kind)
            trailers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self.trailers = [*self.trailers, *trailers] if self.trailers else trailers
            if not message.get("more_trailers", False):
                await self.write_trailers(self.trailers)
        elif kind == "http.response.early_hint":
            if self.state != BEFORE:
                self._refuse(kind)
            self.inform(103, [(b"link", bytes(link)) for link in message.get("links", ())])
        elif kind == "http.response.pathsend":
            if self.state != HELD or self.has_trailers:
                self._refuse(kind)
            await send_file(self, message["path"], self.headers)
        else:
            self._refuse(kind)

    def _refuse(self, kind: str) -> None:
        """Say in plain words which message was expected. Raises always."""
        if self.gone is not None:
            raise self.disconnected(None)
        if self.state == COMPLETE:
            raise RuntimeError(f"unexpected ASGI message '{kind}': the response is complete")
        raise RuntimeError(f"unexpected ASGI message '{kind}': expected is '{_EXPECTED[self.state]}'")


def _has_host(headers: list[tuple[bytes, bytes]]) -> bool:
    for pair in headers:  # noqa: SIM110 - a generator costs more than the whole loop
        if pair[0] == b"host":
            return True
    return False


def _content(body: object) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"the body of an ASGI message is bytes, not {type(body).__name__}")


def _status(status: object) -> int:
    if isinstance(status, int):  # http.HTTPStatus is one
        return int(status)
    raise TypeError(f"the status of an ASGI response is an int, not {type(status).__name__}")
