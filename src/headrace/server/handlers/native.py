"""Runs a native handler: the exchange behind its `Request`, and the adapter that the server uses."""

from __future__ import annotations

import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from headrace.engine.errors import InvalidFieldError, StreamClosedError
from headrace.engine.message import COMPLETE
from headrace.server.handlers.headers import header_list
from headrace.server.handlers.request import Handler, Request, RequestExchange
from headrace.server.handlers.response import AnyResponse, Response
from headrace.transport.kinds import kind_of

if TYPE_CHECKING:
    from headrace.server.settings.config import Config


class NativeExchange(RequestExchange):
    """A request and its response, driven by a native handler. The handler holds a `Request`, which reads from here.

    It is the `Writer` of its response itself.
    """

    sent: int
    status: int

    @property
    def handler_text(self) -> str:
        """The handler by its route, where there is one."""
        return "the handler" if self.route is None else f"the handler of {self.route}"

    async def run(self) -> None:
        driver = self.driver
        try:
            request = Request(self)
            response: Any = driver.handler(request)
            if response.__class__ is CoroutineType or (
                not isinstance(response, AnyResponse) and inspect.isawaitable(response)
            ):
                response = await response
            if response.__class__ is Response or isinstance(response, Response):  # the former is half the work
                headers: Any = response.headers
                body = response.body
                try:
                    try:
                        accepted = driver.engine.send_response(self.stream_id, response.status, headers, body)
                    except InvalidFieldError:
                        # Bytes are the fast case and are not inspected here; text and mappings are converted when the
                        # engine refuses them.
                        headers = header_list(headers)
                        accepted = driver.engine.send_response(self.stream_id, response.status, headers, body)
                except StreamClosedError as error:
                    raise self.disconnected(error) from None
                if self.is_observed:
                    self.status = response.status
                    self.sent = len(body)
                self.progress = COMPLETE
                if self.inbox is not None:
                    self.inbox.wake()
                if not driver.flush_due:
                    driver.schedule_flush()
                if not accepted:
                    self.blocked = True
                    await self.unblocked()
            elif isinstance(response, AnyResponse):
                await response.send_on(request, self)
            else:
                raise TypeError(
                    f"{self.route or 'the handler'} must return a response such as headrace.Response, "
                    f"not {kind_of(response)}"
                )
        except BaseException as error:
            if self.fail(error):
                raise
        finally:
            if self.task is not None or self.inbox is not None:
                self.end()


class NativeApplication:
    """Serves a native handler."""

    exchange_type: Final = NativeExchange
    drop_connection_fields: Final = False
    name: Final = "native"

    def __init__(self, app: Handler, config: Config) -> None:
        self.handler = app
        self.takes_websockets: bool = config.websockets == "on" or (
            config.websockets == "auto" and bool(getattr(app, "takes_websockets", False))
        )
        self.tunnel_type = NativeExchange
        self.state: dict[str, Any] | None = None
        self.cancel_on_disconnect: bool = getattr(app, "cancel_on_disconnect", True)

    async def startup(self) -> None:
        """Do nothing: a native handler has no lifespan yet."""

    async def shutdown(self) -> None:
        """Do nothing."""
