"""A request in the form that its caller sees, and its way to the form that a transport sends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeAlias

from headrace.client.interface import Content, Outgoing, Pairs, in_this_context
from headrace.client.message.content import ContentLike, ContentWith, TrailersLike
from headrace.client.message.encode import FilesLike, FormLike, encode_content
from headrace.client.message.headers import Headers, HeadersLike
from headrace.client.message.url import URL
from headrace.client.message.url_parts.query import ParamsLike
from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts
from headrace.engine.fields import is_authority, is_token
from headrace.engine.message import parse_content_length
from headrace.transport.kinds import kind_of

ProgressCallback: TypeAlias = Callable[[int, int | None], None]
"""A function that is called with the bytes so far, and with the bytes in all, or None when that is unknown."""

KEPT_INFORMATIONAL: Final = 32  # for one response: the caller is notified of more, and they are not kept
_NOT_SENT: Final = frozenset(
    (
        b"connection",
        b"content-length",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    )
)
_METHODS: Final = {
    name: name.encode() for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
}


class ClientOutgoing(Outgoing):
    """A request in the form that the client hands to its transport. It keeps the interim responses."""

    __slots__ = ("_interim",)

    _copies_headers: ClassVar[bool] = False
    """The client changes none of its lists; an engine recognises the list that plain requests share."""
    _interim: list[tuple[int, Headers]]

    @property
    def informational(self) -> list[tuple[int, Headers]]:
        """Return a copy of the interim responses so far."""
        try:
            return list(self._interim)
        except AttributeError:
            return []

    def notify(self, callback: Callable[[int, Headers], None]) -> None:
        """Call `callback` with each interim response, in a copy of the present context."""
        self._on_informational = in_this_context(callback)

    def on_informational(self, status: int, headers: Pairs) -> None:
        """Keep a 1xx response, and notify the caller. A method, not an attribute, so that a call without 1xx makes no
        object."""
        found = Headers.received(headers)
        try:
            kept = self._interim
        except AttributeError:
            kept = self._interim = []
        if len(kept) < KEPT_INFORMATIONAL:
            kept.append((status, found))
        if self._on_informational is not None:
            self._on_informational(status, found)


class ClientRequest:
    """A request that a program can read, change and send with `Client.send`.

    `headers` has the fields of the caller and of the client's defaults. `host`, `content-length` and
    `transfer-encoding` are made from `url` and `content` when the request is sent. A `host` from the caller replaces
    the URL's. A `content-length` from the caller gives the length of content that has no known length.

    Raises InvalidURL, and ValueError for an invalid method or header.
    """

    __slots__ = (
        "content",
        "extensions",
        "headers",
        "method",
        "on_download",
        "on_informational",
        "on_upload",
        "timeouts",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: URL | str,
        *,
        params: ParamsLike | None = None,
        headers: HeadersLike | None = None,
        content: ContentLike | None = None,
        data: FormLike | None = None,
        files: FilesLike | None = None,
        json: Any = None,
        trailers: TrailersLike | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        on_upload: ProgressCallback | None = None,
        on_download: ProgressCallback | None = None,
        on_informational: Callable[[int, Headers], None] | None = None,
    ) -> None:
        self.method: str = check_method(method)
        self.url: URL = URL(url) if params is None else URL(url).copy_merge_params(params)
        self.headers: Headers = Headers(headers)
        media_type = None
        if content is None and data is None and files is None and json is None and trailers is None:
            self.content: bytes | Content = b""
        else:
            self.content, media_type = encode_content(content, data, files, json, trailers)
        if media_type is not None and "content-type" not in self.headers:
            self.headers["content-type"] = media_type
        self.timeouts: Timeouts = timeouts
        self.on_upload: ProgressCallback | None = on_upload
        self.on_download: ProgressCallback | None = on_download
        self.on_informational: Callable[[int, Headers], None] | None = on_informational
        self.extensions: dict[str, Any] = {}

    @property
    def is_replayable(self) -> bool:
        """Return True when the content can be sent again."""
        return isinstance(self.content, bytes) or self.content.is_replayable

    def copy(self) -> ClientRequest:
        """Return a copy with headers of its own and the same content."""
        new: ClientRequest = ClientRequest.__new__(ClientRequest)
        new.method = self.method
        new.url = self.url
        new.content = self.content
        new.timeouts = self.timeouts
        new.on_upload = self.on_upload
        new.on_download = self.on_download
        new.on_informational = self.on_informational
        new.headers = self.headers.copy()
        new.extensions = self.extensions.copy()
        return new

    def outgoing(self) -> ClientOutgoing:
        """Return the request in the form that a transport takes. Raises InvalidURL for a URL that requests cannot go
        to, and ValueError for headers that belong to the connection."""
        url = self.url
        content = self.content
        authority = url.netloc
        fields: Pairs = []
        for pair in self.headers._pairs:
            name, value = pair
            if name not in _NOT_SENT:
                fields.append(pair)
            elif name == b"host":
                if not is_authority(value):
                    raise ValueError(f"the header host must be host and port, not {value!r} (RFC 9110 §7.2)")
                authority = value
            elif name == b"content-length":
                content = _with_length(content, value)
            else:
                raise ValueError(f"the header {name.decode()} belongs to the connection, not to a request")
        method = _METHODS.get(self.method) or self.method.encode()
        call = ClientOutgoing(
            method, url.origin, authority, url.raw_path, fields, content, url.without_userinfo(), self.timeouts
        )
        if self.on_upload is not None:
            counter = _Counter(self.on_upload, len(content) if isinstance(content, bytes) else content.length)
            call.on_sent = in_this_context(counter)
        return call

    def __repr__(self) -> str:
        return f"<ClientRequest {self.method} {self.url.without_userinfo()}>"


def checked_request(request: object) -> ClientRequest:
    """Return the request. Raises TypeError for one that the client cannot send."""
    if isinstance(request, ClientRequest):
        return request
    raise TypeError(f"a client sends a headrace.ClientRequest, not {kind_of(request)}: build_request makes one")


class _Counter:
    """Adds up the bytes sent, and notifies the caller."""

    __slots__ = ("_notify", "_sent", "_total")

    def __init__(self, notify: ProgressCallback, total: int | None) -> None:
        self._notify = notify
        self._total = total
        self._sent = 0

    def __call__(self, count: int) -> None:
        self._sent += count
        self._notify(self._sent, self._total)


def check_method(method: str) -> str:
    """Return a method as it is sent; a known one in upper case (RFC 9110 §9.1). Raises ValueError."""
    if method in _METHODS:
        return method
    if not isinstance(method, str) or not method.isascii() or not is_token(method.encode()):
        raise ValueError(f"{method!r} is not a valid method: a method is a token (RFC 9110 §9.1)")
    upper = method.upper()
    return upper if upper in _METHODS else method


def _with_length(content: bytes | Content, value: bytes) -> bytes | Content:
    length = parse_content_length(value)
    if length < 0:
        raise ValueError(f"the header content-length {value!r} is not a number (RFC 9110 §8.6)")
    known = len(content) if isinstance(content, bytes) else content.length
    if known is not None and known != length:
        raise ValueError(f"the header content-length says {length}, and the content has {known} bytes")
    if isinstance(content, bytes) or content.length is not None:
        return content
    return ContentWith(content, length, content.trailers)
