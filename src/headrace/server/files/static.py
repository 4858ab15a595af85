"""Static files: a folder as a native handler, with conditional requests and ranges (RFC 9110 §13 and §14)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

from headrace.server.connection.exchange import PLAIN_TEXT
from headrace.server.content_coding import IDENTITY, choose
from headrace.server.errors import HTTPError
from headrace.server.files.conditions import FAILED, PROCEED, evaluate, range_holds
from headrace.server.files.folder import Folder, Found, check_names
from headrace.server.files.http_date import write_date
from headrace.server.files.listing import MOST, page
from headrace.server.files.open_file import OpenFile
from headrace.server.files.places import PLACES, client_of
from headrace.server.files.ranges import Range, content_range, parse_ranges
from headrace.server.files.response import CHUNK, SMALL, FileResponse, guess_content_type
from headrace.server.handlers.headers import FieldList
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse, Response, StreamResponse
from headrace.server.routing.routing_table import split_path

# The suffixes of precompressed files, in our order of preference if the client has none.
_SUFFIXES: Final = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}

_CODINGS: Final = {suffix: coding.encode("ascii") for coding, suffix in _SUFFIXES.items()}

_NOT_FOUND: Final = Response(404, PLAIN_TEXT, b"Not Found\n")
_NOT_ALLOWED: Final = Response(405, [*PLAIN_TEXT, (b"allow", b"GET, HEAD")], b"Method Not Allowed\n")
_LISTING_FIELDS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
)


class StaticFiles:
    """Serves the files in `folder`, as a handler of its own or mounted: `Mount("/static", StaticFiles("./public"))`.

    - `index` is the file that stands for its folder, None for none. A folder's path without a slash at its end is
      redirected to the one with it (308).
    - `precompressed`: if `x.js.br`, `x.js.zst` or `x.js.gz` stands beside `x.js`, it is sent to clients that accept it.
    - `cache_control` is the field's value for every file, or a function that gets a file's path below the folder, such
      as `js/app.js`, and returns the value or None.
    - `listing` shows the names in a folder without an index. `hidden` serves names that begin with a dot; `.well-known`
      is always served.
    - `follow_symlinks`: symbolic links are not found, unless this is True and they lead to something in the folder.

    Files have `etag`, `last-modified` and `accept-ranges`; If-Match, If-Unmodified-Since, If-None-Match,
    If-Modified-Since, If-Range and Range are obeyed, at most 16 ranges of one request. The entity tag is strong, made
    of size, modification time in nanoseconds and inode: it changes when a file is rewritten or replaced, and making it
    reads no content. It differs between machines that have copies of a folder.

    Everything but regular files in the folder is 404, also files that may not be read; methods but GET and HEAD are
    405. A path's segments are percent-decoded once, so `%2F` is not a slash. Behind a route that ends with
    `{rest:path}`, the rest names the file, else the whole path. Raises ValueError if `folder` is not a folder.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        index: str | None = "index.html",
        follow_symlinks: bool = False,
        precompressed: bool = True,
        cache_control: str | Callable[[str], str | None] | None = None,
        listing: bool = False,
        hidden: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not os.path.isdir(folder):
            raise ValueError(f"there is no folder {os.fspath(folder)}")
        if index is not None and not check_names([index], hidden=True):
            raise ValueError(f"the index {index!r} is not the name of a file")
        if isinstance(cache_control, str) and not (cache_control.isascii() and cache_control.isprintable()):
            raise ValueError(f"cache_control must be one line of ASCII, not {cache_control!r}")
        self._folder = Folder(folder, follow_symlinks)
        self._index = index
        self._suffixes = tuple(_SUFFIXES.values()) if precompressed else ()
        self._cache_control = cache_control
        self._listing = listing
        self._hidden = hidden
        self._clock = clock

    @property
    def folder(self) -> str:
        """The folder's absolute path."""
        return str(self._folder.path)

    async def __call__(self, request: Request) -> AnyResponse:
        """Answer a request for a file.

        All work on the disk happens in one visit to a thread: a small file is read there at once, a large one is
        opened. Work in the event loop would be faster while the kernel has all of it in memory, but would delay every
        other request when a disk or a network is slow.
        """
        if request.method not in ("GET", "HEAD"):
            return _NOT_ALLOWED
        segments = split_path(request.raw_path.partition(b"?")[0])
        route = request.route
        if segments and route is not None and route.pattern.takes_rest:
            # Do not use the parameter's value, in which %2F looks like a slash: others on the way did not take it for
            # one.
            segments = segments[len(route.pattern.segments) - 1 :]
        if not segments:
            return _NOT_FOUND
        is_folder = segments[-1] == ""
        names = segments[:-1] if is_folder else segments
        if not check_names(names, self._hidden):
            return _NOT_FOUND
        return await asyncio.get_running_loop().run_in_executor(None, self._answer, request, names, is_folder)

    # -- in a thread -------------------------------------------------------------------------------------------

    def _answer(self, request: Request, names: list[str], is_folder: bool) -> AnyResponse:
        if is_folder:
            return self._folder_page(request, names)
        found = self._find(request, names)
        if found is None:
            return _NOT_FOUND
        if found.is_folder:
            return _redirection(request)
        return self._file(request, names, found)

    def _folder_page(self, request: Request, names: list[str]) -> AnyResponse:
        if self._index is not None:
            inside = [*names, self._index]
            found = self._find(request, inside)
            if found is not None and not found.is_folder:
                return self._file(request, inside, found)
        if self._listing:
            rows = self._folder.rows(names, self._hidden, MOST)
            if rows is not None:
                return Response(200, _LISTING_FIELDS, page(names, rows))
        return _NOT_FOUND

    def _find(self, request: Request, names: Sequence[str]) -> Found | None:
        def pick(siblings: Mapping[str, os.stat_result]) -> str:
            offered = [coding for coding, suffix in _SUFFIXES.items() if suffix in siblings]
            chosen = choose(request.header("accept-encoding"), offered)
            return _SUFFIXES[chosen] if chosen is not None and chosen != IDENTITY else ""

        return self._folder.find(names, self._suffixes, pick)

    def _file(self, request: Request, names: Sequence[str], found: Found) -> AnyResponse:
        try:
            return self._respond(request, names, found)
        finally:
            if found.fd >= 0:  # a sent response has taken it over
                os.close(found.fd)

    def _respond(self, request: Request, names: Sequence[str], found: Found) -> AnyResponse:
        now = self._clock()
        size = found.status.st_size
        etag = entity_tag(found.status)
        modified = int(min(found.status.st_mtime, now))  # never later than `date` (§8.8.2.1)
        fields = self._fields(names, found, etag)
        verdict = evaluate(request, etag, modified, now)
        if verdict == FAILED:
            return Response(412, [*PLAIN_TEXT, *fields], b"Precondition Failed\n")
        if verdict != PROCEED:
            return Response(304, fields)
        fields += [(b"last-modified", write_date(modified)), (b"accept-ranges", b"bytes")]
        if found.suffix:
            fields.append((b"content-encoding", _CODINGS[found.suffix]))
        content_type = guess_content_type(names[-1])
        wanted = request.header("range") if request.method == "GET" else None
        ranges = None
        if wanted is not None and range_holds(request, etag, modified, now):
            ranges = parse_ranges(wanted, size)
        if ranges is None:
            return self._part(request, names, found, 200, fields, content_type, (0, size))
        if not ranges:
            unsatisfied = (b"content-range", b"bytes */%d" % size)
            return Response(416, [*PLAIN_TEXT, *fields[:1], unsatisfied], b"Range Not Satisfiable\n")
        if len(ranges) > 1:
            return _parts(request, self._keep(request, names, found), size, fields, content_type, ranges)
        fields.append((b"content-range", content_range(ranges[0], size)))
        return self._part(request, names, found, 206, fields, content_type, ranges[0])

    def _part(
        self,
        request: Request,
        names: Sequence[str],
        found: Found,
        status: int,
        fields: FieldList,
        content_type: str,
        part: Range,
    ) -> Response | FileResponse:
        offset, length = part
        if length > SMALL and request.method != "HEAD":
            file = self._keep(request, names, found)
            return FileResponse(status, fields, file, offset, length, content_type=content_type)
        kind = (b"content-type", content_type.encode("latin-1"))
        fields = [kind, *fields, (b"content-length", b"%d" % length)]
        return Response(status, fields, b"" if request.method == "HEAD" else _read(found.fd, offset, length))

    def _keep(self, request: Request, names: Sequence[str], found: Found) -> OpenFile:
        """Return the file, still open, or closed and to be opened again if its client has its share of files."""
        place = PLACES.take(client_of(request._exchange))
        if place is None:
            return _LaterFile(self._folder, names, found)
        fd, found.fd = found.fd, -1
        return OpenFile(fd, place)

    def _fields(self, names: Sequence[str], found: Found, etag: str) -> FieldList:
        """Return the fields of every answer about a file, 304 included (§15.4.5)."""
        fields = [(b"etag", etag.encode("ascii"))]
        control = self._cache_control
        if callable(control):
            control = control("/".join(names))
        if control is not None:
            fields.append((b"cache-control", control.encode("latin-1")))
        if found.siblings:
            fields.append((b"vary", b"accept-encoding"))
        return fields


def entity_tag(status: os.stat_result) -> str:
    """Return a file's entity tag, with its quotes; see StaticFiles."""
    return f'"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}"'


class _LaterFile(OpenFile):
    """A found file that is opened again when there is a place for it, unless its path names another file by then."""

    __slots__ = ("_folder", "_found", "_names")

    def __init__(self, folder: Folder, names: Sequence[str], found: Found) -> None:
        super().__init__("/".join(names))
        self._folder = folder
        self._names = names
        self._found = found

    def _find(self) -> int:
        suffix = self._found.suffix
        again = self._folder.find(self._names, (suffix,) if suffix else (), max)
        if again is not None and again.fd >= 0:
            if entity_tag(again.status) == entity_tag(self._found.status):
                return again.fd
            os.close(again.fd)
        raise HTTPError(503, "The file has changed: try again")


def _read(fd: int, offset: int, length: int) -> bytes:
    os.lseek(fd, offset, os.SEEK_SET)
    data = os.read(fd, length)
    if len(data) < length:
        raise OSError(f"a file has {len(data)} bytes from {offset} on; it had {length}")
    return data


def _parts(
    request: Request, file: OpenFile, size: int, fields: FieldList, content_type: str, ranges: Sequence[Range]
) -> StreamResponse:
    """Return several ranges in one response (§14.6)."""
    boundary = os.urandom(16).hex().encode("ascii")
    heads = [
        b"--%b\r\ncontent-type: %b\r\ncontent-range: %b\r\n\r\n"
        % (boundary, content_type.encode("latin-1"), content_range(part, size))
        for part in ranges
    ]
    tail = b"--%b--\r\n" % boundary
    length = sum(len(head) + part[1] + 2 for head, part in zip(heads, ranges, strict=True)) + len(tail)

    async def pieces() -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        try:
            if file.fd < 0:
                file.place = await PLACES.wait(request._exchange)
                await loop.run_in_executor(None, file.open)
            for head, part in zip(heads, ranges, strict=True):
                yield head
                offset, left = part
                while left:
                    chunk = await loop.run_in_executor(None, file.read, offset, min(left, CHUNK))
                    if not chunk:
                        raise OSError("a file was cut short while it was sent")
                    offset += len(chunk)
                    left -= len(chunk)
                    yield chunk
                yield b"\r\n"
            yield tail
        finally:
            file.close()

    kind = (b"content-type", b"multipart/byteranges; boundary=" + boundary)
    return StreamResponse(206, [kind, *fields, (b"content-length", b"%d" % length)], pieces())


def _redirection(request: Request) -> Response:
    """Return a redirect to the same path with a slash, so that relative links in the index work."""
    path, question, query = request.raw_path.partition(b"?")
    # Browsers read a backslash as a slash, and two slashes as the beginning of a host's name.
    return Response(308, [(b"location", path.replace(b"\\", b"%5C") + b"/" + question + query)])
