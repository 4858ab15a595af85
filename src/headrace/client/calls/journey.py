"""One call on its way to a response: redirects, credentials, cookies, hooks, retries, and the transport at the
bottom."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from headrace.client.calls.auth import Auth
from headrace.client.calls.redirects import may_keep_credentials, redirect_request
from headrace.client.calls.retry import RetryPolicy
from headrace.client.errors import BodyConsumed, RequestError, TooManyRedirects
from headrace.client.interface import Transport
from headrace.client.message.base_response import REDIRECTS
from headrace.client.message.content import as_content
from headrace.client.message.incoming import no_incoming_error
from headrace.client.message.jar import JarHolder
from headrace.client.message.request import ClientOutgoing, ClientRequest, checked_request
from headrace.client.message.response import ClientResponse
from headrace.client.message.streaming import Streaming, annotate_error, decode_whole
from headrace.engine.message import parse_content_length

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SMALL: Final = 65_536
"""Most bytes of content that are read from a response that leads to another one, to keep its connection. Of a longer
one nothing is kept."""
SKIM_TIMEOUT_S: Final = 1.0
"""Seconds for reading that content."""
_CHALLENGES: Final = frozenset((401, 407))

NONE: Final[frozenset[int]] = frozenset()

Hook: TypeAlias = Callable[[Any], object]
"""A function of a request, or of a response; awaited when it is asynchronous."""
Hooks: TypeAlias = dict[str, list[Hook]]
HooksLike: TypeAlias = Mapping[str, Iterable[Hook] | None]
"""Hooks by event: "request" and "response"."""


class Journey:
    """The settings of one call, and the steps that send it. Used for one `run`."""

    def __init__(
        self,
        transport: Transport,
        *,
        stream: bool,
        auth: Auth | None,
        jar: JarHolder,
        max_redirects: int,
        retry: RetryPolicy | None,
        hooks: Hooks,
        max_ratio: int | None,
        max_size: int | None,
        deadline: float | None,
    ) -> None:
        """Prepare one call. `max_redirects` 0 returns redirects to the caller; `max_size` None has no limit for
        whole responses."""
        self._transport = transport
        self._stream = stream
        self._auth = auth
        self._jar = jar
        self._max_redirects = max_redirects
        self._retry = retry
        self._hooks = hooks
        self._max_ratio = max_ratio
        self._max_size = max_size
        self._deadline = deadline
        self._is_led_away = False
        on_the_way = REDIRECTS if max_redirects else NONE
        if auth is not None:
            on_the_way |= _CHALLENGES
        if retry is not None:
            on_the_way = on_the_way.union(retry.statuses)
        self._on_the_way = on_the_way

    async def run(self, request: ClientRequest) -> ClientResponse:
        """Send the request, and the requests that follow from it. Raises RequestError."""
        response = await self._authenticated(request)
        if not self._max_redirects or not response.has_redirect_location:
            return await self._completed(response)
        return await self.follow(request, response)

    async def follow(self, request: ClientRequest, response: ClientResponse) -> ClientResponse:
        """Follow redirects, beginning with this response to this request."""
        history: list[ClientResponse] = []
        while response.has_redirect_location:
            try:
                if len(history) == self._max_redirects:
                    raise TooManyRedirects(
                        f"the request was redirected {len(history) + 1} times; max_redirects is {self._max_redirects}",
                        url=request.url.without_userinfo(),
                    )
                following = redirect_request(request, response.status, response.headers["location"])
            except RequestError as error:
                error.came_after(response._incoming.head)
                await response._close()
                raise
            await finish(response, self._stream)
            response._history = history.copy()
            history.append(response)
            if not may_keep_credentials(request.url, following.url):
                # Also for all later requests, even when they lead back.
                self._auth = None
                self._is_led_away = True
            request = following
            response = await self._authenticated(request)
        response._history = history
        return await self._completed(response)

    async def _completed(self, response: ClientResponse) -> ClientResponse:
        """Return the response to the caller. When it was treated as an intermediate one, and is needed whole, read
        the rest of it."""
        if response._content is None and not self._stream:
            began = time.perf_counter()
            await response._read()
            response._elapsed_s += time.perf_counter() - began
        return response

    async def _authenticated(self, request: ClientRequest) -> ClientResponse:
        auth = self._auth
        if auth is None:
            return await self._hooked(request)
        if auth.requires_request_body and not isinstance(request.content, bytes):
            request.content = as_content(b"".join([piece async for piece in request.content.open()]))
        flow: AsyncGenerator[ClientRequest, ClientResponse] = auth.async_auth_flow(request)
        try:
            following = checked_request(await anext(flow))
            while True:
                response = await self._hooked(following)
                try:
                    if auth.requires_response_body:
                        await response._read()
                    following = checked_request(await flow.asend(response))
                except StopAsyncIteration:
                    return response
                except BaseException:
                    await response._close()
                    raise
                await finish(response, self._stream)
                if not following.is_replayable:
                    raise BodyConsumed(
                        f"the answer {response.status} asks for the request once more, but its content came from an"
                        " iterator, which is used up; give bytes, a file, or a function that makes a new iterator",
                        url=following.url.without_userinfo(),
                    )
        finally:
            await flow.aclose()

    async def _hooked(self, request: ClientRequest) -> ClientResponse:
        for hook in self._hooks.get("request", ()):
            await _call(hook, request)
        response = await self._retried(request)
        if response._content is None and not self._stream:
            if self._max_redirects and response.has_redirect_location:
                await finish(response, self._stream)
            elif self._hooks.get("response"):
                await skim(response)
        try:
            for hook in self._hooks.get("response", ()):
                await _call(hook, response)
        except BaseException:
            await response._close()
            raise
        return response

    async def _retried(self, request: ClientRequest) -> ClientResponse:
        policy = self._retry
        if policy is None:
            return await self._sent(request)
        policy.begin(request)
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._sent(request)
            except RequestError as error:
                wait = policy.wait_after_error(request, error, attempt)
                if wait is None:
                    raise
            else:
                wait = policy.wait_after_response(request, response, attempt)
                if wait is None:
                    return response
                await finish(response, self._stream)
            await policy.sleep(wait)

    async def _sent(self, request: ClientRequest) -> ClientResponse:
        call = request.outgoing()
        if cookie := self._jar.header_for(request.url, self._is_led_away):
            _add_cookie(call, cookie)
        if request.on_informational is not None:
            call.notify(request.on_informational)
        call.max_size = self._max_size
        call.on_the_way = self._on_the_way
        whole = not self._stream and request.on_download is None
        started = time.perf_counter()
        incoming = None
        try:
            incoming = await self._transport.send(call, whole=whole)
            try:
                head = incoming.head
            except AttributeError:
                raise no_incoming_error(incoming) from None
            response = ClientResponse._received(incoming, call, head.status, None)
            response._request = request
            is_on_the_way = head.status in self._on_the_way
            if whole and not is_on_the_way:
                content = await incoming.read()
                response._content = await decode_whole(head.headers, content, self._max_ratio, self._max_size)
            else:
                extra = Streaming(incoming, call, self._max_ratio, self._deadline)
                if request.on_download is not None:
                    extra.on_download = request.on_download
                    extra.total = _length_of(head.headers)
                response._extra = extra
                if not self._stream and not is_on_the_way:
                    await response._read()
            response._elapsed_s = time.perf_counter() - started
        except RequestError as error:
            annotate_error(error, call, incoming)
            raise
        if any(name == b"set-cookie" for name, _ in head.headers):
            self._jar.extract(request.url, head.headers)
        return response


async def skim(response: ClientResponse) -> bool:
    """Read the content of an intermediate response. Return True when it was small enough to be kept. A larger one
    stays unread."""
    extra = response._extra
    most = extra.call.max_size
    if not await extra.collect(SMALL if most is None else min(SMALL, most)):
        return False
    response._content = b"".join(extra.collected)
    extra.collected = []
    return True


async def finish(response: ClientResponse, is_stream: bool) -> None:
    """Finish a response that leads to another one. Content that is small and arrives soon is read, because the
    connection is worth more, and servers count resets. Otherwise the response is given up, together with an HTTP/1.1
    connection. A response that was requested as a stream is not read over HTTP/2."""
    if response.is_closed:
        return
    if is_stream and response.http_version == "2":
        await response._close()
        return
    try:
        async with asyncio.timeout(SKIM_TIMEOUT_S):
            if await skim(response):
                return
    except (RequestError, TimeoutError):
        pass  # only the head of the response mattered
    await response._close()


def _length_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            length = parse_content_length(value)
            return length if length >= 0 else None
    return None


def _add_cookie(call: ClientOutgoing, cookie: str) -> None:
    """Append the jar's cookies to those that the caller gave for this request."""
    for at, (name, value) in enumerate(call.headers):
        if name == b"cookie":
            call.headers[at] = (name, value + b"; " + cookie.encode())
            return
    call.headers.append((b"cookie", cookie.encode()))


async def _call(hook: Hook, argument: ClientRequest | ClientResponse) -> None:
    result = hook(argument)
    if inspect.isawaitable(result):
        await result
