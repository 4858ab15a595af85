"""The errors of requests. Each says what happened, to which URL, and what the caller can do.

ClientError
  InvalidURL                    nothing was sent, and nothing could be
  RequestError                  one request; has `url` and `retryable`
    ConnectError                no connection: DNSError, TLSError, ProxyError
    RequestTimeout              PoolTimeout, ConnectTimeout, TLSTimeout, HeadersTimeout, ReadTimeout, WriteTimeout,
                                TotalTimeout
    PoolError                   too many requests wait, or the client is closed
    ConnectionLost              the connection ended before the response did
    StreamReset                 the server ended this request alone
    RemoteProtocolError         the server broke a rule of HTTP
    TruncatedBody               less content than was announced
    BodyConsumed                the request's content cannot be sent a second time
    DecodingError               a content coding that is invalid, or inflates without bound
    TooManyRedirects
    HTTPStatusError             from `raise_for_status`; has the response
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.interface import ResponseHead


class ClientError(Exception):
    """Base of all errors that the client raises for events outside of it."""


class InvalidURL(ClientError, ValueError):
    """A URL that no request can be sent to. The message names it and its fault."""


class RequestError(ClientError):
    """A request that did not end in a whole response.

    `retryable` is True when it is certain that the server has not processed the request, so that it may be sent again
    with any method (RFC 9110 §9.2.2, RFC 9113 §8.7). With False a server may have acted on it. Once a response has
    begun it is always False, also when the server says otherwise later. `url` is the request's URL as text, without
    user information; "" until the client has filled it in. `head` is the response's head, when it had arrived before
    the fault.
    """

    retryable: bool = False

    def __init__(self, message: str, *, url: str = "", retryable: bool | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.url = url
        if retryable is not None:
            self.retryable = retryable
        self.head: ResponseHead | None = None

    def came_after(self, head: ResponseHead) -> None:
        """Set the head of the response that had begun: the server has processed the request, so it is not
        `retryable`."""
        self.head = head
        self.retryable = False

    def __str__(self) -> str:
        return f"{self.message} ({self.url})" if self.url else self.message


class ConnectError(RequestError, OSError):
    """No connection could be made. Nothing of the request was sent."""

    retryable = True


class DNSError(ConnectError):
    """The host has no address, or the look-up failed."""


class TLSError(ConnectError):
    """The TLS handshake failed: an unknown authority, another name, an expired certificate, no common protocol."""


class ProxyError(ConnectError):
    """The proxy could not be reached, or refused to connect. `status` is its answer to CONNECT, 0 when there is
    none."""

    def __init__(self, message: str, *, url: str = "", status: int = 0) -> None:
        super().__init__(message, url=url)
        self.status = status


class RequestTimeout(RequestError, TimeoutError):
    """A phase took longer than its timeout. `phase` is the name of that timeout in `Timeouts`."""

    phase = ""


class PoolTimeout(RequestTimeout):
    """No place on a connection became free. Nothing of the request was sent."""

    phase = "pool"
    retryable = True


class ConnectTimeout(RequestTimeout):
    """No address of the host answered in time."""

    phase = "connect"
    retryable = True


class TLSTimeout(RequestTimeout):
    """The TLS handshake was not done in time."""

    phase = "tls"
    retryable = True


class HeadersTimeout(RequestTimeout):
    """The request was sent, and no response began in time."""

    phase = "headers"


class ReadTimeout(RequestTimeout):
    """No further piece of the response's content arrived in time."""

    phase = "read"


class WriteTimeout(RequestTimeout):
    """The server accepted no further piece of the request's content in time."""

    phase = "write"


class TotalTimeout(RequestTimeout):
    """The whole request, with its redirects, retries and content, took too long."""

    phase = "total"


class PoolError(RequestError):
    """The client accepts no further request: the limit of waiting requests is reached, or it is closed."""

    retryable = True


class ConnectionLost(RequestError, ConnectionError):
    """The connection ended while the request was open.

    `is_stale` is True when an HTTP/1.1 connection that had served before ended ahead of the first byte of a response.
    Most likely the server closed it because it was idle, just as the request left. That is not certain, so `retryable`
    is False; but a request with an idempotent method may be sent again automatically (RFC 9112 §9.3.1).
    """

    is_stale = False


class StreamReset(RequestError):
    """The server ended this request, and not its connection. `code` is an error code of RFC 9113 §7; the message has
    its name."""

    def __init__(self, message: str, *, code: int, url: str = "", retryable: bool | None = None) -> None:
        super().__init__(message, url=url, retryable=retryable)
        self.code = code


class RemoteProtocolError(RequestError):
    """The server broke a rule of its protocol: the message has the rule and its section."""


class TruncatedBody(RequestError):
    """The response's content ended before its announced length, or before its own end."""


class BodyConsumed(RequestError):
    """The request has to be sent again, for a redirect, a retry or another connection; but its content came from an
    iterator, which is used up. Give bytes, a file, or a function that makes a new iterator."""


class DecodingError(RequestError):
    """The response's content is invalid for its content-encoding, or decodes to too much (RFC 9110 §8.4)."""


class ResponseTooLarge(RequestError):
    """A whole response has more content than `max_response_size`, before or after decoding. Read it as a stream
    (`Client.stream`), or give the request another limit."""


def too_large_error(limit: int) -> ResponseTooLarge:
    """Return the error for a response beyond `limit` bytes."""
    return ResponseTooLarge(
        f"the response's content has more than {limit:,} bytes (max_response_size); read it as a stream, or raise the"
        " limit"
    )


class TooManyRedirects(RequestError):
    """More redirects than `max_redirects`, or a redirect to a URL that no request may have."""


class HTTPStatusError(RequestError):
    """A response of 400 and above, when the caller asked for an error. `response` is that response."""

    def __init__(self, message: str, *, response: Any, url: str = "") -> None:
        super().__init__(message, url=url)
        self.response = response


class StreamConsumed(ClientError, RuntimeError):
    """The response's content was read as a stream, or given up, and is not in memory any more."""
