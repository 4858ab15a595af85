"""TLS records as they come from a peer: how many a turn of the event loop decrypts, and how many may be empty."""

from __future__ import annotations

import ssl
from typing import Final

RECORD: Final = 16_384  # bytes of content in a TLS record at most (RFC 8446 §5.1)
HEADER: Final = 5  # bytes of a record's header (RFC 8446 §5.1)
SLICE: Final = 16_384  # bytes given to OpenSSL at once, and in one loop turn as long as the handshake is under way
RECORDS_A_TURN: Final = 64  # decrypted before others have their turn: 1 MiB in whole ones, as little as 64 bytes else
RECORDS_WITHOUT_CONTENT: Final = 8  # the same once some came without content; OpenSSL takes some 16 us for a key update
_SOME_OVERHEAD: Final = 1_024  # bytes of those
_OVERHEAD: Final = 32  # bytes that go with one byte of content at most: a record's head, padding aside, and its tag
MOST_OVERHEAD: Final = 32_768  # bytes beyond that which a peer may send in all (RFC 8446 §4.6.3, §5.4)


class Records:
    """The incoming records of one connection, decrypted by `tls` from `incoming`."""

    __slots__ = ("_incoming", "_tls", "left", "overhead")

    def __init__(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO) -> None:
        self._tls = tls
        self._incoming = incoming
        self.overhead: int = 0
        """Bytes without content that the peer has sent beyond those that belong to its content: see MOST_OVERHEAD."""
        self.left: int = 0
        """Bytes to come of the record that has begun."""

    def end_of_turn(self, data: bytes) -> int:
        """Return where this turn ends in `data`: behind RECORDS_A_TURN records, or before an incomplete header."""
        at = self.left
        size = len(data)
        left = RECORDS_A_TURN if self.overhead < _SOME_OVERHEAD else RECORDS_WITHOUT_CONTENT
        if at:
            left -= 1
        while at + HEADER <= size and left:
            at += HEADER + (data[at + 3] << 8 | data[at + 4])
            left -= 1
        self.left = at - size if at > size else 0
        return min(at, size)

    def read(self, data: bytes, content: list[bytes]) -> bool:
        """Decrypt `data`, at most SLICE bytes, and append its content to `content`.

        Return True when the peer has announced that it sends no more. Raises ssl.SSLError.
        """
        incoming = self._incoming
        incoming.write(data)
        read = self._tls.read
        overhead = self.overhead + len(data)
        at_end = False
        try:
            while True:
                piece = read(RECORD)
                if not piece:
                    at_end = True
                    break
                content.append(piece)
                overhead -= _OVERHEAD * len(piece)
                if not incoming.pending:
                    break
        except ssl.SSLWantReadError:
            pass  # an incomplete record, or one without content
        self.overhead = overhead if overhead > 0 else 0
        return at_end

    def read_in_slices(self, data: bytes, content: list[bytes]) -> bool:
        """Do as `read` for data of any size: not all at once, so that OpenSSL keeps no large buffer a connection."""
        at_end = False
        for start in range(0, len(data), SLICE):
            at_end = at_end or self.read(data[start : start + SLICE], content)
        return at_end
