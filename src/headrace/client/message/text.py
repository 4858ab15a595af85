"""The content of a response as text: which charset, and where lines end."""

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
    """The charset that a content-type names, when Python has a text codec of that name (RFC 9110 §8.3.2)."""
    match = _CHARSET.search(content_type)
    name = (match[1] or match[2] or "") if match is not None else ""
    return name if name and is_text_codec(name) else None


def is_text_codec(name: str) -> bool:
    """Tell whether Python decodes octets to text by this name, and may be let do so: zlib_codec inflates without bound,
    punycode takes quadratic time, and some are of Python's own use."""
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return codec._is_text_encoding and codec.name not in _NOT_FOR_CONTENT


def charset_by_mark(content: bytes) -> str | None:
    """The encoding that a byte order mark at the beginning says."""
    for mark, name in _BOMS:
        if content.startswith(mark):
            return name
    return None


class LineSplitter:
    """Text in any pieces in, whole lines out, without their ends; LF, CR and CR LF end a line, as in `str.splitlines`,
    and nothing else does: a line of JSON may well hold U+2028."""

    __slots__ = ("_ends_in_cr", "_held", "held")

    def __init__(self) -> None:
        self._held: list[str] = []
        self.held: int = 0
        """Characters of the line that is not whole."""
        self._ends_in_cr = False

    def feed(self, text: str) -> list[str]:
        """The lines that have become whole."""
        if not text:
            return []
        if self._ends_in_cr and text[0] == "\n":
            text = text[1:]  # its line was handed out at the CR
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
        """The last line, where nothing ends it."""
        last = "".join(self._held)
        self._held = []
        self.held = 0
        return [last] if last else []


def split_lines(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of text that is all there."""
    splitter = LineSplitter()
    for piece in pieces:
        yield from splitter.feed(piece)
    yield from splitter.finish()
