"""Content coding of responses: gzip, br and zstd, as the client prefers (RFC 9110 §8.4.1, §12.5.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from headrace.engine.contract import Fields
from headrace.engine.message import is_bodiless
from headrace.server.content_coding import IDENTITY, LEVELS, ContentEncoder, available, choose, encoder_factory
from headrace.server.handlers.headers import FieldList
from headrace.server.handlers.loop import LoopResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse, Response, StreamResponse
from headrace.server.handlers.writer import WrappedWriter, Writer
from headrace.server.middleware.response_fields import (
    fields_of,
    members,
    value_of,
    varying,
    with_fields,
    without,
)
from headrace.server.routing.route import Next

COMPRESSIBLE: Final = (
    "text/*",
    "application/*+json",
    "application/*+xml",
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/wasm",
    "application/x-ndjson",
    "application/xml",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/svg+xml",
    "image/vnd.microsoft.icon",
    "image/x-icon",
)
IN_A_THREAD: Final = 65_536  # bytes from which a piece is coded in a thread: gzip takes about 1 ms for as many

_EVENT_STREAM: Final = b"text/event-stream"
# These fields describe the exact bytes, which coding would change.
_DIGESTS: Final = (b"content-md5", b"digest", b"content-digest", b"repr-digest")


class Compression:
    """Codes the content of responses as the client's accept-encoding asks.

    `codings` are tried in this order if the client has no preference; by default zstd and br if their packages are
    installed (`headrace[zstd]`, `headrace[brotli]`), and gzip. `levels` are per coding: gzip 1 to 9 (6), br 0 to 11
    (4), zstd 1 to 19 (3). Contents below `minimum_size` bytes are sent uncoded, unless the client refuses that. `types`
    are the content types that are coded, such as `text/*`; by default those that are not compressed already.

    It codes buffered, streamed and loop responses; an event stream is flushed with each piece, others as the coder
    gives output. Use `StaticFiles(precompressed=True)` for files. It leaves a response alone that has a
    content-encoding, a content-range or a digest, says `cache-control: no-transform`, or has no content by its status.
    A coded response gets `content-encoding`, its length, a weak `etag`, and loses `accept-ranges`; every response gets
    `vary: accept-encoding`, coded or not. If the client accepts no coding that we have, the content is sent uncoded:
    the handler has done its work already (RFC 9110 §12.4.1).

    Do not put it around pages that contain both a secret and text from the visitor: the length of coded content gives
    the secret away (BREACH). Raises ValueError for a coding that is not installed, or a level that does not exist.
    """

    def __init__(
        self,
        codings: Sequence[str] | None = None,
        *,
        minimum_size: int = 500,
        types: Collection[str] = COMPRESSIBLE,
        levels: Mapping[str, int] | None = None,
    ) -> None:
        chosen = tuple(codings) if codings is not None else available()
        if isinstance(codings, str) or not chosen:
            raise ValueError("codings of Compression is a list of content codings, such as ['br', 'gzip']")
        given = dict(levels or {})
        self._encoders = {each: encoder_factory(each, given.pop(each, LEVELS.get(each, (0,))[0])) for each in chosen}
        if given:
            raise ValueError(f"Compression has a level for {', '.join(given)}, which is not among its codings")
        self._codings = chosen
        self._minimum_size = minimum_size
        self._types = frozenset(each.lower().encode("ascii") for each in types)

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        """Code the response, if the client accepts it and the response permits it."""
        response = await following(request)
        if not isinstance(response, (Response, StreamResponse, LoopResponse)):
            return response
        fields = fields_of(response)
        kind = _media_type(fields)
        if not self._may_code(response.status, kind, fields):
            return response
        fields = varying(fields, b"accept-encoding")
        accepted = request.header("accept-encoding")
        coding = choose(accepted, self._codings)
        if coding is None or coding == IDENTITY:
            return with_fields(response, fields)
        if isinstance(response, Response):
            return await self._coded(request, response, fields, coding)
        size = value_of(fields, b"content-length")
        is_small = size is not None and size.isdigit() and int(size) < self._minimum_size
        if is_small and choose(accepted, ()) is not None:
            return with_fields(response, fields)
        encoder = self._encoders[coding](True)
        return CodedResponse(
            with_fields(response, _coded_fields(fields, coding)), StreamCoder(encoder, kind == _EVENT_STREAM)
        )

    async def _coded(self, request: Request, response: Response, fields: FieldList, coding: str) -> AnyResponse:
        body = response.body
        must = choose(request.header("accept-encoding"), ()) is None  # the client refuses identity
        if not body or (len(body) < self._minimum_size and not must):
            return with_fields(response, fields)

        def code() -> bytes:
            encoder = self._encoders[coding](False)
            return encoder.add(body) + encoder.finish()

        coded = code() if len(body) < IN_A_THREAD else await asyncio.to_thread(code)
        if len(coded) >= len(body) and not must:
            return with_fields(response, fields)
        return Response(response.status, _coded_fields(fields, coding), coded)

    def _may_code(self, status: int, kind: bytes, fields: FieldList) -> bool:
        if is_bodiless(status) or status in (205, 206):
            return False
        names = {name for name, _ in fields}
        if b"content-encoding" in names or b"content-range" in names or not names.isdisjoint(_DIGESTS):
            return False
        if b"no-transform" in members(value_of(fields, b"cache-control")):
            return False
        head, _, tail = kind.partition(b"/")
        suffix = tail.rpartition(b"+")[2] if b"+" in tail else b""
        wild = {kind, head + b"/*"} | ({head + b"/*+" + suffix} if suffix else set())
        return not wild.isdisjoint(self._types)


class StreamCoder:
    """A coder that codes content piece by piece."""

    def __init__(self, encoder: ContentEncoder, flushes: bool) -> None:
        self._encoder = encoder
        self._flushes = flushes

    async def encode(self, data: bytes, end: bool) -> bytes:
        """Return the output for a piece, the last one with `end`; it may be empty until then."""
        if len(data) < IN_A_THREAD:
            return self._code(data, end)
        return await asyncio.to_thread(self._code, data, end)

    def _code(self, data: bytes, end: bool) -> bytes:
        coded = self._encoder.add(data) if data else b""
        if end:
            return coded + self._encoder.finish()
        return coded + self._encoder.flush() if self._flushes and data else coded


class CodingWriter(WrappedWriter):
    """A writer that codes content on its way to the writer inside."""

    __slots__ = ("_coder",)

    def __init__(self, inner: Writer, coder: StreamCoder) -> None:
        super().__init__(inner)
        self._coder = coder

    async def respond(self, status: int, headers: Fields, body: bytes) -> None:
        """Code and send a whole response."""
        await self.inner.respond(status, headers, await self._coder.encode(body, True))

    async def write(self, data: bytes, end: bool = False) -> None:
        """Code a piece of content, and send the coder's output."""
        data = await self._coder.encode(data, end)
        if data or end:
            await self.inner.write(data, end)

    async def write_trailers(self, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Send the rest of the coded content, and the trailers."""
        await self.inner.write(await self._coder.encode(b"", True))
        await self.inner.write_trailers(headers, never_indexed)


class CodedResponse(AnyResponse):
    """A streamed response whose content goes through a coder."""

    __slots__ = ("_coder", "inner")

    answers_once = True

    def __init__(self, inner: AnyResponse, coder: StreamCoder) -> None:
        self.inner: Any = inner
        self._coder = coder

    @property
    def status(self) -> int:
        """The response's status."""
        return self.inner.status  # type: ignore[no-any-return]

    @property
    def headers(self) -> Any:
        """The response's fields."""
        return self.inner.headers

    @headers.setter
    def headers(self, fields: Any) -> None:
        self.inner.headers = fields

    async def send_on(self, request: Request, writer: Writer) -> None:
        """Send the response through the coder. A HEAD has the same fields, and nothing to code."""
        if request.method != "HEAD":
            writer = CodingWriter(writer, self._coder)
        await self.inner.send_on(request, writer)


def _media_type(fields: FieldList) -> bytes:
    value = value_of(fields, b"content-type") or b""
    return value.partition(b";")[0].strip(b" \t").lower()


def _coded_fields(fields: FieldList, coding: str) -> FieldList:
    coded = without(fields, b"content-length", b"accept-ranges")
    coded.append((b"content-encoding", coding.encode("ascii")))
    # The bytes differ from the handler's, so its strong tag no longer holds (RFC 9110 §8.8.1).
    return [
        (b"etag", b"W/" + value) if name == b"etag" and value[:1] == b'"' else (name, value) for name, value in coded
    ]
