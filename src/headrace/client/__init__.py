"""The client's public names. A module is imported when one of its names is first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.calls.auth import Auth, AuthLike, BasicAuth, BearerAuth, FunctionAuth, NetRCAuth
    from headrace.client.calls.digest import DigestAuth
    from headrace.client.calls.journey import HooksLike
    from headrace.client.calls.retry import RetryBudget, RetryPolicy
    from headrace.client.calls.sse import EventSource, ServerSentEvent
    from headrace.client.calls.websocket import WebSocketRefused
    from headrace.client.client import Client
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.connect.proxy import Proxy, ProxyLike
    from headrace.client.connect.tls import Certificate, Verify
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
    from headrace.client.message.content import ContentLike, TrailersLike
    from headrace.client.message.cookies import CookieConflict, Cookies, CookiesLike
    from headrace.client.message.encode import FileLike, FilesLike, FormLike
    from headrace.client.message.headers import Headers, HeadersLike
    from headrace.client.message.request import ClientRequest as Request
    from headrace.client.message.response import ClientResponse as Response
    from headrace.client.message.url import URL
    from headrace.client.message.url_parts.query import ParamsLike, QueryParams
    from headrace.client.pool.network import NetworkTransport
    from headrace.client.sync.client import SyncClient, SyncResponse
    from headrace.client.timeouts import Timeouts

_HOMES = {
    "calls.auth": (
        "Auth",
        "AuthLike",
        "BasicAuth",
        "BearerAuth",
        "FunctionAuth",
        "NetRCAuth",
    ),
    "client": ("Client",),
    "message.cookies": (
        "CookieConflict",
        "Cookies",
        "CookiesLike",
    ),
    "message.content": ("ContentLike", "TrailersLike"),
    "message.encode": ("FileLike", "FilesLike", "FormLike"),
    "calls.journey": ("HooksLike",),
    "connect.tls": ("Certificate", "Verify"),
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
    "message.headers": ("Headers", "HeadersLike"),
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
    "connect.proxy": ("Proxy", "ProxyLike"),
    "message.url_parts.query": ("ParamsLike", "QueryParams"),
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
# The server has a Request and a Response, too. Outside of this room the client's classes have their full names.
_HOME_OF["Request"] = f"{__name__}.message.request", "ClientRequest"
_HOME_OF["Response"] = f"{__name__}.message.response", "ClientResponse"

__all__ = [
    "URL",
    "Auth",
    "AuthLike",
    "BasicAuth",
    "BearerAuth",
    "BodyConsumed",
    "Certificate",
    "Client",
    "ClientError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "Content",
    "ContentLike",
    "CookieConflict",
    "Cookies",
    "CookiesLike",
    "DNSError",
    "DecodingError",
    "DigestAuth",
    "EventSource",
    "FileLike",
    "FilesLike",
    "FormLike",
    "FunctionAuth",
    "HTTPStatusError",
    "Headers",
    "HeadersLike",
    "HeadersTimeout",
    "HooksLike",
    "Incoming",
    "InvalidURL",
    "LoopThread",
    "NetRCAuth",
    "NetworkConfig",
    "NetworkTransport",
    "Origin",
    "Outgoing",
    "ParamsLike",
    "PoolError",
    "PoolTimeout",
    "Proxy",
    "ProxyError",
    "ProxyLike",
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
    "TrailersLike",
    "Transport",
    "TruncatedBody",
    "Verify",
    "WebSocketRefused",
    "WriteTimeout",
]


if not TYPE_CHECKING:  # a type checker would otherwise accept any name

    def __getattr__(name: str) -> Any:
        found = _HOME_OF.get(name)
        if found is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, name_there = found
        value = globals()[name] = getattr(import_module(home), name_there)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
