"""Content from an iterator that is no generator: it has no `aclose`."""

from __future__ import annotations


class TwoPieces:
    """Gives b"x" twice."""

    def __init__(self) -> None:
        self._left = 2

    def __aiter__(self) -> TwoPieces:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return b"x"
