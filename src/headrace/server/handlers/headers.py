"""Header fields as applications give them, and as the engine takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

AnyHeaders = Iterable[tuple[bytes, bytes]] | Iterable[tuple[str, str]] | Mapping[str, str]
FieldList = list[tuple[bytes, bytes]]
HeaderList = list[tuple[bytes, bytes]] | tuple[tuple[bytes, bytes], ...]


def header_list(headers: AnyHeaders) -> HeaderList:
    """Return headers as pairs of bytes with lowercase names, from pairs of text or bytes or a mapping of text.

    Text is encoded as latin-1, because a field value is bytes; raises ValueError for text that latin-1 lacks.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(_bytes(name).lower(), _bytes(value)) for name, value in pairs]


def checked_headers(headers: AnyHeaders) -> HeaderList:
    """Return headers as the engine takes them. Pairs of bytes are returned unchanged; the engine checks their
    content."""
    if isinstance(headers, (list, tuple)):
        for pair in headers:
            if type(pair[0]) is not bytes:
                return header_list(headers)
        return headers
    return header_list(headers)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
