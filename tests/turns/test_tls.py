"""TLS: a read holds as many records as a peer likes to make of it, and each costs the same however little it brings."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest

from headrace.transport import tls_records
from headrace.transport.tls import local_certificate
from headrace.transport.tls_records import RECORDS_A_TURN

from tests.security.support.harness import victim
from tests.transport.test_tls_transport import Bench
from tests.turns import Siege, besieged, steady


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("turns-tls")
    local_certificate(folder)
    return folder


def tiny_records() -> Iterable[bytes]:
    """A chunk's data of a megabyte, one byte a record (the flooder makes a record of each batch)."""
    yield b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n"
    yield from itertools.repeat(b"x")


def records(bench: Bench, count: int, size: int = 1) -> bytes:
    """So many records of the client's, with `size` bytes of content each."""
    for _ in range(count):
        bench.client.write(b"x" * size)
    return bench.from_client.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("cut", [1 << 20, 5_001, 23])
def test_a_turn_decrypts_so_many_records(folder: Path, version: ssl.TLSVersion, cut: int) -> None:
    """However they are cut on their way; and all of them arrive."""

    async def main() -> None:
        bench = Bench(folder, version).shake_hands()
        count = 10 * RECORDS_A_TURN + 3
        said = records(bench, count)
        for start in range(0, len(said), cut):
            bench.tls.data_received(said[start : start + cut])
            while bench.tls._turn_due:
                assert bench.raw.calls[-1] == "pause_reading"
                await asyncio.sleep(0)
        assert b"".join(bench.above.received) == b"x" * count
        assert max(map(len, bench.above.received)) <= RECORDS_A_TURN
        if cut > len(said):
            assert [len(each) for each in bench.above.received] == [RECORDS_A_TURN] * 10 + [3]
            assert bench.raw.calls[-1] == "resume_reading"

    asyncio.run(main())


def test_whole_records_of_a_large_read_are_one_turn(folder: Path) -> None:
    """The ordinary case waits for nothing."""

    async def main() -> None:
        bench = Bench(folder).shake_hands()
        said = records(bench, 15, 16_384)
        bench.tls.data_received(said)
        assert [len(each) for each in bench.above.received] == [15 * 16_384]
        assert not bench.tls._turn_due

    asyncio.run(main())


def test_what_waits_for_its_turn_waits_for_the_reader_too(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder).shake_hands()
        bench.tls.data_received(records(bench, 2 * RECORDS_A_TURN))
        bench.tls.pause_reading()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(b"".join(bench.above.received)) == RECORDS_A_TURN
        bench.tls.resume_reading()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(b"".join(bench.above.received)) == 2 * RECORDS_A_TURN
        assert bench.raw.calls[-1] == "resume_reading"

    asyncio.run(main())


def test_records_that_come_with_the_handshakes_end_are_counted(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder)
        with pytest.raises(ssl.SSLWantReadError):
            bench.client.do_handshake()
        bench.deliver()
        bench.client.do_handshake()
        count = 100 * RECORDS_A_TURN
        bench.tls.data_received(records(bench, count))
        while bench.tls._turn_due:
            await asyncio.sleep(0)
        assert b"".join(bench.above.received) == b"x" * count
        assert max(map(len, bench.above.received)) <= RECORDS_A_TURN

    asyncio.run(main())


def test_who_has_more_records_than_a_turn_is_one_of_the_crowd(folder: Path) -> None:
    """So that turns become shorter, although each brings the engine less than a turn's work; and it leaves it again."""

    async def main() -> None:
        bench = Bench(folder)
        changes: list[int] = []
        bench.tls._on_turn = changes.append
        bench.shake_hands()
        bench.tls.data_received(records(bench, 3 * RECORDS_A_TURN))
        assert changes == [1]
        bench.tls.connection_lost(None)
        await asyncio.sleep(0)
        assert changes == [1, -1]

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("count", [1, 20])
def test_records_of_one_byte(count: int) -> None:
    def reading() -> Siege:
        with victim("read", tls=True, uvloop=1, drain_timeout_s=0.5) as server:
            return besieged(server, tiny_records, count=count, alpn="http/1.1")

    siege = steady(reading, Siege.holds)
    assert siege.holds(), siege


def test_control_without_the_bound(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_records, "RECORDS_A_TURN", 1 << 40)
    with pytest.raises(AssertionError):
        test_a_turn_decrypts_so_many_records(folder, ssl.TLSVersion.TLSv1_3, 1 << 20)
