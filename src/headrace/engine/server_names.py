"""The authorities that a server answers for (RFC 9110 §7.4): requests for others are misdirected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from headrace.engine.fields import is_host

_WILDCARD: Final = b"*."


class ServerNames:
    """The names of one server: hosts such as `example.com` and `192.0.2.1`, or `*.example.com`, which stands for one
    label, as in a certificate (RFC 9525 §6.3). Raises ValueError for other text."""

    def __init__(self, names: Iterable[str]) -> None:
        exact: set[bytes] = set()
        above: set[bytes] = set()
        for each in names:
            name = each.lower().encode("ascii", "replace")
            host = name[2:] if name.startswith(_WILDCARD) else name
            if not is_host(host) or _host(host) != host or b"*" in host:
                raise ValueError(f"{each!r} is not the name of a host, such as example.com, *.example.com or 192.0.2.1")
            if name.startswith(_WILDCARD):
                above.add(host)
            else:
                exact.add(host)
        self._exact = frozenset(exact)
        self._above = frozenset(above)

    def covers(self, authority: bytes) -> bool:
        """Return whether a request for this authority, with or without a port, is for us; True for an empty one."""
        host = _host(authority.lower())
        if not host or host in self._exact:
            return True
        label, _, rest = host.partition(b".")
        return len(label) > 0 and rest in self._above


def _host(authority: bytes) -> bytes:
    """Return the host of an authority, without its port and without a last dot; the brackets of IPv6 stay."""
    if authority[:1] == b"[":
        return authority.partition(b"]")[0] + b"]"
    return authority.partition(b":")[0].removesuffix(b".")
