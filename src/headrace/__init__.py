"""HTTP/2 for Python: the public names, grouped by the module they live in.

The protocol engine is used from where it is: `headrace.engine.h2`, `.events`, `.errors`, `.limits`; tests of one's own
stand on `headrace.testing`. What is neither here nor there may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headrace.engine.limits import Limits
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

# The client's names are imported when they are asked for: a server does not pay for them.
_OF_THE_CLIENT = {
    "api": (
        "delete",
        "get",
        "head",
        "options",
        "patch",
        "post",
        "put",
        "request",
        "stream",
    ),
    "auth": (
        "BasicAuth",
        "BearerAuth",
        "NetRCAuth",
    ),
    "client": ("Client",),
    "digest": ("DigestAuth",),
    "errors": (
        "ClientError",
        "HTTPStatusError",
        "InvalidURL",
        "RequestError",
        "RequestTimeout",
    ),
    "headers": ("Headers",),
    "network_config": ("NetworkConfig",),
    "retry": ("RetryPolicy",),
    "sse": ("ServerSentEvent",),
    "sync": ("SyncClient",),
    "timeouts": ("Timeouts",),
    "url": ("URL",),
}
_HOME_OF = {name: f"headrace.client.{home}" for home, names in _OF_THE_CLIENT.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name == "client":
        return import_module("headrace.client")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
