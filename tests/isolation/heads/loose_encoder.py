"""An HPACK encoder that leaves every choice of RFC 7541 to its caller: the same fields come in ever new bytes.

It shares nothing with headrace but `tests.support.wire`: so a decoder's memory of blocks is tried against a peer
whose table moves in ways that ours never would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.support import wire

_STATIC = {(b":method", b"GET"): 2, (b":method", b"POST"): 3, (b":path", b"/"): 4, (b":status", b"200"): 8}
_STATIC_NAMES = {b":authority": 1, b":path": 4, b"content-type": 31, b"set-cookie": 55, b"vary": 59}
_STATIC_COUNT = 61


class LooseEncoder:
    """One direction of a connection. `choose(n)` gives a number below n."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self._choose = choose
        self._entries: list[tuple[bytes, bytes]] = []  # the newest first
        self._limit = 4_096
        self._size = 4_096
        self._owed: int | None = None
        """The lowest limit since the last block, where it has to be announced."""

    def set_limit(self, limit: int) -> None:
        """The peer's SETTINGS_HEADER_TABLE_SIZE has come, and was acknowledged."""
        self._limit = limit
        if limit < self._size:
            self._owed = limit if self._owed is None else min(self._owed, limit)

    def encode(self, fields: Sequence[tuple[bytes, bytes]]) -> bytes:
        """One block."""
        out = self._updates()
        is_usual = (
            self._choose(4) > 0
        )  # as most encoders do: what is in the table by its index, all else into the table
        for pair in fields:
            out += self._field(pair, (lambda below: below and 1 % below) if is_usual else self._choose)
        return out

    def _updates(self) -> bytes:
        """What has to be said about the table's size, and now and then what need not be."""
        out = b""
        if self._owed is not None:
            out = self._resize(self._owed)
            self._owed = None
        if self._choose(20) == 0:
            out += self._resize(self._choose(self._limit + 1))
        return out

    def _resize(self, size: int) -> bytes:
        self._size = size
        self._evict(0)
        return wire.table_size(size)

    def _evict(self, room: int) -> None:
        while self._entries and sum(len(n) + len(v) + 32 for n, v in self._entries) + room > self._size:
            self._entries.pop()

    def _field(self, pair: tuple[bytes, bytes], choose: Callable[[int], int]) -> bytes:
        name, value = pair
        places = [_STATIC_COUNT + 1 + at for at, each in enumerate(self._entries) if each == pair]
        if pair in _STATIC:
            places.append(_STATIC[pair])
        if places and choose(4):
            return wire.indexed(places[choose(len(places))])
        names = [_STATIC_COUNT + 1 + at for at, each in enumerate(self._entries) if each[0] == name]
        if name in _STATIC_NAMES:
            names.append(_STATIC_NAMES[name])
        index = names[choose(len(names))] if names and choose(4) else 0
        kind = choose(4)
        bits, flags = ((6, 0x40), (6, 0x40), (4, 0x00), (4, 0x10))[kind]
        out = wire.integer(index, bits, flags)
        if not index:
            out += wire.string(name)
        out += wire.string(value)
        if kind < 2:
            size = len(name) + len(value) + 32
            self._evict(size)
            if size <= self._size:
                self._entries.insert(0, pair)
        return out
