"""One request to an ASGI application: its scope, and `receive` and `send` (ASGI HTTP, specification 2.5).

`answer` has the effects of its messages on the response.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from headrace.asgi.answer import BLOCKED, OTHER, ASGIAnswer
from headrace.asgi.pathsend import send_file
from headrace.asgi.tls import tls_extension
from headrace.asgi.types import DEBUG_EXTENSION, EXTENSIONS, PAUSE, SPEC
from headrace.engine.errors import StreamClosedError
from headrace.engine.message import BEFORE, COMPLETE, HELD, STREAMING, TRAILERS
from headrace.server.connection.exchange import ServerExchange, error_log
from headrace.server.connection.inbox import Inbox

if TYPE_CHECKING:
    from headrace.asgi.types import ASGIMessage
    from headrace.server.connection.service import ServedConnection

_METHODS: Final = {name.encode(): name for name in ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH")}
_PERCENT: Final = 0x25  # bytes are looked for as numbers: `b"%" in path` raises and catches inside, 0.45 us
_EXPECTED: Final = {
    BEFORE: "http.response.start",
    HELD: "http.response.body",
    STREAMING: "http.response.body",
    TRAILERS: "http.response.trailers",
}


class HTTPCycle(ServerExchange):
    """A request and its response, driven by an ASGI application."""

    inbox: Inbox | None

    answer: ASGIAnswer | None = None
    is_read: bool = False
    """True once `receive` has returned `more_body: False`."""
    trailers: list[tuple[bytes, bytes]] | None = None

    # `answer` has the progress of the response; before `run` has begun there is none.

    @property
    def progress(self) -> int:
        return BEFORE if self.answer is None else self.answer.state

    @progress.setter
    def progress(self, value: int) -> None:
        if self.answer is not None:
            self.answer.state = value

    @property
    def status(self) -> int:
        return 0 if self.answer is None else self.answer.status

    @status.setter
    def status(self, value: int) -> None:
        if self.answer is not None:
            self.answer.status = value

    @property
    def sent(self) -> int:
        return 0 if self.answer is None else self.answer.sent

    @sent.setter
    def sent(self, value: int) -> None:
        if self.answer is not None:
            self.answer.sent = value

    async def run(self) -> None:
        driver = self.driver
        answer = self.answer = ASGIAnswer(driver.engine, self.stream_id)
        try:
            shared = self.head.shared
            template = shared.memo
            if template is None:
                scope = self._scope()
                if shared.is_repeated:
                    # A request that comes again: 0.3 us instead of 1.3. The application may change its own lists.
                    shared.memo = {**scope, "headers": scope["headers"].copy()}
            else:
                scope = template.copy()  # type: ignore[attr-defined]  # no other code writes there
                scope["headers"] = scope["headers"].copy()
                scope["extensions"] = driver.scope_base["extensions"].copy()  # type: ignore[index]  # with a template there is one
            state = driver.app_state
            if state is not None:
                scope["state"] = state.copy()
            await driver.handler(scope, self.receive, self.send)
            if answer.state != COMPLETE and self.gone is None:
                when = "without a response" if answer.state == BEFORE else "before its response was complete"
                raise RuntimeError(f"the ASGI application returned {when}")
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            if self.inbox is not None or self.task is not None:
                self.end()

    def _scope(self) -> dict[str, Any]:
        head = self.head
        driver = self.driver
        base = driver.scope_base
        if base is None:
            base = driver.scope_base = _connection_scope(driver)
        target = head.path
        raw_path, _, query = target.partition(b"?")
        if _PERCENT in raw_path or not raw_path.isascii():
            path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
        else:
            path = raw_path.decode("ascii")
        root_path = base["root_path"]
        if root_path:
            path = root_path + path
            raw_path = root_path.encode() + raw_path
        headers = head.shared.headers  # shared; the scope's list is the application's, as frameworks change theirs
        authority = head.authority
        is_missing = authority and not head.shared.has_host
        scope = base.copy()  # and these few: 0.4 us less than all thirteen, for a request that is new each time
        if driver.http_version != "2":  # else it may be 1.0
            scope["http_version"] = head.shared.http_version
        scope["method"] = _METHODS.get(head.method) or head.method.decode("ascii")
        scope["path"] = path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        scope["headers"] = [(b"host", authority), *headers] if is_missing else [*headers]
        scope["extensions"] = base["extensions"].copy()
        return scope

    # -- receive -----------------------------------------------------------------------------------------------

    async def receive(self) -> ASGIMessage:
        """Handle ASGI's `receive`."""
        inbox = self.inbox
        if inbox is None:
            if not self.is_read and self.gone is None and self.progress != COMPLETE:
                self.is_read = True
                return {"type": "http.request", "body": b"", "more_body": False}
            inbox = self.inbox = Inbox(ended=True)  # a place to wait for the end
        while True:
            if self.gone is not None or self.progress == COMPLETE:
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
                self.send_continue()
            await inbox.changed(self.driver.loop)

    # -- send --------------------------------------------------------------------------------------------------

    async def send(self, message: ASGIMessage) -> None:
        """Handle ASGI's `send`. Raises ClientDisconnected, an OSError, once the client has gone."""
        if self.blocked:
            await self.unblocked()
        if self.gone is not None:
            raise self.disconnected(None)
        driver = self.driver
        try:
            outcome = self.answer.take(message)  # type: ignore[union-attr]  # `run` has made it
        except StreamClosedError as error:
            raise self.disconnected(error) from None
        if outcome == OTHER:
            await self._send_other(message["type"], message)
            return
        if not driver.flush_due:
            driver.schedule_flush()
        if self.inbox is not None and self.progress == COMPLETE:
            self.inbox.wake()
        if outcome == BLOCKED:
            self.blocked = True
            await self.unblocked()

    async def _send_other(self, kind: str, message: ASGIMessage) -> None:
        """Handle the messages of extensions."""
        if kind == "http.response.trailers":
            if self.progress != TRAILERS:
                self._refuse(kind)
            trailers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self.trailers = [*self.trailers, *trailers] if self.trailers else trailers
            if not message.get("more_trailers", False):
                await self.write_trailers(self.trailers)
        elif kind == "http.response.early_hint":
            if self.progress != BEFORE:
                self._refuse(kind)
            self.inform(103, [(b"link", bytes(link)) for link in message.get("links", ())])
        elif kind == PAUSE:
            self.allow_pauses(message.get("longest"))
        elif kind == "http.response.debug" and self.progress == BEFORE:
            error_log.debug("%s: http.response.debug: %s", self, ", ".join(map(str, message.get("info", ()))))
        elif kind == "http.response.pathsend":
            answer = self.answer
            if answer is not None and answer.state == HELD and not answer.has_trailers:
                await send_file(self, message["path"], answer.headers)
            else:
                self._refuse(kind)
        else:
            self._refuse(kind)

    def _refuse(self, kind: str) -> None:
        """Raise a RuntimeError that names the expected message. Always raises."""
        if self.gone is not None:
            raise self.disconnected(None)
        if self.progress == COMPLETE:
            raise RuntimeError(f"unexpected ASGI message '{kind}': the response is complete")
        raise RuntimeError(f"unexpected ASGI message '{kind}': expected is '{_EXPECTED[self.progress]}'")


def _connection_scope(driver: ServedConnection) -> dict[str, Any]:
    """Return the part of a scope that all requests of a connection share; the request's own values are still empty."""
    application: Any = driver.service.application
    return {
        "type": "http",
        "asgi": SPEC,
        "http_version": driver.http_version,
        "server": driver.local,
        "client": driver.client,
        "scheme": driver.scheme,  # the connection's, not the client's claim (RFC 9110 §7.4)
        "method": "",
        "root_path": application.root_path,
        "path": "",
        "raw_path": b"",
        "query_string": b"",
        "headers": None,
        "extensions": extensions(driver),
    }


def extensions(driver: ServedConnection) -> dict[str, Any]:
    """Return the extensions that a scope offers on this connection."""
    application: Any = driver.service.application
    transport = driver.transport
    tls = transport.get_extra_info("ssl_object") if transport is not None else None
    offered = EXTENSIONS | DEBUG_EXTENSION if error_log.isEnabledFor(logging.DEBUG) else dict(EXTENSIONS)
    if tls is not None:
        offered["tls"] = tls_extension(tls, application.server_cert)
    return offered
