"""The adapter that puts a WSGI application on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from headrace.transport.log import get_logger
from headrace.wsgi.cycle import WSGICycle
from headrace.wsgi.resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.server.settings.config import Config

    WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

error_log: Final = get_logger("headrace.error")


class WSGIApplication(Resources):
    """Serves a WSGI application, with at most `wsgi_threads` requests in it at a time; further ones wait for their
    turn.

    Requests that wait for slow clients count up to a half: see `threads`.
    """

    exchange_type: Final = WSGICycle
    drop_connection_fields: Final = True  # PEP 3333 forbids them; an application that sends some still runs
    name: Final = "wsgi"
    cancel_on_disconnect: Final = False  # a thread cannot be cancelled: its next read or write raises
    takes_websockets: Final = False
    tunnel_type: Final = WSGICycle

    def __init__(self, app: WSGIApp, config: Config) -> None:
        super().__init__(config)
        self.handler = app
        self.state: dict[str, Any] | None = None

    async def startup(self) -> None:
        """Do nothing: WSGI has no lifespan, and threads start on demand."""

    async def shutdown(self) -> None:
        """Let the threads end. Threads still in the application are abandoned, which the log says."""
        self.threads.close()
        busy = sum(call.is_running for call in self.given_up)
        if busy:
            error_log.error("%d WSGI requests had not returned when the server ended; their threads are left", busy)
