"""The client. What people need of it stands here; `headrace` has the most of it too."""

from headrace.client.auth import Auth, BasicAuth, BearerAuth, FunctionAuth, NetRCAuth
from headrace.client.client import Client
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
from headrace.client.query import QueryParams
from headrace.client.request import Request
from headrace.client.response import Response
from headrace.client.retry import RetryBudget, RetryPolicy
from headrace.client.timeouts import Timeouts
from headrace.client.url import URL

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
    "DNSError",
    "DecodingError",
    "FunctionAuth",
    "HTTPStatusError",
    "Headers",
    "HeadersTimeout",
    "Incoming",
    "InvalidURL",
    "NetRCAuth",
    "Origin",
    "Outgoing",
    "PoolError",
    "PoolTimeout",
    "ProxyError",
    "QueryParams",
    "ReadTimeout",
    "RemoteProtocolError",
    "Request",
    "RequestError",
    "RequestTimeout",
    "Response",
    "ResponseHead",
    "RetryBudget",
    "RetryPolicy",
    "StreamConsumed",
    "StreamReset",
    "TLSError",
    "TLSTimeout",
    "Timeouts",
    "TooManyRedirects",
    "TotalTimeout",
    "Transport",
    "TruncatedBody",
    "WriteTimeout",
]
