"""The types of HPACK: a field line, a decoded field section, and the one exception of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_extensions import i64

FIELD_OVERHEAD: Final = 32  # RFC 7541 §4.1: what an entry costs beyond its bytes


class Field:
    """One field line: name and value as bytes, decoded, never validated here (RFC 9113 §8.2 is the owner's).

    The fields of the static table exist once in a process and those of a dynamic table once in a connection: every
    section that refers to an entry holds the same object. The owner may therefore keep its knowledge about a field in
    `kind`, which starts at -1 and which HPACK never reads.

    `pair` is the two-tuple `(name, value)`, made once and shared. (It is declared with a variable length because
    mypyc would unpack a `tuple[bytes, bytes]` attribute, and then build a new tuple at every access.)
    `size` is the size by RFC 7541 §4.1: both lengths plus 32.
    """

    __slots__ = ("kind", "name", "pair", "size", "value")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name: bytes = name
        self.value: bytes = value
        self.pair: tuple[bytes, ...] = (name, value)
        self.size: i64 = len(name) + len(value) + FIELD_OVERHEAD
        self.kind: i64 = -1

    def __repr__(self) -> str:
        return f"Field({self.name!r}, {self.value!r})"


class FieldSection:
    """A decoded field section, in the order of its fields (RFC 7541 §2.1).

    `size` and `count` are of the whole section. When a limit of the decoder was passed, `truncated` is True and
    `fields` holds only the fields before it; the rest was decoded for the dynamic table and dropped. The same object
    may come back for a later block: treat `fields` as read-only. `memo` is for values that the owner derives from the
    section, so that it need not examine a repeated section again. `never_indexed` has the names of fields that came as
    never-indexed literals, None when there are none: a proxy forwards them as such (RFC 7541 §6.2.3).
    """

    __slots__ = ("count", "fields", "memo", "never_indexed", "size", "truncated")

    def __init__(self, fields: list[Field], size: i64, count: i64, truncated: bool) -> None:
        self.fields: list[Field] = fields
        self.size: i64 = size
        self.count: i64 = count
        self.truncated: bool = truncated
        self.memo: object | None = None
        self.never_indexed: frozenset[bytes] | None = None

    def __repr__(self) -> str:
        return f"FieldSection({self.fields!r}, size={self.size}, count={self.count}, truncated={self.truncated})"


class HPACKError(Exception):
    """The peer's field block cannot be decoded: `reason` in plain words, `section` the rule it breaks.

    The two ends no longer agree on the dynamic table, so the connection has to end: COMPRESSION_ERROR (RFC 9113 §4.3).
    """

    def __init__(self, reason: str, section: str) -> None:
        super().__init__(reason, section)
        self.reason = reason
        self.section = section

    def __str__(self) -> str:
        return f"{self.reason} ({self.section})"


class HPACKBombError(HPACKError):
    """The block decodes to more than four times a limit, and than its own bytes: an attack, decoded no further.

    The owner answers with ENHANCE_YOUR_CALM. The dynamic table is not usable afterwards.
    """
