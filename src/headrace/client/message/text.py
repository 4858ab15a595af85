"""Decodes a response's content to text: its charset and its lines."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Final

_CHARSET: Final = re.compile(r""";[ \t]*charset[ \t]*=[ \t]*(?:"([^"]*)"|([^\s;,"]+))""", re.IGNORECASE)
_NOT_FOR_CONTENT: Final = frozenset(
    ("idna", "punycode", "undefined", "unicode_escape", "unicode-escape", "raw_unicode_escape", "raw-unicode-escape")
)
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def charset_of(content_type: str) -> str | None:
    """Return the charset that a content-type names, or None when Python has no text codec of that name (RFC 9110
    §8.3.2)."""
    match = _CHARSET.search(content_type)
    name = (match[1] or match[2] or "") if match is not None else ""
    return name if name and is_text_codec(name) else None


def is_text_codec(name: str) -> bool:
    """Return True when Python has a text codec of this name that is safe for content. zlib_codec inflates without a
    limit, punycode takes quadratic time, and some codecs are for Python's own use."""
    if not name.isascii():
        return False  # older Pythons leave such characters out of the name; 3.15 warns, and 3.17 is to refuse
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return codec._is_text_encoding and codec.name not in _NOT_FOR_CONTENT


def charset_by_mark(content: bytes) -> str | None:
    """Return the encoding of the byte order mark at the beginning, or None."""
    for mark, name in _BOMS:
        if content.startswith(mark):
            return name
    return None


class LineSplitter:
    """Splits text that arrives in pieces into lines without their ends. LF, CR and CR LF end a line. Unlike
    `str.splitlines`, nothing else does: a line of JSON may contain U+2028."""

    __slots__ = ("_ends_in_cr", "_held", "held")

    def __init__(self) -> None:
        self._held: list[str] = []
        self.held: int = 0
        """Characters of the line that is not complete."""
        self._ends_in_cr = False

    def feed(self, text: str) -> list[str]:
        """Return the lines that are complete now."""
        if not text:
            return []
        if self._ends_in_cr and text[0] == "\n":
            text = text[1:]  # its line was returned at the CR
        self._ends_in_cr = text.endswith("\r") if text else False
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first, *others = text.split("\n")
        self._held.append(first)
        if not others:
            self.held += len(first)
            return []
        lines = ["".join(self._held), *others]
        self._held = [lines.pop()]
        self.held = len(self._held[0])
        return lines

    def finish(self) -> list[str]:
        """Return the last line when no line end follows it."""
        last = "".join(self._held)
        self._held = []
        self.held = 0
        return [last] if last else []


def split_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the lines of text that is already there."""
    splitter = LineSplitter()
    for piece in pieces:
        yield from splitter.feed(piece)
    yield from splitter.finish()
