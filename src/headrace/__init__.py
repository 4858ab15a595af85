"""HTTP/2 for Python: the public names, grouped by the module they live in.

The protocol engine is used from where it is: `headrace.engine.h2`, `.events`, `.errors`, `.limits`; tests of one's own
stand on `headrace.testing`. What is neither here nor there may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from headrace.client.api import delete, get, head, options, patch, post, put, request, stream
    from headrace.client.auth import BasicAuth, BearerAuth, NetRCAuth
    from headrace.client.client import Client
    from headrace.client.digest import DigestAuth
    from headrace.client.errors import ClientError, HTTPStatusError, InvalidURL, RequestError, RequestTimeout
    from headrace.client.headers import Headers
    from headrace.client.network_config import NetworkConfig
    from headrace.client.retry import RetryPolicy
    from headrace.client.sse import ServerSentEvent
    from headrace.client.sync import SyncClient
    from headrace.client.timeouts import Timeouts
    from headrace.client.url import URL
    from headrace.client.websocket import WebSocketRefused
    from headrace.engine.limits import Limits
    from headrace.proxy.reverse_proxy import ReverseProxy
    from headrace.server.app import AppError, Server, StartupError, serve
    from headrace.server.config import Config, ConfigError
    from headrace.server.events import Event, EventStream, last_event_id
    from headrace.server.exchange import ClientDisconnected, HTTPError
    from headrace.server.file import FileResponse
    from headrace.server.files.static import StaticFiles
    from headrace.server.handler import ConnectionInfo, Request
    from headrace.server.loop import STOP, Drain, Idle, LoopResponse, Push
    from headrace.server.mailbox import Dropped, Mailbox, MailboxOverflow
    from headrace.server.response import Response, Send, StreamResponse
    from headrace.server.routing.path_pattern import RouteError
    from headrace.server.routing.route import Route
    from headrace.server.routing.router import Mount, Router
    from headrace.server.telemetry import RequestIdFilter, Telemetry
    from headrace.server.websocket import WebSocketResponse
    from headrace.transport.tunnel import WebSocketClosed
    from headrace.transport.websocket import WebSocket

# Each is imported when it is asked for: a server does not pay for the client, nor a client for the server.
_NAMES: Final = {
    "client.api": "delete get head options patch post put request stream",
    "client.auth": "BasicAuth BearerAuth NetRCAuth",
    "client.client": "Client",
    "client.digest": "DigestAuth",
    "client.errors": "ClientError HTTPStatusError InvalidURL RequestError RequestTimeout",
    "client.headers": "Headers",
    "client.network_config": "NetworkConfig",
    "client.retry": "RetryPolicy",
    "client.sse": "ServerSentEvent",
    "client.sync": "SyncClient",
    "client.timeouts": "Timeouts",
    "client.url": "URL",
    "client.websocket": "WebSocketRefused",
    "engine.limits": "Limits",
    "proxy.reverse_proxy": "ReverseProxy",
    "server.app": "AppError Server StartupError serve",
    "server.config": "Config ConfigError",
    "server.events": "Event EventStream last_event_id",
    "server.exchange": "ClientDisconnected HTTPError",
    "server.file": "FileResponse",
    "server.files.static": "StaticFiles",
    "server.handler": "ConnectionInfo Request",
    "server.loop": "STOP Drain Idle LoopResponse Push",
    "server.mailbox": "Dropped Mailbox MailboxOverflow",
    "server.response": "Response Send StreamResponse",
    "server.routing.path_pattern": "RouteError",
    "server.routing.route": "Route",
    "server.routing.router": "Mount Router",
    "server.telemetry": "RequestIdFilter Telemetry",
    "server.websocket": "WebSocketResponse",
    "transport.tunnel": "WebSocketClosed",
    "transport.websocket": "WebSocket",
}
_HOME_OF: Final = {name: f"headrace.{home}" for home, names in _NAMES.items() for name in names.split()}
_ROOMS: Final = ("asgi", "bus", "client", "engine", "proxy", "server", "testing", "transport", "wsgi")

__all__ = [
    "STOP",
    "URL",
    "AppError",
    "BasicAuth",
    "BearerAuth",
    "Client",
    "ClientDisconnected",
    "ClientError",
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


if not TYPE_CHECKING:  # else every name would be there for a type checker

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
