"""Immutable fields: the memories of heads compare with them, and are keyed by them.

An application may pass a list, lists in a list, or objects of its own, and change them later. A memory that kept those,
or compared their identity, would answer with another user's fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from headrace.engine.errors import InvalidFieldError

_NONE: Final[tuple[Any, ...]] = ()


def fixed_fields(headers: Sequence[Any]) -> tuple[Any, ...]:
    """Return the fields as a tuple of pairs (name, value) of bytes, all of it immutable.

    That is a copy, unless `headers` is a tuple of tuples of bytes, of exactly these types. Raises InvalidFieldError for
    members that are not pairs of bytes.
    """
    fields = tuple(headers)  # the same object, if it is exactly a tuple
    for pair in fields:
        if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not bytes or type(pair[1]) is not bytes:
            return tuple([_fixed_pair(each) for each in fields])
    return fields


def _fixed_pair(pair: Any) -> tuple[Any, ...]:
    if len(pair) != 2:
        raise InvalidFieldError(f"a header is a pair of name and value, not {pair!r}")
    name: object = pair[0]
    value: object = pair[1]
    if not isinstance(name, bytes) or not isinstance(value, bytes):
        raise InvalidFieldError(f"header {name!r}: {value!r} must be bytes")
    # Through a view, because a class derived from bytes may have methods of its own.
    return (bytes(memoryview(name)), bytes(memoryview(value)))


def same_fields(fields: list[Any], headers: object) -> bool:
    """Return whether `headers` is a list of the same pairs as `fields`, which are tuples.

    Lists in a list do not count, because they can change; nor do derived classes, because their equality may say
    anything.
    """
    if type(headers) is not list:
        return False
    theirs: list[Any] = headers
    if len(theirs) != len(fields):
        return False
    for own, pair in zip(fields, theirs):  # noqa: B905  # compiled, indexes and `strict` cost calls
        if own is not pair:  # constants of an application usually are
            if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not bytes or type(pair[1]) is not bytes:
                return False
            if own != pair:
                return False
    return True


@final
class LastFields:
    """The fields of the last head: equal ones are recognised without a hash of all their bytes (90 ns)."""

    def __init__(self) -> None:
        self._fields: tuple[Any, ...] = _NONE
        self._list: list[Any] = []

    def keep(self, fields: tuple[Any, ...]) -> None:
        """Set the fields, as `fixed_fields` or `fixed` returned them."""
        if fields is not self._fields:
            self._fields = fields
            self._list = list(fields)

    def equal(self, headers: object) -> bool:
        """Return whether these are the same fields: the very tuple, such as a handler's constant, or a list of the same
        pairs."""
        return headers is self._fields or same_fields(self._list, headers)

    def fixed(self, headers: Sequence[Any]) -> tuple[Any, ...]:
        """Return the result of `fixed_fields`, without a check of each pair if they equal the last fields."""
        if headers is self._fields or same_fields(self._list, headers):
            return self._fields
        return fixed_fields(headers)
