"""The TLS transport between a transport that records and a peer in memory: handshake, records, alerts, both ends."""

from __future__ import annotations

import _ssl
import asyncio
import ctypes
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from headrace.transport.tls import local_certificate, server_context
from headrace.transport.tls_transport import TLSTransport


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    local_certificate(folder)
    return folder


class Raw:
    """The transport below: keeps what is written, and counts what else is asked of it."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.writes = 0
        self.calls: list[str] = []
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.out += data
        self.writes += 1

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.calls.append(f"limits {high}")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 5) if name == "peername" else default

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def __getattr__(self, name: str) -> Any:
        return lambda: self.calls.append(name)


class Above(asyncio.Protocol):
    """The protocol above."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.calls: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.calls.append("made")

    def data_received(self, data: bytes) -> None:
        self.received.append(data)

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


class Bench:
    """Our server's side on `raw`, and a client of the standard library's."""

    def __init__(
        self,
        folder: Path,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        timeout_s: float = 100.0,
        trust: bool = True,
    ) -> None:
        self.above = Above()
        self.raw = Raw()
        self.outcome: list[str | None] = []
        self.tls = TLSTransport(
            self.above,
            server_context(folder / "localhost.pem"),
            handshake_timeout_s=timeout_s,
            on_handshake=lambda _, failure: self.outcome.append(failure),
        )
        context = ssl.create_default_context(cafile=folder / "localhost-ca.pem" if trust else None)
        context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        self.to_client = ssl.MemoryBIO()
        self.from_client = ssl.MemoryBIO()
        self.client = context.wrap_bio(self.to_client, self.from_client, server_hostname="localhost")
        self.tls.connection_made(self.raw)  # type: ignore[arg-type]  # what a transport is asked for here

    def deliver(self, bytes_at_once: int = 1 << 20) -> None:
        """What the client has to say reaches us; what we have said reaches the client."""
        said = self.from_client.read()
        for start in range(0, len(said), bytes_at_once):
            self.tls.data_received(said[start : start + bytes_at_once])
        self.to_client.write(bytes(self.raw.out))
        self.raw.out.clear()

    def shake_hands(self, bytes_at_once: int = 1 << 20) -> Bench:
        while True:
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self.deliver(bytes_at_once)
            else:
                self.deliver(bytes_at_once)
                return self

    def read(self) -> bytes:
        """All content that the client can read."""
        found = b""
        while True:
            try:
                piece = self.client.read(16_384)
            except ssl.SSLWantReadError:
                return found
            if not piece:
                return found + b"<close_notify>"
            found += piece


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("bytes_at_once", [1, 7, 1 << 20])
def test_a_handshake_and_content_both_ways_however_they_are_cut(
    folder: Path, version: ssl.TLSVersion, bytes_at_once: int
) -> None:
    async def main() -> None:
        bench = Bench(folder, version).shake_hands(bytes_at_once)
        assert bench.outcome == [None]
        assert bench.above.calls == ["made"]
        chosen = bench.tls.get_extra_info("ssl_object")
        assert (chosen.selected_alpn_protocol(), chosen.version()) == ("h2", bench.client.version())
        assert bench.tls.get_extra_info("peername") == ("192.0.2.1", 5)
        for content in (b"x", bytes(16_384), bytes(range(256)) * 200):
            bench.client.write(content)
            bench.deliver(bytes_at_once)
            assert b"".join(bench.above.received) == content
            bench.above.received.clear()
            bench.tls.write(content)
            bench.deliver()
            assert bench.read() == content

    on_loop(main)


def test_what_came_at_once_is_given_at_once_and_a_write_is_one_write(folder: Path) -> None:
    """So that a batch of requests in several records gets its answers in one piece."""

    async def main() -> None:
        bench = Bench(folder).shake_hands()
        for n in range(10):
            bench.client.write(bytes([n]) * 1000)
        said = bench.from_client.read()
        bench.tls.data_received(said[:-5])
        assert [len(piece) for piece in bench.above.received] == [9_000]
        bench.tls.data_received(said[-5:])
        assert [len(piece) for piece in bench.above.received] == [9_000, 1_000]
        bench.raw.writes = 0
        bench.tls.write(memoryview(bytes(100_000)))
        assert bench.raw.writes == 1
        bench.tls.write(b"")
        bench.deliver()
        assert len(bench.read()) == 100_000

    on_loop(main)


def test_content_right_behind_the_handshake_is_not_lost(folder: Path) -> None:
    """TLS 1.3: the client's Finished and its first request come in one packet."""

    async def main() -> None:
        bench = Bench(folder)
        with pytest.raises(ssl.SSLWantReadError):
            bench.client.do_handshake()
        bench.deliver()
        bench.client.do_handshake()
        bench.client.write(b"first words")
        bench.deliver()
        assert bench.above.received == [b"first words"]

    on_loop(main)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\x16\x03\x01\x00\x05abcde", bytes(300)])
def test_what_is_not_tls_is_refused_without_a_traceback(folder: Path, data: bytes) -> None:
    async def main() -> None:
        bench = Bench(folder)
        bench.tls.data_received(data)
        (failure,) = bench.outcome
        assert failure is not None and failure.startswith("the TLS handshake failed: ")
        assert "close" in bench.raw.calls
        bench.tls.connection_lost(None)
        assert bench.outcome == [failure] and bench.above.calls == []

    on_loop(main)


def test_a_client_that_does_not_trust_us_ends_the_handshake(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder, ssl.TLSVersion.TLSv1_2, trust=False)
        with pytest.raises(ssl.SSLCertVerificationError):
            bench.shake_hands()
        bench.deliver()
        assert bench.outcome == ["the TLS handshake failed: tlsv1 alert unknown ca"]

    on_loop(main)


def test_a_handshake_has_its_time_and_its_buffer(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder, timeout_s=0.0)
        bench.raw.unsent = 100
        bench.tls.pause_writing()
        assert bench.raw.calls[-1] == "pause_reading"
        bench.tls.resume_writing()
        assert bench.raw.calls[-1] == "resume_reading"
        while not bench.outcome:
            await asyncio.sleep(0)
        assert bench.outcome == ["the TLS handshake took too long (limit tls_handshake_timeout_s)"]
        assert "abort" in bench.raw.calls, "a peer that reads nothing cannot keep the socket"

    on_loop(main)


def test_a_handshake_can_be_broken_off_an_open_connection_not(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder)
        bench.tls.break_off("test")
        bench.tls.break_off("test")
        assert len(bench.outcome) == 1 and "close" in bench.raw.calls
        bench = Bench(folder).shake_hands()
        bench.tls.break_off("test")
        assert bench.outcome == [None] and not bench.raw.is_closing()
        lost = Bench(folder)
        lost.tls.connection_lost(None)
        assert lost.outcome == ["the peer went away in the TLS handshake"]

    on_loop(main)


def test_a_handshake_that_was_broken_off_before_it_had_a_transport_does_not_begin(folder: Path) -> None:
    """A listener that closes breaks off what it has accepted, and the transport comes a turn of the loop later."""

    async def main() -> None:
        outcome: list[str | None] = []
        tls = TLSTransport(
            Above(),
            server_context(folder / "localhost.pem"),
            handshake_timeout_s=100.0,
            on_handshake=lambda _, failure: outcome.append(failure),
        )
        tls.break_off("the server ends")
        raw = Raw()
        tls.connection_made(raw)  # type: ignore[arg-type]  # what a transport is asked for here
        assert raw.calls == ["abort"]
        tls.connection_lost(None)
        assert outcome == ["the TLS handshake was broken off: the server ends"]

    on_loop(main)


def test_a_damaged_record_ends_the_connection_with_an_alert(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder).shake_hands()
        bench.client.write(b"x" * 50)
        said = bytearray(bench.from_client.read())
        said[-1] ^= 1
        bench.tls.data_received(bytes(said))
        assert bench.above.calls == ["made", "eof"] and bench.above.received == []
        assert "close" in bench.raw.calls
        bench.deliver()
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            bench.read()

    on_loop(main)


def test_close_notify_goes_out_and_is_understood(folder: Path) -> None:
    """RFC 8446 §6.1."""

    async def main() -> None:
        bench = Bench(folder).shake_hands()
        assert bench.tls.can_write_eof()
        bench.tls.write_eof()
        assert bench.raw.calls[-1] == "write_eof"
        bench.deliver()
        assert bench.read() == b"<close_notify>"
        bench.client.write(b"still read")
        bench.deliver()
        assert bench.above.received == [b"still read"]

        bench = Bench(folder).shake_hands()
        with pytest.raises(ssl.SSLWantReadError):
            bench.client.unwrap()
        bench.deliver()
        assert bench.above.calls == ["made", "eof"] and "close" in bench.raw.calls
        assert bench.tls.cut == ""
        bench.tls.connection_lost(None)
        assert bench.above.calls == ["made", "eof", "lost"]
        bench.tls.close()
        bench.tls.abort()
        bench.tls.write(b"into nothing")

    on_loop(main)


def test_an_end_without_close_notify_is_told(folder: Path) -> None:
    """RFC 9112 §9.8: where the end of a connection is the end of a message, it has to be the peer's own word."""

    async def main() -> None:
        bench = Bench(folder).shake_hands()
        assert bench.tls.get_extra_info("cut") == ""
        bench.tls.eof_received()
        assert bench.above.calls == ["made", "eof"] and "close_notify" in bench.tls.get_extra_info("cut")

        bench = Bench(folder).shake_hands()
        bench.tls.data_received(b"\x17\x03\x03\x00\x20" + b"x" * 32)  # what nobody with the keys wrote
        assert bench.above.calls[-1] == "eof" and bench.tls.get_extra_info("cut")

    on_loop(main)


def ask_for_key_update(client: ssl.SSLObject) -> None:
    """What Python's ssl does not offer: a KeyUpdate that wants another one in return, by way of OpenSSL itself."""
    library = ctypes.CDLL(_ssl.__file__)
    library.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
    after_head_and_socket = object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    inner = client._sslobj  # type: ignore[attr-defined]  # the extension's object, which holds the SSL*
    handle = ctypes.c_void_p.from_address(id(inner) + after_head_and_socket)
    assert library.SSL_key_update(handle, 1) == 1
    client.do_handshake()


def test_a_flood_of_key_updates_ends_when_its_answers_are_not_read(folder: Path) -> None:
    """RFC 8446 §4.6.3: each may ask for one in return. Answered while they are read, bounded when they are not."""

    async def main() -> None:
        bench = Bench(folder).shake_hands()
        for _ in range(100):
            ask_for_key_update(bench.client)
            bench.client.write(b"x")
            bench.deliver()
        assert len(b"".join(bench.above.received)) == 100
        bench.tls.write(b"all is well")
        bench.deliver()
        assert bench.read() == b"all is well"
        bench.tls.pause_writing()
        written = len(bench.raw.out)
        asked = 0
        while "abort" not in bench.raw.calls:
            asked += 1
            assert asked < 5_000
            ask_for_key_update(bench.client)
            bench.tls.data_received(bench.from_client.read())
        assert len(bench.raw.out) == written and asked > 100

    on_loop(main)


def test_back_pressure_is_passed_on(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder).shake_hands()
        bench.raw.unsent = 77
        assert bench.tls.get_write_buffer_size() == 77
        bench.tls.pause_writing()
        bench.tls.resume_writing()
        assert bench.above.calls == ["made", "pause", "resume"]
        bench.tls.pause_reading()
        bench.tls.resume_reading()
        assert bench.raw.calls[-2:] == ["pause_reading", "resume_reading"]

    on_loop(main)
