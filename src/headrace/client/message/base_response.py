"""The common base of `ClientResponse` and `SyncResponse`: a response's head, and its content, whole or as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from headrace.client.errors import HTTPStatusError, StreamConsumed, too_large_error
from headrace.client.interface import Incoming, ResponseHead
from headrace.client.message.decoding import MAX_RATIO
from headrace.client.message.encode import encode_content
from headrace.client.message.headers import Headers, HeadersLike
from headrace.client.message.incoming import Received
from headrace.client.message.request import ClientOutgoing, ClientRequest
from headrace.client.message.streaming import (
    Streaming,
    annotate_error,
    cut_pieces,
    decode_at_once,
    decode_text,
    iterate_pieces,
    split_bytes,
    split_text,
)
from headrace.client.message.text import charset_by_mark, charset_of, is_text_codec
from headrace.client.message.url import URL
from headrace.transport.kinds import kind_of

if TYPE_CHECKING:
    from headrace.client.message.cookies import Cookies

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_SELDOM_SET: Final = ("_cookies", "_encoding", "_extra", "_headers", "_request")


class BaseResponse:
    """The common base of `ClientResponse` and `SyncResponse`."""

    __slots__ = (
        "__weakref__",
        "_call",
        "_content",
        "_cookies",
        "_elapsed_s",
        "_encoding",
        "_extra",
        "_headers",
        "_history",
        "_incoming",
        "_request",
        "status",
    )

    # `_received` and the constructor set these. The other attributes are made when they are first read: most never are.
    _incoming: Incoming
    _call: ClientOutgoing | None
    _content: bytes | None  # decoded; None until it is read
    _elapsed_s: float
    status: int
    """The status code."""

    _headers: Headers
    _request: ClientRequest
    _history: list[Self]
    _cookies: Cookies
    _encoding: str
    _extra: Streaming

    def __init__(
        self,
        status: int,
        headers: HeadersLike | None = None,
        content: bytes | str | None = None,
        *,
        json: Any = None,
        http_version: str = "2",
        trailers: HeadersLike | None = None,
        request: ClientRequest | None = None,
    ) -> None:
        """Make a response in memory, for tests of code that takes responses. `content` is bytes or text."""
        if not 100 <= status <= 999:
            raise ValueError(f"{status!r} is not a valid status: a status has three digits (RFC 9110 §15)")
        data, media_type = encode_content(content, json=json)
        if not isinstance(data, bytes):
            raise TypeError("the content of a response in memory is bytes or text")
        fields = Headers(headers)
        if media_type is not None and "content-type" not in fields:
            fields["content-type"] = media_type
        self.status = status
        self._incoming = Received(ResponseHead(status, fields.raw, http_version), data, Headers(trailers).raw)
        self._call = None
        self._elapsed_s = 0.0
        self._content = decode_at_once(fields.raw, data, MAX_RATIO)
        if request is not None:
            if not isinstance(request, ClientRequest):
                raise TypeError(f"a response to the client has a headrace.ClientRequest, not {kind_of(request)}")
            self._request = request

    @classmethod
    def _received(
        cls, incoming: Incoming, call: ClientOutgoing, status: int, content: bytes | None, elapsed_s: float = 0.0
    ) -> Self:
        """Return the response that `incoming` brings, for the client. `content` is None until it is read."""
        response = cls.__new__(cls)
        response._incoming = incoming
        response._call = call
        response._content = content
        response._elapsed_s = elapsed_s
        response.status = status
        return response

    def _take_state(self, other: BaseResponse) -> None:
        """Copy the state of `other`, which waits in another way, except `history`, which the caller sets."""
        self._incoming = other._incoming
        self._call = other._call
        self._content = other._content
        self._elapsed_s = other._elapsed_s
        self.status = other.status
        for name in _SELDOM_SET:
            if hasattr(other, name):
                setattr(self, name, getattr(other, name))

    # -- the head ----------------------------------------------------------------------------------------------

    @property
    def status_code(self) -> int:
        """Return `status`."""
        return self.status

    @property
    def reason_phrase(self) -> str:
        """Return the status's name in RFC 9110, "" for one without a name there."""
        return _PHRASES.get(self.status, "")

    @property
    def http_version(self) -> str:
        """Return "1.0", "1.1" or "2"."""
        return self._incoming.head.http_version

    @property
    def headers(self) -> Headers:
        """Return the header section."""
        try:
            return self._headers
        except AttributeError:
            self._headers = Headers.received(self._incoming.head.headers)
            return self._headers

    @property
    def trailers(self) -> Headers:
        """Return the trailer section. It is there once the content has been read to its end."""
        return Headers.received(self._incoming.trailers)

    @property
    def informational(self) -> list[tuple[int, Headers]]:
        """Return the interim (1xx) responses that came before this one, each with its status."""
        return [] if self._call is None else self._call.informational

    @property
    def early_hints(self) -> list[Headers]:
        """Return the header sections of 103 responses (RFC 8297)."""
        return [headers for status, headers in self.informational if status == 103]

    @property
    def info(self) -> dict[str, Any]:
        """Return facts about the connection: `http_version`, `stream_id`, `peer`, `local`, `tls`."""
        return self._incoming.info

    @property
    def request(self) -> ClientRequest:
        """Return the request of this response; after redirects, the last one. Raises RuntimeError without one."""
        try:
            return self._request
        except AttributeError:
            if self._call is None:
                raise RuntimeError("this response was made by hand, without a request") from None
            call = self._call
            self._request = ClientRequest(
                call.method.decode(), call.url, headers=call.headers, content=call.content, timeouts=call.timeouts
            )
            return self._request

    @property
    def url(self) -> URL:
        """Return the URL that this came from; after redirects, the last one."""
        return self.request.url

    @property
    def history(self) -> list[Self]:
        """Return the redirects that led here, oldest first."""
        try:
            return self._history
        except AttributeError:
            self._history = []
            return self._history

    @property
    def elapsed(self) -> timedelta:
        """Return the time from sending the request to the end of the content; for a stream, to its head."""
        return timedelta(seconds=self._elapsed_s)

    @property
    def cookies(self) -> Cookies:
        """Return the cookies that this response sets, under the rules of the client's jar."""
        try:
            return self._cookies
        except AttributeError:
            from headrace.client.message.cookies import Cookies

            self._cookies = Cookies()
            self._cookies.extract(self.url, self._incoming.head.headers)
            return self._cookies

    # -- the meaning of the status (RFC 9110 §15) --------------------------------------------------------------

    @property
    def is_informational(self) -> bool:
        """Return True for 1xx."""
        return 100 <= self.status < 200

    @property
    def is_success(self) -> bool:
        """Return True for 2xx."""
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        """Return True for 3xx."""
        return 300 <= self.status < 400

    @property
    def is_client_error(self) -> bool:
        """Return True for 4xx."""
        return 400 <= self.status < 500

    @property
    def is_server_error(self) -> bool:
        """Return True for 5xx."""
        return 500 <= self.status < 600

    @property
    def is_error(self) -> bool:
        """Return True for 4xx and 5xx."""
        return 400 <= self.status < 600

    @property
    def has_redirect_location(self) -> bool:
        """Return True for a redirect that a client can follow."""
        return self.status in REDIRECTS and "location" in self.headers

    def raise_for_status(self) -> Self:
        """Return the response itself. Raises HTTPStatusError for 400 and above."""
        if self.status < 400:
            return self
        kind = "the request" if self.status < 500 else "the server"
        message = f"the answer is {self.status} {self.reason_phrase}".rstrip() + f": an error of {kind}"
        url = (
            self._request.url.without_userinfo() if hasattr(self, "_request") else self._call.url if self._call else ""
        )
        raise HTTPStatusError(message, response=self, url=url)

    @property
    def links(self) -> dict[str, dict[str, str]]:
        """Return the `link` fields by relation type, or by target where they have none (RFC 8288)."""
        from headrace.client.message.links import parse_links

        return {link.get("rel") or link["url"]: link for link in parse_links(self.headers.get_list("link"))}

    # -- the content -------------------------------------------------------------------------------------------

    @property
    def content(self) -> bytes:
        """Return all of the content, without content codings. Raises StreamConsumed when it has not been read."""
        if self._content is None:
            raise StreamConsumed("the content has not been read: it is a stream; read it to its end first")
        return self._content

    @property
    def encoding(self) -> str:
        """Return the charset of `text`: that of content-type, of a byte order mark, or UTF-8. It can be set."""
        try:
            return self._encoding
        except AttributeError:
            named = charset_of(self.headers.get("content-type", ""))
            if named is None and self._content is not None:
                named = charset_by_mark(self._content)
            return named or "utf-8"

    @encoding.setter
    def encoding(self, value: str) -> None:
        if not is_text_codec(value):
            raise ValueError(f"Python has no text encoding with the name {value!r}")
        self._encoding = value

    @property
    def charset_encoding(self) -> str | None:
        """Return the charset that content-type names, or None when it names none that Python knows."""
        return charset_of(self.headers.get("content-type", ""))

    @property
    def text(self) -> str:
        """Return the content as text. Bytes that are invalid in the charset become U+FFFD."""
        return self.content.decode(self.encoding, "replace")

    def json(self, **options: Any) -> Any:
        """Return the content parsed as JSON; `options` go to `json.loads`. Raises ValueError for other content."""
        return json.loads(self.content, **options)

    @property
    def num_bytes_downloaded(self) -> int:
        """Return the bytes of content that have come, as they stood on the wire, before decoding."""
        try:
            return self._extra.downloaded
        except AttributeError:
            return len(self._content or b"")

    @property
    def is_closed(self) -> bool:
        """Return True when nothing more can be read: the content has ended, or was given up."""
        try:
            return self._extra.is_ended
        except AttributeError:
            return True

    @property
    def is_stream_consumed(self) -> bool:
        """Return True when the stream has been read, or reading has begun."""
        try:
            return self._extra.is_begun
        except AttributeError:
            return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status}{' ' + self.reason_phrase if self.reason_phrase else ''}]>"

    # -- the content as a stream; subclasses have the public names, async or not -------------------------------

    async def _read(self) -> bytes:
        if self._content is None:
            extra = self._extra
            most = extra.call.max_size
            if not await extra.collect(most):
                assert most is not None
                error = too_large_error(most)
                annotate_error(error, extra.call, extra.incoming)
                await self._close()
                raise error
            self._content = b"".join(extra.collected)
            extra.collected = []
        return self._content

    def _iter_raw(self, chunk_size: int | None) -> AsyncGenerator[bytes, None]:
        if not hasattr(self, "_extra"):
            raise StreamConsumed("the response is whole, and its codings are taken off: see content")
        return cut_pieces(self._extra.raw(), chunk_size)

    def _iter_bytes(self, chunk_size: int | None) -> AsyncGenerator[bytes, None]:
        if self._content is not None:
            return iterate_pieces(split_bytes(self._content, chunk_size))
        return cut_pieces(self._extra.decoded(), chunk_size)

    def _iter_text(self, chunk_size: int | None) -> AsyncGenerator[str, None]:
        return decode_text(self._iter_bytes(chunk_size), self.encoding)

    def _iter_lines(self) -> AsyncGenerator[str, None]:
        return split_text(self._iter_text(None))

    async def _close(self) -> None:
        if hasattr(self, "_extra"):
            await self._extra.aclose()
