"""The client: what `headrace.Client` is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from headrace.client.auth import Auth, as_auth, auth_of_url
from headrace.client.deadline import until
from headrace.client.decoding import MAX_RATIO, accept_encoding
from headrace.client.errors import PoolError, RequestError
from headrace.client.headers import Headers
from headrace.client.interface import Origin, Pairs, Transport
from headrace.client.jar import JarHolder
from headrace.client.journey import Hooks, Journey
from headrace.client.options import CallOptions, RequestOptions, SendOptions, split
from headrace.client.query import QueryParams
from headrace.client.redirects import MAX_REDIRECTS
from headrace.client.request import Call, Request
from headrace.client.response import REDIRECTS, Response
from headrace.client.retry import RetryPolicy
from headrace.client.streaming import decoded_whole, told
from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts
from headrace.client.url import URL

if TYPE_CHECKING:
    from headrace.client.cookies import Cookies
    from headrace.client.network_config import NetworkConfig
    from headrace.client.websocket import WebSocketSession

USER_AGENT: Final = "headrace"
CACHED_TARGETS: Final = 1024
_SPECIAL: Final = frozenset((b"content-encoding", b"set-cookie"))
_new: Final = object.__new__

_Target = tuple[Origin, bytes, bytes, str]
"""Of a URL that was asked for before: origin, authority, path, and its text for messages."""


class Client:
    """Sends requests, many at once, over HTTP/2 and HTTP/1.1.

        async with Client() as client:
            response = await client.get("https://example.org/")

    Use one for as long as the program runs: it keeps connections open and shares them. It belongs to one event loop.

    `base_url` is put before relative URLs. `headers`, `params`, `cookies`, `auth` and `timeout` are for every request
    that does not say otherwise; redirects are followed, `max_redirects` at most, unless `follow_redirects` is False;
    `retry` sends requests again as its policy says, None never. `event_hooks` maps "request" and "response" to lists of
    functions, plain or async, that are called with each request before it is sent and each response when its head is
    there. Content that inflates to more than 16 MiB and to more than `max_decompression_ratio` times what came is an
    error; None for no limit. `network` says how connections are made; `transport` replaces them with something else.
    """

    def __init__(
        self,
        *,
        base_url: URL | str = "",
        headers: Any = None,
        params: Any = None,
        cookies: Any = None,
        auth: Any = None,
        timeout: float | Timeouts | None = DEFAULT_TIMEOUTS,
        follow_redirects: bool = True,
        max_redirects: int = MAX_REDIRECTS,
        retry: RetryPolicy | None = None,
        event_hooks: Mapping[str, Any] | None = None,
        max_decompression_ratio: int | None = MAX_RATIO,
        network: NetworkConfig | None = None,
        transport: Transport | None = None,
    ) -> None:
        if transport is None:
            from headrace.client.network import NetworkTransport
            from headrace.client.network_config import NetworkConfig

            transport = NetworkTransport(network if network is not None else NetworkConfig())
        elif network is not None:
            raise TypeError("a client has a transport or settings for the network, not both")
        if max_redirects < 1:
            raise ValueError("max_redirects is 1 or more; follow_redirects=False follows none")
        self.transport = transport
        self.follow_redirects = follow_redirects
        self.max_redirects = max_redirects
        self._retry = retry
        self._max_ratio = max_decompression_ratio
        self._is_closed = False
        self._jar = JarHolder(cookies)
        self._timeouts = Timeouts.of(timeout)
        self._auth = as_auth(auth)
        self._base_url = URL(base_url)
        self._params = QueryParams(params)
        self._hooks = _checked_hooks(event_hooks or {})
        self._headers = Headers({"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": accept_encoding()})
        self._headers.update(headers)
        self._settle()

    # -- what every request has unless it says otherwise -------------------------------------------------------

    def _settle(self) -> None:
        """Something that all requests share has changed: forget what was prepared."""
        self._targets: dict[str | URL, _Target] = {}
        self._prepared_from: Pairs | None = None
        self._prepared: Pairs = []

    def _prepare(self, url: str | URL) -> None:
        """Remember what a plain request to this URL has in common with all others, where there are plain ones."""
        if (
            self._auth is not None
            or self._params
            or self._hooks["request"]
            or self._hooks["response"]
            or self.retry is not None
            or self._timeouts.total is not None
        ):
            return
        if self._prepared_from is not self._headers._pairs:
            self._settle()
            if "host" in self._headers or "content-length" in self._headers or "cookie" in self._headers:
                return
            # By way of a request, so that they are checked as any other's.
            self._prepared = Request("GET", "http://prepared.invalid/", headers=self._headers).outgoing().headers
            self._prepared_from = self._headers._pairs
        target = self._merged(url)
        if target.userinfo:
            return
        if len(self._targets) >= CACHED_TARGETS:
            self._targets.clear()
        self._targets[url] = (target.origin, target.netloc, target.raw_path, target.without_userinfo())

    @property
    def headers(self) -> Headers:
        """The default header fields; they can be changed."""
        return self._headers

    @headers.setter
    def headers(self, headers: Any) -> None:
        self._headers = Headers(headers)

    @property
    def params(self) -> QueryParams:
        """The default query parameters."""
        return self._params

    @params.setter
    def params(self, params: Any) -> None:
        self._params = QueryParams(params)
        self._settle()

    @property
    def base_url(self) -> URL:
        """What is put before relative URLs."""
        return self._base_url

    @base_url.setter
    def base_url(self, url: URL | str) -> None:
        self._base_url = URL(url)
        self._settle()

    @property
    def auth(self) -> Auth | None:
        """The default credentials."""
        return self._auth

    @auth.setter
    def auth(self, auth: Any) -> None:
        self._auth = as_auth(auth)
        self._settle()

    @property
    def timeout(self) -> Timeouts:
        """The default timeouts."""
        return self._timeouts

    @timeout.setter
    def timeout(self, timeout: float | Timeouts | None) -> None:
        self._timeouts = Timeouts.of(timeout)
        self._settle()

    @property
    def retry(self) -> RetryPolicy | None:
        """The default policy for retries."""
        return self._retry

    @retry.setter
    def retry(self, retry: RetryPolicy | None) -> None:
        self._retry = retry
        self._settle()

    @property
    def event_hooks(self) -> Hooks:
        """The hooks; to change them, set all."""
        return {name: list(hooks) for name, hooks in self._hooks.items()}

    @event_hooks.setter
    def event_hooks(self, event_hooks: Mapping[str, Any]) -> None:
        self._hooks = _checked_hooks(event_hooks)
        self._settle()

    @property
    def cookies(self) -> Cookies:
        """The cookies, those that servers have set among them."""
        return self._jar.open()

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._jar.set(cookies)

    @property
    def is_closed(self) -> bool:
        """True after `aclose`."""
        return self._is_closed

    # -- requests ----------------------------------------------------------------------------------------------

    def build_request(self, method: str, url: URL | str, **options: Unpack[RequestOptions]) -> Request:
        """A request with the client's defaults, to be looked at, changed, and given to `send`.

        Raises InvalidURL, and ValueError or TypeError for options that make no request.
        """
        params = options.get("params")
        if self._params:
            params = self._params.merge(params)
        headers = self._headers
        if (more := options.get("headers")) is not None:
            headers = headers.copy()
            headers.update(more)
        if (cookies := options.get("cookies")) is not None:
            from headrace.client.cookies import cookie_field

            field = cookie_field(cookies)
            headers = headers | {"cookie": f"{headers['cookie']}; {field}" if "cookie" in headers else field}
        return Request(
            method,
            self._merged(url),
            params=params,
            headers=headers,
            content=options.get("content"),
            data=options.get("data"),
            files=options.get("files"),
            json=options.get("json"),
            trailers=options.get("trailers"),
            timeouts=Timeouts.of(options["timeout"]) if "timeout" in options else self._timeouts,
            on_upload=options.get("on_upload"),
            on_download=options.get("on_download"),
            on_informational=options.get("on_informational"),
        )

    def _merged(self, url: URL | str) -> URL:
        """Below the base URL, unless it says itself where it leads."""
        target = URL(url)
        base = self._base_url
        if not base.host or target.scheme or target.host:
            return target
        path = target.raw_path if target.path != "/" or str(target).startswith("/") else b""
        return (
            base.copy_with(
                raw_path=base.raw_path.partition(b"?")[0].rstrip(b"/") + b"/" + path.lstrip(b"/"),
                fragment=target.fragment or None,
            )
            if path or target.query
            else base.copy_with(fragment=target.fragment or None)
        )

    async def send(self, request: Request, *, stream: bool = False, **options: Unpack[SendOptions]) -> Response:
        """Send a request. With `stream` the response is returned when its head is there, and has to be read to its end
        or closed; else when it is whole. Raises RequestError, ValueError for what cannot be sent."""
        return await self._send(request.copy(), stream, options)

    async def _send(
        self, request: Request, stream: bool, options: SendOptions, transport: Transport | None = None
    ) -> Response:
        """Send a request that nobody else has."""
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
            deadline=deadline,
        )
        if deadline is None:
            return await journey.run(request)
        return await until(deadline, journey.run(request), request.url.without_userinfo())

    async def request(self, method: str, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """Send a request and return its response, whole. Raises as `build_request` and `send`."""
        making, sending = split(options)
        return await self._send(self.build_request(method, url, **making), False, sending)

    def stream(self, method: str, url: URL | str, **options: Unpack[CallOptions]) -> StreamedResponse:
        """Send a request and read its response as it comes: `async with client.stream("GET", url) as response`.

        Leaving the block gives up what has not been read. Raises as `request`, when the block is entered.
        """
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
        """Open a WebSocket: `async with client.websocket("wss://example.org/chat") as ws`; awaited, the caller closes.

        It runs over HTTP/2 where the server takes it there (RFC 8441), else by HTTP/1.1's upgrade; credentials, cookies
        and hooks are those of a request, redirects are followed only with `follow_redirects=True`.
        `headrace.client.websocket.WebSocketOptions` says what the other options mean. Raises WebSocketRefused when the
        answer is none, and as `request`.
        """
        from headrace.client.websocket import WebSocketOptions, session

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

    async def get(self, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """GET, see `request`."""
        if not options:
            target = self._targets.get(url)
            if target is not None and self._jar.is_empty and self._headers._pairs is self._prepared_from:
                return await self._plain(target)
            if not self._is_closed:
                self._prepare(url)
        return await self.request("GET", url, **options)

    async def head(self, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """HEAD, see `request`."""
        return await self.request("HEAD", url, **options)

    async def options(self, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """OPTIONS, see `request`."""
        return await self.request("OPTIONS", url, **options)

    async def delete(self, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """DELETE, see `request`."""
        return await self.request("DELETE", url, **options)

    async def post(self, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """POST, see `request`."""
        return await self.request("POST", url, **options)

    async def put(self, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """PUT, see `request`."""
        return await self.request("PUT", url, **options)

    async def patch(self, url: URL | str, **options: Unpack[CallOptions]) -> Response:
        """PATCH, see `request`."""
        return await self.request("PATCH", url, **options)

    async def _plain(self, target: _Target) -> Response:
        """The short way: nothing is asked for but the URL, and nothing of the client stands between."""
        origin, authority, path, url = target
        call = Call(b"GET", origin, authority, path, self._prepared, b"", url, self._timeouts)
        started = perf_counter()
        try:
            incoming = await self.transport.send(call, whole=True)
            content = await incoming.read()
        except RequestError as error:
            told(error, call)
            raise
        response: Response = _new(Response)
        response._elapsed_s = perf_counter() - started
        response._incoming = incoming
        response._call = call
        response._content = content
        head = incoming.head
        response.status = status = head.status
        for name, _ in head.headers:
            if name in _SPECIAL:
                break
        else:
            if status not in REDIRECTS or not self.follow_redirects:
                return response
        return await self._plain_rest(response)

    def _jar_of_call(self) -> JarHolder:
        return self._jar

    async def _plain_rest(self, response: Response) -> Response:
        """What a plain request seldom needs: codings, cookies, redirects."""
        assert response._call is not None
        head = response._incoming.head
        try:
            response._content = decoded_whole(head.headers, response.content, self._max_ratio)
        except RequestError as error:
            told(error, response._call, response._incoming)
            raise
        request = response.request
        if any(name == b"set-cookie" for name, _ in head.headers):
            self._jar_of_call().extract(request.url, head.headers)
        if not self.follow_redirects or not response.has_redirect_location:
            return response
        journey = Journey(
            self.transport,
            stream=False,
            auth=None,
            jar=self._jar_of_call(),
            max_redirects=self.max_redirects,
            retry=None,
            hooks=self._hooks,
            max_ratio=self._max_ratio,
            deadline=None,
        )
        return await journey.follow(request, response)

    # -- its end -----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Let what runs come to its end for a while, then close all connections. Idempotent."""
        self._is_closed = True
        self._settle()
        await self.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class StreamedResponse:
    """What `Client.stream` returns: a block in which the response is read. Used once."""

    __slots__ = ("_client", "_method", "_options", "_response", "_url")

    def __init__(self, client: Client, method: str, url: URL | str, options: CallOptions) -> None:
        self._client = client
        self._method = method
        self._url = url
        self._options = options
        self._response: Response | None = None

    async def __aenter__(self) -> Response:
        making, sending = split(self._options)
        request = self._client.build_request(self._method, self._url, **making)
        self._response = await self._client._send(request, True, sending)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            await self._response.aclose()


def _checked_hooks(event_hooks: Mapping[str, Any]) -> Hooks:
    unknown = set(event_hooks) - {"request", "response"}
    if unknown:
        raise ValueError(f"there is no event {sorted(unknown)[0]!r}; there are request and response")
    return {name: list(event_hooks.get(name) or ()) for name in ("request", "response")}


class ForgetfulClient(Client):
    """Keeps cookies for one call and its redirects, not from call to call."""

    def _jar_of_call(self) -> JarHolder:
        return JarHolder()
