"""Header fields: a multi-dict whose names have no case (RFC 9110 §5)."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from functools import lru_cache
from typing import Any, Final, TypeAlias

from headrace.client.interface import Pairs
from headrace.engine.fields import is_field_name, is_field_value

SENSITIVE: Final = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"))


class Headers(MutableMapping[str, str]):
    """Header fields in order, with lower-case names; a name may occur several times.

    As a mapping, it has each name once, and the values of one name joined by ", " (RFC 9110 §5.3). `get_list`,
    `multi_items` and `raw` keep them apart. Text is sent as UTF-8. A received value is read as UTF-8, or as ISO-8859-1
    when it is not valid UTF-8. Spaces around a value are removed.

    Raises ValueError for a name that is not a token, and for a value with a control character such as CR, LF or NUL: a
    value can never become another field or another message.
    """

    __slots__ = ("_encoding", "_pairs")

    def __init__(self, headers: HeadersLike | None = None, encoding: str | None = None) -> None:
        """Copy the fields. `encoding` is used for all values instead of the rule above."""
        self._encoding = encoding
        if headers is None:
            self._pairs: Pairs = []
        elif isinstance(headers, Headers):
            self._pairs = headers._pairs
        else:
            self._pairs = [self._pair(name, value) for name, value in _items(headers)]

    @classmethod
    def received(cls, pairs: Pairs) -> Headers:
        """Return headers for fields that an engine has checked. Nobody else may change the list."""
        headers = cls.__new__(cls)
        headers._encoding = None
        headers._pairs = pairs
        return headers

    # Every change makes a new list. So copies share a list, and a caller that remembers the list sees whether it has
    # changed.

    def _pair(self, name: Any, value: Any) -> tuple[bytes, bytes]:
        if isinstance(value, bytes):
            data: bytes = value
        else:
            data = _text(value, "the value of the header", name).encode(self._encoding or "utf-8")
        data = data.strip(b" \t")
        if not is_field_value(data):
            # The message leaves the value out: it may be a password with a line break behind it.
            raise ValueError(f"the value of the header {name!r} has a control character (RFC 9110 §5.5)")
        return field_name(name), data

    def _text_of(self, value: bytes) -> str:
        if self._encoding is not None:
            return value.decode(self._encoding)
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")

    # -- reading -----------------------------------------------------------------------------------------------

    @property
    def raw(self) -> Pairs:
        """Return the fields as bytes, in order, with names in lower case. The list is a copy."""
        return self._pairs.copy()

    @property
    def encoding(self) -> str | None:
        """Return the encoding that was set for all values, or None for the rule of this class."""
        return self._encoding

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    def get_list(self, name: str, split_commas: bool = False) -> list[str]:
        """Return all values of a name, in order; with `split_commas`, the members of their lists."""
        key = name.lower().encode()
        values = [self._text_of(value) for each, value in self._pairs if each == key]
        if split_commas:
            values = [member.strip() for value in values for member in value.split(",")]
        return values

    def multi_items(self) -> list[tuple[str, str]]:
        """Return every field by itself, in order."""
        return [(name.decode("latin-1"), self._text_of(value)) for name, value in self._pairs]

    def _joined(self) -> dict[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.multi_items():
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return joined

    def keys(self) -> KeysView[str]:
        """Return the names, each once."""
        return self._joined().keys()

    def values(self) -> ValuesView[str]:
        """Return the values; those of one name are joined."""
        return self._joined().values()

    def items(self) -> ItemsView[str, str]:
        """Return names with their values; the values of one name are joined."""
        return self._joined().items()

    def __getitem__(self, name: str) -> str:
        key = name.lower().encode()
        found = [value for each, value in self._pairs if each == key]
        if not found:
            raise KeyError(name)
        return self._text_of(found[0] if len(found) == 1 else b", ".join(found))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, (str, bytes)):
            return False
        key = name.lower() if isinstance(name, bytes) else name.lower().encode()
        for each, _ in self._pairs:  # noqa: SIM110 - a generator costs more than this whole loop
            if each == key:
                return True
        return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        """Count the fields; a name that occurs twice counts twice."""
        return len(self._pairs)

    def __bool__(self) -> bool:
        return bool(self._pairs)

    # -- changing ----------------------------------------------------------------------------------------------

    def __setitem__(self, name: str, value: str) -> None:
        """Set one value of this name, at the position of its first."""
        pair = self._pair(name, value)
        kept: Pairs = []
        is_set = False
        for each in self._pairs:
            if each[0] != pair[0]:
                kept.append(each)
            elif not is_set:
                kept.append(pair)
                is_set = True
        if not is_set:
            kept.append(pair)
        self._pairs = kept

    def __delitem__(self, name: str) -> None:
        key = name.lower().encode()
        kept = [pair for pair in self._pairs if pair[0] != key]
        if len(kept) == len(self._pairs):
            raise KeyError(name)
        self._pairs = kept

    def add(self, name: str, value: str) -> None:
        """Add one more field of this name."""
        self._pairs = [*self._pairs, self._pair(name, value)]

    def update(self, headers: HeadersLike | None = None, /, **named: str) -> None:  # type: ignore[override] # not keys alone
        """Add fields. They replace those of the same name."""
        new = Headers(headers, self._encoding)._pairs
        if named:
            new = new + Headers(named, self._encoding)._pairs
        if new:
            replaced = {name for name, _ in new}
            self._pairs = [pair for pair in self._pairs if pair[0] not in replaced] + new

    def copy(self) -> Headers:
        """Return a copy."""
        return Headers(self, self._encoding)

    def __or__(self, other: Any) -> Headers:
        if not isinstance(other, Mapping):
            return NotImplemented
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: Any) -> Headers:
        if not isinstance(other, Mapping):
            return NotImplemented
        return Headers(other) | self

    def __ior__(self, other: HeadersLike) -> Headers:  # type: ignore[misc] # pairs too, as for a dict
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        """Return True when both have the same fields, in any order."""
        if not isinstance(other, Headers):
            try:
                other = Headers(other)  # type: ignore[arg-type] # the constructor checks it
            except (TypeError, ValueError):
                return False
        return sorted(self._pairs) == sorted(other._pairs)

    __hash__ = None  # type: ignore[assignment] # it is mutable

    def __repr__(self) -> str:
        shown = [(name, "[secure]" if name.encode() in SENSITIVE else value) for name, value in self.multi_items()]
        return f"Headers({dict(shown) if len(dict(shown)) == len(shown) else shown!r})"


HeadersLike: TypeAlias = (
    Headers | Mapping[str, str | bytes] | Mapping[bytes, str | bytes] | Iterable[tuple[str | bytes, str | bytes]]
)
"""Header fields: a mapping or pairs, of text or bytes."""


@lru_cache(1024)
def field_name(name: str | bytes) -> bytes:
    """Return a field's name as it is sent. Raises ValueError for a name that is not a token, TypeError for an object
    that is not text or bytes."""
    data = name if isinstance(name, bytes) else _text(name, "the name of a header", "").encode()
    data = data.lower()
    if not is_field_name(data):
        raise ValueError(f"{name!r} is not a valid name of a header (RFC 9110 §5.1)")
    return data


def _items(headers: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(headers, (str, bytes)):
        raise TypeError("headers are a mapping or pairs, not text")
    if isinstance(headers, Mapping):
        return headers.items()
    pairs: Iterable[tuple[Any, Any]] = iter(headers)
    return pairs


def _text(value: Any, what: str, name: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} {name}".rstrip() + f" is text or bytes, not {type(value).__name__}")
    return value
