"""Which authorities a server answers for (RFC 9110 §7.4): what is asked of another one was misdirected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from headrace.engine.fields import is_host

_WILDCARD: Final = b"*."


class ServerNames:
    """The names of one server: hosts such as `example.com` and `192.0.2.1`, or `*.example.com`, which stands for one
    label, as in a certificate (RFC 9525 §6.3). Raises ValueError for what is none of them."""

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
        """Tell whether a request for this authority, with a port or without, is for us. One that names none is."""
        host = _host(authority.lower())
        if not host or host in self._exact:
            return True
        label, _, rest = host.partition(b".")
        return len(label) > 0 and rest in self._above


def _host(authority: bytes) -> bytes:
    """The host of an authority, without its port, the brackets of IPv6 kept, and without a last dot."""
    if authority[:1] == b"[":
        return authority.partition(b"]")[0] + b"]"
    return authority.partition(b":")[0].removesuffix(b".")
