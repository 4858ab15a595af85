"""The client: the names that people need. Each module is imported when one of its names is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.calls.auth import Auth, BasicAuth, BearerAuth, FunctionAuth, NetRCAuth
    from headrace.client.calls.digest import DigestAuth
    from headrace.client.calls.retry import RetryBudget, RetryPolicy
    from headrace.client.calls.sse import EventSource, ServerSentEvent
    from headrace.client.calls.websocket import WebSocketRefused
    from headrace.client.client import Client
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.connect.proxy import Proxy
    from headrace.client.errors import (
        BodyConsumed,
        ClientError,
        ConnectError,
        ConnectionLost,
        ConnectTimeout,
        DecodingError,
        DNSError,
        HeadersTimeout,
        HTTPStatusError,
        InvalidURL,
        PoolError,
        PoolTimeout,
        ProxyError,
        ReadTimeout,
        RemoteProtocolError,
        RequestError,
        RequestTimeout,
        ResponseTooLarge,
        StreamConsumed,
        StreamReset,
        TLSError,
        TLSTimeout,
        TooManyRedirects,
        TotalTimeout,
        TruncatedBody,
        WriteTimeout,
    )
    from headrace.client.interface import Content, Incoming, Origin, Outgoing, ResponseHead, Transport
    from headrace.client.loop_thread import LoopThread
    from headrace.client.message.cookies import CookieConflict, Cookies
    from headrace.client.message.headers import Headers
    from headrace.client.message.query import QueryParams
    from headrace.client.message.request import ClientRequest as Request
    from headrace.client.message.response import ClientResponse as Response
    from headrace.client.message.url import URL
    from headrace.client.pool.network import NetworkTransport
    from headrace.client.sync.client import SyncClient, SyncResponse
    from headrace.client.timeouts import Timeouts

_HOMES = {
    "calls.auth": (
        "Auth",
        "BasicAuth",
        "BearerAuth",
        "FunctionAuth",
        "NetRCAuth",
    ),
    "client": ("Client",),
    "message.cookies": (
        "CookieConflict",
        "Cookies",
    ),
    "calls.digest": ("DigestAuth",),
    "errors": (
        "BodyConsumed",
        "ClientError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectionLost",
        "DNSError",
        "DecodingError",
        "HTTPStatusError",
        "HeadersTimeout",
        "InvalidURL",
        "PoolError",
        "PoolTimeout",
        "ProxyError",
        "ReadTimeout",
        "RemoteProtocolError",
        "RequestError",
        "RequestTimeout",
        "ResponseTooLarge",
        "StreamConsumed",
        "StreamReset",
        "TLSError",
        "TLSTimeout",
        "TooManyRedirects",
        "TotalTimeout",
        "TruncatedBody",
        "WriteTimeout",
    ),
    "message.headers": ("Headers",),
    "interface": (
        "Content",
        "Incoming",
        "Origin",
        "Outgoing",
        "ResponseHead",
        "Transport",
    ),
    "loop_thread": ("LoopThread",),
    "pool.network": ("NetworkTransport",),
    "connect.config": ("NetworkConfig",),
    "connect.proxy": ("Proxy",),
    "message.query": ("QueryParams",),
    "calls.retry": (
        "RetryBudget",
        "RetryPolicy",
    ),
    "calls.sse": (
        "EventSource",
        "ServerSentEvent",
    ),
    "sync.client": (
        "SyncClient",
        "SyncResponse",
    ),
    "timeouts": ("Timeouts",),
    "message.url": ("URL",),
    "calls.websocket": ("WebSocketRefused",),
}
_HOME_OF = {name: (f"{__name__}.{home}", name) for home, names in _HOMES.items() for name in names}
# The server has a Request and a Response, too: outside of this room the client's are called by their whole names.
_HOME_OF["Request"] = f"{__name__}.message.request", "ClientRequest"
_HOME_OF["Response"] = f"{__name__}.message.response", "ClientResponse"

__all__ = [
    "URL",
    "Auth",
    "BasicAuth",
    "BearerAuth",
    "BodyConsumed",
    "Client",
    "ClientError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "Content",
    "CookieConflict",
    "Cookies",
    "DNSError",
    "DecodingError",
    "DigestAuth",
    "EventSource",
    "FunctionAuth",
    "HTTPStatusError",
    "Headers",
    "HeadersTimeout",
    "Incoming",
    "InvalidURL",
    "LoopThread",
    "NetRCAuth",
    "NetworkConfig",
    "NetworkTransport",
    "Origin",
    "Outgoing",
    "PoolError",
    "PoolTimeout",
    "Proxy",
    "ProxyError",
    "QueryParams",
    "ReadTimeout",
    "RemoteProtocolError",
    "Request",
    "RequestError",
    "RequestTimeout",
    "Response",
    "ResponseHead",
    "ResponseTooLarge",
    "RetryBudget",
    "RetryPolicy",
    "ServerSentEvent",
    "StreamConsumed",
    "StreamReset",
    "SyncClient",
    "SyncResponse",
    "TLSError",
    "TLSTimeout",
    "Timeouts",
    "TooManyRedirects",
    "TotalTimeout",
    "Transport",
    "TruncatedBody",
    "WebSocketRefused",
    "WriteTimeout",
]


if not TYPE_CHECKING:  # else every name would be there for a type checker

    def __getattr__(name: str) -> Any:
        found = _HOME_OF.get(name)
        if found is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, name_there = found
        value = globals()[name] = getattr(import_module(home), name_there)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
