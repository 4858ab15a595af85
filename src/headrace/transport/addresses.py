"""Socket addresses for applications and for logs."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


def address_pair(name: object) -> tuple[str, int] | None:
    """Return host and port of a TCP socket's name; None for a unix socket, or when there is no name."""
    if isinstance(name, tuple) and len(name) >= 2 and isinstance(name[1], int):
        return str(name[0]), name[1]
    return None


def peer_text(pair: tuple[str, int] | None) -> str:
    """Return a peer as text for a log: `192.0.2.1:5000`, `[2001:db8::1]:5000`, or `unix` for one without an address."""
    if pair is None:
        return "unix"
    host, port = pair
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(1024)
def client_network(host: str) -> str:
    """Return the key of a client by its address: an IPv4 address itself, also one within IPv6, and the /64 network of
    an IPv6 address, because one customer has all of it. Text that is not an address is its own key."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


def client_key(host: str | None, connection: Hashable) -> Hashable:
    """Return the key of the client at `host`, see `client_network`. Without a host, as on a unix socket, that is
    `connection`: there, each connection is a client."""
    if host is None:
        return connection
    return client_network(host) if ":" in host else host
