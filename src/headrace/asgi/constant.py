"""Immutable parts of a scope, shared by all requests of a connection or of the process.

ASGI says that they are dicts and lists, and applications look at them as such; a copy for each request would cost more
than all else in its scope. `dict(it)`, `list(it)`, `it.copy()` and `copy.copy(it)` are ordinary ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn


def _refuse(self: object, *_: Any, **__: Any) -> NoReturn:
    raise TypeError("this part of an ASGI scope is shared with other requests and cannot be changed; copy it first")


class ConstantDict(dict[str, Any]):
    """A dict that raises TypeError when it is changed. Its members must not change either."""

    __slots__ = ()

    if not TYPE_CHECKING:  # for a type checker it is any dict
        __setitem__ = __delitem__ = __ior__ = _refuse
        pop = popitem = clear = update = setdefault = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class ConstantList(list[Any]):
    """A list that raises TypeError when it is changed. Its members must not change either."""

    __slots__ = ()

    if not TYPE_CHECKING:  # for a type checker it is any list
        __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
        append = extend = insert = pop = remove = clear = sort = reverse = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)
