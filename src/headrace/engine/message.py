"""The rules of a message's framing that HTTP/1.1 and HTTP/2 share: content-length, responses without content (RFC
9110)."""

from __future__ import annotations

from typing import Final

# The progress of a response.
BEFORE: Final = 0  # nothing is known of it
HELD: Final = 1  # the headers are known, and wait for the first piece of content
STREAMING: Final = 2  # the headers are sent
TRAILERS: Final = 3  # the content is complete, trailers are announced
COMPLETE: Final = 4

MALFORMED: Final = -2
UNKNOWN: Final = -1

_DIGITS: Final = b"0123456789"


def parse_content_length(value: bytes) -> int:
    """Return the length in a content-length value, or `MALFORMED` (RFC 9110 §8.6: one or more digits, nothing else).

    More than 18 digits are refused as well: no body is that long, and the number always fits 64 bits.
    """
    if not value or len(value) > 18 or value.translate(None, _DIGITS):
        return MALFORMED
    return int(value)


def is_bodiless(status: int) -> bool:
    """Return whether a response with this status never has content: 1xx, 204 and 304 (RFC 9110 §6.4.1)."""
    return status < 200 or status == 204 or status == 304


def bytes_of(data: object) -> int:
    """Return the size of content to send. It may have to wait, so it must be immutable.

    Raises TypeError for objects other than bytes; a compiled engine does so at the call.
    """
    if not isinstance(data, bytes):
        raise TypeError(f"bytes object expected; got {type(data).__name__}")
    return len(data)
