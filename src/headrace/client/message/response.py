"""A response: what is known of it when its head is there, and its content, whole or as it comes."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Self

from headrace.client.errors import HTTPStatusError, StreamConsumed, too_large
from headrace.client.interface import Incoming, Pairs, ResponseHead
from headrace.client.message.decoding import MAX_RATIO
from headrace.client.message.encode import encode_content
from headrace.client.message.headers import Headers, HeadersLike
from headrace.client.message.request import Call, ClientRequest
from headrace.client.message.streaming import Streaming, again, decoded_at_once, pieces_of, sized, told
from headrace.client.message.text import LineSplitter, charset_by_mark, charset_of, is_text_codec
from headrace.client.message.url import URL
from headrace.transport.kinds import kind_of

if TYPE_CHECKING:
    from headrace.client.message.cookies import Cookies

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_SELDOM_SET: Final = ("_cookies", "_encoding", "_extra", "_headers", "_request")


def no_incoming(answer: object) -> TypeError:
    """Return the error for a transport's answer that has no head."""
    return TypeError(f"a transport answers with a headrace.client.Incoming, not with {kind_of(answer)}")


class Received:
    """What an answer in memory is made of; an Incoming for responses that nobody sent."""

    __slots__ = ("_content", "head", "info", "trailers")

    def __init__(self, head: ResponseHead, content: bytes, trailers: Pairs) -> None:
        self.head: ResponseHead = head
        self.trailers: Pairs = trailers
        self.info: dict[str, Any] = {"http_version": head.http_version}
        self._content = content

    async def receive(self) -> bytes:
        """All of it, then nothing."""
        return await self.read()

    async def read(self) -> bytes:
        """All of it."""
        content, self._content = self._content, b""
        return content

    def close(self) -> None:
        """Nothing is held."""


class BaseResponse:
    """What `ClientResponse` and `SyncResponse` have in common."""

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

    # `_received` and the constructor set these. The others are made when somebody asks, as most are never asked for.
    _incoming: Incoming
    _call: Call | None
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
        """A response in memory, for tests of code that takes responses. `content` is octets or text."""
        if not 100 <= status <= 999:
            raise ValueError(f"{status!r} is no status: it has three digits (RFC 9110 §15)")
        octets, media_type = encode_content(content, json=json)
        if not isinstance(octets, bytes):
            raise TypeError("the content of a response in memory is octets or text")
        fields = Headers(headers)
        if media_type is not None and "content-type" not in fields:
            fields["content-type"] = media_type
        self.status = status
        self._incoming = Received(ResponseHead(status, fields.raw, http_version), octets, Headers(trailers).raw)
        self._call = None
        self._elapsed_s = 0.0
        self._content = decoded_at_once(fields.raw, octets, MAX_RATIO)
        if request is not None:
            if not isinstance(request, ClientRequest):
                raise TypeError(f"a response to the client has a headrace.ClientRequest, not {kind_of(request)}")
            self._request = request

    @classmethod
    def _received(
        cls, incoming: Incoming, call: Call, status: int, content: bytes | None, elapsed_s: float = 0.0
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
        """Become the same response as `other`, which waits in another way; `history` is left to the caller."""
        self._incoming = other._incoming
        self._call = other._call
        self._content = other._content
        self._elapsed_s = other._elapsed_s
        self.status = other.status
        for name in _SELDOM_SET:
            if hasattr(other, name):
                setattr(self, name, getattr(other, name))

    # -- its head ----------------------------------------------------------------------------------------------

    @property
    def status_code(self) -> int:
        """The same as `status`."""
        return self.status

    @property
    def reason_phrase(self) -> str:
        """What the status is called in RFC 9110, "" for one that has no name there."""
        return _PHRASES.get(self.status, "")

    @property
    def http_version(self) -> str:
        """ "1.0", "1.1" or "2"."""
        return self._incoming.head.http_version

    @property
    def headers(self) -> Headers:
        """The header section."""
        try:
            return self._headers
        except AttributeError:
            self._headers = Headers.received(self._incoming.head.headers)
            return self._headers

    @property
    def trailers(self) -> Headers:
        """The trailer section; it is there when the content has been read to its end."""
        return Headers.received(self._incoming.trailers)

    @property
    def informational(self) -> list[tuple[int, Headers]]:
        """The interim (1xx) responses that came before, each with its status."""
        found = self._call.informational if self._call is not None else None
        return [] if found is None else list(found)

    @property
    def early_hints(self) -> list[Headers]:
        """The header sections of 103 responses (RFC 8297)."""
        return [headers for status, headers in self.informational if status == 103]

    @property
    def info(self) -> dict[str, Any]:
        """Of the connection: `http_version`, `stream_id`, `peer`, `local`, `tls`."""
        return self._incoming.info

    @property
    def request(self) -> ClientRequest:
        """The request that this answers, after redirects the last one. Raises RuntimeError where there is none."""
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
        """The URL that this came from, after redirects the last one."""
        return self.request.url

    @property
    def history(self) -> list[Self]:
        """The redirects that led here, oldest first."""
        try:
            return self._history
        except AttributeError:
            self._history = []
            return self._history

    @property
    def elapsed(self) -> timedelta:
        """From sending the request to the end of the content; of a stream, to its head."""
        return timedelta(seconds=self._elapsed_s)

    @property
    def cookies(self) -> Cookies:
        """The cookies that this response sets, under the rules of the client's jar."""
        try:
            return self._cookies
        except AttributeError:
            from headrace.client.message.cookies import Cookies

            self._cookies = Cookies()
            self._cookies.extract(self.url, self._incoming.head.headers)
            return self._cookies

    # -- what its status says (RFC 9110 §15) -------------------------------------------------------------------

    @property
    def is_informational(self) -> bool:
        """1xx."""
        return 100 <= self.status < 200

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        """3xx."""
        return 300 <= self.status < 400

    @property
    def is_client_error(self) -> bool:
        """4xx."""
        return 400 <= self.status < 500

    @property
    def is_server_error(self) -> bool:
        """5xx."""
        return 500 <= self.status < 600

    @property
    def is_error(self) -> bool:
        """4xx and 5xx."""
        return 400 <= self.status < 600

    @property
    def has_redirect_location(self) -> bool:
        """A redirect that a client can follow."""
        return self.status in REDIRECTS and "location" in self.headers

    def raise_for_status(self) -> Self:
        """Return the response itself, or raise HTTPStatusError for 400 and above."""
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
        """The `link` fields by relation type, or by target where they have none (RFC 8288)."""
        from headrace.client.message.links import parse_links

        return {link.get("rel") or link["url"]: link for link in parse_links(self.headers.get_list("link"))}

    # -- its content -------------------------------------------------------------------------------------------

    @property
    def content(self) -> bytes:
        """All of the content, content codings taken off. Raises StreamConsumed when it has not been read."""
        if self._content is None:
            raise StreamConsumed("the content has not been read: it is a stream; read it whole before asking for it")
        return self._content

    @property
    def encoding(self) -> str:
        """The charset of `text`: that of content-type, of a byte order mark, or UTF-8. It can be set."""
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
            raise ValueError(f"Python decodes no text by the name of {value!r}")
        self._encoding = value

    @property
    def charset_encoding(self) -> str | None:
        """The charset that content-type names, None where it names none that is known here."""
        return charset_of(self.headers.get("content-type", ""))

    @property
    def text(self) -> str:
        """The content as text; what the charset does not have becomes U+FFFD."""
        return self.content.decode(self.encoding, "replace")

    def json(self, **options: Any) -> Any:
        """The content as JSON; `options` go to `json.loads`. Raises ValueError when it is none."""
        return json.loads(self.content, **options)

    @property
    def num_bytes_downloaded(self) -> int:
        """Octets of content that have come, as they stood on the wire."""
        try:
            return self._extra.downloaded
        except AttributeError:
            return len(self._content or b"")

    @property
    def is_closed(self) -> bool:
        """True when nothing more is to be read: the content has ended, or was given up."""
        try:
            return self._extra.is_ended
        except AttributeError:
            return True

    @property
    def is_stream_consumed(self) -> bool:
        """True when the stream has been read, or begun to be."""
        try:
            return self._extra.is_begun
        except AttributeError:
            return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status}{' ' + self.reason_phrase if self.reason_phrase else ''}]>"

    # -- its content as a stream; the public names differ by how they are waited for ---------------------------

    async def _read(self) -> bytes:
        if self._content is None:
            extra = self._extra
            most = extra.call.max_size
            if not await extra.collect(most):
                assert most is not None
                error = too_large(most)
                told(error, extra.call, extra.incoming)
                await self._close()
                raise error
            self._content = b"".join(extra.collected)
            extra.collected = []
        return self._content

    def _iter_raw(self, chunk_size: int | None) -> AsyncGenerator[bytes, None]:
        if not hasattr(self, "_extra"):
            raise StreamConsumed("the response is whole, and its codings are taken off: see content")
        return sized(self._extra.raw(), chunk_size)

    def _iter_bytes(self, chunk_size: int | None) -> AsyncGenerator[bytes, None]:
        if self._content is not None:
            return again(pieces_of(self._content, chunk_size))
        return sized(self._extra.decoded(), chunk_size)

    async def _iter_text(self, chunk_size: int | None) -> AsyncGenerator[str, None]:
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        source = self._iter_bytes(chunk_size)
        try:
            async for piece in source:
                if text := decoder.decode(piece):
                    yield text
            if text := decoder.decode(b"", True):
                yield text
        finally:
            await source.aclose()

    async def _iter_lines(self) -> AsyncGenerator[str, None]:
        splitter = LineSplitter()
        source = self._iter_text(None)
        try:
            async for text in source:
                for line in splitter.feed(text):
                    yield line
            for line in splitter.finish():
                yield line
        finally:
            await source.aclose()

    async def _close(self) -> None:
        if hasattr(self, "_extra"):
            await self._extra.aclose()


class ClientResponse(BaseResponse):
    """A response to a request of `Client`.

    Of `get`, `post` and `request` it is whole: `content`, `text` and `json()` are there. Of `stream` it has its head,
    and the content is read once, by one of the `iter_` methods or `aread`; leaving the block of `stream` gives up
    the rest.
    """

    __slots__ = ("_twin",)

    _twin: BaseResponse
    """The same response for code that is not asynchronous, where there is such code."""

    async def aread(self) -> bytes:
        """Read what is left of a stream, and return all of it. Raises RequestError: never a part for the whole."""
        return await self._read()

    def iter_raw(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """The content as it stands on the wire, with its codings; in pieces of `chunk_size`, or as they come."""
        return self._iter_raw(chunk_size)

    def iter_bytes(self, chunk_size: int | None = None) -> AsyncGenerator[bytes, None]:
        """The content without its codings; in pieces of `chunk_size` octets, or as they come."""
        return self._iter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> AsyncGenerator[str, None]:
        """The content as text; see `encoding`."""
        return self._iter_text(chunk_size)

    def iter_lines(self) -> AsyncGenerator[str, None]:
        """The content line by line, without the line ends."""
        return self._iter_lines()

    async def aclose(self) -> None:
        """Give up what is left of a stream. A no-op when it has ended."""
        await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()
