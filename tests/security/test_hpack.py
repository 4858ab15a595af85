"""HPACK: bombs, integers, tables, Huffman, desync, compression probing; each with its control."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator

import hpack
import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.security.support import attacks
from tests.security.support.memory import OFF, attack, check, only_off
from tests.support import wire
from tests.support.rig import ServerRig

MB = 1_000_000


def test_hpack_bomb() -> None:
    """CVE-2016-6581 HPACK bomb: 4 kB referenced 11,000 times: COMPRESSION_ERROR or ENHANCE_YOUR_CALM, peak M(1)."""
    result = attack(attacks.fat_bomb(), memory=True)
    check(result.closed and result.goaway in (wire.COMPRESSION_ERROR, wire.ENHANCE_YOUR_CALM), result)
    check(result.peak < 1 * MB and result.requests <= 1, result)
    control = attack(attacks.fat_bomb(1_000, 5), limits=OFF, memory=True)
    check(not control.closed and control.requests == 6, control)


BOMBS: dict[str, Callable[[], Iterator[bytes]]] = {
    "thin": lambda: attacks.thin_bomb(b"a"),
    "empty-cookie": lambda: attacks.thin_bomb(b"cookie"),
    "fat-cookie": attacks.medium_bomb,
    "varied-cookie": lambda: attacks.medium_bomb(varied=True),
}


@pytest.mark.parametrize("variant", BOMBS)
def test_http2_bomb(variant: str) -> None:
    """CVE-2026-49975 HTTP/2 Bomb: near-empty fields, empty cookies and 95 x 4 kB, 100 streams x 20 connections: M(20).

    The connections are held at the same time, as the attack would; those that survive hold what their limits allow:
    the varied one, `max_connection_fields_size` each, which is 1 MiB.
    """
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        rigs = [ServerRig() for _ in range(20)]
        calmed = 0
        for rig in rigs:
            for batch in BOMBS[variant]():
                rig.feed(batch)
                if rig.conn.closed:
                    break
            rig.take()
            calmed += rig.goaway_code() == wire.ENHANCE_YOUR_CALM
            rig.sent.clear()
            rig.fields.clear()
        assert tracemalloc.get_traced_memory()[1] - before < 20 * MB
        if variant in ("thin", "empty-cookie"):
            assert calmed == 20
        del rigs
    finally:
        tracemalloc.stop()


def test_fat_cookies_negative_control() -> None:
    """Without the limit for all requests of a connection, 13 kB hold 6 MB, on each of the 20 connections."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        rig = ServerRig(only_off(max_connection_fields_size=2**31 - 1))
        for batch in attacks.medium_bomb(varied=True):
            rig.feed(batch)
        assert tracemalloc.get_traced_memory()[0] - before > 5 * MB
        assert len(rig.of(ev.RequestReceived)) == 100
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("variant", ["thin", "empty-cookie"])
def test_http2_bomb_negative_control(variant: str) -> None:
    """The same with the limits off amplifies as the CVE says: hundreds of bytes held for each one sent."""
    rig = ServerRig(OFF)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        data = 0
        for batch in attacks.thin_bomb(b"a" if variant == "thin" else b"cookie", references=16_000, streams=20):
            data += len(batch)
            rig.feed(batch)
        assert not rig.conn.closed
        assert len(rig.of(ev.RequestReceived)) == 21
        sizes = [len(e.headers) if variant == "thin" else len(e.headers[0][1]) for e in rig.of(ev.RequestReceived)]
        assert max(sizes) >= 16_000, "the bomb went off, so the limits are what holds it"
        assert tracemalloc.get_traced_memory()[0] - before > 100_000
    finally:
        tracemalloc.stop()


def test_integer_overflow() -> None:
    """CVE-2026-59980, Cowlib 59248, Jetty CVE-2023-36478, Go CVE-2022-41723: 1 MB of 0x80: an error at once.

    The frames are cut off by the limits of a block long before 1 MB; the decoder alone is given all of it as well, and
    its work is compared with that for 1 kB: quadratic work would be a million times more, linear a thousand.
    """
    result = attack(attacks.endless_integer())
    check(result.closed and result.goaway in (wire.COMPRESSION_ERROR, wire.ENHANCE_YOUR_CALM), result)
    rig = ServerRig()
    rig.feed(wire.headers(1, b"\xff" + b"\x80" * 16_000, end_stream=True))
    assert rig.outcome(1) == ("connection", wire.COMPRESSION_ERROR)

    from headrace.engine.hpack import Decoder
    from headrace.engine.hpack.field import HPACKError

    def cost(size: int) -> float:
        best = 1e9
        for _ in range(5):
            block = b"\xff" + b"\x80" * size
            start = time.process_time()
            with pytest.raises(HPACKError):
                Decoder().decode(block)
            best = min(best, time.process_time() - start)
        return best

    assert cost(1_000_000) < max(20 * cost(1_000), 0.005)


def test_encoder_table_inflation() -> None:
    """h2 0.4.17, Netty CVE-2026-93492: HEADER_TABLE_SIZE of 2^32-1 and 1,000 answers: our encoder keeps 4 kB.

    Each field comes twice, since our encoder indexes on second sight.
    """
    rig = ServerRig()
    rig.reader.decoder.max_allowed_table_size = 2**32 - 1
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for batch in attacks.table_inflation():
            for event in rig.feed(batch):
                if isinstance(event, ev.RequestReceived):
                    rig.respond(event.stream_id, headers=[(b"x-%d" % (event.stream_id // 4), b"v" * 200)])
            rig.events.clear()
            rig.take()
            rig.sent.clear()
            rig.fields.clear()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 1 * MB
    finally:
        tracemalloc.stop()
    assert rig.reader.decoder.header_table.maxsize <= 4_096
    assert rig.reader.decoder.header_table._current_size <= 4_096


@pytest.mark.parametrize("sizes", [(0, 4_096), (100, 200), (0, 0), (4_096, 0, 4_096), (2**32 - 1, 0, 50)])
def test_table_size_of_the_peer(sizes: tuple[int, ...]) -> None:
    """RFC 7541 §4.2: HEADER_TABLE_SIZE lowered, then raised: the smallest and the last are both signalled."""
    rig = ServerRig()
    rig.request(1)
    rig.respond(1, headers=[(b"x-warm", b"up" * 20)])
    rig.take()
    decoder = hpack.Decoder()
    rig.feed(*[wire.settings({wire.HEADER_TABLE_SIZE: size}) for size in sizes])
    rig.request(3)
    rig.respond(3, headers=[(b"x-warm", b"up" * 20)])
    head = next(f for f in rig.take() if f.type == wire.HEADERS)
    block = head.block
    updates = []
    while block and block[0] & 0xE0 == 0x20:
        value, used = hpack.hpack.decode_integer(block, 5)
        updates.append(value)
        block = block[used:]
    low, last = min(*sizes, 4_096), min(sizes[-1], 4_096)
    if low < 4_096:
        assert updates, "a reduction must be signalled"
        assert updates[0] <= low
        assert updates[-1] <= last
    assert len(updates) <= 2
    assert all(value <= 4_096 for value in updates)
    decoder.max_allowed_table_size = max(*sizes, 4_096)
    assert rig.fields[3][0][0] == (b":status", b"200")


SIZE_UPDATES = {
    "above the limit": wire.table_size(4_097) + attacks.GET,
    "three in a row": wire.table_size(0) + wire.table_size(1) + wire.table_size(2) + attacks.GET,
    "behind a field": attacks.GET + wire.table_size(0),
}


@pytest.mark.parametrize("row", SIZE_UPDATES)
def test_table_size_updates_misused(row: str) -> None:
    """RFC 7541 §4.2, §6.3: an update above the limit, more than two, one behind a field: COMPRESSION_ERROR."""
    rig = ServerRig()
    rig.feed(wire.headers(1, SIZE_UPDATES[row], end_stream=True))
    assert rig.outcome(1) == ("connection", wire.COMPRESSION_ERROR)


HUFFMAN_TRAPS = {
    "EOS": b"\x84\xff\xff\xff\xff",
    "EOS inside": b"\x86\x1f\xff\xff\xff\xff\xff",
    "padding of 8 bits": b"\x82\x1f\xff",
    "padding of zeros": b"\x81\x18",
    "padding half zero": b"\x81\x1e",
    "only padding": b"\x81\xff",
    "a cut code": b"\x81\xfe",
}


@pytest.mark.parametrize("trap", HUFFMAN_TRAPS)
@pytest.mark.parametrize("where", ["name", "value"])
def test_huffman_traps(trap: str, where: str) -> None:
    """RFC 7541 §5.2: EOS in a string, padding of 8 bits and more, padding that is not ones: COMPRESSION_ERROR."""
    coded = HUFFMAN_TRAPS[trap]
    literal = b"\x00" + coded + b"\x01v" if where == "name" else b"\x00\x01n" + coded
    rig = ServerRig()
    rig.feed(wire.headers(1, attacks.GET + literal, end_stream=True))
    assert rig.outcome(1) == ("connection", wire.COMPRESSION_ERROR)


DESYNC: dict[str, Callable[[ServerRig, bytes], object]] = {
    "malformed": lambda rig, block: rig.feed(wire.headers(3, block + wire.literal(b"BAD", b""), end_stream=True)),
    "reset by us": lambda rig, block: (
        rig.feed(wire.headers(3, attacks.POST)),
        rig.conn.reset_stream(3, wire.CANCEL),
        rig.feed(wire.headers(3, wire.literal(b"k", b"v", index=True), end_stream=True)),
    ),
    "refused": lambda rig, block: rig.feed(wire.headers(3, attacks.POST), wire.headers(5, block, end_stream=True)),
    "too large": lambda rig, block: rig.feed(wire.headers(3, block + wire.literal(b"f", b"") * 200, end_stream=True)),
    "trailers": lambda rig, block: (
        rig.feed(wire.headers(3, attacks.POST)),
        rig.feed(wire.headers(3, wire.literal(b"k", b"v", index=True), end_stream=True)),
    ),
    "half-closed": lambda rig, block: (
        rig.feed(wire.headers(3, attacks.GET, end_stream=True)),
        rig.feed(wire.headers(3, wire.literal(b"k", b"v", index=True), end_stream=True)),
    ),
    "self-dependent": lambda rig, block: rig.feed(wire.headers(3, block, priority=(False, 3, 1), end_stream=True)),
    "after goaway": lambda rig, block: (
        rig.conn.begin_drain(rig.now, rig.now + 60),
        rig.advance(2),
        rig.feed(wire.headers(3, block, end_stream=True)),
    ),
}


@pytest.mark.parametrize("how", DESYNC)
def test_shared_state_stays_in_step(how: str) -> None:
    """Shared state does not get out of step: a block of a refused or reset stream counts."""
    rig = ServerRig(Limits(max_concurrent_streams=2))
    rig.request(1, method=b"POST", end_stream=False)
    block = attacks.GET + wire.literal(b"k", b"v", index=True)
    DESYNC[how](rig, block)
    rig.take()
    assert not rig.conn.closed
    rig.feed(wire.headers(1, wire.indexed(62), end_stream=True))
    assert [e.headers for e in rig.of(ev.TrailersReceived, 1)] == [[(b"k", b"v")]]


def test_secrets_are_never_indexed() -> None:
    """CRIME-style probing: authorization, and cookies under 20 bytes, are never-indexed literals (0x10 form)."""
    from headrace.engine.hpack import Encoder

    for field in [(b"authorization", b"Bearer token"), (b"cookie", b"sid=1234"), (b"set-cookie", b"sid=12")]:
        encoder = Encoder()
        decoder = hpack.Decoder()
        for _ in range(5):
            fields = list(decoder.decode(encoder.encode([(b":status", b"200"), field]), raw=True))
        assert (bytes(fields[1][0]), bytes(fields[1][1])) == field
        if field[0] != b"set-cookie":
            assert isinstance(fields[1], hpack.NeverIndexedHeaderTuple), field


def test_trailer_map() -> None:
    """Go CVE-2026-78659: a `trailer` field that announces 100,000 names costs what its bytes cost: M(1)."""
    result = attack(attacks.trailer_map(), memory=True)
    check(result.peak < 1 * MB and result.frames.get(wire.GOAWAY, 0) <= 1, result)
