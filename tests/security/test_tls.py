"""TLS: handshakes that are never finished, renegotiation, key updates, against a running server."""

from __future__ import annotations

import _ssl
import asyncio
import contextlib
import ctypes
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.transport import tls_transport
from headrace.transport.tls import local_certificate, server_context

from tests.conftest import need
from tests.security.support.harness import Bystander, Server, victim
from tests.security.support.peer import Attacker, Report, client_context, drive
from tests.security.support.rows import MB, watched
from tests.security.test_slow_clients import GRACE_S, TICK_S, hello
from tests.transport import test_tls_transport
from tests.transport.test_tls_transport import Bench, ask_for_key_update

pytestmark = pytest.mark.slow

HANDSHAKE_S = 1.5
ALLOW_CLIENT_RENEGOTIATION = 1 << 8  # OpenSSL's SSL_OP_ALLOW_CLIENT_RENEGOTIATION, which Python's ssl does not name


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A handshake has a second and a half."""
    with victim(tls=True, tls_handshake_timeout_s=HANDSHAKE_S) as running:
        yield running


def half_handshakes(server: Server, count: int, seconds: float) -> list[float]:
    """Connections that say ClientHello and no more; after `seconds` at most, how long each lived that is closed."""
    first_flight = hello()
    with contextlib.ExitStack() as stack:
        opened: list[tuple[socket.socket, float]] = []
        for _ in range(count):
            at = time.monotonic()
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.tls_port), timeout=10))
            sock.sendall(first_flight)
            opened.append((sock, at))
        lived = []
        end = time.monotonic() + seconds
        for sock, at in opened:
            try:
                while (left := end - time.monotonic()) > 0:
                    sock.settimeout(left)
                    if not sock.recv(65_536):
                        lived.append(time.monotonic() - at)
                        break
            except TimeoutError:
                break
            except ConnectionError:
                lived.append(time.monotonic() - at)
        return lived


def test_500_half_handshakes(server: Server, bystander: Bystander) -> None:
    """Handshake flood: 500 that are never finished: L; all closed at tls_handshake_timeout_s, none before; M, N."""
    before = server.mark()
    lived = watched(bystander, lambda: half_handshakes(server, 500, 15.0))
    assert len(lived) == 500
    assert min(lived) >= HANDSHAKE_S - TICK_S, min(lived)
    assert max(lived) <= HANDSHAKE_S + GRACE_S, max(lived)
    after = server.settled(handles=before["handles"], tasks=before["tasks"])
    assert after["handles"] <= before["handles"] and after["tasks"] <= before["tasks"], (before, after)
    assert after["peak"] - before["rss"] <= 60 * MB, (before, after)
    assert "Traceback" not in server.log, server.log


def test_half_handshakes_negative_control() -> None:
    """With a long timeout they stay."""
    with victim(tls=True, tls_handshake_timeout_s=600) as server:
        assert half_handshakes(server, 20, HANDSHAKE_S + 1.0) == []


# --- renegotiation ------------------------------------------------------------------------------------------------


def test_renegotiation_is_refused_live(server: Server) -> None:
    """RFC 9113 §9.2.1: `R` of `openssl s_client`: an alert in place of a handshake, and the server serves on.

    The client may meet our SETTINGS before the alert, which it calls an unexpected record; either way it gives up.
    """
    command = [need("openssl"), "s_client", "-tls1_2", "-alpn", "h2", "-connect", f"127.0.0.1:{server.tls_port}"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        assert client.stdin is not None and client.stdout is not None
        said = ""
        for line in client.stdout:  # it takes commands once it has told about the session
            said += line
            if "Extended master secret" in line:
                break
        client.stdin.write("R\n")
        client.stdin.flush()
        rest, _ = client.communicate(timeout=20)
    assert "RENEGOTIATING" in rest, said + rest
    assert "no renegotiation" in rest or "unexpected record" in rest, said + rest
    assert rest.count("BEGIN CERTIFICATE") == 0, said + rest
    after = server.settled(connections=1)
    assert after["connections"] == 1, after
    assert "Traceback" not in server.log, server.log


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a certificate in it."""
    folder = tmp_path_factory.mktemp("tls")
    local_certificate(folder)
    return folder


async def renegotiate(folder: Path) -> tuple[Bench, str]:
    """A TLS 1.2 client that asks for a second handshake: our side of it, and what the client hears."""
    bench = Bench(folder, ssl.TLSVersion.TLSv1_2).shake_hands()
    library = ctypes.CDLL(_ssl.__file__)
    library.SSL_renegotiate.argtypes = [ctypes.c_void_p]
    inner = bench.client._sslobj  # type: ignore[attr-defined]  # the extension's object, which holds the SSL*
    handle = ctypes.c_void_p.from_address(id(inner) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p))
    assert library.SSL_renegotiate(handle) == 1
    for _ in range(10):  # flights of a handshake, at most
        try:
            bench.client.do_handshake()
        except ssl.SSLWantReadError:
            bench.deliver()
        except ssl.SSLError as error:
            bench.deliver()
            return bench, (error.reason or "").replace("_", " ").lower()
        else:
            return bench, "done"
    return bench, "silence"


def test_renegotiation_is_refused(folder: Path) -> None:
    """RFC 9113 §9.2.1: the alert no_renegotiation, and the end of the connection; nothing raises."""
    bench, heard = asyncio.run(renegotiate(folder))
    assert heard == "no renegotiation"
    assert bench.outcome == [None] and bench.above.calls == ["made", "eof"] and bench.raw.is_closing()


def test_renegotiation_negative_control(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context that allows it renegotiates: the test above looks at the right thing."""

    def allowing(cert: Path) -> ssl.SSLContext:
        context = server_context(cert)
        context.options = ssl.Options(context.options & ~ssl.OP_NO_RENEGOTIATION | ALLOW_CLIENT_RENEGOTIATION)
        return context

    monkeypatch.setattr(test_tls_transport, "server_context", allowing)
    _, heard = asyncio.run(renegotiate(folder))
    assert heard == "done"


# --- key updates --------------------------------------------------------------------------------------------------


def key_updates(tls: ssl.SSLObject, count: int, at_once: int = 200) -> Iterator[bytes]:
    """That many KeyUpdate messages, each of which wants one in return; they are in the session's buffer already."""
    for _ in range(count // at_once):
        for _ in range(at_once):
            ask_for_key_update(tls)
        yield b""


def test_a_burst_of_key_updates_ends_the_connection(folder: Path) -> None:
    """256 KiB of KeyUpdates in one read, made beforehand: the end, a few turns later and long before OpenSSL has gone
    through all of them."""

    async def main() -> tuple[Bench, int]:
        bench = Bench(folder).shake_hands()
        burst = b""
        asked = 0
        while len(burst) < 262_144:
            ask_for_key_update(bench.client)
            asked += 1
            burst += bench.from_client.read()
        bench.tls.data_received(burst)
        while bench.tls._turn_due:
            await asyncio.sleep(0)
        return bench, asked

    bench, asked = asyncio.run(main())
    assert bench.raw.is_closing()
    assert bench.above.calls == ["made", "eof"]
    assert len(bench.raw.out) <= 262_144 / 2, "each answer has the size of its question: most were never looked at"
    assert asked > 5_000


def test_key_updates_negative_control(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bound on records without content the burst is gone through, and the connection stays."""
    monkeypatch.setattr(tls_transport, "MOST_OVERHEAD", 1 << 40)
    with pytest.raises(AssertionError):
        test_a_burst_of_key_updates_ends_the_connection(folder)


def test_key_updates_between_content_are_no_flood(folder: Path) -> None:
    """Legitimate control: a peer that renews its keys after each kilobyte, a thousand times."""

    async def main() -> None:
        bench = Bench(folder).shake_hands()
        for _ in range(1_000):
            ask_for_key_update(bench.client)
            bench.client.write(b"x" * 1_024)
            bench.deliver()
        assert len(b"".join(bench.above.received)) == 1_024_000
        assert not bench.raw.is_closing()

    asyncio.run(main())


@pytest.mark.parametrize("reads", [True, False], ids=["answers read", "answers unread"])
def test_key_update_flood(server: Server, bystander: Bystander, reads: bool) -> None:
    """RFC 8446 §4.6.3: 20,000 KeyUpdates, answers read or not: G by the end of the connection, L, M(2), N."""
    before = server.mark()

    def run() -> Report:
        attacker = Attacker(server.tls_port, [], tls=client_context(), reads=reads)
        assert attacker.tls is not None
        attacker.batches = key_updates(attacker.tls, 20_000)
        return drive([attacker], wait_s=0.5)[0]

    report = watched(bystander, run)
    assert report.closed_at is not None, report
    after = server.settled(connections=before["connections"], handles=before["handles"])
    assert after["connections"] <= before["connections"] and after["handles"] <= before["handles"], (before, after)
    assert after["peak"] - before["rss"] <= 2 * MB, (before, after)
    assert "Traceback" not in server.log, server.log
