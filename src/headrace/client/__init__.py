"""The client: the names that people need. Each module is imported when one of its names is asked for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.auth import Auth, BasicAuth, BearerAuth, FunctionAuth, NetRCAuth
    from headrace.client.client import Client
    from headrace.client.cookies import CookieConflict, Cookies
    from headrace.client.digest import DigestAuth
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
    from headrace.client.headers import Headers
    from headrace.client.interface import Content, Incoming, Origin, Outgoing, ResponseHead, Transport
    from headrace.client.loop_thread import LoopThread
    from headrace.client.network import NetworkTransport
    from headrace.client.network_config import NetworkConfig
    from headrace.client.proxy import Proxy
    from headrace.client.query import QueryParams
    from headrace.client.request import Request
    from headrace.client.response import Response
    from headrace.client.retry import RetryBudget, RetryPolicy
    from headrace.client.sse import EventSource, ServerSentEvent
    from headrace.client.sync import SyncClient, SyncResponse
    from headrace.client.timeouts import Timeouts
    from headrace.client.url import URL
    from headrace.client.websocket import WebSocketRefused

_HOMES = {
    "auth": (
        "Auth",
        "BasicAuth",
        "BearerAuth",
        "FunctionAuth",
        "NetRCAuth",
    ),
    "client": ("Client",),
    "cookies": (
        "CookieConflict",
        "Cookies",
    ),
    "digest": ("DigestAuth",),
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
    "headers": ("Headers",),
    "interface": (
        "Content",
        "Incoming",
        "Origin",
        "Outgoing",
        "ResponseHead",
        "Transport",
    ),
    "loop_thread": ("LoopThread",),
    "network": ("NetworkTransport",),
    "network_config": ("NetworkConfig",),
    "proxy": ("Proxy",),
    "query": ("QueryParams",),
    "request": ("Request",),
    "response": ("Response",),
    "retry": (
        "RetryBudget",
        "RetryPolicy",
    ),
    "sse": (
        "EventSource",
        "ServerSentEvent",
    ),
    "sync": (
        "SyncClient",
        "SyncResponse",
    ),
    "timeouts": ("Timeouts",),
    "url": ("URL",),
    "websocket": ("WebSocketRefused",),
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}

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
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(home), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
