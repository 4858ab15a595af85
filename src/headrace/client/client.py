"""The client: `headrace.Client`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Final, Self, TypeVar, Unpack

from headrace.client.calls.auth import AuthLike, as_auth, auth_of_url
from headrace.client.calls.defaults import Defaults
from headrace.client.calls.journey import NONE, HooksLike, Journey, finish
from headrace.client.calls.options import CallOptions, NetworkOptions, SendOptions, split
from headrace.client.calls.redirects import MAX_REDIRECTS
from headrace.client.calls.retry import RetryPolicy
from headrace.client.calls.sse import MAX_EVENT_SIZE, EventSource
from headrace.client.calls.streamed_response import StreamedResponse
from headrace.client.deadline import await_until
from headrace.client.errors import PoolError, RequestError
from headrace.client.interface import Transport
from headrace.client.message.base_response import REDIRECTS, BaseResponse
from headrace.client.message.decoding import MAX_RATIO
from headrace.client.message.headers import Headers, HeadersLike
from headrace.client.message.incoming import no_incoming_error
from headrace.client.message.jar import JarHolder
from headrace.client.message.request import ClientOutgoing, ClientRequest, checked_request
from headrace.client.message.response import ClientResponse
from headrace.client.message.streaming import MAX_RESPONSE_SIZE, Streaming, annotate_error, decode_whole
from headrace.client.message.url import URL
from headrace.client.message.url_parts.query import ParamsLike
from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts

if TYPE_CHECKING:
    from headrace.client.calls.websocket import WebSocketSession
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.message.cookies import CookiesLike

R = TypeVar("R", bound=BaseResponse)

_SPECIAL: Final = frozenset((b"content-encoding", b"set-cookie"))


class Client(Defaults):
    """Sends requests, many at once, over HTTP/2 and HTTP/1.1.

        async with Client() as client:
            response = await client.get("https://example.org/")

    Use one client for as long as the program runs: it keeps and shares connections. It belongs to one event loop.

    `base_url` stands before relative URLs. `headers`, `params`, `cookies`, `auth` and `timeout` are defaults for every
    request. The client follows redirects, `max_redirects` at most, unless `follow_redirects` is False. `retry` sends
    requests again as its policy says; None: never. `event_hooks` maps "request" and "response" to lists of functions,
    plain or async; the client calls them with each request before it is sent, and with each response when its head has
    arrived. Content that inflates to more than 16 MiB and `max_decompression_ratio` times its bytes on the wire is an
    error; None for no limit. So is a whole response, not a stream, of more than `max_response_size` bytes.

    `network` has the settings of connections. The most common ones can be given here as well, and take precedence:
    `http1`, `http2`, `verify`, `cert`, `proxy`, `trust_env`, `uds`, `local_address`, `max_connections` and
    `keepalive_ping_s`; see `NetworkConfig`. `transport` replaces the network.
    """

    def __init__(
        self,
        *,
        base_url: URL | str = "",
        headers: HeadersLike | None = None,
        params: ParamsLike | None = None,
        cookies: CookiesLike | None = None,
        auth: AuthLike | None = None,
        timeout: float | Timeouts | None = DEFAULT_TIMEOUTS,
        follow_redirects: bool = True,
        max_redirects: int = MAX_REDIRECTS,
        retry: RetryPolicy | None = None,
        event_hooks: HooksLike | None = None,
        max_decompression_ratio: int | None = MAX_RATIO,
        max_response_size: int | None = MAX_RESPONSE_SIZE,
        network: NetworkConfig | None = None,
        transport: Transport | None = None,
        **network_options: Unpack[NetworkOptions],
    ) -> None:
        if transport is None:
            transport = _transport(network, network_options)
        elif network is not None or network_options:
            raise TypeError("a client has a transport or settings for the network, not both")
        if max_redirects < 1:
            raise ValueError("max_redirects is 1 or more; follow_redirects=False follows none")
        self.transport = transport
        self.follow_redirects = follow_redirects
        self.max_redirects = max_redirects
        if max_response_size is not None and max_response_size < 0:
            raise ValueError(f"max_response_size is {max_response_size}; it must not be below 0, or None for no limit")
        self._max_ratio = max_decompression_ratio
        self._max_size = max_response_size
        self._most = sys.maxsize if max_response_size is None else max_response_size
        self._is_closed = False
        super().__init__(
            base_url=base_url,
            headers=headers,
            params=params,
            cookies=cookies,
            auth=auth,
            timeout=timeout,
            retry=retry,
            event_hooks=event_hooks,
        )

    @property
    def follow_redirects(self) -> bool:
        """Return True when the client follows redirects by default."""
        return bool(self._on_the_way)

    @follow_redirects.setter
    def follow_redirects(self, follows: bool) -> None:
        self._on_the_way = REDIRECTS if follows else NONE

    @property
    def is_closed(self) -> bool:
        """Return True after `aclose`."""
        return self._is_closed

    # -- requests ----------------------------------------------------------------------------------------------

    async def send(
        self, request: ClientRequest, *, stream: bool = False, **options: Unpack[SendOptions]
    ) -> ClientResponse:
        """Send a request. With `stream` the response is returned with its head, and must be read to its end or
        closed; else it is whole. Raises RequestError, and ValueError for an invalid request."""
        return await self._send(checked_request(request).copy(), stream, options)

    async def _send(
        self, request: ClientRequest, stream: bool, options: SendOptions, transport: Transport | None = None
    ) -> ClientResponse:
        """Send a request that no other code uses."""
        if self._is_closed:
            raise PoolError("the client is closed", url=request.url.without_userinfo())
        auth = as_auth(options["auth"]) if "auth" in options else self._auth
        follows = options.get("follow_redirects", self.follow_redirects)
        if request.url.userinfo and "auth" not in options:
            auth = auth_of_url(request.url)
        total = request.timeouts.total
        deadline = None if total is None else asyncio.get_running_loop().time() + total
        journey = Journey(
            self.transport if transport is None else transport,
            stream=stream,
            auth=auth,
            jar=self._jar_of_call(),
            max_redirects=self.max_redirects if follows else 0,
            retry=options.get("retry", self._retry),
            hooks=self._hooks,
            max_ratio=self._max_ratio,
            max_size=options.get("max_response_size", self._max_size),
            deadline=deadline,
        )
        if deadline is None:
            return await journey.run(request)
        return await await_until(deadline, journey.run(request), request.url.without_userinfo())

    async def request(self, method: str, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send a request and return its whole response. Raises as `build_request` and `send` do."""
        making, sending = split(options)
        return await self._send(self.build_request(method, url, **making), False, sending)

    def stream(self, method: str, url: URL | str, **options: Unpack[CallOptions]) -> StreamedResponse:
        """Send a request and read its response as a stream: `async with client.stream("GET", url) as response`.
        Leaving the block gives up the unread rest. Entering it raises as `request` does."""
        return StreamedResponse(self, method, url, options)

    def websocket(
        self,
        url: URL | str,
        *,
        subprotocols: Sequence[str] = (),
        compression: bool = True,
        max_message_size: int = 1_048_576,
        max_queue: int = 16,
        ping_interval_s: float | None = 20.0,
        ping_timeout_s: float | None = 20.0,
        close_timeout_s: float = 5.0,
        **options: Unpack[CallOptions],
    ) -> WebSocketSession:
        """Open a WebSocket: `async with client.websocket("wss://example.org/chat") as ws`, or await it and close it.

        It runs over HTTP/2 where the server accepts that (RFC 8441), else by HTTP/1.1 upgrade. Credentials, cookies and
        hooks are those of a request; only `follow_redirects=True` follows redirects. Other options: see
        `headrace.client.calls.websocket.WebSocketOptions`. Raises WebSocketRefused for an ordinary response, else as
        `request`.
        """
        from headrace.client.calls.websocket import WebSocketOptions, session

        wanted = WebSocketOptions(
            subprotocols=subprotocols,
            compression=compression,
            max_message_size=max_message_size,
            max_queue=max_queue,
            ping_interval_s=ping_interval_s,
            ping_timeout_s=ping_timeout_s,
            close_timeout_s=close_timeout_s,
        )
        return session(self, url, wanted, options)

    def sse(
        self,
        url: URL | str,
        *,
        method: str = "GET",
        last_event_id: str = "",
        reconnect: bool | None = None,
        max_event_size: int = MAX_EVENT_SIZE,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **options: Unpack[CallOptions],
    ) -> EventSource:
        """Read server-sent events: `async with client.sse(url) as events: async for event in events`.

        With `reconnect` the client asks again for a stream that ends or breaks off, from the last event on, until the
        answer is 204 or an error. The default is True for GET and False for other methods. It waits for as long as the
        stream said, or 3 seconds, and longer after failures; `sleep` does the waiting. Without a `timeout` the stream
        may be silent for ever. Entering the block raises as `request` does, HTTPStatusError, and RemoteProtocolError
        for anything but an event stream; so does each further connection.
        """
        if "timeout" not in options:
            options["timeout"] = replace(self._timeouts, read=None)
        options["headers"] = Headers({"accept": "text/event-stream"}) | Headers(options.get("headers"))
        return EventSource(
            self,
            url,
            options,
            method=method,
            last_event_id=last_event_id,
            reconnect=method == "GET" if reconnect is None else reconnect,
            max_event_size=max_event_size,
            sleep=sleep,
        )

    async def get(self, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send a GET request; see `request`."""
        if not options:
            response = await self._plain(url, ClientResponse)
            if response is not None:
                return response
        return await self.request("GET", url, **options)

    async def head(self, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send a HEAD request; see `request`."""
        return await self.request("HEAD", url, **options)

    async def options(self, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send an OPTIONS request; see `request`."""
        return await self.request("OPTIONS", url, **options)

    async def delete(self, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send a DELETE request; see `request`."""
        return await self.request("DELETE", url, **options)

    async def post(self, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send a POST request; see `request`."""
        return await self.request("POST", url, **options)

    async def put(self, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send a PUT request; see `request`."""
        return await self.request("PUT", url, **options)

    async def patch(self, url: URL | str, **options: Unpack[CallOptions]) -> ClientResponse:
        """Send a PATCH request; see `request`."""
        return await self.request("PATCH", url, **options)

    async def _plain(self, url: URL | str, kind: type[R]) -> R | ClientResponse | None:
        """Take the short way of a call that has only a URL, on a client without settings that need the long way.
        Return None when there are any. The response is of `kind`, or a ClientResponse after redirects."""
        target = self._targets.get(url)
        made_from, fields = self._prepared
        if target is None or not self._jar.is_empty or self._headers._pairs is not made_from:
            if not self._is_closed:
                self._prepare(url)
            return None
        origin, host, path, text = target
        on_the_way = self._on_the_way
        call = ClientOutgoing(b"GET", origin, host, path, fields, b"", text, self._timeouts, self._max_size, on_the_way)
        started = perf_counter()
        try:
            incoming = await self.transport.send(call, whole=True)
            try:
                head = incoming.head
            except AttributeError:
                raise no_incoming_error(incoming) from None
            status = head.status
            content = await incoming.read() if status == 200 or status not in on_the_way else None
        except RequestError as error:
            annotate_error(error, call)
            raise
        elapsed_s = perf_counter() - started
        if content is None:
            return await self._plain_redirect(ClientResponse._received(incoming, call, status, None, elapsed_s))
        response = kind._received(incoming, call, status, content, elapsed_s)
        if len(content) <= self._most:
            for name, _ in head.headers:
                if name in _SPECIAL:
                    break
            else:
                return response
        return await self._plain_rest(response)

    def _jar_of_call(self) -> JarHolder:
        return self._jar

    async def _plain_rest(self, response: R) -> R:
        """Handle parts that a plain response seldom has: codings, cookies, and content beyond the limit."""
        assert response._call is not None
        headers = response._incoming.head.headers
        try:
            response._content = await decode_whole(headers, response.content, self._max_ratio, self._max_size)
        except RequestError as error:
            annotate_error(error, response._call, response._incoming)
            raise
        if any(name == b"set-cookie" for name, _ in headers):
            self._jar_of_call().extract(response.request.url, headers)
        return response

    async def _plain_redirect(self, response: ClientResponse) -> ClientResponse:
        """Follow a redirect; its content is not needed."""
        call, incoming = response._call, response._incoming
        assert call is not None
        response._extra = Streaming(incoming, call, self._max_ratio, None)
        request = response.request
        jar = self._jar_of_call()
        if any(name == b"set-cookie" for name, _ in incoming.head.headers):
            jar.extract(request.url, incoming.head.headers)
        journey = Journey(
            self.transport,
            stream=False,
            auth=None,
            jar=jar,
            max_redirects=self.max_redirects,
            retry=None,
            hooks=self._hooks,
            max_ratio=self._max_ratio,
            max_size=self._max_size,
            deadline=None,
        )
        if response.has_redirect_location:
            await finish(response, False)
        return await journey.follow(request, response)

    # -- the end -----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Let running requests finish for a while, then close all connections. Idempotent."""
        self._is_closed = True
        self._settle()
        await self.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _transport(network: NetworkConfig | None, options: NetworkOptions) -> Transport:
    """Return the network transport for `network`, or for the defaults, changed by `options`."""
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.pool.network import NetworkTransport

    if network is None:
        network = NetworkConfig(**options)
    elif options:
        network = replace(network, **options)
    return NetworkTransport(network)


class ForgetfulClient(Client):
    """A client that keeps cookies for one call and its redirects, not from call to call."""

    def _jar_of_call(self) -> JarHolder:
        return JarHolder()
