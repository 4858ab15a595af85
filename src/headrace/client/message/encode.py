"""Encodes a request's content from its caller's arguments: JSON, a form, or a form with files.

multipart/form-data (RFC 7578) is streamed. Its length is known when the lengths of all files are.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from json import JSONEncoder
from pathlib import PurePath
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from headrace.client.interface import Content, Pairs
from headrace.client.message.content import (
    AsksInThreads,
    ContentLike,
    ContentWith,
    IteratedContent,
    TrailersLike,
    as_content,
)
from headrace.client.message.headers import Headers, HeadersLike
from headrace.client.message.url_parts.query import Value, primitive_text

FormLike: TypeAlias = Mapping[str, Value] | Sequence[tuple[str, Value]]
"""The fields of a form: a mapping or pairs; a list gives a name several values."""
FileLike: TypeAlias = (
    ContentLike
    | tuple[str | None, ContentLike]
    | tuple[str | None, ContentLike, str | None]
    | tuple[str | None, ContentLike, str | None, HeadersLike | None]
)
"""A file of a form: its content, or a tuple of filename, content, media type and headers."""
FilesLike: TypeAlias = Mapping[str, FileLike] | Sequence[tuple[str, FileLike]]
"""The files of a form: a mapping or pairs of a name and a file."""

_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=?]{1,70}")  # RFC 2046 §5.1.1, without the space
_QUOTED: Final = {ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"}  # as in browsers (WHATWG HTML §4.10.21.8)


class Multipart:
    """A form with files.

    `data` has the fields: a mapping or pairs; lists give a name several values. `files` maps names to files. A file is
    bytes, text, a binary file, an iterable, or a tuple (filename, file), (filename, file, media type), (filename, file,
    media type, headers). Raises TypeError and ValueError for other objects.
    """

    def __init__(self, data: FormLike, files: FilesLike, boundary: str | None = None) -> None:
        """Make the form. The boundary is random by default; raises ValueError for one that RFC 2046 does not allow."""
        boundary = boundary if boundary is not None else os.urandom(16).hex()
        if not _BOUNDARY.fullmatch(boundary):
            raise ValueError(f"{boundary!r} is not a valid boundary (RFC 2046 §5.1.1)")
        self.media_type: str = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | Content] = []
        mark = f"--{boundary}\r\n".encode()
        for name, value in data.items() if isinstance(data, Mapping) else data:
            for each in value if isinstance(value, (list, tuple)) else (value,):
                text = each if isinstance(each, bytes) else primitive_text(each).encode()
                self._parts.append(mark + f'content-disposition: form-data; name="{_quoted(name)}"\r\n\r\n'.encode())
                self._parts.append(text + b"\r\n")
        for name, file in files.items() if isinstance(files, Mapping) else files:
            head, content = _file_part(name, file)
            self._parts += [mark + head, content, b"\r\n"]
        self._parts.append(f"--{boundary}--\r\n".encode())

    @property
    def length(self) -> int | None:
        """Return the length in bytes, or None when the length of a file is unknown."""
        total = 0
        for part in self._parts:
            length = len(part) if isinstance(part, bytes) else part.length
            if length is None:
                return None
            total += length
        return total

    @property
    def is_replayable(self) -> bool:
        """Return True when all files can be sent again."""
        return all(isinstance(part, bytes) or part.is_replayable for part in self._parts)

    def open(self) -> AsyncIterator[bytes]:
        """Return an iterator that begins at the first byte."""
        return self._pieces([part if isinstance(part, bytes) else part.open() for part in self._parts])

    def ask_in_threads(self) -> None:
        """Ask each file's source in threads from now on."""
        for part in self._parts:
            if isinstance(part, AsksInThreads):
                part.ask_in_threads()

    async def _pieces(self, parts: list[bytes | AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
        held: list[bytes] = []
        for part in parts:
            if isinstance(part, bytes):
                held.append(part)
                continue
            async for piece in part:
                if held:
                    held.append(piece)
                    piece = b"".join(held)  # noqa: PLW2901 - one write takes a part's head with its first piece
                    held = []
                yield piece
        yield b"".join(held)

    def trailers(self) -> Pairs:
        """Return no fields."""
        return []


def _file_part(name: str, file: FileLike) -> tuple[bytes, bytes | Content]:
    filename, media_type, more = None, None, None
    if isinstance(file, tuple):
        if not 2 <= len(file) <= 4:
            raise ValueError(f"the file {name!r} is a tuple of filename, file, media type and headers")
        filename, content = file[0], file[1]
        media_type = file[2] if len(file) > 2 else None
        more = file[3] if len(file) > 3 else None
    else:
        content = file
        path = getattr(file, "name", None)
        filename = PurePath(path).name if isinstance(path, (str, os.PathLike)) else "upload"
    headers = Headers(more)
    if "content-type" not in headers:
        if media_type is None:
            import mimetypes  # its tables take time to read, and few requests need them

            media_type = (mimetypes.guess_type(filename)[0] if filename else None) or "application/octet-stream"
        headers["content-type"] = media_type
    disposition = f'content-disposition: form-data; name="{_quoted(name)}"'
    if filename is not None:
        disposition += f'; filename="{_quoted(filename)}"'
    lines = [disposition.encode(), *(field + b": " + value for field, value in headers.raw), b"", b""]
    return b"\r\n".join(lines), as_content(content)


def _quoted(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"the name of a part of a form must be text, not {type(text).__name__}")
    return text.translate(_QUOTED)


def encode_content(
    content: ContentLike | None = None,
    data: FormLike | None = None,
    files: FilesLike | None = None,
    json: Any = None,
    trailers: TrailersLike | None = None,
) -> tuple[bytes | Content, str | None]:
    """Return a request's content from its caller's arguments, and its media type, or None when that is unknown.

    Raises TypeError when there are several contents, and for objects that cannot be encoded.
    """
    if json is not None and content is None and data is None and files is None and trailers is None:
        return _as_json(json), "application/json"
    given = [name for name, value in (("content", content), ("json", json), ("data", data)) if value is not None]
    if files is not None and given == ["data"]:
        given = []
    if len(given) + (files is not None) > 1:
        raise TypeError(
            f"a request has one content, not {' and '.join(given + (['files'] if files is not None else []))}"
        )
    media_type = None
    encoded: bytes | Content = b""
    if content is not None:
        encoded = as_content(content)
    elif json is not None:
        encoded, media_type = _as_json(json), "application/json"
    elif files is not None:
        form = Multipart(data or {}, files)
        encoded, media_type = form, form.media_type
    elif data is not None:
        if not isinstance(data, Mapping) and not (isinstance(data, (list, tuple))):
            raise TypeError(f"data= takes the fields of a form, not {type(data).__name__}; give bytes to content=")
        encoded, media_type = encode_form(data), "application/x-www-form-urlencoded"
    if trailers is not None:
        whole = encoded if not isinstance(encoded, bytes) else IteratedContent([encoded] if encoded else [])
        encoded = ContentWith(whole, whole.length, trailers)
    return encoded, media_type


_json_text: Final = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _as_json(value: Any) -> bytes:
    return _json_text(value).encode()


def encode_form(data: FormLike) -> bytes:
    """Return the fields of a form in bytes (WHATWG URL §5.2). `data` is a mapping or pairs; a list gives a name several
    values."""
    pairs = []
    for name, value in data.items() if isinstance(data, Mapping) else data:
        pairs += [(name, primitive_text(each)) for each in (value if isinstance(value, (list, tuple)) else (value,))]
    return urlencode(pairs).encode("ascii")
