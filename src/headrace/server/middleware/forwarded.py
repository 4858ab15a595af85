"""A request's real client behind proxies: `Forwarded` (RFC 7239) or `X-Forwarded-*`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Literal

from headrace.server.errors import HTTPError
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse
from headrace.server.routing.route import Next

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Hop = tuple[IPAddress, int | None]

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# RFC 7239 §4, read from the end of the last member; quoted text may contain commas and semicolons.
_PAIR = re.compile(rf'[ \t]*({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*")[ \t]*(;|,|\Z)|[ \t]*(;|,|\Z)')
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]{1,5})?")


class Forwarded:
    """Takes a request's client, scheme and host from trusted proxies, and from nobody else.

    `trusted` are the proxies' addresses: networks such as `10.0.0.0/8`, single addresses, or `unix` for peers on a unix
    socket. The client is the rightmost untrusted address among those that a request has passed: everything to its left
    could have been written by anybody. The middleware sets `request.client`, `request.scheme` and `request.authority`.
    Fields from an untrusted peer change nothing.

    `fields` says which fields the proxies write, because a proxy forwards the other kind as the client sent it:
    `x-forwarded` (`x-forwarded-for`, `-proto`, `-host`) or `forwarded`. A malformed `forwarded` is 400. Raises
    ValueError for an invalid network, and without any.
    """

    def __init__(
        self, trusted: Collection[str], *, fields: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    ) -> None:
        if isinstance(trusted, str) or not trusted:
            raise ValueError("Forwarded needs a list of trusted networks")
        if fields not in ("x-forwarded", "forwarded"):
            raise ValueError(f"the fields of Forwarded must be x-forwarded or forwarded, not {fields!r}")
        self._trusts_unix = "unix" in trusted
        try:
            self._networks = [ipaddress.ip_network(each) for each in trusted if each != "unix"]
        except ValueError as error:
            raise ValueError(f"a trusted proxy of Forwarded must be a network, an address or unix: {error}") from None
        self._takes = _read_forwarded if fields == "forwarded" else _read_x_forwarded

    def trusts(self, address: IPAddress) -> bool:
        """Return whether this is one of the proxies."""
        return any(address in network for network in self._networks)

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        """Set the client, the scheme and the host."""
        peer = request.connection.peer
        if self._trusts_unix if peer is None else self._trusts_text(peer[0]):
            self._apply(request, self._takes(request))
        return await following(request)

    def _trusts_text(self, text: str) -> bool:
        hop = _hop(text)
        return hop is not None and self.trusts(hop[0])

    def _apply(self, request: Request, members: list[dict[str, str]]) -> None:
        """Walk from our own end to the client. Each hop describes the hop before it."""
        for member in reversed(members):
            scheme = member.get("proto", "").lower()
            if scheme in ("http", "https"):
                request.scheme = scheme
            host = member.get("host", "")
            if _HOST.fullmatch(host):
                request.authority = host
            hop = _hop(member.get("for", ""))
            if hop is None:
                # Unknown, hidden, or not an address (RFC 7239 §6): the nearest known one stays the client.
                return
            request.client = (str(hop[0]), hop[1])
            if not self.trusts(hop[0]):
                return


def _read_x_forwarded(request: Request) -> list[dict[str, str]]:
    """Return the three fields as members: `for` is a list, one per hop; proto and host are usually single, of the last
    hop."""
    hops = [{"for": each} for each in _split(request.header("x-forwarded-for"))] or [{}]
    for name in ("proto", "host"):
        values = _split(request.header(f"x-forwarded-{name}"))
        if len(values) == len(hops):
            for hop, value in zip(hops, values, strict=True):
                hop[name] = value
        elif values:
            # Not one per hop, so only the last was surely written by the trusted proxy.
            hops[-1][name] = values[-1]
    return hops


def _split(value: str | None) -> list[str]:
    return [each.strip(" \t") for each in value.split(",")] if value else []


def _read_forwarded(request: Request) -> list[dict[str, str]]:
    value = request.header("forwarded")
    if value is None:
        return []
    members: list[dict[str, str]] = [{}]
    position = 0
    while position < len(value):
        match = _PAIR.match(value, position)
        if match is None or (match[1] and match[1].lower() in members[-1]):
            raise HTTPError(400, "Bad Request")
        if match[1]:
            text = match[2]
            members[-1][match[1].lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
        if (match[3] or match[4]) == "," and members[-1]:
            members.append({})
        position = match.end()
    return [each for each in members if each]


def _hop(text: str) -> Hop | None:
    """Return an address that may have a port and brackets; None for anything else."""
    match = _NODE.fullmatch(text)
    host = (match[1] or match[2]) if match is not None else text
    port = int(match[3]) if match is not None and match[3] else None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address, port if port is None or port <= 65_535 else None
