"""ASGI's TLS extension: field by field, from handshakes in memory."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from headrace.asgi.tls import distinguished_name, first_certificate, tls_extension


def shaken(
    authority: trustme.CA,
    *,
    client_certificate: bool = False,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str | None = None,
) -> ssl.SSLObject:
    """The server's end of a TLS connection."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    client.minimum_version = client.maximum_version = version
    authority.configure_trust(client)
    if ciphers:
        server.set_ciphers(ciphers)
    if client_certificate:
        server.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(server)
        authority.issue_cert("jo@example.org", organization_name="Doe, Inc.", common_name="#jo").configure_cert(client)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return ends[1]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_connection_without_a_client_certificate(authority: trustme.CA) -> None:
    extension = tls_extension(shaken(authority), "PEM")
    assert extension == {
        "server_cert": "PEM",
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
        "cipher_suite": extension["cipher_suite"],
    }
    assert extension["cipher_suite"] in (0x1301, 0x1302, 0x1303)  # RFC 8446 appendix B.4


def test_the_cipher_suite_has_its_registered_number(authority: trustme.CA) -> None:
    tls = shaken(authority, version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384")
    extension = tls_extension(tls)
    assert extension["tls_version"] == 0x0303
    assert extension["cipher_suite"] == 0xC02C  # RFC 5289 §3.2
    assert extension["server_cert"] is None


def test_a_client_certificate(authority: trustme.CA) -> None:
    tls = shaken(authority, client_certificate=True)
    extension = tls_extension(tls)
    assert extension["client_cert_chain"][0].startswith("-----BEGIN CERTIFICATE-----\n")
    first = ssl.PEM_cert_to_DER_cert(extension["client_cert_chain"][0])
    assert first == tls.getpeercert(binary_form=True)
    assert extension["client_cert_name"].startswith("CN=\\#jo,")
    assert extension["client_cert_name"].endswith("O=Doe\\, Inc.")


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        # RFC 4514 §4, as far as Python tells the same
        (
            [[("domainComponent", "net")], [("domainComponent", "example")], [("userId", "jsmith")]],
            "UID=jsmith,DC=example,DC=net",
        ),
        (
            [[("domainComponent", "net")], [("organizationalUnitName", "Sales"), ("commonName", "J.  Smith")]],
            "OU=Sales+CN=J.  Smith,DC=net",
        ),
        ([[("commonName", 'James "Jim" Smith, III')]], 'CN=James \\"Jim\\" Smith\\, III'),
        ([[("commonName", "Before\rAfter")]], "CN=Before\rAfter"),
        ([[("commonName", " a\\b ")]], "CN=\\ a\\\\b\\ "),
        ([[("commonName", "#1\x00")]], "CN=\\#1\\00"),
        ([[("emailAddress", "a@b.test")]], "emailAddress=a@b.test"),
    ],
)
def test_a_name_as_text(subject: Any, text: str) -> None:
    assert distinguished_name(subject) == text


def test_our_own_certificate_is_the_first_in_its_file(authority: trustme.CA, tmp_path: Path) -> None:
    certificate = authority.issue_cert("localhost")
    leaf = certificate.cert_chain_pems[0].bytes()
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.private_key_pem.bytes() + leaf + authority.cert_pem.bytes())
    assert first_certificate(str(both)) == leaf.decode()
    both.write_bytes(b"\xff no certificate")
    assert first_certificate(str(both)) is None
    assert first_certificate(str(tmp_path / "nothing")) is None
    assert first_certificate(None) is None
