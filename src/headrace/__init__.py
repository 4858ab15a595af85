"""HTTP/2 for Python: the public names, grouped by the module they live in.

The protocol engine is used from where it is: `headrace.engine.h2`, `.events`, `.errors`, `.limits`; tests of one's own
stand on `headrace.testing`. What is neither here nor there may change without notice.
"""

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

__all__ = [
    "STOP",
    "AppError",
    "ClientDisconnected",
    "Config",
    "ConfigError",
    "ConnectionInfo",
    "Drain",
    "Dropped",
    "Event",
    "EventStream",
    "FileResponse",
    "HTTPError",
    "Idle",
    "Limits",
    "LoopResponse",
    "Mailbox",
    "MailboxOverflow",
    "Mount",
    "Push",
    "Request",
    "RequestIdFilter",
    "Response",
    "Route",
    "RouteError",
    "Router",
    "Send",
    "Server",
    "StartupError",
    "StaticFiles",
    "StreamResponse",
    "Telemetry",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketResponse",
    "last_event_id",
    "serve",
]
