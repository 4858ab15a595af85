"""The target of a request, for a proxy whose routes and upstream may read it in different ways."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_DOTS: Final = re.compile(rb"(?:\A|[/\\])\.\.?(?=[/\\;]|\Z)")  # a segment of one or two dots
_READINGS: Final = 3  # as it is, decoded, and decoded twice, as careless upstreams do


def leaves_its_base(path: bytes) -> bool:
    """Return whether a path, without its query, has a segment that means this folder or its parent (RFC 3986 §5.2.4),
    in any of the forms that servers understand: `..`, `%2e%2e`, encoded twice, behind a backslash or an encoded slash
    (`..%2fadmin`, `..\\admin`), with a parameter (`..;a=b`).

    Clients remove such segments before they send a request. If a proxy forwards them, they lead a route's request to
    another place of the upstream: `/public/../admin`.
    """
    for _ in range(_READINGS):
        if _DOTS.search(path) is not None:
            return True
        if b"%" not in path:
            return False
        path = unquote_to_bytes(path)
    return False
