"""The PROXY protocol, versions 1 and 2: a load balancer names its client, before all other data.

The words and the layout are those of HAProxy's specification, "The PROXY protocol, versions 1 & 2" (2020-03-05). The
parser does no I/O; `ProxiedProtocol` puts it between a socket and the protocol that is to serve it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, cast

ProxiedAddress = tuple[str, int] | str
"""Host and port, or the path of a unix socket."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

V1_LIMIT: Final = 107  # bytes of a version 1 line at most, its CRLF counted (section 2.1)
V2_LIMIT: Final = 4_096  # bytes behind the fixed part of version 2: addresses, and TLVs as large as a certificate

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = 16
_NUMBER: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_IPV4: Final = re.compile(rb"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")
_IPV6: Final = re.compile(rb"[0-9a-fA-F:.]{2,39}")
_ADDRESS_SIZE: Final = {0: 0, 1: 12, 2: 36, 3: 216}  # by address family
_STREAM: Final = 1
_TLS: Final = 0x20  # the extension PP2_TYPE_SSL (section 2.2.6): a bit field, four bytes of a result, extensions in it
_TLS_SIZE: Final = 5
_CLIENT_TLS: Final = 0x01  # PP2_CLIENT_SSL in that bit field: the client speaks TLS to the load balancer
_TCP: Final = (b"TCP4", b"TCP6")
_VERSIONS: Final = {"v1": frozenset({1}), "v2": frozenset({2}), "on": frozenset({1, 2})}


class ProxyProtocolError(ValueError):
    """Raised for input that is not an accepted PROXY header. The connection must end (section 2)."""


class Proxied(NamedTuple):
    """A complete header."""

    source: ProxiedAddress | None
    """The client; None when the header does not say (LOCAL, UNKNOWN): then use the connection's own peer."""
    destination: ProxiedAddress | None
    """The address that the client connected to, likewise."""
    rest: bytes
    """Bytes after the header."""
    is_tls: bool = False
    """True when the client speaks TLS to the load balancer, and that says so; version 1 cannot."""


class ProxyHeader:
    """Parses the header at the beginning of a connection, in pieces of any size.

    `versions` is `v1`, `v2` or `on` for both: a sender's version must be one that is expected here.
    """

    def __init__(self, versions: str = "on") -> None:
        self._versions = _VERSIONS[versions]
        self._data = b""

    def feed(self, data: bytes) -> Proxied | None:
        """Take bytes, and return the header, or None while more are needed.

        Raises ProxyProtocolError at the first invalid byte.
        """
        self._data += data
        raw = self._data
        if 1 in self._versions and _begins(raw, _V1):
            return _parse_v1(raw)
        if 2 in self._versions and _begins(raw, _V2):
            return _parse_v2(raw)
        raise ProxyProtocolError("the connection does not begin with a PROXY header")


def _begins(data: bytes, signature: bytes) -> bool:
    """Return True when `data` is a beginning of `signature`, or begins with it."""
    return signature.startswith(data[: len(signature)])


def _parse_v1(data: bytes) -> Proxied | None:
    end = data.find(b"\r\n", 0, V1_LIMIT)
    if end < 0:
        if len(data) >= V1_LIMIT:
            raise ProxyProtocolError(f"the PROXY line is longer than {V1_LIMIT} bytes")
        return None
    line, rest = data[:end], data[end + 2 :]
    _, family, *words = line.split(b" ")
    if family == b"UNKNOWN":
        return Proxied(None, None, rest)  # the rest of the line is ignored (section 2.1)
    if family not in _TCP or len(words) != 4:
        raise ProxyProtocolError("the PROXY line is not 'PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT'")
    source, destination, source_port, destination_port = words
    is_ipv6 = family == b"TCP6"
    return Proxied(
        (_host(source, is_ipv6), _port(source_port)), (_host(destination, is_ipv6), _port(destination_port)), rest
    )


def _host(word: bytes, is_ipv6: bool) -> str:
    if (_IPV6 if is_ipv6 else _IPV4).fullmatch(word):
        text = word.decode("ascii")
        try:
            return str(ipaddress.IPv6Address(text) if is_ipv6 else ipaddress.IPv4Address(text))
        except ValueError:
            pass
    raise ProxyProtocolError(f"the PROXY line has no IPv{6 if is_ipv6 else 4} address where one must stand")


def _port(word: bytes) -> int:
    if not _NUMBER.fullmatch(word) or int(word) > 65_535:
        raise ProxyProtocolError("the PROXY line has a port that is not a number from 0 to 65535")
    return int(word)


def _parse_v2(data: bytes) -> Proxied | None:
    if len(data) > 12 and data[12] not in (0x20, 0x21):
        raise ProxyProtocolError("the PROXY header has an unknown version or command")
    if len(data) < _V2_FIXED:
        return None
    family, kind = data[13] >> 4, data[13] & 15
    length = int.from_bytes(data[14:16])
    if family not in _ADDRESS_SIZE or kind > 2:
        raise ProxyProtocolError("the PROXY header has an unknown address family or protocol")
    if length > V2_LIMIT:
        raise ProxyProtocolError(f"the PROXY header is longer than {V2_LIMIT} bytes")
    is_local = data[12] == 0x20
    is_known = bool(family and kind) and not is_local
    size = _ADDRESS_SIZE[family] if is_known else 0
    if is_known and kind != _STREAM:
        raise ProxyProtocolError("the PROXY header is of a datagram")
    if length < size:
        raise ProxyProtocolError("the PROXY header is too short for its addresses")
    end = _V2_FIXED + length
    if len(data) < end:
        return None
    content, rest = data[_V2_FIXED:end], data[end:]
    if not is_known:
        return Proxied(None, None, rest)  # the rest of it is skipped (section 2.2)
    is_tls = _read_extensions(content, size)
    if family == 3:
        return Proxied(_path(content[:108]), _path(content[108:216]), rest, is_tls)
    width = 4 if family == 1 else 16
    ports = content[2 * width : size]
    return Proxied(
        (str(ipaddress.ip_address(content[:width])), int.from_bytes(ports[:2])),
        (str(ipaddress.ip_address(content[width : 2 * width])), int.from_bytes(ports[2:])),
        rest,
        is_tls,
    )


def _path(field: bytes) -> str:
    return field.partition(b"\x00")[0].decode("utf-8", "surrogateescape")


def _read_extensions(content: bytes, position: int) -> bool:
    """Walk over the extensions (section 2.2.1), whose lengths must add up; return True when one says that the client
    speaks TLS."""
    is_tls = False
    while position < len(content):
        start = position
        position += 3
        if position <= len(content):
            size = int.from_bytes(content[position - 2 : position])
            if content[start] == _TLS:
                if size < _TLS_SIZE:
                    raise ProxyProtocolError("the extension of the PROXY header for TLS is too short")
                is_tls = is_tls or bool(content[position : position + 1] and content[position] & _CLIENT_TLS)
            position += size
    if position != len(content):
        raise ProxyProtocolError("the extensions of the PROXY header do not end where it does")
    return is_tls


# -- at the listener -------------------------------------------------------------------------------------------


class ProxiedProtocol(asyncio.Protocol):
    """Give this to the event loop as a connection's protocol: it reads the header, then the protocol that `make`
    returns takes over.

    That protocol gets a transport with the `peername` and `sockname` of the header, and `proxied_tls`, which is True
    when the client speaks TLS to the load balancer. `make` is not called when the peer is in none of the `trusted`
    networks, sends something else or nothing within `timeout_s`, or disconnects. Peers on a unix socket are trusted:
    the file system decides which processes may connect.
    """

    def __init__(
        self,
        make: Callable[[], asyncio.Protocol],
        versions: str,
        trusted: Iterable[Network],
        *,
        timeout_s: float = 10.0,
        on_end: Callable[[ProxiedProtocol, str | None], None],
    ) -> None:
        """`on_end` is called once: with None right before `make`, or with a sentence that names the failure."""
        self._make = make
        self._header = ProxyHeader(versions)
        self._trusted = tuple(trusted)
        self._transport: asyncio.Transport | None = None
        self._on_end: Callable[[ProxiedProtocol, str | None], None] | None = on_end
        self._timer = asyncio.get_running_loop().call_later(timeout_s, self._on_timeout)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not one by descent
        if self._on_end is None:
            self._transport.abort()
        elif not self._is_trusted(transport.get_extra_info("peername")):
            self.break_off("its peer is not one of proxy_protocol_from")

    def data_received(self, data: bytes) -> None:
        if self._on_end is None or self._transport is None:
            return
        try:
            proxied = self._header.feed(data)
        except ProxyProtocolError as error:
            self.break_off(str(error))
            return
        if proxied is not None:
            transport = self._transport
            self._report(None)
            protocol = self._make()
            transport.set_protocol(protocol)
            protocol.connection_made(_proxied_transport(transport, proxied))
            if proxied.rest:
                protocol.data_received(proxied.rest)

    def connection_lost(self, exc: Exception | None) -> None:
        self._report("the peer went away before its PROXY header was whole")

    def break_off(self, reason: str) -> None:
        """End a connection whose header is not complete; a served connection continues."""
        if self._on_end is not None:
            if self._transport is not None:
                self._transport.abort()
            self._report(reason)

    def _on_timeout(self) -> None:
        self.break_off("no PROXY header came in time (limit tls_handshake_timeout_s)")

    def _is_trusted(self, name: Any) -> bool:
        if not isinstance(name, tuple):
            return True
        try:
            address = ipaddress.ip_address(str(name[0]).partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)

    def _report(self, failure: str | None) -> None:
        self._timer.cancel()
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self, failure)


class _Renamed:
    """A transport with the addresses of the PROXY header; everything else is the socket's own."""

    def __init__(self, transport: asyncio.Transport, proxied: Proxied) -> None:
        self._extra = {
            "peername": proxied.source,
            "sockname": proxied.destination,
            "proxied_tls": proxied.is_tls,
        }
        self._below = transport
        for name in _METHODS:  # the methods themselves: later calls cost nothing extra
            setattr(self, name, getattr(transport, name))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the addresses of the header; everything else, and missing addresses, from the socket."""
        found = self._extra.get(name)
        return self._below.get_extra_info(name, default) if found is None else found


class _RenamedTransport(_Renamed, asyncio.Transport):
    """The same for asyncio's own transports, which callers distinguish from uvloop's by their base class."""


_METHODS: Final = (
    "abort",
    "can_write_eof",
    "close",
    "get_protocol",
    "get_write_buffer_size",
    "is_closing",
    "is_reading",
    "pause_reading",
    "resume_reading",
    "set_protocol",
    "set_write_buffer_limits",
    "write",
    "write_eof",
    "writelines",
)


def _proxied_transport(transport: asyncio.Transport, proxied: Proxied) -> asyncio.Transport:
    if proxied.source is None:
        return transport
    kind = _RenamedTransport if isinstance(transport, asyncio.Transport) else _Renamed
    return cast("asyncio.Transport", kind(transport, proxied))
