"""The PROXY protocol: both versions byte by byte, what must be refused, and the hand-over to a protocol."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.server.files.response import FileResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.transport.proxy_protocol import Proxied, ProxyHeader, ProxyProtocolError
from headrace.transport.tls import local_certificate

from tests.conftest import need
from tests.support.h2_peer import H2Peer
from tests.support.process import free_port
from tests.support.serving import Run, port, serving, settled

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(family: int, content: bytes, command: int = 0x21, length: int | None = None) -> bytes:
    """A version 2 header as HAProxy's specification lays it out (section 2.2)."""
    size = len(content) if length is None else length
    return SIGNATURE + bytes([command, family]) + size.to_bytes(2) + content


IPV4 = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + (51_234).to_bytes(2) + (443).to_bytes(2)
IPV6 = ipaddress.ip_address("2001:db8::1").packed + ipaddress.ip_address("2001:db8::2").packed + b"\x00\x01\xff\xff"
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
TLV = b"\x02\x00\x09localhost" + b"\x04\x00\x00"
THE_IPV4 = (("192.0.2.1", 51_234), ("198.51.100.2", 443))
THE_IPV6 = (("2001:db8::1", 1), ("2001:db8::2", 65_535))
NOTHING = (None, None)

GOOD = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 51234 443\r\n", THE_IPV4),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", (("255.255.255.255", 65_535),) * 2),
    (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", (("0.0.0.0", 0),) * 2),
    (b"PROXY TCP6 2001:db8::1 2001:DB8:0::2 1 65535\r\n", THE_IPV6),
    (b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n", None),  # the longest: section 2.1
    (b"PROXY UNKNOWN\r\n", NOTHING),
    (b"PROXY UNKNOWN ffff::1 what ever 1\r\n", NOTHING),
    (b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", NOTHING),  # 107 bytes
    (v2(0x11, IPV4), THE_IPV4),
    (v2(0x11, IPV4 + TLV), THE_IPV4),
    (v2(0x11, IPV4 + b"\xe0" + (4081).to_bytes(2) + bytes(4081)), THE_IPV4),  # 4,096 bytes behind the fixed part
    (v2(0x21, IPV6), THE_IPV6),
    (v2(0x31, UNIX + TLV), ("/run/client", "/run/server")),
    (v2(0x31, b"x" * 216), ("x" * 108, "x" * 108)),
    (v2(0x00, b""), NOTHING),
    (v2(0x00, b"skipped"), NOTHING),
    (v2(0x10, IPV4), NOTHING),  # a family without a protocol
    (v2(0x00, b"", command=0x20), NOTHING),
    (v2(0x11, IPV4, command=0x20), NOTHING),
]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize(("header", "expected"), GOOD)
def test_a_header_however_it_is_cut(header: bytes, expected: tuple[Any, Any] | None, size: int) -> None:
    parser = ProxyHeader()
    found: Proxied | None = None
    behind = b""
    for piece in cut(header + b"rest", size):
        if found is None:
            found = parser.feed(piece)
        else:
            behind += piece
    assert found is not None
    assert found.rest + behind == b"rest"
    if expected is not None:
        assert (found.source, found.destination) == expected


@pytest.mark.parametrize(("header", "expected"), GOOD)
def test_nothing_is_said_before_the_last_byte(header: bytes, expected: Any) -> None:
    parser = ProxyHeader()
    assert [parser.feed(header[index : index + 1]) for index in range(len(header) - 1)] == [None] * (len(header) - 1)
    found = parser.feed(header[-1:])
    assert found is not None
    assert found.rest == b""


BAD = [
    b"GET / HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4",
    b"PROXYTCP4",
    b"\r\n\r\n\0\r\nQUIT\r",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
    b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY\tTCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4.5 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 0x1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP4 localhost 1.2.3.4 1 2\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP6 ::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP6 ::1::2 ::1 1 2\r\n",
    b"PROXY TCP6 12345::1 ::1 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 100000 2\r\n",
    "PROXY TCP4 1.2.3.4 1.2.3.4 ² 2\r\n".encode(),
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
    b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n",  # 108 bytes
    b"PROXY UNKNOWN " + b"f" * 93,  # 107 without an end
    v2(0x11, IPV4, command=0x22),
    v2(0x11, IPV4, command=0x11),
    v2(0x41, IPV4),
    v2(0x13, IPV4),
    v2(0x12, IPV4),  # a datagram on a stream
    v2(0x11, IPV4[:-1]),
    v2(0x21, IPV4),
    v2(0x31, IPV6),
    v2(0x11, IPV4, length=4_097),
    v2(0x00, b"", length=65_535),
    v2(0x11, IPV4 + b"\x02"),
    v2(0x11, IPV4 + b"\x02\x00\x02a"),
    v2(0x11, IPV4 + TLV + b"\x02\xff"),
    v2(0x11, IPV4 + b"\x20\x00\x04\x01\x00\x00\x00"),  # PP2_TYPE_SSL without the whole of its fixed part
    v2(0x11, IPV4 + b"\x20\x00\x05\x01\x00\x00\x00"),
    v2(0x11, IPV4 + b"\x20\x00\x05"),
]


TLS = b"\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (GOOD[0][0], False),
        (v2(0x11, IPV4), False),
        (v2(0x11, IPV4 + TLV), False),
        (v2(0x11, IPV4 + TLS), True),
        (v2(0x21, IPV6 + TLV + TLS + TLV), True),
        (v2(0x31, UNIX + TLS), True),
        (v2(0x11, IPV4 + b"\x20\x00\x05\x06\x00\x00\x00\x00"), False),  # certificates, and yet no PP2_CLIENT_SSL
        (v2(0x11, IPV4 + b"\xe0\x00\x08" + TLS[:8]), False),  # inside of another extension
        (v2(0x11, IPV4 + TLS, command=0x20), False),  # LOCAL
    ],
)
def test_whether_the_client_speaks_tls(header: bytes, expected: bool) -> None:
    """Section 2.2.6: PP2_CLIENT_SSL in the extension PP2_TYPE_SSL."""
    found = ProxyHeader().feed(header)
    assert found is not None
    assert found.is_tls is expected


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize("data", BAD)
def test_what_is_refused(data: bytes, size: int) -> None:
    parser = ProxyHeader()

    def feed() -> None:
        for piece in cut(data, size):
            assert parser.feed(piece) is None

    with pytest.raises(ProxyProtocolError):
        feed()


def test_garbage_is_refused_at_its_first_byte() -> None:
    for data in (b"G", b"PROXYX", b"\r\n\r\n\0\r\nQUITX", SIGNATURE + b"\x31", b"PX"):
        parser = ProxyHeader()
        for byte in data[:-1]:
            assert parser.feed(bytes([byte])) is None
        with pytest.raises(ProxyProtocolError):
            parser.feed(data[-1:])


@pytest.mark.parametrize(("versions", "taken"), [("v1", {1}), ("v2", {2}), ("on", {1, 2})])
def test_only_the_version_that_is_expected_is_taken(versions: str, taken: set[int]) -> None:
    for version, data in ((1, GOOD[0][0]), (2, v2(0x11, IPV4))):
        if version in taken:
            assert ProxyHeader(versions).feed(data) is not None
        else:
            with pytest.raises(ProxyProtocolError):
                ProxyHeader(versions).feed(data)


# -- at the listener


async def who(request: Request) -> Response:
    return Response.text(f"{request.connection.peer} {request.connection.local}")


def talk(run: Run, data: bytes, client: Callable[[Any, Any], Any], **settings: Any) -> Any:
    """Sends `data` ahead of what `client` does with the connection."""

    async def main() -> Any:
        async with serving(who, **{"proxy_protocol": "on", **settings}) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            try:
                writer.write(data)
                return await asyncio.wait_for(client(reader, writer), 10)
            finally:
                writer.close()

    return run(main())


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("header", [GOOD[0][0], v2(0x11, IPV4 + TLV)])
def test_the_request_has_the_addresses_of_the_header(run: Run, header: bytes, pause: bool) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        if pause:  # so that the header and what follows are two reads
            await writer.drain()
            await asyncio.sleep(0.01)
        peer = H2Peer(reader, writer, {}, True)
        try:
            return bytes((await peer.get("/")).body)
        finally:
            await peer.close()

    assert talk(run, header, client) == b"('192.0.2.1', 51234) ('198.51.100.2', 443)"


def test_local_and_unknown_keep_the_addresses_of_the_connection(run: Run) -> None:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        peer = H2Peer(reader, writer, {}, True)
        try:
            return bytes((await peer.get("/")).body)
        finally:
            await peer.close()

    for header in (b"PROXY UNKNOWN\r\n", v2(0x00, b"", command=0x20)):
        assert talk(run, header, client).startswith(b"('127.0.0.1', ")


async def until_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("data", "settings", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", {}, "does not begin with a PROXY header"),
        (GOOD[0][0], {"proxy_protocol": "v2"}, "does not begin with a PROXY header"),
        (GOOD[0][0], {"proxy_protocol_from": ["192.0.2.0/24", "2001:db8::/32"]}, "not one of proxy_protocol_from"),
        (b"PROXY ", {"tls_handshake_timeout_s": 0.01}, "no PROXY header came in time"),
        (b"", {"tls_handshake_timeout_s": 0.01}, "no PROXY header came in time"),
    ],
)
def test_a_connection_without_a_good_header_ends_without_a_word(
    run: Run, data: bytes, settings: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "headrace.protocol")
    assert talk(run, data, until_end, **settings) == b""
    (line,) = [record.getMessage() for record in caplog.records if record.name == "headrace.protocol"]
    assert words in line


def test_a_peer_that_goes_leaves_no_place_taken(run: Run) -> None:
    async def main() -> None:
        async with serving(who, proxy_protocol="on", max_connections=1) as server:
            for data in (b"PROXY", b"X"):
                _, writer = await asyncio.open_connection("127.0.0.1", port(server))
                writer.write(data)
                await writer.drain()
                writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(GOOD[0][0])
            peer = H2Peer(reader, writer, {}, True)
            assert (await peer.get("/")).status == 200
            await peer.close()

    run(main())


def test_a_server_that_ends_does_not_wait_for_headers(run: Run) -> None:
    async def main() -> None:
        async with serving(who, proxy_protocol="on") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(b"PROXY")
            await writer.drain()
            await settled(lambda: any(each._handshakes for each in server._listeners))
            server.begin_drain()
            await server.wait_closed()
            assert await until_end(reader, writer) == b""
            writer.close()

    run(main())


def test_a_unix_socket_is_trusted(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "s")
        async with serving(who, proxy_protocol="v2", proxy_protocol_from=(), bind=f"unix:{path}"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(v2(0x11, IPV4))
            peer = H2Peer(reader, writer, {}, True)
            assert (await peer.get("/")).body == b"('192.0.2.1', 51234) ('198.51.100.2', 443)"
            await peer.close()

    run(main())


def tls_files(folder: Path) -> tuple[Path, ssl.SSLContext]:
    certificate = local_certificate(folder)
    context = ssl.create_default_context(cafile=str(certificate.with_name("localhost-ca.pem")))
    context.set_alpn_protocols(["h2"])
    return certificate, context


@pytest.mark.parametrize("in_one", [False, True])
def test_before_tls(run: Run, tmp_path: Path, in_one: bool) -> None:
    certificate, context = tls_files(tmp_path)

    async def main() -> None:
        async with serving(who, proxy_protocol="on", tls_cert=str(certificate)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(GOOD[0][0][:10])
            if not in_one:
                await asyncio.sleep(0.01)
            writer.write(GOOD[0][0][10:])
            await writer.start_tls(context, server_hostname="localhost")
            peer = H2Peer(reader, writer, {}, True)
            assert (await peer.get("/")).body == b"('192.0.2.1', 51234) ('198.51.100.2', 443)"
            await peer.close()

    run(main())


def test_before_tls_a_bad_header_frees_its_place(run: Run, tmp_path: Path) -> None:
    certificate, context = tls_files(tmp_path)

    async def main() -> None:
        async with serving(who, proxy_protocol="on", tls_cert=str(certificate), max_connections=1) as server:
            for data in (b"X", b"\x16\x03\x01", GOOD[0][0] + b"no TLS"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
                writer.write(data)
                await until_end(reader, writer)
                writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(GOOD[0][0])
            await writer.start_tls(context, server_hostname="localhost")
            peer = H2Peer(reader, writer, {}, True)
            assert (await peer.get("/")).status == 200
            await peer.close()

    run(main())


def test_a_large_body_goes_through(run: Run) -> None:
    async def app(request: Request) -> Response:
        return Response(200, (), bytes(5_000_000))

    async def main() -> None:
        async with serving(app, proxy_protocol="on") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(GOOD[0][0])
            peer = H2Peer(reader, writer, {}, True)
            assert len((await peer.get("/")).body) == 5_000_000
            await peer.close()

    run(main())


@pytest.mark.parametrize("path", ["/file", "/body"])
def test_a_file_and_a_large_body_over_http_1_1(run: Run, tmp_path: Path, path: str) -> None:
    # The kernel's sendfile and uncopied writes look at the transport, which is a renamed one here.
    content = bytes(range(256)) * 20_000
    (tmp_path / "file").write_bytes(content)

    async def app(request: Request) -> Any:
        if request.path == "/file":
            return FileResponse(200, (), tmp_path / "file")
        return Response(200, (), content)

    async def main() -> None:
        async with serving(app, proxy_protocol="on") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(GOOD[0][0] + f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert answer.endswith(b"\r\n\r\n" + content)

    run(main())


# -- somebody else's sender


@pytest.mark.tool
@pytest.mark.parametrize("flags", [(), ("--http2-prior-knowledge",)])
def test_curl_as_the_sender(run: Run, flags: tuple[str, ...]) -> None:
    program = need("curl")

    async def main() -> None:
        async with serving(who, proxy_protocol="v1") as server:
            command = [program, "-s", "--max-time", "10", "--haproxy-protocol", *flags]
            process = await asyncio.create_subprocess_exec(
                *command, f"http://127.0.0.1:{port(server)}/", stdout=asyncio.subprocess.PIPE
            )
            output, _ = await process.communicate()
            assert output.startswith(b"('127.0.0.1', ")

    run(main())


@pytest.mark.tool
@pytest.mark.parametrize("sends", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
@pytest.mark.parametrize("tls", [False, True])
def test_haproxy_as_the_sender(run: Run, tmp_path: Path, sends: str, tls: bool) -> None:
    program = need("haproxy")
    certificate, _ = tls_files(tmp_path)
    front = free_port()

    async def main() -> None:
        settings: dict[str, Any] = {"tls_cert": str(certificate)} if tls else {}
        async with serving(who, proxy_protocol="v1" if sends == "send-proxy" else "v2", **settings) as server:
            speaks = "ssl verify none alpn h2" if tls else "proto h2"
            (tmp_path / "haproxy.cfg").write_text(
                "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                f"frontend f\n bind 127.0.0.1:{front} proto h2\n default_backend b\n"
                f"backend b\n server s 127.0.0.1:{port(server)} {sends} {speaks}\n"
            )
            process = subprocess.Popen([program, "-q", "-db", "-f", str(tmp_path / "haproxy.cfg")])
            try:
                while True:
                    try:
                        reader, writer = await asyncio.open_connection("127.0.0.1", front)
                        break
                    except ConnectionRefusedError:
                        assert process.poll() is None
                        await asyncio.sleep(0.01)
                name = writer.get_extra_info("sockname")
                peer = H2Peer(reader, writer, {}, True)
                answer = await peer.get("/")
                assert answer.body.decode() == f"{name!r} ('127.0.0.1', {front})"
                await peer.close()
            finally:
                process.terminate()
                await asyncio.to_thread(process.wait, 10)

    run(main())
