"""Socket addresses in the form that applications and people get them."""

from __future__ import annotations


def address_pair(name: object) -> tuple[str, int] | None:
    """Host and port of a TCP socket's name; None for a unix socket, or when there is no name."""
    if isinstance(name, tuple) and len(name) >= 2 and isinstance(name[1], int):
        return str(name[0]), name[1]
    return None


def peer_text(pair: tuple[str, int] | None) -> str:
    """A peer for a log: `192.0.2.1:5000`, `[2001:db8::1]:5000`, or `unix` for one without an address."""
    if pair is None:
        return "unix"
    host, port = pair
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
