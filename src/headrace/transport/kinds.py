"""Names an object for an error, with its side: the server and the client both have a request and a response."""

from __future__ import annotations

from typing import Final

_SIDES: Final = {"headrace.server": "the server's ", "headrace.client": "the client's "}


def kind_of(value: object) -> str:
    """Return what `value` is: "the client's ClientResponse", "the server's Request", or the name of its type."""
    kind = type(value)
    for each in kind.__mro__:
        side = _SIDES.get(".".join(each.__module__.split(".")[:2]))
        if side is not None:
            return side + kind.__name__
    return kind.__name__
