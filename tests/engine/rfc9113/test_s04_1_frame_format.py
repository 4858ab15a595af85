"""RFC 9113 §4.1: the frame header. §5.5: what is unknown is ignored."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

KNOWN = {*range(10), wire.PRIORITY_UPDATE}


@pytest.mark.parametrize("type", [t for t in range(256) if t not in KNOWN])
@pytest.mark.parametrize("stream_id", [0, 1, 2, 7])
def test_unknown_types_are_ignored(type: int, stream_id: int) -> None:
    """§4.1 Implementations MUST ignore and discard frames of unknown types, on any stream, with any flags."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    assert rig.feed(wire.frame(type, 0xFF, stream_id, b"whatever")) == []
    assert rig.outcome(stream_id) == OK
    rig.feed(wire.data(1, b"x", end_stream=True))
    assert [e.data for e in rig.of(ev.DataReceived, 1)] == [b"x"]


@pytest.mark.parametrize("role", [ServerRig, ClientRig])
def test_unknown_frame_of_the_largest_size(role: type) -> None:
    """§4.2 An unknown frame of 16,384 bytes is discarded like any other."""
    rig = role()
    rig.feed(wire.frame(0xFA, 0, 0, b"x" * 16384))
    assert rig.outcome(0) == OK
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("flag", [0x02, 0x04, 0x10, 0x20, 0x40, 0x80, 0xF6 & ~0x08])
def test_unused_flags_on_data(flag: int) -> None:
    """§4.1 Unused flags MUST be ignored on receipt: DATA."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    (event,) = rig.feed(wire.data(1, b"abc", flags=flag))
    assert (event.data, event.end_stream) == (b"abc", False)
    assert rig.outcome(1) == OK


@pytest.mark.parametrize("flag", [0x02, 0x10, 0x40, 0x80, 0xD2])
def test_unused_flags_on_headers(flag: int) -> None:
    """§4.1 Unused flags MUST be ignored on receipt: HEADERS."""
    rig = ServerRig()
    rig.feed(wire.headers(1, wire.request_fields(), flags=flag))
    assert len(rig.of(ev.RequestReceived)) == 1
    rig.respond(1)
    rig.assert_siblings_go_on()


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (wire.ping(b"abcdefgh", flags=0xFE), wire.PING),
        (wire.settings({wire.MAX_FRAME_SIZE: 20000}, flags=0xFE), wire.SETTINGS),
    ],
)
def test_unused_flags_on_connection_frames(data: bytes, answer: int) -> None:
    """§4.1 Unused flags MUST be ignored on receipt: PING and SETTINGS are still answered."""
    rig = ServerRig()
    frames = rig.exchange(data)
    assert [f.type for f in frames if f.ack] == [answer]


def test_unused_flags_elsewhere() -> None:
    """§4.1 Unused flags MUST be ignored on receipt: PRIORITY, RST_STREAM, WINDOW_UPDATE, CONTINUATION, GOAWAY."""
    rig = ServerRig()
    block = wire.literals(wire.request_fields())
    rig.feed(
        wire.headers(1, block[:5], end_headers=False), wire.continuation(1, block[5:], flags=0xFB, end_headers=True)
    )
    rig.feed(wire.priority(1, 3, flags=0xFF), wire.window_update(1, 10, flags=0xFF))
    assert rig.outcome(1) == OK
    (event,) = rig.feed(wire.rst_stream(1, flags=0xFF))
    assert isinstance(event, ev.StreamReset)
    rig.assert_siblings_go_on()


@pytest.mark.parametrize(
    "data",
    [
        wire.frame(wire.HEADERS, 0x05, 1, wire.literals(wire.request_fields()), reserved=1),
        wire.request(1) + wire.frame(wire.WINDOW_UPDATE, 0, 0, b"\x80\0\0\x05", reserved=1),
        wire.request(1) + wire.frame(wire.PING, 0, 0, b"12345678", reserved=1),
        wire.request(1) + wire.frame(wire.SETTINGS, 0, 0, b"", reserved=1),
        wire.request(1) + wire.window_update(1, 5, reserved_increment=1),
    ],
    ids=["headers", "window_update", "ping", "settings", "increment"],
)
def test_reserved_bit_is_ignored(data: bytes) -> None:
    """§4.1 The reserved bit MUST be ignored when receiving; §6.9 likewise the one before the increment."""
    rig = ServerRig()
    rig.feed(data)
    assert rig.outcome(1) == OK
    assert [e.stream_id for e in rig.of(ev.RequestReceived)] == [1]


@pytest.mark.parametrize("sizes", [(9, 1), (1, 9), (3, 6), (8, 2)])
def test_a_frame_header_may_come_in_pieces(sizes: tuple[int, int]) -> None:
    """§4.1 All frames begin with a fixed 9-byte header; it may be cut anywhere by the transport."""
    rig = ServerRig()
    data = wire.request(1) + wire.ping(b"12345678")
    at = 0
    turn = 0
    while at < len(data):
        step = sizes[turn % 2]
        rig.feed(data[at : at + step])
        at += step
        turn += 1
    assert len(rig.of(ev.RequestReceived)) == 1
    assert [f.payload for f in rig.take() if f.type == wire.PING] == [b"12345678"]


def test_what_we_write_has_no_unused_flags() -> None:
    """§4.1 Unused flags MUST be left unset when sending (the reader of tests/support/wire.py holds every frame to
    it)."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_informational(1, 103, [(b"link", b"</a>")])
    rig.conn.send_headers(1, 200, [(b"a", b"b")])
    rig.conn.send_data(1, b"x" * 40000)
    rig.conn.send_trailers(1, [(b"t", b"v")])
    rig.take()
    rig.request(3)
    rig.feed(wire.settings({}), wire.ping(), wire.data(3, b"late"))
    rig.take()
    assert {f.type for f in rig.sent} >= {wire.HEADERS, wire.DATA, wire.SETTINGS, wire.PING}
