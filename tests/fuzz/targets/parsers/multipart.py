"""multipart/form-data, as the client writes it: python-multipart reads it back.

Property: names, filenames, media types and contents arrive as they were given, whatever bytes they have; the length
that is announced is the length that comes. What cannot be written raises ValueError or TypeError before a byte is made.
"""

from __future__ import annotations

import asyncio
from typing import Any

from python_multipart.multipart import MultipartParser

from headrace.client.message.encode import Multipart

from tests.fuzz.source import Source

Part = tuple[dict[bytes, bytes], bytes]
BOUNDARIES = ("b", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a:b", "'()+_,-./:=?", "x" * 70, "", "a b", "é", "x" * 71)


def target(data: bytes) -> None:
    """Write a form, and read it."""
    source = Source(data)
    boundary = source.pick(BOUNDARIES)
    fields: list[tuple[str, Any]] = []
    files: list[tuple[str, Any]] = []
    for _ in range(source.below(4)):
        fields.append((text(source), content(source, boundary)))
    for _ in range(source.below(4)):
        media_type = source.pick((None, "text/plain", "a/b; c=d"))
        files.append((text(source), (source.pick((None, text(source))), content(source, boundary), media_type)))
    try:
        form = Multipart(fields, files, boundary)
    except ValueError:
        assert boundary in BOUNDARIES[5:]
        return
    raw = asyncio.run(collect(form))
    assert len(raw) == form.length
    if any(f"\r\n--{boundary}".encode() in each for each in contents(fields, files)):
        return  # a real boundary is random, and this one was guessed
    parts = read(raw, boundary)
    assert len(parts) == len(fields) + len(files)
    for (name, value), (headers, body) in zip(fields, parts, strict=False):
        assert disposition(headers) == {b"name": quoted(name)} and body == value
    for (name, (filename, value, media_type)), (headers, body) in zip(files, parts[len(fields) :], strict=True):
        expected = {b"name": quoted(name)} | ({} if filename is None else {b"filename": quoted(filename)})
        assert disposition(headers) == expected and body == value
        assert media_type is None or headers[b"content-type"] == media_type.encode()


async def collect(form: Multipart) -> bytes:
    """Return all that the form sends."""
    return b"".join([piece async for piece in form.open()])


def contents(fields: list[tuple[str, Any]], files: list[tuple[str, Any]]) -> list[bytes]:
    """Return the contents, as they follow a line's end."""
    return [b"\r\n" + value for _, value in fields] + [b"\r\n" + file[1] for _, file in files]


def quoted(text: str) -> bytes:
    """Return a name as browsers write it (WHATWG HTML §4.10.21.8)."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").encode()


def disposition(headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the parameters of content-disposition."""
    kind, parameters = raw_parameters(headers[b"content-disposition"])
    assert kind == b"form-data"
    return parameters


def raw_parameters(value: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return a field's value and its quoted parameters; no quote stands within a quoted text."""
    kind, *others = value.split(b"; ") if b'"' not in value else [value.partition(b"; ")[0]]
    assert not others
    pieces = value[len(kind) :].split(b'"')
    return kind, {
        name.strip(b"; ").removesuffix(b"="): text for name, text in zip(pieces[::2], pieces[1::2], strict=False)
    }


def read(raw: bytes, boundary: str) -> list[Part]:
    """Return the parts, by python-multipart."""
    parts: list[Part] = []
    name, value, body = bytearray(), bytearray(), bytearray()
    headers: dict[bytes, bytes] = {}

    def on_header_end() -> None:
        headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    def on_part_end() -> None:
        parts.append((dict(headers), bytes(body)))
        headers.clear()
        body.clear()

    callbacks: Any = {
        "on_header_field": lambda data, start, end: name.extend(data[start:end]),
        "on_header_value": lambda data, start, end: value.extend(data[start:end]),
        "on_part_data": lambda data, start, end: body.extend(data[start:end]),
        "on_header_end": on_header_end,
        "on_part_end": on_part_end,
    }
    parser = MultipartParser(boundary.encode(), callbacks)
    parser.write(raw)
    parser.finalize()
    return parts


def text(source: Source) -> str:
    """Return a name."""
    return source.pick(
        ("a", "", 'q"uo"te', "é", "line\r\nbreak", "semi;colon", "back\\slash", "x" * 300, "%22", "\u2028")
    )


def content(source: Source, boundary: str) -> bytes:
    """Return the content of a part."""
    kind = source.below(6)
    if kind < 2:
        return source.take(source.below(60))
    return (b"", b"\r\n", f"--{boundary}".encode(), b"\r\n--" + boundary[:3].encode())[kind - 2]


def seeds() -> list[bytes]:
    """Return forms of each kind."""
    return [bytes((n % 9, n % 4, n, 0, 5, 1, 2, 3, 4, 5, n % 4, 1, n, n, 2, n % 6, 3, 9, 9, 9)) for n in range(24)]
