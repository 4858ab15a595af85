"""The client for synchronous code: the same client, on an event loop in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Final, Self, TypeVar, Unpack

from headrace.client.calls.auth import Auth, AuthLike, BasicAuth, as_auth
from headrace.client.calls.journey import Hook
from headrace.client.calls.options import (
    CallOptions,
    ClientOptions,
    EventSourceOptions,
    RequestOptions,
    SendOptions,
    WebSocketCallOptions,
    split,
)
from headrace.client.client import Client
from headrace.client.loop_thread import LoopThread, shared
from headrace.client.message.base_response import BaseResponse
from headrace.client.message.content import AsksInThreads
from headrace.client.message.cookies import Cookies
from headrace.client.message.headers import Headers
from headrace.client.message.request import ClientRequest, checked_request
from headrace.client.message.response import ClientResponse
from headrace.client.message.streaming import split_bytes
from headrace.client.message.text import split_lines
from headrace.client.message.url import URL
from headrace.client.sync.streams import SyncEventSource, SyncWebSocket

T = TypeVar("T")

_END: Final = object()


class SyncResponse(BaseResponse):
    """A response to a request of `SyncClient`: like `ClientResponse`, with plain methods and iterators."""

    __slots__ = ("_thread",)

    _thread: LoopThread
    """The thread in which streams are read."""

    @classmethod
    def _of(cls, response: ClientResponse, thread: LoopThread) -> SyncResponse:
        """Return a response of `Client` for synchronous code: the same object each time."""
        found = getattr(response, "_twin", None)
        if not isinstance(found, SyncResponse):
            found = response._twin = cls.__new__(cls)
            found._thread = thread
        found._take_state(response)
        if hasattr(response, "_history"):
            found._history = [cls._of(each, thread) for each in response._history]
        return found

    def read(self) -> bytes:
        """Read the rest of a stream, and return all of the content. Raises RequestError; it never returns a part."""
        return self._content if self._content is not None else self._thread.run(self._read())

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the content as it stands on the wire, with its codings, in pieces of `chunk_size` bytes, or as they
        come."""
        source = self._iter_raw(chunk_size)
        return self._thread.iterate(source)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Yield the content without its codings, in pieces of `chunk_size` bytes, or as they come."""
        if self._content is not None:
            return iter(split_bytes(self._content, chunk_size))
        return self._thread.iterate(self._iter_bytes(chunk_size))

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Yield the content as text, in pieces of `chunk_size` characters, or as they come; see `encoding`."""
        if self._content is not None:
            text = self.text
            size = chunk_size or max(len(text), 1)
            return iter([text[start : start + size] for start in range(0, len(text), size)])
        return self._thread.iterate(self._iter_text(chunk_size))

    def iter_lines(self) -> Iterator[str]:
        """Yield the content line by line, without the line ends."""
        return split_lines(self.iter_text())

    def close(self) -> None:
        """Give up the rest of a stream. Do nothing when it has ended."""
        if hasattr(self, "_extra"):
            self._thread.run(self._close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SyncClient:
    """Sends requests over HTTP/2 and HTTP/1.1: a `Client` for synchronous code.

        with SyncClient() as client:
            response = client.get("https://example.org/")

    Any number of threads may use one client at the same time. All clients of a process share one event loop in a thread
    of its own, or use that of `thread`. Event hooks and flows of `auth` are called in other threads, and may use the
    client. Progress callbacks (`on_upload` and the like) are called on the event loop, and must be quick. After a fork
    the child process makes its own clients. The options are those of `Client`.
    """

    def __init__(self, *, thread: LoopThread | None = None, **options: Unpack[ClientOptions]) -> None:
        self._thread = thread if thread is not None else shared()
        _auth_in_threads(options)
        hooks = options.get("event_hooks")
        if hooks:
            wrapped = {name: [self._hook(hook) for hook in several or ()] for name, several in hooks.items()}
            options["event_hooks"] = wrapped
        self._client = self._thread.call(lambda: self._make(**options))
        self._thread.closes.add(self._client)

    def _make(self, **options: Unpack[ClientOptions]) -> Client:
        return Client(**options)

    def _hook(self, hook: Hook) -> Callable[[Any], Coroutine[Any, Any, None]]:
        async def calling(argument: Any) -> None:
            if isinstance(argument, ClientResponse):
                response = self._as_sync(argument)
                try:
                    await asyncio.to_thread(hook, response)
                finally:
                    argument._take_state(response)  # the hook may have read it
            else:
                await asyncio.to_thread(hook, argument)

        return calling

    def _as_sync(self, response: ClientResponse) -> SyncResponse:
        return SyncResponse._of(response, self._thread)

    # -- defaults of requests ----------------------------------------------------------------------------------

    @property
    def headers(self) -> Headers:
        """Return the default header fields; they can be changed."""
        return self._client.headers

    @property
    def cookies(self) -> Cookies:
        """Return the cookies, including those that servers have set."""
        return self._client.cookies

    @property
    def is_closed(self) -> bool:
        """Return True after `close`."""
        return self._client.is_closed

    # -- requests ----------------------------------------------------------------------------------------------

    def build_request(self, method: str, url: URL | str, **options: Unpack[RequestOptions]) -> ClientRequest:
        """Return a request with the client's defaults, which a program can read, change, and give to `send`."""
        return self._client.build_request(method, url, **options)

    def send(self, request: ClientRequest, *, stream: bool = False, **options: Unpack[SendOptions]) -> SyncResponse:
        """Send a request; see `Client.send`."""
        _auth_in_threads(options)
        content = checked_request(request).content
        if isinstance(content, AsksInThreads):
            content.ask_in_threads()
        return self._as_sync(self._thread.run(self._client.send(request, stream=stream, **options)))

    def request(self, method: str, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send a request and return its whole response; see `Client.request`."""
        making, sending = split(options)
        return self.send(self._client.build_request(method, url, **making), **sending)

    def stream(self, method: str, url: URL | str, **options: Unpack[CallOptions]) -> SyncStreamedResponse:
        """Send a request and read its response as a stream: `with client.stream("GET", url) as response`."""
        return SyncStreamedResponse(self, method, url, options)

    def get(self, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send a GET request; see `request`."""
        if options:
            return self.request("GET", url, **options)
        return self._thread.run(self._get(url))

    async def _get(self, url: URL | str) -> SyncResponse:
        response = await self._client._plain(url, SyncResponse) or await self._client.request("GET", url)
        if isinstance(response, ClientResponse):
            return self._as_sync(response)
        response._thread = self._thread
        return response

    def head(self, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send a HEAD request; see `request`."""
        return self.request("HEAD", url, **options)

    def options(self, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send an OPTIONS request; see `request`."""
        return self.request("OPTIONS", url, **options)

    def delete(self, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send a DELETE request; see `request`."""
        return self.request("DELETE", url, **options)

    def post(self, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send a POST request; see `request`."""
        return self.request("POST", url, **options)

    def put(self, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send a PUT request; see `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
        """Send a PATCH request; see `request`."""
        return self.request("PATCH", url, **options)

    def sse(self, url: URL | str, **options: Unpack[EventSourceOptions]) -> SyncEventSource:
        """Read server-sent events: `with client.sse(url) as events: for event in events`. The options are those of
        `Client.sse`."""
        _auth_in_threads(options)
        return SyncEventSource(self._thread, self._client.sse(url, **options))

    def websocket(self, url: URL | str, **options: Unpack[WebSocketCallOptions]) -> SyncWebSocket:
        """Open a WebSocket: `with client.websocket("wss://example.org/chat") as ws`. The options are those of
        `Client.websocket`."""
        _auth_in_threads(options)
        return SyncWebSocket(self._thread, self._client.websocket(url, **options))

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let running requests finish for a while, then close all connections. Idempotent."""
        if not self._client.is_closed and self._thread.is_alive:
            self._thread.run(self._client.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SyncStreamedResponse:
    """The result of `SyncClient.stream`: a block in which the response is read. It can be used once."""

    __slots__ = ("_client", "_method", "_options", "_response", "_url")

    def __init__(self, client: SyncClient, method: str, url: URL | str, options: CallOptions) -> None:
        self._client = client
        self._method = method
        self._url = url
        self._options = options
        self._response: SyncResponse | None = None

    def __enter__(self) -> SyncResponse:
        making, sending = split(self._options)
        request = self._client.build_request(self._method, self._url, **making)
        self._response = self._client.send(request, stream=True, **sending)
        return self._response

    def __exit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()


class _AuthInThreads(Auth):
    """Runs an auth flow that may block, or use the client, in threads."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self.requires_request_body = auth.requires_request_body
        self.requires_response_body = auth.requires_response_body

    async def async_auth_flow(self, request: ClientRequest) -> AsyncGenerator[ClientRequest, ClientResponse]:
        flow = self._auth.auth_flow(request)
        try:
            sent = await asyncio.to_thread(next, flow, _END)
            while sent is not _END:
                response = yield checked_request(sent)
                sent = await asyncio.to_thread(_send, flow, response)
        finally:
            flow.close()


def _send(flow: Any, response: ClientResponse) -> Any:
    try:
        return flow.send(response)
    except StopIteration:
        return _END


def _in_threads(auth: AuthLike | None) -> Auth | None:
    found = as_auth(auth)
    if found is None or isinstance(found, BasicAuth) or type(found).async_auth_flow is not Auth.async_auth_flow:
        return found
    return _AuthInThreads(found)


def _auth_in_threads(options: ClientOptions | SendOptions) -> None:
    if options.get("auth") is not None:
        options["auth"] = _in_threads(options["auth"])
