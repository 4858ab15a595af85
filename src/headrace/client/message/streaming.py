"""The content of a response as a stream: with its codings and without, in pieces, with its progress."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final

from headrace.client.deadline import await_until
from headrace.client.errors import RequestError, StreamConsumed, too_large_error
from headrace.client.interface import Incoming, Pairs
from headrace.client.message.decoding import ContentDecoder, codings_of
from headrace.client.message.request import ClientOutgoing
from headrace.client.message.text import LineSplitter

MAX_RESPONSE_SIZE: Final = 268_435_456
"""256 MiB: the limit for a program that has not set one, which keeps the response in memory. For more, read a
stream, or set the limit."""

WORK_AT_ONCE: Final = 1_048_576
"""Bytes of decoded content, a few milliseconds of work, after which other tasks run: content that has already
arrived causes no wait."""
WORK_OF_A_STEP: Final = 65_536
"""Work that each step counts as, in addition to its bytes: 4 KiB that inflate to nothing may take milliseconds."""


class Streaming:
    """The state of a response whose content is read as a stream."""

    __slots__ = (
        "call",
        "collected",
        "deadline",
        "decoder",
        "downloaded",
        "incoming",
        "is_begun",
        "is_ended",
        "on_download",
        "size",
        "source",
        "total",
    )

    def __init__(self, incoming: Incoming, call: ClientOutgoing, max_ratio: int | None, deadline: float | None) -> None:
        self.incoming: Incoming = incoming
        self.call: ClientOutgoing = call
        self.decoder: ContentDecoder | None = None
        self.deadline: float | None = deadline
        self.downloaded: int = 0
        self.is_begun: bool = False
        self.is_ended: bool = False
        self.collected: list[bytes] = []
        self.size: int = 0
        self.source: Any = None  # a generator, once `collect` has begun
        self.on_download: Any = None
        self.total: int | None = None
        try:
            self.decoder = decoder_for(incoming.head.headers, max_ratio)
        except RequestError as error:
            incoming.close()
            annotate_error(error, call, incoming)
            raise

    async def raw(self) -> AsyncGenerator[bytes, None]:
        """Yield the content as it stands on the wire."""
        if self.is_begun or self.is_ended:
            raise StreamConsumed("the content has been read as a stream already, or was given up")
        self.is_begun = True
        try:
            while piece := await self._receive():
                self.downloaded += len(piece)
                if self.on_download is not None:
                    self.on_download(self.downloaded, self.total)
                yield piece
            self.is_ended = True
        except RequestError as error:
            annotate_error(error, self.call, self.incoming)
            raise
        finally:
            if not self.is_ended:
                self.close()

    async def _receive(self) -> bytes:
        if self.deadline is None:
            return await self.incoming.receive()
        return await await_until(self.deadline, self.incoming.receive(), self.call.url)

    async def decoded(self) -> AsyncGenerator[bytes, None]:
        """Yield the content without its codings."""
        decoder = self.decoder
        raw = self.raw()
        try:
            if decoder is None:
                async for piece in raw:
                    yield piece
                return
            work = 0
            async for piece in raw:
                for each in decoder.feed(piece):
                    if each:
                        yield each
                    work += len(each) + WORK_OF_A_STEP
                    if work > WORK_AT_ONCE:
                        work = 0
                        await asyncio.sleep(0)
            decoder.finish()
        except RequestError as error:
            annotate_error(error, self.call, self.incoming)
            raise
        finally:
            await raw.aclose()

    async def collect(self, most: int | None) -> bool:
        """Collect the content until its end and return True. When it has more than `most` bytes, return False; the
        next call goes on. Raises RequestError, and StreamConsumed while another call reads."""
        source = self.source
        if source is not None and source.ag_running:
            raise StreamConsumed("the content is being read by another call")  # its pieces stay as they are
        if source is None:
            source = self.source = self.decoded()
        try:
            while most is None or self.size <= most:
                piece = await anext(source, None)
                if piece is None:
                    return True
                self.collected.append(piece)
                self.size += len(piece)
        except BaseException:
            self.source = None  # these pieces are a part, and must never pass for the whole
            self.collected = []
            raise
        return False

    async def aclose(self) -> None:
        """Give up the rest, and drop the collected content."""
        self.close()
        source, self.source = self.source, None
        if source is not None and not source.ag_running:  # else the reading call gets an error, and closes it
            await source.aclose()

    def close(self) -> None:
        """Give up the rest."""
        self.collected = []
        if not self.is_ended:
            self.is_ended = True
            self.incoming.close()


async def cut_pieces(source: AsyncGenerator[bytes, None], size: int | None) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an async generator in pieces of `size`, the last one shorter. It is closed with this one."""
    held = bytearray()
    try:
        async for piece in source:
            if size is None:
                yield piece
                continue
            held += piece
            while len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
        if held:
            yield bytes(held)
    finally:
        await source.aclose()


async def decode_text(source: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[str, None]:
    """Yield the text of an async generator of bytes. It is closed with this one."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    try:
        async for piece in source:
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode(b"", True):
            yield text
    finally:
        await source.aclose()


async def split_text(source: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Yield the lines of an async generator of text, without their ends. It is closed with this one."""
    splitter = LineSplitter()
    try:
        async for text in source:
            for line in splitter.feed(text):
                yield line
        for line in splitter.finish():
            yield line
    finally:
        await source.aclose()


async def iterate_pieces(pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield pieces that are already there."""
    for piece in pieces:
        yield piece


def split_bytes(content: bytes, size: int | None) -> Sequence[bytes]:
    """Return bytes in pieces of `size`."""
    if size is None:
        return [content] if content else []
    return [content[start : start + size] for start in range(0, len(content), size)]


def decoder_for(headers: Pairs, max_ratio: int | None) -> ContentDecoder | None:
    """Return the decoder for a response's codings, or None when it has no codings that are known here. Raises
    DecodingError."""
    named = [value for name, value in headers if name == b"content-encoding"]
    if not named:
        return None
    codings = codings_of(b", ".join(named).decode("latin-1"))
    return ContentDecoder(codings, max_ratio) if codings else None


async def decode_whole(headers: Pairs, content: bytes, max_ratio: int | None, most: int | None = None) -> bytes:
    """Return whole content without its codings; let other tasks run when that is much work. Raises DecodingError,
    and ResponseTooLarge for more than `most` bytes."""
    if most is not None and len(content) > most:
        raise too_large_error(most)
    decoder = decoder_for(headers, max_ratio)
    if decoder is None or not content:
        return content
    pieces = []
    size = work = 0
    for piece in decoder.feed(content):
        pieces.append(piece)
        size += len(piece)
        if most is not None and size > most:
            raise too_large_error(most)
        work += len(piece) + WORK_OF_A_STEP
        if work > WORK_AT_ONCE:
            work = 0
            await asyncio.sleep(0)
    decoder.finish()
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def decode_at_once(headers: Pairs, content: bytes, max_ratio: int | None) -> bytes:
    """Return the content of a response that a program has made itself, without its codings. Raises DecodingError."""
    decoder = decoder_for(headers, max_ratio)
    if decoder is None or not content:
        return content
    decoded = b"".join(decoder.feed(content))
    decoder.finish()
    return decoded


def annotate_error(error: RequestError, call: ClientOutgoing, incoming: Incoming | None = None) -> None:
    """Add the URL and the head of the response to an error that has none."""
    if not error.url:
        error.url = call.url
    if error.head is None and incoming is not None:
        error.came_after(incoming.head)
