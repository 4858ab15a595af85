"""The memory of heads that were written: by their fields, and by everything else that a head depends on.

All four writers of heads have one: requests and responses, in HTTP/1.1 and HTTP/2. It never holds an object that a
caller can still change (see `fixed_fields`), and forgets everything when a setting changes that all heads depend on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar, final

from headrace.engine.fixed_fields import LastFields

H = TypeVar("H")

ALWAYS: Final = 0
"""The generation of heads that only a setting makes invalid."""


@final
class HeadCache(Generic[H]):
    """Remembers at most `most` heads. One more, and it forgets all, which bounds its memory at no cost a head."""

    def __init__(self, most: int) -> None:
        self.drops: bool = False
        """True: connection-specific fields are left out; False: they are refused."""
        self.default_fields: tuple[tuple[bytes, bytes], ...] = ()
        """Fields that every final response gets unless the application names them."""
        self._most = most
        self.count: int = 0
        """Heads that are remembered, their variants included."""
        self._generation: int = ALWAYS
        self._known: dict[object, dict[object, H]] = {}
        self._last: H | None = None
        self._last_fields = LastFields()

    def set_drops(self, drops: bool) -> None:
        """Set `drops`, and forget the heads that were written under the other rule."""
        self.drops = drops
        self._forget()

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set `default_fields`, and forget the heads that were written with others."""
        self.default_fields = default_fields
        self._forget()

    def _forget(self) -> None:
        self._known = {}
        self.count = 0
        self._last = None

    def last(self, headers: Sequence[object]) -> H | None:
        """Return the head that was kept last, if it has these fields. Compare everything else before the call."""
        return self._last if self._last is not None and self._last_fields.equal(headers) else None

    def fixed(self, headers: Sequence[object], generation: int) -> tuple[object, ...]:
        """Return the fields as `find` and `keep` need them, and make room for one more head.

        Heads of another `generation` will never be valid again, and are forgotten. Raises InvalidFieldError for what is
        not a pair of bytes.
        """
        if self.count >= self._most or generation != self._generation:
            self._forget()
            self._generation = generation
        return self._last_fields.fixed(headers)

    def find(self, fields: tuple[object, ...], rest: object) -> H | None:
        """Return the head that was kept for these fields and for `rest`: everything else that it depends on."""
        found = self._known.get(rest)
        return found.get(fields) if found is not None else None

    def add(self, fields: tuple[object, ...], rest: object, head: H) -> None:
        """Remember a head."""
        found = self._known.get(rest)
        if found is None:
            found = self._known[rest] = {}
        found[fields] = head
        self.count += 1

    def count_variant(self) -> None:
        """Count a variant that is remembered in a head, such as one with another content-length."""
        self.count += 1

    def keep(self, head: H, fields: tuple[object, ...]) -> None:
        """Keep the head for `last`."""
        self._last = head
        self._last_fields.keep(fields)
