"""The common part of the transports for httpx and httpx2, which have the same interface.

`api` stands for the module, httpx or httpx2, whose classes are made and raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any, Final

from headrace.client import errors
from headrace.client.interface import Incoming, Origin, Outgoing, Pairs
from headrace.client.loop_thread import LoopThread, shared
from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts
from headrace.engine.errors import LocalError

# The most specific class comes first. Names are those of the classes in httpx and httpx2.
_ERRORS: Final[list[tuple[type[Exception], str]]] = [
    (errors.PoolTimeout, "PoolTimeout"),
    (errors.ConnectTimeout, "ConnectTimeout"),
    (errors.TLSTimeout, "ConnectTimeout"),
    (errors.WriteTimeout, "WriteTimeout"),
    (errors.RequestTimeout, "ReadTimeout"),
    (errors.ProxyError, "ProxyError"),
    (errors.ConnectError, "ConnectError"),
    (errors.PoolError, "PoolTimeout"),
    (errors.ConnectionLost, "ReadError"),
    (errors.BodyConsumed, "WriteError"),
    (errors.InvalidURL, "UnsupportedProtocol"),
    (errors.RequestError, "RemoteProtocolError"),  # a reset, a broken rule, content that ends early
    (LocalError, "LocalProtocolError"),
]
HANDLED: Final = (errors.ClientError, LocalError)
"""Errors that `map_error` turns into an error of the other library."""

# `authority`, `content` and the connection replace these.
_NOT_SENT: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade")
)
_VERSIONS: Final = {"2": b"HTTP/2", "1.1": b"HTTP/1.1", "1.0": b"HTTP/1.0"}
_PORTS: Final = {"http": 80, "https": 443}
_SHORTEST_S: Final = 1e-6
_MOST_TIMEOUTS: Final = 64

_origins: dict[tuple[bytes, bytes, int | None], Origin] = {}
_timeouts: dict[tuple[Any, ...], Timeouts] = {}


class BridgeContent:
    """Content from a stream of the other library."""

    def __init__(self, stream: Any, length: int | None) -> None:
        self.length = length
        self._stream = stream
        self._is_open = False

    @property
    def is_replayable(self) -> bool:
        """Return True before the first byte was read: the stream may be a generator."""
        return not self._is_open

    def open(self) -> AsyncIterator[bytes]:
        """Return an iterator over the content. Raises BodyConsumed the second time."""
        if self._is_open:
            raise errors.BodyConsumed("the request's content is a stream that was sent in part already")
        self._is_open = True
        pieces: AsyncIterator[bytes] = self._stream.__aiter__()
        return pieces

    def trailers(self) -> Pairs:
        """Return no fields: neither library has trailers."""
        return []


def to_outgoing(request: Any, api: ModuleType, upload: type[BridgeContent]) -> Outgoing:
    """Return the library's request as an Outgoing. Raises the library's UnsupportedProtocol for a URL that is
    neither http nor https."""
    url = request.url
    key = (url.raw_scheme, url.raw_host, url.port)
    origin = _origins.get(key)
    if origin is None:
        origin = _origin(url, api)
        if len(_origins) < 1_000:
            _origins[key] = origin
    length: int | None = None
    authority = b""
    headers = []
    for name, value in request.headers.raw:
        lowered = name.lower()
        if lowered not in _NOT_SENT:
            headers.append((lowered, value))
        elif lowered == b"host":
            authority = value
        elif lowered == b"content-length" and value.isdigit():
            length = int(value)
    content: Any
    try:
        content = request.content
    except api.RequestNotRead:
        content = upload(request.stream, length)
    extensions = request.extensions
    return Outgoing(
        request.method.encode("ascii"),
        origin,
        authority or url.netloc,
        extensions.get("target") or url.raw_path,
        headers,
        content,
        url=str(url.copy_with(userinfo=b"")) if url.userinfo else str(url),
        timeouts=_timeouts_of(extensions.get("timeout")),
        on_informational=extensions.get("on_informational"),
    )


def _origin(url: Any, api: ModuleType) -> Origin:
    scheme = url.raw_scheme.decode("ascii")
    host = url.raw_host.decode("ascii")
    if scheme not in _PORTS:
        what = f"the scheme {scheme!r}" if scheme else "no scheme"
        raise api.UnsupportedProtocol(f"the URL {str(url)!r} has {what}; it must be http or https")
    if not host:
        raise api.UnsupportedProtocol(f"the URL {str(url)!r} has no host")
    return Origin(scheme, host.lower(), url.port or _PORTS[scheme])


def _timeouts_of(given: Any) -> Timeouts:
    if given is None:
        return DEFAULT_TIMEOUTS
    key = (given.get("connect"), given.get("read"), given.get("write"), given.get("pool"))
    timeouts = _timeouts.get(key)
    if timeouts is None:
        connect, read, write, pool = (None if each is None else max(each, _SHORTEST_S) for each in key)
        timeouts = Timeouts(pool=pool, connect=connect, tls=connect, headers=read, read=read, write=write)
        if len(_timeouts) < _MOST_TIMEOUTS:
            _timeouts[key] = timeouts
    return timeouts


class ReadyResponse:
    """Reads a response faster when all of its content has arrived: the first base of a library's Response.

    The libraries read it through five nested generators, which takes 28 us of the 170 that a small request takes under
    httpx2. Reading it in one call takes 17 (httpx: 22 and 17).
    """

    stream: Any
    ready: Any = None
    """The content as a stream that needs no wait, until it is read."""

    async def aread(self: Any) -> bytes:
        """Return all of the content, decoded, like the library's own method."""
        ready, self.ready = self.ready, None
        if ready is None or self.is_stream_consumed or self.is_closed:
            content: bytes = await super().aread()  # type: ignore[misc] # the library's method, of the second base
            return content
        stream = self.stream
        self.stream = ready
        try:
            content = self.read()
        finally:
            self.stream = stream
        await stream.aclose()  # the library measures `elapsed` there
        return content


def to_response(incoming: Incoming, stream: Any, kind: type[Any]) -> Any:
    """Return the response as the library's class `kind`. `extensions` has `http_version` and `trailers`, a function
    that returns them once the content has been read."""
    head = incoming.head
    return kind(
        head.status,
        headers=head.headers,
        stream=stream,
        extensions={"http_version": _VERSIONS[head.http_version], "trailers": lambda: incoming.trailers},
    )


def map_error(error: Exception, api: ModuleType) -> Exception:
    """Return the library's exception for an error. Our own is its `__cause__`, and says whether a retry is safe."""
    for ours, name in _ERRORS:
        if isinstance(error, ours):
            message = error.message if isinstance(error, errors.RequestError) else str(error)
            theirs: Exception = getattr(api, name)(message)
            return theirs
    return error


class AsyncBridge:
    """The async transport of either library; `api` is the library, its base class the second base."""

    api: ModuleType
    stream_type: type[Any]
    response_type: type[Any]

    def __init__(self, transport: Any = None, **options: Any) -> None:
        self.transport: Any = _transport(transport, options)
        """The transport that carries the requests."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; an AsyncClient calls it for each one."""
        api = self.api
        try:
            incoming = await self.transport.send(to_outgoing(request, api, BridgeContent))
            if getattr(incoming, "is_complete", False):
                stream = api.ByteStream(await incoming.read())
                response = to_response(incoming, stream, self.response_type)
                response.ready = stream
                return response
        except HANDLED as error:
            raise map_error(error, api) from error
        return to_response(incoming, self.stream_type(incoming), self.response_type)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()


class AsyncContent:
    """A response's content in the form that the libraries iterate over."""

    api: ModuleType

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    async def __aiter__(self) -> AsyncIterator[bytes]:
        receive = self._incoming.receive
        try:
            while data := await receive():
                yield data
        except HANDLED as error:
            raise map_error(error, self.api) from error

    async def aclose(self) -> None:
        """Give up the rest."""
        self._incoming.close()


class SyncBridgeContent(BridgeContent):
    """Content from a plain iterator, which may block: it is asked in threads."""

    def open(self) -> AsyncIterator[bytes]:
        """Return an iterator over the content. Raises BodyConsumed the second time."""
        if self._is_open:
            raise errors.BodyConsumed("the request's content is a stream that was sent in part already")
        self._is_open = True
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        pieces: Iterator[bytes] = iter(self._stream)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece


class SyncBridge:
    """The synchronous transport of either library, on an event loop in the background."""

    api: ModuleType
    stream_type: type[Any]

    def __init__(self, transport: Any = None, *, thread: LoopThread | None = None, **options: Any) -> None:
        self._thread = thread if thread is not None else shared()
        self.transport: Any = self._thread.call(_transport, transport, options)
        """The transport that carries the requests."""

    def handle_request(self, request: Any) -> Any:
        """Send a request; a Client calls it for each one."""
        api = self.api
        try:
            incoming, content = self._thread.run(self._send(to_outgoing(request, api, SyncBridgeContent)))
        except HANDLED as error:
            raise map_error(error, api) from error
        stream = self.stream_type(self._thread, incoming) if content is None else api.ByteStream(content)
        return to_response(incoming, stream, api.Response)

    async def _send(self, outgoing: Outgoing) -> tuple[Incoming, bytes | None]:
        """Return the response, and its content when that has arrived, too: so a small one costs one change of
        threads."""
        incoming: Incoming = await self.transport.send(outgoing)
        return incoming, await incoming.read() if getattr(incoming, "is_complete", False) else None

    def close(self) -> None:
        """Close the connections."""
        if self._thread.is_alive:
            self._thread.run(self.transport.aclose())


class SyncContent:
    """A response's content in the form that the libraries iterate over."""

    api: ModuleType

    def __init__(self, thread: LoopThread, incoming: Incoming) -> None:
        self._thread = thread
        self._incoming = incoming

    def __iter__(self) -> Iterator[bytes]:
        try:
            while data := self._thread.run(self._incoming.receive()):
                yield data
        except HANDLED as error:
            raise map_error(error, self.api) from error

    def close(self) -> None:
        """Give up the rest."""
        if self._thread.is_alive:
            self._thread.call(self._incoming.close)


def _transport(transport: Any, options: dict[str, Any]) -> Any:
    """Return the given transport, or a network transport with these options."""
    if transport is None:
        from headrace.client.connect.config import NetworkConfig
        from headrace.client.pool.network import NetworkTransport

        return NetworkTransport(NetworkConfig(**options))
    if options:
        raise TypeError(f"the options {', '.join(options)} need a transport that is made here, not a given one")
    return transport
