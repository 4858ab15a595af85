"""RFC 9113 §4.2: frame sizes. SECURITY.md rule 6: the size is judged on the 9-byte header."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

FRAME_SIZE = wire.FRAME_SIZE_ERROR


@pytest.mark.parametrize("size", [0, 1, 255, 256, 16383, 16384])
def test_data_up_to_the_limit(size: int) -> None:
    """§4.2 All implementations MUST be capable of receiving frames up to 2^14 bytes in length."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x" * size, end_stream=True))
    assert rig.outcome(1) == OK
    assert b"".join(e.data for e in rig.of(ev.DataReceived)) == b"x" * size


@pytest.mark.parametrize("size", [16385, 65536, 2**24 - 1])
def test_data_above_the_limit(size: int) -> None:
    """§4.2 An endpoint MUST send FRAME_SIZE_ERROR if a frame exceeds SETTINGS_MAX_FRAME_SIZE (stream or connection)."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x" * 100, length=size))
    assert rig.outcome(1) in [("connection", FRAME_SIZE), ("stream", FRAME_SIZE)]


@pytest.mark.parametrize(
    ("type", "stream_id"),
    [(wire.HEADERS, 3), (wire.SETTINGS, 0), (wire.PING, 0), (wire.GOAWAY, 0), (wire.WINDOW_UPDATE, 0), (0xFA, 0)],
)
@pytest.mark.parametrize("role", [ServerRig, ClientRig])
def test_too_large_frames_that_touch_the_connection(role: type, type: int, stream_id: int) -> None:
    """§4.2 A frame size error in a frame that could alter the state of the connection MUST be a connection error."""
    rig = role()
    rig.feed(wire.frame(type, wire.END_HEADERS, stream_id, b"", length=16385))
    assert rig.outcome(stream_id) == ("connection", FRAME_SIZE)
    rig.assert_fault("connection", FRAME_SIZE)


def test_size_is_judged_on_the_header_alone() -> None:
    """CVE-2026-42788 (Bandit): a frame that is too large is refused on its 9-byte header, nothing of it is kept."""
    rig = ServerRig()
    rig.feed(wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"", length=2**24 - 1))
    assert rig.outcome(1) == ("connection", FRAME_SIZE)


def test_our_own_limit_counts_not_the_peers() -> None:
    """An inbound frame is held to our MAX_FRAME_SIZE, whatever the peer announced for itself."""
    rig = ServerRig(settings={wire.MAX_FRAME_SIZE: 2**20})
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x" * 20000))
    assert rig.outcome(1)[1] == FRAME_SIZE


def test_a_larger_limit_of_ours_is_honoured() -> None:
    """§4.2 The size of a frame payload is limited by the maximum that the receiver advertises."""
    rig = ServerRig(Limits(max_frame_size=65536))
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x" * 65536))
    assert rig.outcome(1) == OK
    rig.feed(wire.data(1, b"", length=65537))
    assert rig.outcome(1)[1] == FRAME_SIZE


@pytest.mark.parametrize("limit", [16384, 20000, 100_000])
def test_we_keep_to_the_peers_limit(limit: int) -> None:
    """§4.1 Lengths above 2^14 MUST NOT be sent unless the receiver has set a larger SETTINGS_MAX_FRAME_SIZE."""
    rig = ServerRig(settings={wire.MAX_FRAME_SIZE: limit, wire.INITIAL_WINDOW_SIZE: 2**20})
    rig.feed(wire.window_update(0, 2**20))
    rig.request(1)
    rig.respond(1, b"x" * 300_000)
    rig.take()
    assert max(len(f.payload) for f in rig.frames(wire.DATA)) <= limit
    assert bytes(rig.content[1]) == b"x" * 300_000


def test_long_field_sections_are_cut_into_continuations() -> None:
    """§4.3, §6.10 A field block that does not fit a HEADERS frame is continued in CONTINUATION frames, in a row."""
    rig = ServerRig()
    rig.request(1)
    rig.request(3)
    rig.conn.send_headers(1, 200, [(b"x-%d" % n, b"v%d-" % n + b"\xfe" * 4000) for n in range(10)])
    rig.respond(3, b"next")
    rig.take()
    kinds = [f.name for f in rig.sent]
    assert kinds.count("CONTINUATION") >= 2
    assert max(len(f.payload) for f in rig.sent) <= 16384
    assert rig.fields[1][0][0] == (b":status", b"200")
    assert bytes(rig.content[3]) == b"next"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (wire.rst_stream(1, payload=b"\0\0\0"), ("connection", FRAME_SIZE)),
        (wire.rst_stream(1, payload=b"\0\0\0\0\0"), ("connection", FRAME_SIZE)),
        (wire.rst_stream(1, payload=b""), ("connection", FRAME_SIZE)),
        (wire.priority(1, payload=b"\0\0\0\0"), ("stream", FRAME_SIZE)),
        (wire.priority(1, payload=b"\0\0\0\0\0\0"), ("stream", FRAME_SIZE)),
        (wire.settings(payload=b"\0\0\0\0\0"), ("connection", FRAME_SIZE)),
        (wire.settings(payload=b"\0\x03\0\0\0\x64\0"), ("connection", FRAME_SIZE)),
        (wire.settings({wire.MAX_FRAME_SIZE: 16384}, ack=True), ("connection", FRAME_SIZE)),
        (wire.ping(b"\0" * 7), ("connection", FRAME_SIZE)),
        (wire.ping(b"\0" * 9), ("connection", FRAME_SIZE)),
        (wire.ping(b""), ("connection", FRAME_SIZE)),
        (wire.frame(wire.GOAWAY, 0, 0, b"\0" * 7), ("connection", FRAME_SIZE)),
        (wire.frame(wire.GOAWAY, 0, 0, b""), ("connection", FRAME_SIZE)),
        (wire.window_update(0, 0, payload=b"\0\0\0"), ("connection", FRAME_SIZE)),
        (wire.window_update(1, 0, payload=b"\0\0\0\0\1"), ("connection", FRAME_SIZE)),
        (wire.frame(wire.HEADERS, wire.END_HEADERS | wire.PRIORITY_FLAG, 3, b"\0\0\0\0"), ("connection", FRAME_SIZE)),
        (wire.frame(wire.HEADERS, wire.END_HEADERS | wire.PADDED, 3, b""), ("connection", FRAME_SIZE)),
        (wire.frame(wire.DATA, wire.PADDED, 1, b""), ("connection", FRAME_SIZE)),
    ],
    ids=lambda value: None if isinstance(value, tuple) else wire.TYPE_NAMES[value[3]],
)
def test_too_small_or_odd_for_the_type(data: bytes, expected: tuple[str, int]) -> None:
    """§4.2 FRAME_SIZE_ERROR if a frame exceeds any limit defined for its type, or is too small for mandatory data."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    rig.feed(data)
    got = rig.outcome(1) if rig.reset_code(3) is None else rig.outcome(3)
    allowed = [expected]
    if data[3] == wire.DATA:  # a missing Pad Length byte on DATA does not touch the connection: either scope
        allowed += [("stream", FRAME_SIZE), ("connection", wire.PROTOCOL_ERROR)]
    if data[3] == wire.HEADERS:
        allowed += [("connection", wire.PROTOCOL_ERROR)]
    assert got in allowed
