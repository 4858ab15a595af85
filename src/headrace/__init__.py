"""HTTP/2, HTTP/1.1 and WebSocket for Python: the public names, grouped by module.

Import the protocol engine from its modules: `headrace.engine.h2`, `.h1`, `.contract`, `.detection`, `.events`,
`.errors` and `.limits`. Its public classes are those of its API page (docs/reference/api/engine.md). Your own tests can
use `headrace.testing`. CONTRIBUTING.md, "Deprecation", lists all that is public; other names may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headrace.client.api import delete, get, head, options, patch, post, put, request, stream
    from headrace.client.calls.auth import BasicAuth, BearerAuth, NetRCAuth
    from headrace.client.calls.digest import DigestAuth
    from headrace.client.calls.retry import RetryPolicy
    from headrace.client.calls.sse import ServerSentEvent
    from headrace.client.calls.websocket import WebSocketRefused
    from headrace.client.client import Client
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.errors import ClientError, HTTPStatusError, InvalidURL, RequestError, RequestTimeout
    from headrace.client.message.headers import Headers
    from headrace.client.message.request import ClientRequest
    from headrace.client.message.response import ClientResponse
    from headrace.client.message.url import URL
    from headrace.client.sync.client import SyncClient
    from headrace.client.timeouts import Timeouts
    from headrace.engine.limits import Limits
    from headrace.proxy.reverse_proxy import ReverseProxy
    from headrace.server.app import AppError, Server, StartupError, serve
    from headrace.server.errors import ClientDisconnected, HTTPError
    from headrace.server.files.response import FileResponse
    from headrace.server.files.static import StaticFiles
    from headrace.server.handlers.events import Event, EventStream, last_event_id
    from headrace.server.handlers.loop import STOP, Drain, Idle, LoopResponse, Push
    from headrace.server.handlers.mailbox import Dropped, Mailbox, MailboxOverflow
    from headrace.server.handlers.request import ConnectionInfo, Request
    from headrace.server.handlers.response import Response, Send, StreamResponse
    from headrace.server.handlers.websocket import WebSocketResponse
    from headrace.server.routing.path_pattern import RouteError
    from headrace.server.routing.route import Route
    from headrace.server.routing.router import Mount, Router
    from headrace.server.settings.config import Config, ConfigError
    from headrace.server.telemetry import RequestIdFilter, Telemetry
    from headrace.websocket.connection import WebSocket
    from headrace.websocket.tunnel import WebSocketClosed

# Each module is imported on first use: a server does not pay for the client, nor a client for the server.
_NAMES: Final = {
    "client.api": "delete get head options patch post put request stream",
    "client.calls.auth": "BasicAuth BearerAuth NetRCAuth",
    "client.calls.digest": "DigestAuth",
    "client.calls.retry": "RetryPolicy",
    "client.calls.sse": "ServerSentEvent",
    "client.calls.websocket": "WebSocketRefused",
    "client.client": "Client",
    "client.connect.config": "NetworkConfig",
    "client.errors": "ClientError HTTPStatusError InvalidURL RequestError RequestTimeout",
    "client.message.headers": "Headers",
    "client.message.request": "ClientRequest",
    "client.message.response": "ClientResponse",
    "client.message.url": "URL",
    "client.sync.client": "SyncClient",
    "client.timeouts": "Timeouts",
    "engine.limits": "Limits",
    "proxy.reverse_proxy": "ReverseProxy",
    "server.app": "AppError Server StartupError serve",
    "server.errors": "ClientDisconnected HTTPError",
    "server.files.response": "FileResponse",
    "server.files.static": "StaticFiles",
    "server.handlers.events": "Event EventStream last_event_id",
    "server.handlers.loop": "STOP Drain Idle LoopResponse Push",
    "server.handlers.mailbox": "Dropped Mailbox MailboxOverflow",
    "server.handlers.request": "ConnectionInfo Request",
    "server.handlers.response": "Response Send StreamResponse",
    "server.handlers.websocket": "WebSocketResponse",
    "server.routing.path_pattern": "RouteError",
    "server.routing.route": "Route",
    "server.routing.router": "Mount Router",
    "server.settings.config": "Config ConfigError",
    "server.telemetry": "RequestIdFilter Telemetry",
    "websocket.connection": "WebSocket",
    "websocket.tunnel": "WebSocketClosed",
}
_HOME_OF: Final = {name: f"headrace.{home}" for home, names in _NAMES.items() for name in names.split()}
_ROOMS: Final = ("asgi", "bus", "client", "engine", "proxy", "server", "testing", "transport", "websocket", "wsgi")

__all__ = [
    "STOP",
    "URL",
    "AppError",
    "BasicAuth",
    "BearerAuth",
    "Client",
    "ClientDisconnected",
    "ClientError",
    "ClientRequest",
    "ClientResponse",
    "Config",
    "ConfigError",
    "ConnectionInfo",
    "DigestAuth",
    "Drain",
    "Dropped",
    "Event",
    "EventStream",
    "FileResponse",
    "HTTPError",
    "HTTPStatusError",
    "Headers",
    "Idle",
    "InvalidURL",
    "Limits",
    "LoopResponse",
    "Mailbox",
    "MailboxOverflow",
    "Mount",
    "NetRCAuth",
    "NetworkConfig",
    "Push",
    "Request",
    "RequestError",
    "RequestIdFilter",
    "RequestTimeout",
    "Response",
    "RetryPolicy",
    "ReverseProxy",
    "Route",
    "RouteError",
    "Router",
    "Send",
    "Server",
    "ServerSentEvent",
    "StartupError",
    "StaticFiles",
    "StreamResponse",
    "SyncClient",
    "Telemetry",
    "Timeouts",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketRefused",
    "WebSocketResponse",
    "delete",
    "get",
    "head",
    "last_event_id",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "serve",
    "stream",
]


if not TYPE_CHECKING:  # else every name would exist for a type checker

    def __getattr__(name: str) -> Any:
        if name in _ROOMS:
            return import_module(f"headrace.{name}")
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
