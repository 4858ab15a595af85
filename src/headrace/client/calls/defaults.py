"""The defaults of a client's requests, and the parts of plain requests that are prepared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Unpack

from headrace.client.calls.auth import Auth, AuthLike, as_auth
from headrace.client.calls.journey import Hooks, HooksLike
from headrace.client.calls.options import RequestOptions
from headrace.client.calls.retry import RetryPolicy
from headrace.client.interface import Origin, Pairs
from headrace.client.message.decoding import accept_encoding
from headrace.client.message.headers import Headers, HeadersLike
from headrace.client.message.jar import JarHolder
from headrace.client.message.request import ClientRequest
from headrace.client.message.url import URL
from headrace.client.message.url_parts.query import ParamsLike, QueryParams
from headrace.client.timeouts import Timeouts

if TYPE_CHECKING:
    from headrace.client.message.cookies import Cookies, CookiesLike

USER_AGENT: Final = "headrace"
CACHED_TARGETS: Final = 1024

PlainTarget = tuple[Origin, bytes, bytes, str]
"""The target of a URL that was requested before: origin, authority, path, and its text for messages."""


class Defaults:
    """The part of a client that makes requests."""

    def __init__(
        self,
        *,
        base_url: URL | str,
        headers: HeadersLike | None,
        params: ParamsLike | None,
        cookies: CookiesLike | None,
        auth: AuthLike | None,
        timeout: float | Timeouts | None,
        retry: RetryPolicy | None,
        event_hooks: HooksLike | None,
    ) -> None:
        self._jar = JarHolder(cookies)
        self._timeouts = Timeouts.of(timeout)
        self._retry = retry
        self._auth = as_auth(auth)
        self._base_url = URL(base_url)
        self._params = QueryParams(params)
        self._hooks = _checked_hooks(event_hooks or {})
        self._headers = Headers({"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": accept_encoding()})
        self._headers.update(headers)
        self._settle()

    def _settle(self) -> None:
        """Forget the prepared parts: a default has changed."""
        # Another thread that is preparing from the old defaults holds the old dictionary, and stores its result there.
        self._targets: dict[str | URL, PlainTarget] = {}
        self._prepared: tuple[Pairs | None, Pairs] = None, []
        """The client's list of header fields, and the fields of a plain request that were made from it. One tuple,
        so that a thread stores and reads both in one step."""

    def _prepare(self, url: str | URL) -> None:
        """Remember the parts that plain requests to this URL share, when the client's settings allow plain ones.

        Other threads may change the defaults meanwhile, so each default is read once. `_targets` is read first: a
        change after that replaces the dictionary, and the result is not used.
        """
        pairs = self._headers._pairs
        if self._prepared[0] is not pairs:
            self._settle()
        targets = self._targets
        if (
            self._auth is not None
            or self._params
            or self._hooks["request"]
            or self._hooks["response"]
            or self.retry is not None
            or self._timeouts.total is not None
        ):
            return
        if self._prepared[0] is not pairs:
            headers = Headers.received(pairs)
            if "host" in headers or "content-length" in headers or "cookie" in headers:
                return
            # Through a ClientRequest, so that they are checked like any other request's.
            self._prepared = pairs, ClientRequest("GET", "http://prepared.invalid/", headers=headers).outgoing().headers
        target = self._merged(url)
        if target.userinfo:
            return
        if len(targets) >= CACHED_TARGETS:
            targets.clear()
        targets[url] = (target.origin, target.netloc, target.raw_path, target.without_userinfo())

    @property
    def headers(self) -> Headers:
        """Return the default header fields; they can be changed."""
        return self._headers

    @headers.setter
    def headers(self, headers: HeadersLike) -> None:
        self._headers = Headers(headers)

    @property
    def params(self) -> QueryParams:
        """Return the default query parameters."""
        return self._params

    @params.setter
    def params(self, params: ParamsLike | None) -> None:
        self._params = QueryParams(params)
        self._settle()

    @property
    def base_url(self) -> URL:
        """Return the URL that stands before relative URLs."""
        return self._base_url

    @base_url.setter
    def base_url(self, url: URL | str) -> None:
        self._base_url = URL(url)
        self._settle()

    @property
    def auth(self) -> Auth | None:
        """Return the default credentials."""
        return self._auth

    @auth.setter
    def auth(self, auth: AuthLike | None) -> None:
        self._auth = as_auth(auth)
        self._settle()

    @property
    def timeout(self) -> Timeouts:
        """Return the default timeouts."""
        return self._timeouts

    @timeout.setter
    def timeout(self, timeout: float | Timeouts | None) -> None:
        self._timeouts = Timeouts.of(timeout)
        self._settle()

    @property
    def retry(self) -> RetryPolicy | None:
        """Return the default policy for retries."""
        return self._retry

    @retry.setter
    def retry(self, retry: RetryPolicy | None) -> None:
        self._retry = retry
        self._settle()

    @property
    def event_hooks(self) -> Hooks:
        """Return a copy of the hooks; to change them, set the attribute."""
        return {name: list(hooks) for name, hooks in self._hooks.items()}

    @event_hooks.setter
    def event_hooks(self, event_hooks: HooksLike) -> None:
        self._hooks = _checked_hooks(event_hooks)
        self._settle()

    @property
    def cookies(self) -> Cookies:
        """Return the cookies, including those that servers have set."""
        return self._jar.open()

    @cookies.setter
    def cookies(self, cookies: CookiesLike | None) -> None:
        self._jar.set(cookies)

    def build_request(self, method: str, url: URL | str, **options: Unpack[RequestOptions]) -> ClientRequest:
        """Return a request with the client's defaults, which a program can read, change, and give to `send`.

        Raises InvalidURL, and ValueError or TypeError for invalid options.
        """
        params = options.get("params")
        if defaults := self._params:
            params = defaults.merge(params)
        headers = self._headers.copy()  # a copy: another thread may change the client's
        if (more := options.get("headers")) is not None:
            headers.update(more)
        if (cookies := options.get("cookies")) is not None:
            from headrace.client.message.cookies import cookie_field

            field = cookie_field(cookies)
            headers = headers | {"cookie": f"{headers['cookie']}; {field}" if "cookie" in headers else field}
        return ClientRequest(
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
        """Return a relative URL below the base URL, and an absolute one unchanged."""
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


def _checked_hooks(event_hooks: HooksLike) -> Hooks:
    unknown = set(event_hooks) - {"request", "response"}
    if unknown:
        raise ValueError(f"unknown event {sorted(unknown)[0]!r}; the events are request and response")
    return {name: list(event_hooks.get(name) or ()) for name in ("request", "response")}
