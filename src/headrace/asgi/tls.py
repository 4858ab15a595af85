"""ASGI's TLS extension, version 0.2: `scope["extensions"]["tls"]` describes the connection.

It is the same for all requests of a connection, so it is made once, and for TLS connections only: the extension must
not be there otherwise.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any, Final

from headrace.asgi.constant import ConstantDict, ConstantList

_VERSIONS: Final = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----\r?\n.+?-----END CERTIFICATE-----\r?\n?", re.DOTALL)

# RFC 4514 §3; the names that OpenSSL uses for other types are left as they are.
_TYPES: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_SPECIAL: Final = re.compile(r'[",+;<>\\]|\A[ #]| \Z')


def tls_extension(tls: ssl.SSLObject | ssl.SSLSocket, server_cert: str | None = None) -> dict[str, Any]:
    """Return the content of the extension, for a connection after its handshake.

    `server_cert` is our own certificate as PEM, which Python's ssl does not give; None when it is not known. Python up
    to 3.12 gives only the first certificate of the client's chain.
    """
    suites = {each["name"]: each["id"] & 0xFFFF for each in tls.context.get_ciphers()}
    cipher = tls.cipher()
    subject = (tls.getpeercert() or {}).get("subject")
    return ConstantDict(
        server_cert=server_cert,
        client_cert_chain=ConstantList(_client_chain(tls)),
        client_cert_name=distinguished_name(subject) if subject else None,
        client_cert_error=None,  # a certificate that cannot be verified ends the handshake
        tls_version=_VERSIONS.get(tls.version() or ""),
        cipher_suite=suites.get(cipher[0]) if cipher is not None else None,
    )


def first_certificate(path: str | None) -> str | None:
    """Return the first certificate in a PEM file, which is the server's own; None when there is no readable one."""
    if path is None:
        return None
    try:
        found = _PEM.search(Path(path).read_text("ascii", "replace"))
    except OSError:
        return None  # the code that makes the TLS context reports it better
    return found[0] if found is not None else None


def distinguished_name(subject: Any) -> str:
    """Return a subject of `getpeercert` as text (RFC 4514 §2): the last part first, `CN=Jo\\, Doe,O=Example`."""
    parts = []
    for each in reversed(subject):
        parts.append("+".join(f"{_TYPES.get(name, name)}={_escaped(value)}" for name, value in each))
    return ",".join(parts)


def _escaped(value: str) -> str:
    """Return a value, escaped (RFC 4514 §2.4)."""
    return _SPECIAL.sub(lambda found: "\\" + found[0], value).replace("\x00", "\\00")


def _client_chain(tls: ssl.SSLObject | ssl.SSLSocket) -> list[str]:
    chain: list[bytes] = []
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        chain = tls.get_unverified_chain() or []  # pragma: no cover: Python 3.13 and later
    else:
        first = tls.getpeercert(binary_form=True)
        chain = [first] if first else []
    return [ssl.DER_cert_to_PEM_cert(each) for each in chain]
