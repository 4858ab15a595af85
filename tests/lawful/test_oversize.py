"""A field section beyond the limits costs its own message; siblings and HPACK's tables go on. Bombs stay bombs.

SECURITY.md, memory; ADR 0027.
"""

from __future__ import annotations

import time

import pytest

from headrace.engine import events as ev
from headrace.engine.hpack import Decoder
from headrace.engine.hpack.field import HPACKBombError

from tests.security.support.attacks import split_block
from tests.support import wire
from tests.support.rig import ClientRig, ServerRig

GRPC = [(b"content-type", b"application/grpc+proto"), (b"te", b"trailers")]
KIB = 1_024


def sections() -> dict[str, bytes]:
    """Fields of all kinds and sizes beyond the limits, from a little to just below what ends a connection."""
    return {
        "257 fields": wire.literal(b"x-a", b"b") * 257,
        "2,000 small fields": b"".join(wire.literal(b"x-metadata-%d" % n, b"value %d" % n) for n in range(2_000)),
        "one of 65 KiB": wire.literal(b"x", b"y" * 65 * KIB),
        "a cookie of 200 KiB": wire.literal(b"cookie", b"c" * 200 * KIB),
        "60 cookies of 4 KiB": b"".join(wire.literal(b"cookie", b"%d=" % n + b"c" * 4_000) for n in range(60)),
        "indexed as it goes": b"".join(wire.literal(b"x-%d" % n, b"v" * 500, index=True) for n in range(400)),
    }


@pytest.mark.parametrize("kind", sections())
@pytest.mark.parametrize("grpc", [False, True], ids=["", "grpc"])
def test_too_large_costs_its_request(kind: str, grpc: bool) -> None:
    """431, or RESOURCE_EXHAUSTED for gRPC, which takes 431 for UNKNOWN; the table is in step, and a sibling lives."""
    rig = ServerRig()
    rig.request(1, path=b"/sibling", method=b"POST", end_stream=False)
    block = wire.literals(wire.request_fields(method=b"POST", extra=GRPC if grpc else [])) + sections()[kind]
    rig.feed(split_block(3, block))
    rig.take()
    assert len(rig.of(ev.RequestReceived)) == 1
    (head,) = rig.fields[3]
    if grpc:
        assert head[0] == (b":status", b"200")
        assert dict(head)[b"grpc-status"] == b"8" and dict(head)[b"content-type"] == b"application/grpc"
        assert b"content-length" not in dict(head)
    else:
        assert head[0] == (b":status", b"431")
    (fault,) = rig.of(ev.PeerFault)
    assert fault.budget == ("max_fields" if "fields" in kind or "as it goes" in kind else "max_field_section_size")
    assert rig.goaway_code() is None and rig.conn.has_stream(1)
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("kind", sections())
@pytest.mark.parametrize("where", ["head", "trailers"])
def test_too_large_a_response_costs_its_request(kind: str, where: str) -> None:
    """The client's side: that response fails, the other one comes."""
    rig = ClientRig()
    sibling, large = rig.send(), rig.send()
    block = wire.literal(b":status", b"200") if where == "head" else b""
    if where == "trailers":
        rig.feed(wire.response(large))
    rig.feed(split_block(large, block + sections()[kind]))
    rig.take()
    (reset,) = rig.of(ev.StreamReset)
    assert (reset.stream_id, reset.code, reset.initiator) == (large, wire.ENHANCE_YOUR_CALM, "local")
    rig.feed(wire.response(sibling, end_stream=True))
    assert [e.stream_id for e in rig.of(ev.ResponseReceived)][-1] == sibling
    rig.assert_siblings_go_on()


def test_a_server_that_always_says_too_much() -> None:
    """Responses that are too large, one after the other for minutes: each fails, and the connection goes on."""
    rig = ClientRig()
    for _ in range(3_000):
        rig.advance(0.02)
        stream_id = rig.send()
        rig.feed(wire.headers(stream_id, wire.literal(b":status", b"200") + wire.literal(b"a", b"b") * 300))
        rig.take()
        rig.events.clear()
        rig.sent.clear()
    assert not rig.conn.closed


def test_a_caller_whose_metadata_is_always_too_large() -> None:
    """50 such calls a second beside 500 sound ones, for a minute, on one connection: each fails alone."""
    rig = ServerRig()
    large = wire.literals(wire.request_fields(method=b"POST", extra=GRPC)) + wire.literal(b"x", b"y" * 300) * 220
    stream_id = 1
    for _ in range(60):
        for n in range(550):
            if n % 11 == 0:
                rig.feed(split_block(stream_id, large))
            else:
                rig.request(stream_id)
                rig.respond(stream_id, b"x")
            stream_id += 2
        rig.take()
        rig.events.clear()
        rig.sent.clear()
        rig.fields.clear()
        rig.content.clear()
        rig.feed(wire.window_update(0, 500))
        rig.advance(1)
    assert not rig.conn.closed


def test_ordinary_metadata() -> None:
    """120 metadata fields, as a mesh and its tracing add up to."""
    rig = ServerRig()
    extra = [*GRPC, *[(b"x-metadata-%d" % n, b"value of some length %d" % n) for n in range(120)]]
    rig.request(1, method=b"POST", extra=extra)
    assert len(rig.of(ev.RequestReceived)[0].headers) == 122


def test_a_browser_with_180_cookies() -> None:
    """Chromium keeps 180 cookies of a domain, and sends each as a field of its own (RFC 9113 §8.2.3)."""
    rig = ServerRig()
    rig.request(1, extra=[(b"cookie", b"name%d=value%d" % (n, n)) for n in range(180)])
    (request,) = rig.of(ev.RequestReceived)
    assert dict(request.headers)[b"cookie"].count(b"; ") == 179


BOMBS = {
    "4 KiB, 60,000 times": wire.literal(b"x", b"y" * 4_000, index=True) + wire.indexed(62) * 60_000,
    "a thin one": wire.literal(b"a", b"", index=True) + wire.indexed(62) * 60_000,
    "static": wire.indexed(2) * 60_000,
    "a name of 4 KiB": wire.literal(b"n" * 4_000, b"", index=True) + b"\x0f\x2f\x00" * 20_000,
    "nothing": b"\x00\x00\x00" * 20_000,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_references_beyond_the_limit_are_a_bomb(kind: str) -> None:
    """What inflates is decoded to four times the limit, and no further: GOAWAY."""
    with pytest.raises(HPACKBombError):
        Decoder().decode(BOMBS[kind])
    rig = ServerRig()
    rig.feed(split_block(1, wire.literals(wire.request_fields()) + BOMBS[kind]))
    assert rig.outcome(1) == ("connection", wire.ENHANCE_YOUR_CALM)


def test_a_bomb_behind_a_large_cookie() -> None:
    """Large fields in front make room for references behind them, but no more than four times their own bytes."""
    block = wire.literal(b"x", b"y" * 4_000, index=True) + wire.literal(b"z", b"y" * 60_000)
    Decoder().decode(block + wire.indexed(62) * 40)
    with pytest.raises(HPACKBombError):
        Decoder().decode(block + wire.indexed(62) * 60)


def test_what_is_thrown_away_costs_by_its_bytes() -> None:
    """Work for the worst block that is no bomb, fields of eight bytes: a byte costs as it does within the limits.

    A ratio of CPU time within one process, with a wide margin: work by what a block decodes to would be far beyond it.
    """

    def cost(block: bytes) -> float:
        best = 1e9
        for _ in range(3):
            decoder = Decoder()
            start = time.process_time()
            decoder.decode(block)
            best = min(best, time.process_time() - start)
        return best / len(block)

    within = b"".join(wire.literal(b"x-%d" % n, b"value %d" % n) for n in range(250))
    worst = wire.literal(b"name", b"%04d" % 0) * (262_144 // 11)
    assert cost(worst) < 5 * cost(within)


def test_beyond_a_block_the_connection_ends() -> None:
    """The control: what is not kept at all has an end, 256 KiB in a block."""
    rig = ServerRig()
    rig.feed(split_block(1, wire.literals(wire.request_fields()) + wire.literal(b"x", b"y" * 262_144)))
    assert rig.outcome(1) == ("connection", wire.ENHANCE_YOUR_CALM)
    assert rig.of(ev.PeerFault)[-1].budget == "max_block_size"
