"""The part of librt's BytesWriter that HPACK uses, for an interpreter without librt. Never used when compiled."""

from __future__ import annotations

from collections.abc import Callable


class BytesWriter:
    """Collects bytes: `append(int)`, `write(bytes)`, then `getvalue()`."""

    __slots__ = ("_bytes", "append", "write")

    def __init__(self) -> None:
        self._bytes = bytearray()
        # The bytearray's own methods, so that a call costs no Python frame.
        self.append: Callable[[int], None] = self._bytes.append
        self.write: Callable[[bytes], None] = self._bytes.extend

    def getvalue(self) -> bytes:
        return bytes(self._bytes)
