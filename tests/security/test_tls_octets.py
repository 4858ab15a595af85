"""As in nginx (CVE-2026-118899): TLS at the boundaries of its buffers, in memory.

Whatever bytes come, cut anywhere, in the middle of anything: the TLS transport never raises, never loops, tells the
outcome of a handshake once, passes on a prefix of what was really sent, and lets go in the end.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.transport.tls import local_certificate

from tests.properties.profile import tries
from tests.transport.test_tls_transport import Bench

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
seeds = st.integers(0, 2**32)
versions = st.sampled_from(VERSIONS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a certificate in it."""
    folder = tmp_path_factory.mktemp("tls")
    local_certificate(folder)
    return folder


class Wire:
    """Carries bytes between a `Bench`'s two ends in random pieces; `spoil` may change what the client says."""

    def __init__(self, bench: Bench, rnd: random.Random, spoil: Callable[[bytes], bytes] = bytes) -> None:
        self.bench = bench
        self.rnd = rnd
        self.spoil = spoil
        self.is_over = False

    def carry(self) -> bool:
        """Both directions once; False when there was nothing to carry."""
        bench, rnd = self.bench, self.rnd
        said = self.spoil(bench.from_client.read())
        answered = bytes(bench.raw.out)
        bench.raw.out.clear()
        at = 0
        while at < len(said) and not bench.raw.is_closing():
            # Small pieces are where the boundaries are; large ones hold several records.
            size = rnd.choice([1, 2, 4, 5, 6, rnd.randrange(1, 64), rnd.randrange(1, 20_000)])
            bench.tls.data_received(said[at : at + size])
            at += size
        bench.to_client.write(answered)
        return bool(said or answered)

    def shake_hands(self) -> bool:
        """Go on until the client is through, fails, or nothing moves any more; True when it is through."""
        for _ in range(100):
            try:
                self.bench.client.do_handshake()
            except ssl.SSLWantReadError:
                if not self.carry():
                    return False
            except ssl.SSLError:
                self.carry()
                return False
            else:
                self.carry()
                return True
        raise AssertionError("the handshake never ends")


def finish(bench: Bench, sent: bytes) -> None:
    """The end: what has to be true whatever happened before."""
    content = b"".join(bench.above.received)
    assert sent.startswith(content), "what came out was never sent"
    bench.tls.connection_lost(None)
    bench.tls.write(b"later")
    bench.tls.close()
    assert len(bench.outcome) == 1, bench.outcome
    calls = bench.above.calls
    if bench.outcome == [None]:
        assert calls[0] == "made" and calls[-1] == "lost" and calls.count("lost") == 1 and calls.count("eof") <= 1, (
            calls
        )
    else:
        assert calls == [] and content == b""


@given(seeds, versions)
@tries(120)
def test_any_cut_of_a_session(folder: Path, seed: int, version: ssl.TLSVersion) -> None:
    """A sound session, its bytes cut anywhere: all content arrives, in order, both ways."""

    async def main() -> None:
        rnd = random.Random(seed)
        bench = Bench(folder, version)
        wire = Wire(bench, rnd)
        assert wire.shake_hands()
        sent = b""
        for _ in range(rnd.randrange(1, 6)):
            content = rnd.randbytes(rnd.choice([1, 100, 16_384, 16_385, 50_000]))
            for at in range(0, len(content), step := rnd.choice([7_000, 16_384])):
                bench.client.write(content[at : at + step])
            sent += content
            wire.carry()
            assert b"".join(bench.above.received) == sent
            bench.tls.write(content)
            bench.deliver()
            assert bench.read() == content
        assert not bench.raw.is_closing()
        finish(bench, sent)

    asyncio.run(main())


@given(seeds, versions)
@tries(250)
def test_mutated_sessions(folder: Path, seed: int, version: ssl.TLSVersion) -> None:
    """Bytes of the client flipped, dropped, doubled, put in or cut off, in the handshake or later."""

    async def main() -> None:
        rnd = random.Random(seed)
        flights = rnd.randrange(4)

        def spoil(data: bytes) -> bytes:
            nonlocal flights
            flights -= bool(data)
            if flights >= 0 or not data:
                return data
            spoiled = bytearray(data)
            for _ in range(rnd.randrange(1, 4)):
                at = rnd.randrange(len(spoiled) + 1)
                # Heads of records are where a mistake has the most to say.
                at = rnd.choice([at, rnd.randrange(min(6, len(spoiled) + 1))])
                kind = rnd.randrange(5)
                if kind == 0 and at < len(spoiled):
                    spoiled[at] ^= 1 << rnd.randrange(8)
                elif kind == 1:
                    del spoiled[at : at + rnd.choice([1, 5, 100])]
                elif kind == 2:
                    spoiled[at:at] = spoiled[at : at + rnd.randrange(1, 300)]
                elif kind == 3:
                    spoiled[at:at] = rnd.randbytes(rnd.randrange(1, 40))
                else:
                    del spoiled[at:]
            return bytes(spoiled)

        bench = Bench(folder, version)
        wire = Wire(bench, rnd, spoil)
        sent = b""
        if wire.shake_hands():
            for _ in range(4):
                content = rnd.randbytes(rnd.randrange(1, 20_000))
                bench.client.write(content)
                sent += content
                wire.carry()
                if rnd.randrange(3) == 0 and not bench.raw.is_closing():
                    bench.tls.write(content)
        finish(bench, sent)

    asyncio.run(main())


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 3), st.binary(max_size=80)), max_size=20), seeds)
@tries(250)
def test_random_records(folder: Path, records: list[tuple[int, int, bytes]], seed: int) -> None:
    """Records of any type and length, before the handshake or behind it."""

    async def main() -> None:
        rnd = random.Random(seed)
        bench = Bench(folder, rnd.choice(VERSIONS))
        wire = Wire(bench, rnd)
        if rnd.randrange(2):
            assert wire.shake_hands()
        for kind, lie, payload in records:
            length = (len(payload), len(payload) + 1, 0, 0xFFFF)[lie]
            head = bytes((rnd.choice([kind, 20, 21, 22, 23, 24]), 3, rnd.randrange(5))) + length.to_bytes(2, "big")
            for byte in head + payload:
                if not bench.raw.is_closing():
                    bench.tls.data_received(bytes((byte,)))
        finish(bench, b"")

    asyncio.run(main())


@given(seeds, versions, st.sampled_from(["eof", "lost", "timeout", "close", "abort", "write_eof", "pause"]))
@tries(150)
def test_an_end_at_any_moment(folder: Path, seed: int, version: ssl.TLSVersion, end: str) -> None:
    """EOF, loss, timeout, close, abort, back-pressure between any two bytes of a session."""

    async def main() -> None:
        rnd = random.Random(seed)
        bench = Bench(folder, version)
        left = rnd.choice([rnd.randrange(1, 700), rnd.randrange(1, 3_000)])
        done = False

        def cut(data: bytes) -> bytes:
            nonlocal left, done
            part = data[:left]
            left -= len(part)
            if not left and not done:
                done = True
                bench.tls.data_received(part)
                part = b""
                ends[end]()
            return part

        ends: dict[str, Callable[[], object]] = {
            "eof": bench.tls.eof_received,
            "lost": lambda: bench.tls.connection_lost(ConnectionResetError()),
            "timeout": lambda: bench.tls.break_off("the time is over"),
            "close": bench.tls.close,
            "abort": bench.tls.abort,
            "write_eof": bench.tls.write_eof,
            "pause": bench.tls.pause_writing,
        }
        wire = Wire(bench, rnd, cut)
        sent = b""
        if wire.shake_hands():
            for _ in range(3):
                content = rnd.randbytes(1_000)
                bench.client.write(content)
                sent += content
                wire.carry()
        if end == "lost" and done:
            bench.above.calls[:] = [call for call in bench.above.calls if call != "lost"]  # `finish` says it again
        finish(bench, sent)

    asyncio.run(main())
