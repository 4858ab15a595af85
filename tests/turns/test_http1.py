"""HTTP/1.1: floods of chunks, of heads and of what stands between them leave others their turn (issue: one visitor's
upload kept everybody waiting for more than a second)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from headrace.engine.build import engine_is_compiled

from tests.security.support.harness import victim
from tests.turns import Flood, Siege, besieged, steady

pytestmark = [pytest.mark.slow, pytest.mark.alone]

POST = b"POST /read HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
LOOPS = pytest.mark.parametrize("uvloop", [0, 1], ids=["asyncio", "uvloop"])
COUNTS = pytest.mark.parametrize("count", [1, 20])
WAYS = pytest.mark.parametrize("alpn", ["", "http/1.1"], ids=["cleartext", "TLS"])


def tiny_chunks() -> Iterable[bytes]:
    """One byte a chunk, without end."""
    yield POST
    yield from itertools.repeat(b"1\r\nx\r\n" * 10_000)


def zeros_and_extensions() -> Iterable[bytes]:
    """Chunks with leading zeros and chunks with long extensions, up to what a message may have; then heads, all of them
    different, and the next such message."""
    long = b"1;" + b"e" * 1_000 + b"\r\nx\r\n"
    zeros = b"0000000000000001\r\nx\r\n"
    for n in itertools.count():
        heads = b"".join(b"GET /probe?%d HTTP/1.1\r\nhost: a\r\n\r\n" % (20 * n + each) for each in range(20))
        yield POST + (long + zeros * 40) * 60 + b"0\r\n\r\n" + heads


def heads_of_many_lines() -> Iterable[bytes]:
    """Pipelined requests with as many field lines as are taken, none like the one before."""
    for n in itertools.count():
        lines = b"".join(b"a%d:%d\r\n" % (line, n) for line in range(120))
        yield b"GET /probe HTTP/1.1\r\nhost: a\r\n" + lines + b"\r\n"


def trailers() -> Iterable[bytes]:
    """Messages of nothing but trailers."""
    lines = b"".join(b"a%d: b\r\n" % line for line in range(120))
    yield from itertools.repeat((POST + b"0\r\n" + lines + b"\r\n") * 10)


def a_large_upload() -> Iterable[bytes]:
    """A gigabyte as fast as it goes: no work for the engine, but a copy."""
    yield b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n"
    yield from itertools.repeat(bytes(1 << 20), 900)


FLOODS: dict[str, Flood] = {
    "chunks of one byte": tiny_chunks,
    "zeros, extensions, heads": zeros_and_extensions,
    "heads of many lines": heads_of_many_lines,
    "trailers": trailers,
    "a large upload": a_large_upload,
}


@LOOPS
@COUNTS
@WAYS
def test_chunks_of_one_byte(uvloop: int, count: int, alpn: str) -> None:
    """Twenty such connections had a bystander wait for 202 ms compiled, 1,186 ms pure."""

    def reading() -> Siege:
        with victim("read", tls=bool(alpn), uvloop=uvloop, drain_timeout_s=0.5) as server:
            return besieged(server, tiny_chunks, count=count, alpn=alpn)

    siege = steady(reading, Siege.holds)
    assert siege.holds(), siege


@COUNTS
@pytest.mark.parametrize("name", [name for name in FLOODS if name != "chunks of one byte"])
def test_other_floods(name: str, count: int) -> None:
    def reading() -> Siege:
        with victim("read", uvloop=1, drain_timeout_s=0.5) as server:
            return besieged(server, FLOODS[name], count=count)

    siege = steady(reading, Siege.holds)
    assert siege.holds(), siege


def test_control_chunks_without_turns() -> None:
    """Where a turn takes whatever came, a megabyte of the same from each holds others up."""
    with victim("read", frames_per_turn=0) as server:
        siege = besieged(
            server,
            lambda: itertools.islice(tiny_chunks(), 20),
            count=20 if engine_is_compiled() else 2,
            longest_s=0.5,
        )
        server.process.kill()  # it would go on for seconds
    assert not siege.is_quick(), siege
