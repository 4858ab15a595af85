"""The host of a URL: a name, an IPv4 or an IPv6 address (RFC 3986 §3.2.2, RFC 5891, RFC 6874)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from headrace.client.errors import InvalidURL

_NAME: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=]+")
_DOTTED: Final = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_NUMBER_AT_END: Final = re.compile(r"(?:\A|\.)(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?\Z")
_ZONE: Final = re.compile(r"[A-Za-z0-9\-._~]+")


def encode_host(host: str) -> str:
    """Return a host in normal form: lower case, IDNA; an IPv6 address is compressed and has no brackets, with `%zone`
    behind it.

    Raises InvalidURL for text that is not a host, and for numbers that only some resolvers read as an IPv4 address,
    such as 127.1 or 0x7f000001: a filter that checks the name would not see where it leads.
    """
    if not host:
        return ""
    if host.startswith("["):
        return _encode_ipv6(host)
    if "%" in host:
        host = unquote(host)
    if not host.isascii():
        host = _encode_idna(host)
    if not _NAME.fullmatch(host):
        raise InvalidURL(f"{host[:100]!r} is not a valid host: it has a character that no name may have")
    host = host.lower()
    if _NUMBER_AT_END.search(host):
        _check_ipv4(host)
    return host


def _encode_idna(host: str) -> str:
    import idna  # imported only where it is needed: its tables take time to load

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidURL(f"{host[:100]!r} is not a valid host: {error}") from None


def _check_ipv4(host: str) -> None:
    from ipaddress import AddressValueError, IPv4Address

    if not _DOTTED.fullmatch(host):
        raise InvalidURL(f"{host[:100]!r} is not a valid host: it ends in a number, and is not an IPv4 address")
    try:
        IPv4Address(host)
    except AddressValueError:
        raise InvalidURL(f"{host[:100]!r} is not an IPv4 address: four numbers up to 255, no leading zeros") from None


def _encode_ipv6(host: str) -> str:
    from ipaddress import AddressValueError, IPv6Address

    if not host.endswith("]"):
        raise InvalidURL(f"{host[:100]!r} is not a valid host: its bracket is not closed")
    address, percent, zone = host[1:-1].partition("%")
    zone = zone.removeprefix("25")  # RFC 6874 §2 writes the percent sign as %25; most people do not
    if percent and not _ZONE.fullmatch(zone):
        raise InvalidURL(f"{host[:100]!r} is not a valid host: {zone[:50]!r} is not a valid zone")
    try:
        found = IPv6Address(address)
        # Python 3.13 writes these addresses with dots; other versions and browsers do not
        if found.ipv4_mapped is not None:
            number = int(found.ipv4_mapped)
            return f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}{percent}{zone}"
        return found.compressed + percent + zone
    except AddressValueError as error:
        raise InvalidURL(f"{host[:100]!r} is not a valid IPv6 address: {error}") from None


def unicode_host(host: str) -> str:
    """Return a host in normal form as people read it, in Unicode."""
    if "xn--" not in host:
        return host
    import idna

    try:
        return idna.decode(host)
    except (idna.IDNAError, UnicodeError):
        return host
