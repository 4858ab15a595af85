"""What a request can end in instead of a response. Each error says what happened, to which URL, and what one may do.

ClientError
  InvalidURL                    nothing was sent, nor could it be
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
    DecodingError               a content coding that is wrong, or inflates without bound
    TooManyRedirects
    HTTPStatusError             of `raise_for_status`; has the response
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.interface import ResponseHead


class ClientError(Exception):
    """Base of everything that the client raises for what happened outside of it."""


class InvalidURL(ClientError, ValueError):
    """A URL that no request can be sent to: the message names it, and what is wrong."""


class RequestError(ClientError):
    """A request that did not end in a whole response.

    `retryable` is True when it is certain that the server has not processed the request, so that it may be sent again
    whatever its method is (RFC 9110 §9.2.2, RFC 9113 §8.7). With False a server may have acted on it, as it has when
    its response had begun, whatever it says afterwards. `url` is the request's as text, without user information; ""
    until the client has filled it in. `head` is the response's head, where it had come before the fault.
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
        """Take the head of the response that had begun: the request was processed, and is not `retryable`."""
        self.head = head
        self.retryable = False

    def __str__(self) -> str:
        return f"{self.message} ({self.url})" if self.url else self.message


class ConnectError(RequestError, OSError):
    """No connection could be made. Nothing of the request was sent."""

    retryable = True


class DNSError(ConnectError):
    """The host has no address, or nobody could be asked for it."""


class TLSError(ConnectError):
    """The handshake of TLS failed: an unknown authority, another name, an expired certificate, no common protocol."""


class ProxyError(ConnectError):
    """The proxy could not be reached, or would not connect. `status` is its answer to CONNECT, 0 when there is none."""

    def __init__(self, message: str, *, url: str = "", status: int = 0) -> None:
        super().__init__(message, url=url)
        self.status = status


class RequestTimeout(RequestError, TimeoutError):
    """Something took longer than its timeout. `phase` is the name of that timeout in `Timeouts`."""

    phase = ""


class PoolTimeout(RequestTimeout):
    """No place on a connection became free. Nothing of the request was sent."""

    phase = "pool"
    retryable = True


class ConnectTimeout(RequestTimeout):
    """No address of the host answered."""

    phase = "connect"
    retryable = True


class TLSTimeout(RequestTimeout):
    """The handshake of TLS was not done in time."""

    phase = "tls"
    retryable = True


class HeadersTimeout(RequestTimeout):
    """The request was sent, and no response began."""

    phase = "headers"


class ReadTimeout(RequestTimeout):
    """Between two pieces of the response's content."""

    phase = "read"


class WriteTimeout(RequestTimeout):
    """The server took nothing more of the request's content."""

    phase = "write"


class TotalTimeout(RequestTimeout):
    """The request as a whole: with its redirects, retries and content."""

    phase = "total"


class PoolError(RequestError):
    """The client takes no further request: as many as it may hold wait already, or it is closed."""

    retryable = True


class ConnectionLost(RequestError, ConnectionError):
    """The connection ended while the request was open.

    `is_stale` is True where an HTTP/1.1 connection that had served before ended ahead of the first octet of a response.
    Most likely the server has closed it for being idle, just as the request left. That is not certain, so `retryable`
    is False; but a request with an idempotent method may be sent again without asking (RFC 9112 §9.3.1).
    """

    is_stale = False


class StreamReset(RequestError):
    """The server ended this request, and not its connection. `code` is RFC 9113 §7's; the name is in the message."""

    def __init__(self, message: str, *, code: int, url: str = "", retryable: bool | None = None) -> None:
        super().__init__(message, url=url, retryable=retryable)
        self.code = code


class RemoteProtocolError(RequestError):
    """The server broke a rule of its protocol: the message has the rule and its section."""


class TruncatedBody(RequestError):
    """The response's content ended before its announced length, or before its own end."""


class BodyConsumed(RequestError):
    """The request has to be sent again, for a redirect, a retry or another connection; but its content came from an
    iterator, which is used up. Give the octets, a file, or a function that makes a new iterator."""


class DecodingError(RequestError):
    """The response's content is not what its content-encoding says, or is too much of it (RFC 9110 §8.4)."""


class ResponseTooLarge(RequestError):
    """A response that is kept whole has more content than `max_response_size`, as it came or without its codings. Read
    it as a stream (`Client.stream`), or give the request another limit."""


def too_large(limit: int) -> ResponseTooLarge:
    """The error for a response beyond `limit` bytes."""
    return ResponseTooLarge(
        f"the response's content has more than {limit:,} bytes (max_response_size); read it as a stream, or raise the"
        " limit"
    )


class TooManyRedirects(RequestError):
    """More redirects than `max_redirects`; or they lead where no request may go."""


class HTTPStatusError(RequestError):
    """A response of 400 and above, where the caller had asked for an error. `response` is that response."""

    def __init__(self, message: str, *, response: Any, url: str = "") -> None:
        super().__init__(message, url=url)
        self.response = response


class StreamConsumed(ClientError, RuntimeError):
    """The response's content was read as a stream, or given up, and is not there any more."""
