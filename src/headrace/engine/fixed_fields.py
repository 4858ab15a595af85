"""Fields that nobody can change any more: what the memories of heads compare with, and are keyed by.

An application may hand over a list, lists in a list, or objects of its own, and change them later. A memory that kept
those, or compared by their identity, would answer with the fields of somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

from headrace.engine.errors import InvalidFieldError

_NONE: Final[tuple[Any, ...]] = ()


def fixed_fields(headers: Sequence[Any]) -> tuple[Any, ...]:
    """Return the fields as a tuple of pairs (name, value) of bytes that nobody can change.

    That is a copy, unless `headers` is a tuple of tuples of bytes, and nothing that is derived from those. Raises
    InvalidFieldError for what is not a pair of bytes.
    """
    fields = tuple(headers)  # the same object, if it is a tuple and nothing that is derived from it
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
    # Through a view, as a class derived from bytes may have methods of its own.
    return (bytes(memoryview(name)), bytes(memoryview(value)))


def same_fields(fields: list[Any], headers: object) -> bool:
    """Tell whether `headers` is a list of the same pairs as `fields`, which are tuples.

    Lists in a list are not, as they can change, and nothing of a derived class is, as that may say of its equality what
    it likes.
    """
    if type(headers) is not list:
        return False
    theirs: list[Any] = headers
    if len(theirs) != len(fields):
        return False
    for own, pair in zip(fields, theirs):  # noqa: B905  # compiled, indexes and `strict` cost calls
        if own is not pair:  # constants of an application mostly are
            if type(pair) is not tuple or len(pair) != 2 or type(pair[0]) is not bytes or type(pair[1]) is not bytes:
                return False
            if own != pair:
                return False
    return True


@final
class LastFields:
    """The fields of the head before: equal ones are recognised without a hash of all their bytes (90 ns)."""

    def __init__(self) -> None:
        self._fields: tuple[Any, ...] = _NONE
        self._list: list[Any] = []

    def keep(self, fields: tuple[Any, ...]) -> None:
        """Take fields as `fixed_fields` or `fixed` gave them."""
        if fields is not self._fields:
            self._fields = fields
            self._list = list(fields)

    def equal(self, headers: object) -> bool:
        """Tell whether these are the same fields: the very tuple, as a handler's constant is, or a list of the same."""
        return headers is self._fields or same_fields(self._list, headers)

    def fixed(self, headers: Sequence[Any]) -> tuple[Any, ...]:
        """Return what `fixed_fields` does, without a look at each pair where they are equal to the fields before."""
        if headers is self._fields or same_fields(self._list, headers):
            return self._fields
        return fixed_fields(headers)
