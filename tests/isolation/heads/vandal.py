"""What the tests of ownership share: a picture of everything that can be reached, and a hand that breaks all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, MutableMapping, MutableSequence, MutableSet
from typing import Any

MARK = (b"x-vandal", b"was here")
_ATOMS = (str, bytes, int, float, bool, type(None))


def picture(value: Any, leave_out: frozenset[Any] = frozenset(), _depth: int = 0) -> Any:
    """What can be seen in a value, as plain objects that stay as they are; other objects by their type only."""
    assert _depth < 12, "a value that has no end"
    if isinstance(value, _ATOMS):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Mapping):
        return {key: picture(each, leave_out, _depth + 1) for key, each in value.items() if key not in leave_out}
    if isinstance(value, list | tuple | set | frozenset):
        return [picture(each, leave_out, _depth + 1) for each in value]
    return type(value).__name__


def vandalize(value: Any, leave_alone: frozenset[Any] = frozenset(), _seen: set[int] | None = None) -> int:
    """Change all that can be changed in a value, from the inside out. Returns how many containers took a change."""
    seen = set() if _seen is None else _seen
    if isinstance(value, _ATOMS) or id(value) in seen:
        return 0
    seen.add(id(value))
    count = 0
    if isinstance(value, Mapping):
        for key, each in list(value.items()):
            if key not in leave_alone:
                count += vandalize(each, leave_alone, seen)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in list(value):
            count += vandalize(each, leave_alone, seen)
    # Who cannot be changed says so in one of these ways.
    with contextlib.suppress(TypeError, AttributeError, ValueError, KeyError):
        if isinstance(value, MutableMapping):
            value[MARK[0]] = MARK[1]
            for key in list(value):
                if key not in leave_alone and isinstance(value[key], _ATOMS):
                    value[key] = MARK[1]
            count += 1
        elif isinstance(value, bytearray):
            value[:] = b"vandal"
            count += 1
        elif isinstance(value, MutableSequence):
            value[:0] = [MARK]
            value.append(MARK)
            del value[1:2]
            count += 1
        elif isinstance(value, MutableSet):
            value.add(MARK)
            count += 1
    return count
