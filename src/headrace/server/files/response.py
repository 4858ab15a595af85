"""The file response: from the disk to the client in constant memory, by the kernel alone where possible."""

from __future__ import annotations

import mimetypes
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from headrace.engine.message import is_bodiless
from headrace.server.files.open_file import OpenFile
from headrace.server.files.places import PLACES, client_of
from headrace.server.files.sendfile import KernelSend, can_sendfile
from headrace.server.handlers.headers import AnyHeaders, header_list
from headrace.server.handlers.response import AnyResponse

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Hashable, Sequence

    from headrace.server.connection.exchange import ServerExchange
    from headrace.server.handlers.request import Request
    from headrace.server.handlers.writer import Writer

CHUNK: Final = 131_072  # bytes that a thread reads at once; one chunk is with the client, one is being read
LEAST: Final = 16_384  # a chunk is never smaller, however many files are sent
ALL_CHUNKS: Final = 16_777_216
"""Bytes of chunks that all files together may have read, and as many read ahead. Otherwise each client that does not
read would hold a quarter of a megabyte."""
SMALL: Final = 65_536  # up to here, a file is read and sent at once: less work than asking the kernel

# Python's own table, with types that it lacks or names differently in some versions. The machine's tables are not used,
# so that a server answers alike everywhere.
_TYPES: Final = {
    **mimetypes.MimeTypes().types_map[True],
    ".avif": "image/avif",
    ".br": "application/octet-stream",
    ".bz2": "application/x-bzip2",
    ".gz": "application/gzip",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".tgz": "application/gzip",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
}


def guess_content_type(name: str | os.PathLike[str]) -> str:
    """Return the content type for the end of a file's name, `application/octet-stream` if it is unknown.

    Text is labelled UTF-8. A file that is compressed as a whole, such as `x.tar.gz`, has the type of its compression.
    """
    guessed = _TYPES.get(os.path.splitext(os.fspath(name))[1].lower(), "application/octet-stream")
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed


class FileResponse(AnyResponse):
    """A file as the content: `length` bytes of it from `offset` on, or all that follow if it is None.

    `file` is a path, opened each time the response is sent, or the descriptor of an open file, which the response takes
    over and closes, so that it can be sent once. `content-length` is the length; `content_type` is guessed from the
    path unless it is given, or in `headers`. A HEAD request gets the headers alone.

    On cleartext HTTP/1.1 the kernel sends (sendfile), and the bytes do not pass through Python; on HTTP/2, and under
    TLS, threads read 128 KiB at a time, as the client's windows take them. If a file becomes shorter while it is sent,
    the stream is reset, so that no client takes a part for the whole; bytes that are appended meanwhile are not sent.

    Clients that read slowly keep files open. All files together may use a quarter of the process's descriptors, and
    each client must leave as many places free as it holds; then its requests wait until some have ended. That is for
    paths; a descriptor is open already, and does not wait.

    Raises TypeError without a file, ValueError for a negative `offset` or `length`. OSError is raised when the response
    is sent, and becomes a 500, if the file does not exist, cannot be read, has less than was asked for, or is not a
    regular file: if that can happen, answer 404 before, or open the file yourself and catch it. It becomes a 503 if the
    process has no descriptor left.
    """

    __slots__ = ("_opened", "content_type", "file", "headers", "length", "offset", "status")

    def __init__(
        self,
        status: int = 200,
        headers: AnyHeaders = (),
        file: str | os.PathLike[str] | int | OpenFile | None = None,
        offset: int = 0,
        length: int | None = None,
        *,
        content_type: str | None = None,
    ) -> None:
        if file is None or isinstance(file, bool) or not isinstance(file, (str, os.PathLike, int, OpenFile)):
            raise TypeError("a FileResponse needs a file: its path, or an open descriptor")
        if isinstance(file, int) and file < 0:
            raise ValueError(f"{file} is not a descriptor of an open file")
        if offset < 0 or (length is not None and length < 0):
            raise ValueError(f"offset is {offset} and length is {length}; neither may be negative")
        self.status: int = status
        self.headers: AnyHeaders = headers
        self.file: str | os.PathLike[str] | OpenFile | int = file
        self.offset: int = offset
        self.length: int | None = length
        self.content_type: str = content_type or (
            "application/octet-stream" if isinstance(file, (int, OpenFile)) else guess_content_type(file)
        )
        self._opened = OpenFile(file) if isinstance(file, int) else file if isinstance(file, OpenFile) else None

    async def send_on(self, request: Request, writer: Writer) -> None:
        """Send the headers, and the file unless the request is a HEAD."""
        headers = [pair for pair in header_list(self.headers) if pair[0] != b"content-length"]
        if not any(name == b"content-type" for name, _ in headers):
            headers.insert(0, (b"content-type", self.content_type.encode("latin-1")))
        file = self._opened
        if file is None:
            assert not isinstance(self.file, OpenFile)
            file = OpenFile(self.file)
        await send_file(request._exchange, self.status, headers, file, self.offset, self.length, writer)

    def close(self) -> None:
        """Close the descriptor of a response that will not be sent; sending closes it, too."""
        if self._opened is not None:
            self._opened.close()


_under_way = 0
"""Files that are being sent."""


async def send_file(
    exchange: ServerExchange,
    status: int,
    headers: Sequence[tuple[bytes, bytes]],
    file: OpenFile,
    offset: int = 0,
    wanted: int | None = None,
    writer: Writer | None = None,
) -> None:
    """Send a response whose content is a part of `file`, and close the file in every case.

    `headers` get a content-length if they have none; a wrong one is the caller's fault, and found as in every response.
    All output goes through `writer`, which is `exchange` itself if it is None; with another one, the kernel does not
    send. Raises OSError before the headers if there are not `wanted` bytes from `offset` on, later if the file has
    become shorter.
    """
    global _under_way
    writer = writer or exchange
    loop = exchange.driver.loop
    has_content = exchange.head.method != b"HEAD" and not is_bodiless(status)
    by_kernel = has_content and writer is exchange and can_sendfile(exchange)
    _under_way += 1
    try:
        # Do all of it in one visit to a thread: open the file, and read the beginning unless the kernel sends it.
        begin = partial(_begin, file, client_of(exchange), offset, wanted, has_content, by_kernel)
        begun = await loop.run_in_executor(None, begin)
        while begun is None:
            _under_way -= 1
            try:
                file.place = await PLACES.wait(exchange)
            finally:
                _under_way += 1
            begun = await loop.run_in_executor(None, begin)
        length, first = begun
        declared = [value for name, value in headers if name == b"content-length"]
        if not declared and status != 204:
            headers = [*headers, (b"content-length", b"%d" % length)]
        if not has_content or len(first) == length:
            file.close()
            await writer.respond(status, headers, first)
            return
        writer.start(status, headers)
        if by_kernel and not first and (not declared or declared == [b"%d" % length]):
            if await KernelSend(exchange, file, offset, length).run():
                exchange.complete()
                exchange.driver.schedule_flush()
                return
            first = await loop.run_in_executor(None, file.read, offset, _chunk())
        await _send_chunks(writer, loop, file, offset, length, first)
    finally:
        _under_way -= 1
        file.close()


def _chunk() -> int:
    """Return the size in bytes of a chunk that is read now: less if many files are being sent."""
    return max(LEAST, min(CHUNK, ALL_CHUNKS // max(1, _under_way)))


def _begin(
    file: OpenFile, client: Hashable, offset: int, wanted: int | None, has_content: bool, by_kernel: bool
) -> tuple[int, bytes] | None:
    """Open the file, in a thread, and read its beginning unless the kernel sends it. Return the length and the
    beginning.

    Return None if it would stay open and `client` has its share of open files: then it is closed again.
    """
    size = file.open()
    length = size - offset if wanted is None else wanted
    if length < 0 or offset + length > size:
        raise OSError(f"{file} has {size} bytes, too few for {max(length, 0)} from {offset} on")
    if has_content and length > SMALL and not file.take_place(client):
        return None
    if not has_content or length == 0 or (by_kernel and length > SMALL):
        return length, b""
    first = file.read(offset, length if length <= SMALL else min(length, _chunk()))
    if not first:
        raise _cut_short(file)
    return length, first


async def _send_chunks(
    writer: Writer, loop: asyncio.AbstractEventLoop, file: OpenFile, offset: int, left: int, chunk: bytes
) -> None:
    """Send `left` bytes from `offset` on; `chunk` is the first of them. Read one chunk ahead."""
    while True:
        if not chunk:
            raise _cut_short(file)
        chunk = chunk[:left]
        offset += len(chunk)
        left -= len(chunk)
        if not left:
            file.close()  # it is read already, even if the client takes long
            await writer.write(chunk, True)
            return
        reading = loop.run_in_executor(None, file.read, offset, min(left, _chunk()))
        try:
            await writer.write(chunk)
        except BaseException:
            reading.cancel()
            raise
        chunk = await reading


def _cut_short(file: OpenFile) -> OSError:
    return OSError(f"{file} was cut short while it was sent")
