"""The server over TLS: ALPN, scheme, back-pressure and the ends, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from pathlib import Path

import pytest

from headrace.server.app import Server
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.settings.config import Config
from headrace.transport import listener
from headrace.transport.tls import local_certificate

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving, settled

BODY = bytes(range(256)) * 8192


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    local_certificate(folder)
    return folder


def client_context(folder: Path, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=folder / "localhost-ca.pem")
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


async def app(request: Request) -> Response:
    if request.path == "/wait":
        await asyncio.Event().wait()
    if request.path == "/big":
        return Response(200, (), BODY)
    return Response(200, [(b"x-scheme", request.scheme.encode())], await request.read())


def test_it_speaks_http2_over_tls(run: Run, folder: Path) -> None:
    async def main() -> None:
        context = client_context(folder, "h2", "http/1.1")
        async with (
            serving(app, tls_cert=str(folder / "localhost.pem")) as server,
            H2Peer.connected(port(server), tls=context) as peer,
        ):
            answer = await peer.post("/", BODY)
            assert answer.body == BODY
            assert answer.header(b"x-scheme") == b"https"
            assert (await peer.get("/big")).body == BODY
            server.begin_drain()
            await peer.until_closed()
            await server.wait_closed()

    run(main())


@pytest.mark.parametrize("cut", [1, 7, 100_000])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("served", "offered", "chosen"),
    [
        ("h2,http/1.1", ("foo",), None),
        ("h2,http/1.1", ("http/1.0", "h2c", "acme-tls/1"), None),
        ("h2,http/1.1", ("h", "http/1.", "H2"), None),
        ("h2", ("http/1.1",), None),
        ("http/1.1", ("h2",), None),
        ("h2,http/1.1", ("foo", "http/1.1"), "http/1.1"),
        ("h2,http/1.1", ("http/1.1", "h2", "foo"), "h2"),
        ("h2,http/1.1", (), ""),
    ],
)
def test_who_offers_nothing_that_is_served_gets_the_alert(
    run: Run, folder: Path, served: str, offered: tuple[str, ...], chosen: str | None, version: ssl.TLSVersion, cut: int
) -> None:
    """RFC 7301 §3.2: the fatal alert no_application_protocol. Without ALPN it is HTTP/1.1 (RFC 9113 §3.2)."""

    async def main() -> None:
        async with serving(app, tls_cert=str(folder / "localhost.pem"), protocols=served) as server:
            context = client_context(folder, *offered)
            context.minimum_version = context.maximum_version = version
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    data = outgoing.read()
                    for start in range(0, len(data), cut):
                        writer.write(data[start : start + cut])
                        await asyncio.sleep(0)
                    incoming.write(await asyncio.wait_for(reader.read(65_536), 10.0))
                except ssl.SSLError as error:
                    said = str(error).lower().replace("_", " ")
                    assert (chosen, "alert no application protocol" in said) == (None, True)
                    assert await asyncio.wait_for(reader.read(), 10.0) == b""
                    writer.close()
                    assert server.service is not None
                    await settled(lambda: not server.service.drivers)  # type: ignore[union-attr]
                    return
            assert client.selected_alpn_protocol() == (chosen or None)
            assert chosen is not None
            writer.close()

    run(main())


@pytest.mark.parametrize("protocols", [()], ids=["no ALPN"])
def test_without_alpn_for_h2_the_connection_ends(run: Run, folder: Path, protocols: tuple[str, ...]) -> None:
    """RFC 9113 §3.2: over TLS, HTTP/2 is chosen by ALPN."""

    async def main() -> None:
        async with serving(app, tls_cert=str(folder / "localhost.pem"), protocols="h2") as server:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port(server), ssl=client_context(folder, *protocols), server_hostname="localhost"
            )
            assert await asyncio.wait_for(reader.read(), 10.0) == b""
            writer.close()
            assert server.service is not None
            await settled(lambda: not server.service.drivers)  # type: ignore[union-attr]

    run(main())


def test_a_handshake_that_does_not_come_ends_in_time(run: Run, folder: Path) -> None:
    async def main() -> None:
        async with serving(app, tls_cert=str(folder / "localhost.pem"), tls_handshake_timeout_s=0.1) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            assert await asyncio.wait_for(reader.read(), 10.0) == b""
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await asyncio.wait_for(reader.read(), 10.0)
            writer.close()
            async with H2Peer.connected(port(server), tls=client_context(folder, "h2")) as peer:
                assert (await peer.get("/")).status == 200

    run(main())


def test_half_a_handshake_flood_costs_only_the_oldest(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handshake flood: what is under way is bounded, each gives its place back, others get in."""
    monkeypatch.setattr(listener, "MAX_HANDSHAKES", 3)

    async def main() -> None:
        async with serving(app, tls_cert=str(folder / "localhost.pem"), max_connections=5) as server:
            flood = [await asyncio.open_connection("127.0.0.1", port(server)) for _ in range(40)]
            for _, writer in flood:
                writer.write(b"\x16\x03\x01\x02\x00\x01")
            for reader, _ in flood[:37]:
                with contextlib.suppress(ConnectionResetError):
                    assert await asyncio.wait_for(reader.read(), 10.0) == b""
            async with H2Peer.connected(port(server), tls=client_context(folder, "h2")) as peer:
                assert (await peer.get("/")).status == 200
            for _, writer in flood:
                writer.close()
                with contextlib.suppress(ConnectionResetError):
                    await writer.wait_closed()

    run(main())


def test_a_peer_that_never_answers_close_notify_does_not_hold_the_end(run: Run, folder: Path) -> None:
    async def main() -> None:
        limits = {"drain_timeout_s": 0.1}
        async with (
            serving(app, tls_cert=str(folder / "localhost.pem"), limits=limits) as server,
            H2Peer.connected(port(server), tls=client_context(folder, "h2")) as peer,
        ):
            peer.open("/wait")
            await peer.ping()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            start = time.monotonic()
            server.begin_drain()
            await server.wait_closed()
            assert time.monotonic() - start < 8.0  # 30 s is what asyncio waits by itself
            peer.writer.transport.abort()

    run(main())


def test_one_server_may_speak_both(run: Run, folder: Path) -> None:
    async def main() -> None:
        config = Config(bind="127.0.0.1:0", cleartext_bind="127.0.0.1:0", tls_cert=str(folder / "localhost.pem"))
        async with Server(app, config) as server:
            ports = {bind.tls: int(address.rpartition(":")[2]) for bind, address in server.addresses}
            async with H2Peer.connected(ports[True], tls=client_context(folder, "h2")) as peer:
                assert (await peer.get("/")).header(b"x-scheme") == b"https"
            async with H2Peer.connected(ports[False]) as peer:
                assert (await peer.get("/")).header(b"x-scheme") == b"http"

    run(main())
