"""From a host's name to a connected socket: DNS by the event loop, and Happy Eyeballs (RFC 8305).

Attempts follow each other after a short delay, IPv6 and IPv4 in turn, without waiting for earlier ones to fail. The
first connection wins, and the others are closed. It is written here because uvloop's `create_connection` tries one
address after the other.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, Final, NamedTuple

from headrace.client.errors import ConnectError, DNSError

_FAMILIES: Final = (socket.AF_INET6, socket.AF_INET)


class SocketAddress(NamedTuple):
    """An address that a socket can connect to: the family, and the address in that family's form."""

    family: socket.AddressFamily
    sockaddr: Any

    @property
    def host(self) -> str:
        """Return the IP address as text."""
        return str(self.sockaddr[0])

    def __str__(self) -> str:
        if self.family not in _FAMILIES:
            return f"unix:{self.sockaddr}"
        return f"[{self.host}]:{self.sockaddr[1]}" if ":" in self.host else f"{self.host}:{self.sockaddr[1]}"


async def resolve(host: str, port: int) -> list[SocketAddress]:
    """Return the addresses of `host`, in the order to try them (RFC 8305 §4): in the system's order, with families in
    turn.

    An IP address is returned without a look-up. Raises DNSError.
    """
    literal = _literal(host, port)
    if literal is not None:
        return [literal]
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise DNSError(f"the host {host} cannot be found: {_lowered(error.strerror or str(error))}") from None
    except (UnicodeError, OSError) as error:
        raise DNSError(f"the host {host} cannot be looked up: {error}") from None
    found = [SocketAddress(info[0], info[4]) for info in infos if info[0] in _FAMILIES]
    if not found:
        raise DNSError(f"the host {host} has no address")
    return list(_in_turn(dict.fromkeys(found)))


def _literal(host: str, port: int) -> SocketAddress | None:
    for family in _FAMILIES:
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return SocketAddress(family, (host, port) if family == socket.AF_INET else (host, port, 0, 0))
    return None


def _in_turn(addresses: dict[SocketAddress, None]) -> Iterator[SocketAddress]:
    """Yield the addresses with families in turn, beginning with the family of the first one."""
    first = next(iter(addresses)).family
    same = [each for each in addresses if each.family == first]
    other = [each for each in addresses if each.family != first]
    return (each for each in chain.from_iterable(zip_longest(same, other)) if each is not None)


async def open_socket(
    addresses: Sequence[SocketAddress], delay_s: float, local_address: str | None = None
) -> socket.socket:
    """Return a non-blocking socket that is connected to the first of `addresses` that answers.

    The next address is tried `delay_s` seconds after the one before, or as soon as that has failed. Raises
    ConnectError, with the reasons of all attempts when they differ. When cancelled, it leaves nothing open.
    """
    if len(addresses) == 1:
        return await _open_one(addresses[0], local_address)
    left = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    errors: list[ConnectError] = []
    winner: socket.socket | None = None
    try:
        while left or running:
            if left:
                running.add(asyncio.create_task(_open_one(left.pop(), local_address)))
            done, _ = await asyncio.wait(
                running, timeout=delay_s if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                running.discard(task)
                error = task.exception()
                if isinstance(error, ConnectError):
                    errors.append(error)
                elif error is not None:
                    raise error
                elif winner is None:
                    winner = task.result()
                else:
                    task.result().close()
            if winner is not None:
                return winner
    finally:
        try:
            await _take_back(running)
        except BaseException:
            if winner is not None:
                winner.close()
            raise
    reasons = list(dict.fromkeys(error.message for error in errors))
    raise ConnectError("; ".join(reasons))


async def _take_back(tasks: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel the attempts that are no longer needed, and close the sockets that they have connected meanwhile."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


async def _open_one(address: SocketAddress, local_address: str | None) -> socket.socket:
    try:
        sock = socket.socket(address.family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConnectError(f"no connection to {address}: {_reason(error)}") from None
    try:
        sock.setblocking(False)
        if address.family in _FAMILIES:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if local_address is not None:
                sock.bind((local_address, 0))
        await asyncio.get_running_loop().sock_connect(sock, address.sockaddr)
    except OSError as error:
        sock.close()
        raise ConnectError(f"no connection to {address}: {_reason(error)}") from None
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: OSError) -> str:
    # Not strerror, where asyncio has a sentence of its own.
    return _lowered(os.strerror(error.errno) if error.errno else str(error))


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
