"""Decides whether a connection made for one origin may carry requests for another (RFC 9113 §9.1.1, RFC 8336).

Three must agree: an address of the other host with the address that we are connected to; the certificate with the other
host's name; and the ORIGIN frame, when the server has sent one. The address is checked also where an ORIGIN frame would
make that optional (RFC 8336 §2.4): a stolen certificate alone then attracts no requests to the thief.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client.connect.addresses import SocketAddress
    from headrace.client.connection.driver import ClientDriver
    from headrace.client.interface import Origin


def may_share(driver: ClientDriver, made_for: Origin, other: Origin, addresses: Sequence[SocketAddress]) -> bool:
    """Return True when requests for `other`, whose addresses are `addresses`, may use `driver`, which was made for
    `made_for`."""
    if driver.http_version != "2" or not driver.is_usable or made_for.scheme != "https" or other.scheme != "https":
        return False
    transport = driver.transport
    if transport is None:
        return False
    peer = transport.get_extra_info("peername")
    if not any(address.sockaddr[:2] == peer[:2] for address in addresses):
        return False
    return covers(transport.get_extra_info("ssl_object"), other.host) and is_announced(driver.announced_origins, other)


def is_announced(origins: Collection[bytes] | None, other: Origin) -> bool:
    """Return True when a connection's Origin Set has `other` in it, beside the origin that the connection was made for.

    None means that no ORIGIN frame has arrived: then nothing is forbidden. A frame without entries leaves the
    connection to its own origin alone (RFC 8336 §2.3, §2.4).
    """
    if origins is None:
        return True
    text = str(other).encode("ascii")
    return text in origins or text.removesuffix(b":443") in origins


def covers(ssl_object: ssl.SSLObject | None, host: str) -> bool:
    """Return True when the verified certificate of this connection is for `host`, too. Return False when it was not
    verified."""
    if ssl_object is None:
        return False
    context = ssl_object.context
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        return False
    certificate = ssl_object.getpeercert()
    return certificate is not None and is_named(certificate, host)


def is_named(certificate: dict[str, Any], host: str) -> bool:
    """Return True when `host` is a name of the certificate (RFC 9525 §6.3): a wildcard stands for one whole first
    label."""
    names = certificate.get("subjectAltName", ())
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return any(kind == "IP Address" and _is_same_address(value, address) for kind, value in names)
    host = host.lower().removesuffix(".")
    rest = host.partition(".")[2]
    for kind, value in names:
        if kind == "DNS":
            name = value.lower().removesuffix(".")
            if name == host or (name.startswith("*.") and rest.count(".") and name[2:] == rest):
                return True
    return False


def _is_same_address(text: str, address: Any) -> bool:
    try:
        return bool(ipaddress.ip_address(text.strip()) == address)
    except ValueError:
        return False
