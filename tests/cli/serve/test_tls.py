"""The server's TLS context, each sentence for a certificate that cannot be used, and the local certificate."""

from __future__ import annotations

import datetime
import re
import ssl
import sys
from pathlib import Path

import pytest
import trustme

from headrace.transport.tls import TLSConfigError, local_certificate, server_context, state_directory

# TLS 1.2 suites of RFC 9113 Appendix A have no ephemeral key exchange or no AEAD; these have both.
GOOD_SUITE = re.compile(r"ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)|TLS_.*")
AUTHORITY = trustme.CA()


class Files:
    """PEM files of one certificate for localhost."""

    def __init__(self, folder: Path) -> None:
        leaf = AUTHORITY.issue_cert("localhost", "127.0.0.1")
        self.cert = folder / "cert.pem"
        self.key = folder / "key.pem"
        self.both = folder / "both.pem"
        self.cert.write_bytes(leaf.cert_chain_pems[0].bytes())
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.both.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def handshake(context: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        context.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
    )
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return ends


def trusting_client() -> ssl.SSLContext:
    client = ssl.create_default_context()
    AUTHORITY.configure_trust(client)
    client.set_alpn_protocols(["h2", "http/1.1"])
    return client


# -- the context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_handshake_gives_h2_without_compression(files: Files, version: ssl.TLSVersion) -> None:
    client = trusting_client()
    client.minimum_version = client.maximum_version = version
    server_end, _ = handshake(server_context(files.cert, files.key), client)
    assert server_end.selected_alpn_protocol() == "h2"
    assert server_end.compression() is None


def test_only_what_is_served_is_offered(files: Files) -> None:
    client = trusting_client()
    client.set_alpn_protocols(["http/1.1"])
    server_end, _ = handshake(server_context(files.both, protocols=["h2"]), client)
    assert server_end.selected_alpn_protocol() is None
    server_end, _ = handshake(server_context(files.both), client)
    assert server_end.selected_alpn_protocol() == "http/1.1"
    client.set_alpn_protocols(["http/1.1", "h2"])
    server_end, _ = handshake(server_context(files.both), client)
    assert server_end.selected_alpn_protocol() == "h2"


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
def test_tls_below_1_2_is_refused_as_rfc_9113_section_9_2_asks(files: Files) -> None:
    client = trusting_client()
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        handshake(server_context(files.both), client)


def test_no_cipher_suite_of_rfc_9113_appendix_a_is_offered(files: Files) -> None:
    context = server_context(files.both)
    assert all(GOOD_SUITE.fullmatch(each["name"]) for each in context.get_ciphers())
    client = trusting_client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA:AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        handshake(context, client)


def test_the_peer_cannot_renegotiate_as_rfc_9113_section_9_2_1_asks(files: Files) -> None:
    assert server_context(files.both).options & ssl.OP_NO_RENEGOTIATION


# -- what cannot be used


def sentence(*arguments: Path | str | None) -> str:
    cert, key, password = [*arguments, None, None][:3]
    assert isinstance(cert, Path)
    assert key is None or isinstance(key, Path)
    assert password is None or isinstance(password, str)
    with pytest.raises(TLSConfigError) as caught:
        server_context(cert, key, password)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(files: Files, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    assert sentence(missing) == f"{missing}: no such file or directory"
    assert sentence(files.cert, missing) == f"{missing}: no such file or directory"


def test_a_file_without_pem_is_named(files: Files, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("hello")
    assert sentence(text, files.key) == f"{text}: there is no certificate in PEM form in this file"
    assert sentence(files.cert, text) == f"{text}: there is no private key in PEM form in this file"
    assert sentence(files.cert) == f"{files.cert}: there is no private key in PEM form in this file"
    der = tmp_path / "cert.der"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(files.cert.read_text()))
    assert sentence(der, files.key).endswith("; it looks like DER, convert it to PEM")


def test_a_damaged_certificate_is_named(files: Files) -> None:
    files.cert.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert sentence(files.cert, files.key).startswith(f"{files.cert} with {files.key}: OpenSSL cannot use it (")


def test_a_key_of_another_certificate_is_named(files: Files, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Files(tmp_path / "other")
    expected = f"{other.key}: the private key does not belong to the certificate in {files.cert}"
    assert sentence(files.cert, other.key) == expected


def test_an_encrypted_key_needs_its_password(files: Files) -> None:
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"swordfish"),
        )
    )
    server_context(files.cert, files.key, "swordfish")
    assert sentence(files.cert, files.key) == f"{files.key}: the private key is encrypted; give its password"
    wrong = sentence(files.cert, files.key, "sailfish")
    assert wrong == f"{files.key}: the password does not open the private key"


# -- the local certificate

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def test_the_local_certificate_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "headrace"
    path = local_certificate(folder, now=NOW)
    first = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert local_certificate(folder, now=NOW).read_bytes() == first
    assert {each.name for each in folder.iterdir()} == {"localhost.pem", "localhost-ca.pem"}


def test_the_local_certificate_serves_localhost_to_who_trusts_it(tmp_path: Path) -> None:
    context = server_context(local_certificate(tmp_path))
    client = ssl.create_default_context(cafile=tmp_path / "localhost-ca.pem")
    client.set_alpn_protocols(["h2"])
    server_end, _ = handshake(context, client)
    assert server_end.selected_alpn_protocol() == "h2"


@pytest.mark.parametrize(("days", "renewed"), [(0, False), (389, False), (391, True), (500, True)])
def test_the_local_certificate_is_renewed_a_week_before_it_expires(tmp_path: Path, days: int, renewed: bool) -> None:
    first = local_certificate(tmp_path, now=NOW).read_bytes()
    later = local_certificate(tmp_path, now=NOW + datetime.timedelta(days=days)).read_bytes()
    assert (later != first) is renewed


def test_a_local_certificate_that_is_damaged_or_open_to_others_is_made_anew(tmp_path: Path) -> None:
    path = local_certificate(tmp_path, now=NOW)
    path.chmod(0o644)
    assert local_certificate(tmp_path, now=NOW).stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes()[:400])
    server_context(local_certificate(tmp_path, now=NOW))


def test_without_trustme_one_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(TLSConfigError, match=r"trustme; install headrace\[dev-tls\], or give a certificate"):
        local_certificate(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(TLSConfigError, match=re.escape(f"{blocked}: the local certificate cannot be kept here")):
        local_certificate(blocked, now=NOW)


def test_the_local_certificate_lives_in_the_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_directory() == tmp_path / "headrace"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_directory() == tmp_path / ".local" / "state" / "headrace"
