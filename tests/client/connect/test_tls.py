"""TLS of a client: trust, error messages, client certificates, and the rules of HTTP/2."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from headrace.client.connect import tls as client_tls
from headrace.client.connect.tls import Verify, client_context, handshake_error, is_h2_cipher, server_name
from headrace.client.errors import ConnectError, TLSError

from tests.client.support.network_rig import ask, authority, fetch, network, server_tls, trusting
from tests.client.support.peer import listening
from tests.client.support.rig import settled
from tests.support.serving import Run


async def answer(peer: Any) -> None:
    """Answer the first request with the protocol and TLS version in use."""
    request = await peer.request()
    if request.stream_id:
        peer.respond(request.stream_id, b"h2")
    else:
        peer.respond(b"http/1.1")
    await peer.until_closed()


async def fetch_from(server: Any, host: str = "localhost", **config: Any) -> bytes:
    """Send one request on a connection of its own."""
    async with network(**config) as transport:
        return await fetch(transport, ask(server.port, scheme="https", host=host))


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


# -- trust


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost."])
def test_an_authority_from_a_file(run: Run, ca_file: Path, host: str) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(), script=answer) as server:
            resolve = {("localhost.", server.port): "127.0.0.1"}
            assert await fetch_from(server, host, verify=ca_file, resolve=resolve) == b"h2"

    run(main())


def test_a_directory_of_authorities(run: Run, ca_file: Path) -> None:
    async def main() -> None:
        import subprocess

        subprocess.run(["openssl", "rehash", str(ca_file.parent)], check=True)
        async with listening(tls=server_tls(), script=answer) as server:
            assert await fetch_from(server, verify=str(ca_file.parent)) == b"h2"

    run(main())


def test_a_context_of_ones_own(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(), script=answer) as server:
            assert await fetch_from(server, verify=trusting()) == b"h2"

    run(main())


def test_nobody_has_to_be_believed(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls("other.example"), script=answer) as server:
            assert await fetch_from(server, verify=False) == b"h2"

    run(main())


def test_the_variable_of_the_systems_store_is_read(run: Run, ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
        async with listening(tls=server_tls(), script=answer) as server:
            assert await fetch_from(server) == b"h2"

    run(main())


def test_a_python_that_does_not_know_the_systems_store_finds_it(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths: Any = ssl.get_default_verify_paths()
    nowhere = paths._replace(cafile=None, capath=None)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    monkeypatch.setattr(client_tls, "_BUNDLES", ("/nowhere", str(ca_file)))
    assert client_context().cert_store_stats()["x509_ca"] == 1


# -- error messages


def expired() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    authority().issue_cert("localhost", not_after=past).configure_cert(context)
    return context


def other_authority() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    return context


@pytest.mark.parametrize(
    ("tls", "config", "message"),
    [
        (other_authority, {}, "the certificate of localhost comes from an unknown authority"),
        (lambda: server_tls("other.example"), {}, "the certificate of localhost is for another name"),
        (expired, {}, "the certificate of localhost has expired"),
        (lambda: server_tls(alpn=("http/1.1",)), {"http1": False}, "no common protocol"),
        (lambda: server_tls(alpn=()), {"http1": False}, "no common protocol in ALPN"),
    ],
)
def test_a_failed_handshake_is_a_sentence(tls: Any, config: dict[str, Any], message: str) -> None:
    async def main() -> None:
        async with listening(tls=tls()) as server:
            with pytest.raises(TLSError, match=message) as caught:
                await fetch_from(server, verify=trusting(), **config)
            assert caught.value.retryable and caught.value.url == f"https://localhost:{server.port}/"

    run_quietly(main())


def run_quietly(coroutine: Any) -> None:
    """On asyncio, whose server reports each failed handshake to the loop: those reports are not the client's."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda *_: None)
        runner.run(asyncio.wait_for(coroutine, 60.0))


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("TLSV1_ALERT_PROTOCOL_VERSION", "have no common version of TLS: 1.2 or later is needed"),
        ("UNSUPPORTED_PROTOCOL", "have no common version of TLS"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "asks for a client certificate, and there is none"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "no common cipher suite, or a client certificate is missing"),
        ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "it does not speak h2 or http/1.1"),
        ("TLSV1_ALERT_UNKNOWN_CA", "refused the TLS handshake: tlsv1 alert unknown ca"),
        ("BAD_SIGNATURE", "the TLS handshake with a.example failed: bad signature"),
    ],
)
def test_what_openssl_says_becomes_a_sentence(reason: str, message: str) -> None:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    assert message in handshake_error(error, "a.example", "any", "").message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (9, "is not valid yet; is the clock right?"),
        (18, "is self-signed"),
        (20, "from an unknown authority (words)"),
        (23, "has been revoked"),
        (64, "is for another name"),
        (79, "cannot be trusted: words"),
    ],
)
def test_what_is_wrong_with_a_certificate(code: int, message: str) -> None:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "words"
    assert message in handshake_error(error, "a.example", "any", "").message


def test_a_server_without_tls_is_named_as_such(run: Run) -> None:
    async def main() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server, network() as transport:
            number = server.sockets[0].getsockname()[1]
            with pytest.raises(TLSError, match="does not speak TLS on this port"):
                await transport.send(ask(number, scheme="https"))

    run(main())


def test_a_server_that_goes_away_in_the_handshake(run: Run) -> None:
    async def main() -> None:
        async def go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(5)
            writer.close()

        server = await asyncio.start_server(go, "127.0.0.1", 0)
        async with server, network() as transport:
            number = server.sockets[0].getsockname()[1]
            with pytest.raises(TLSError, match=r"the TLS handshake with 127\.0\.0\.1 failed: the peer went away"):
                await transport.send(ask(number, scheme="https"))

    run(main())


@pytest.mark.parametrize(
    ("verify", "cert", "message"),
    [
        ("nothing-here.pem", None, "nothing-here.pem: no such file"),
        ("empty.pem", None, "empty.pem: there is no certificate of an authority in PEM form"),
        (True, "nothing-here.pem", "nothing-here.pem: no such file"),
        (True, "empty.pem", "empty.pem: OpenSSL cannot use it"),
        (True, ("cert.pem", "other.key"), "the private key does not belong to the certificate"),
        (True, ("cert.pem", "locked.key"), "the private key is encrypted, and the password does not open it"),
        (True, ("cert.pem", "locked.key", "wrong"), "the password does not open it"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: Verify, cert: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.pem").write_bytes(b"nothing\n")
    write_identity(tmp_path)
    with pytest.raises(TLSError, match=message):
        client_context(verify, cert)


def write_identity(folder: Path) -> None:
    """Write cert.pem with its key.pem, locked.key with the password "right", and other.key, which belongs to nothing
    here."""
    from cryptography.hazmat.primitives import serialization

    leaf = authority().issue_cert("client.example")
    leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    authority().issue_cert("other.example").private_key_pem.write_to_path(str(folder / "other.key"))
    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"right"),
    )
    (folder / "locked.key").write_bytes(locked)


# -- client certificates


@pytest.mark.parametrize(
    "cert", [("cert.pem", "key.pem"), ("cert.pem", "locked.key", "right"), "both.pem"], ids=["pair", "password", "one"]
)
def test_a_client_certificate(run: Run, tmp_path: Path, cert: Any) -> None:
    async def main() -> None:
        write_identity(tmp_path)
        both = (tmp_path / "cert.pem").read_bytes() + (tmp_path / "key.pem").read_bytes()
        (tmp_path / "both.pem").write_bytes(both)
        files = tmp_path / cert if isinstance(cert, str) else (tmp_path / cert[0], tmp_path / cert[1], *cert[2:])
        context = server_tls()
        authority().configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        async with listening(tls=context, script=answer) as server:
            assert await fetch_from(server, verify=trusting(), cert=files) == b"h2"
            shown = server.peers[0].writer.get_extra_info("peercert")
            assert ("DNS", "client.example") in shown["subjectAltName"]

    run(main())


def test_a_missing_client_certificate() -> None:
    """In TLS 1.3 the server refuses after the handshake; the client has a connection by then."""

    async def main() -> None:
        context = server_tls()
        authority().configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        async with listening(tls=context) as server:
            with pytest.raises(ConnectError, match=r"was never ready|asks for a client certificate"):
                await fetch_from(server, verify=trusting(), wait_for_settings=True)

    run_quietly(main())


# -- rules of HTTP/2


@pytest.mark.parametrize(
    ("name", "version", "allowed"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLSv1.3", True),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2", True),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLSv1.2", True),
        ("DHE-RSA-AES256-GCM-SHA384", "TLSv1.2", True),
        ("ECDHE-RSA-AES128-SHA256", "TLSv1.2", False),
        ("ECDHE-RSA-AES256-SHA", "TLSv1.2", False),
        ("AES128-GCM-SHA256", "TLSv1.2", False),
        ("PSK-AES128-GCM-SHA256", "TLSv1.2", False),
    ],
)
def test_cipher_suites_for_http_2(name: str, version: str, allowed: bool) -> None:
    """RFC 9113 §9.2.2 and Appendix A."""
    assert is_h2_cipher(name, version) == allowed


def test_http_2_over_a_forbidden_suite_is_refused(run: Run) -> None:
    async def main() -> None:
        context = server_tls()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AES+SHA256:!AESGCM")
        async with listening(tls=context) as server:
            with pytest.raises(TLSError, match=r"a cipher suite that HTTP/2 forbids \(RFC 9113 §9\.2\.2\)"):
                await fetch_from(server, verify=trusting())
            await settled(lambda: all(peer.closed for peer in server.peers))
            assert not any(peer.requests for peer in server.peers)

    run(main())


def test_http_1_may_use_it(run: Run) -> None:
    async def main() -> None:
        context = server_tls(alpn=("http/1.1",))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE+AES+SHA256:!AESGCM")
        async with listening("http/1.1", tls=context, script=answer) as server:
            assert await fetch_from(server, verify=trusting()) == b"http/1.1"

    run(main())


def test_without_alpn_it_is_http_1(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1", tls=server_tls(alpn=()), script=answer) as server:
            assert await fetch_from(server, verify=trusting()) == b"http/1.1"

    run(main())


@pytest.mark.parametrize(
    ("config", "spoken"), [({}, b"h2"), ({"http2": False}, b"http/1.1"), ({"http1": False}, b"h2")]
)
def test_only_what_is_wanted_is_offered(run: Run, config: dict[str, Any], spoken: bytes) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(), script=answer) as server:
            assert await fetch_from(server, verify=trusting(), **config) == spoken

    run(main())


def test_contexts() -> None:
    context = client_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname
    assert all(is_h2_cipher(each["name"], each["protocol"]) for each in client_context(http1=False).get_ciphers())
    assert server_name("a.example.") == "a.example"
