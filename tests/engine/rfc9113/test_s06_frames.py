"""RFC 9113 §6.1-§6.7: each frame's own rules: stream 0 or not, padding, priority, PING, SETTINGS."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

PROTOCOL = ("connection", wire.PROTOCOL_ERROR)
FIELDS = wire.request_fields()


@pytest.mark.parametrize("role", [ServerRig, ClientRig])
@pytest.mark.parametrize(
    "raw",
    [
        wire.data(0, b"x"),
        wire.data(0, b""),
        wire.headers(0, FIELDS),
        wire.priority(0),
        wire.rst_stream(0),
        wire.settings(stream_id=1),
        wire.settings(stream_id=1, ack=True),
        wire.push_promise(0, 2, FIELDS),
        wire.ping(stream_id=1),
        wire.ping(stream_id=1, ack=True),
        wire.goaway(stream_id=1),
        wire.continuation(0, b""),
    ],
    ids=lambda o: f"{wire.TYPE_NAMES[o[3]]}-{o[4]}",
)
def test_wrong_side_of_stream_0(role: type, raw: bytes) -> None:
    """§6.1-§6.10 Stream frames on stream 0, connection frames on a stream: connection error PROTOCOL_ERROR."""
    rig = role()
    if isinstance(rig, ServerRig):
        rig.request(1)
    else:
        rig.send()
    rig.feed(raw)
    assert rig.outcome(0) == PROTOCOL
    fault = rig.assert_fault("connection", wire.PROTOCOL_ERROR)
    assert "§6" in fault.section or "§8.4" in fault.section


# --- padding (§6.1, §6.2) -------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [0, 1, 100, 255])
def test_padding_is_taken_off(pad: int) -> None:
    """§6.1, §6.2 Padding has no application semantic value."""
    rig = ServerRig()
    rig.feed(wire.headers(1, FIELDS, pad=pad))
    rig.feed(wire.data(1, b"abc", pad=pad, end_stream=True))
    assert len(rig.of(ev.RequestReceived)) == 1
    assert [e.data for e in rig.of(ev.DataReceived)] == [b"abc"]
    rig.respond(1)
    rig.assert_siblings_go_on()


@pytest.mark.parametrize(
    ("kind", "size", "claim"),
    [("data", 3, 4), ("data", 0, 1), ("data", 3, 255), ("headers", 10, 11), ("headers", 0, 1), ("headers", 10, 255)],
)
def test_padding_as_long_as_the_payload(kind: str, size: int, claim: int) -> None:
    """§6.1, §6.2 If the length of the padding is the length of the payload or greater: connection PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    if kind == "data":
        rig.feed(wire.frame(wire.DATA, wire.PADDED, 1, bytes((claim,)) + b"x" * size))
    else:
        rig.feed(wire.frame(wire.HEADERS, wire.PADDED | wire.END_HEADERS, 3, bytes((claim,)) + b"x" * size))
    assert rig.outcome(1) == PROTOCOL


def test_padding_fills_the_whole_payload() -> None:
    """§6.1 Pad Length of exactly the rest is legal: an empty DATA frame that costs window."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"", pad=255))
    assert rig.outcome(1) == OK


def test_priority_and_padding_are_not_fed_to_hpack() -> None:
    """The PRIORITY bytes and the padding of HEADERS are no part of the field block."""
    rig = ServerRig()
    rig.feed(wire.headers(1, FIELDS, pad=7, priority=(True, 0, 255), pad_byte=b"\0", end_stream=True))
    rig.feed(wire.headers(3, FIELDS, priority=(False, 1, 0), end_stream=True))
    assert [e.headers for e in rig.of(ev.RequestReceived)] == [[], []]
    for stream_id in (1, 3):
        rig.respond(stream_id)
    rig.assert_siblings_go_on()


@pytest.mark.parametrize(
    ("payload", "flags"),
    [(b"\x03\0\0\0\0", wire.PADDED | wire.PRIORITY_FLAG), (b"\0\0\0\0", wire.PRIORITY_FLAG), (b"", wire.PRIORITY_FLAG)],
)
def test_headers_too_short_for_its_flags(payload: bytes, flags: int) -> None:
    """§4.2, §6.2 HEADERS too small for its flags: connection error FRAME_SIZE_ERROR (or PROTOCOL_ERROR)."""
    rig = ServerRig()
    rig.feed(wire.frame(wire.HEADERS, flags | wire.END_HEADERS, 1, payload))
    assert rig.outcome(1) in [PROTOCOL, ("connection", wire.FRAME_SIZE_ERROR)]


# --- PRIORITY (§6.3) ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream_id", [1, 2, 3, 99, 2**31 - 1])
def test_priority_in_any_state(stream_id: int) -> None:
    """§6.3 PRIORITY can be sent on a stream in any state; it affects none: a later stream may still open."""
    rig = ServerRig()
    rig.request(1)
    assert rig.feed(wire.priority(stream_id, 0, 200)) == []
    assert rig.outcome(stream_id) == OK
    rig.request(3)
    assert len(rig.of(ev.RequestReceived)) == 2


@pytest.mark.parametrize("stream_id", [2, 1])
def test_headers_that_depend_on_themselves(stream_id: int) -> None:
    """§5.1.1 before §5.3.2: a stream id that cannot be opened stays a connection error, self-dependent or not."""
    rig = ServerRig()
    rig.request(3)
    rig.respond(3)
    rig.take()
    rig.feed(wire.headers(stream_id, FIELDS, priority=(False, stream_id, 1), end_stream=True))
    assert rig.outcome(stream_id)[0] == "connection"


def test_an_answer_to_nothing_that_depends_on_itself() -> None:
    """§5.1 idle: at a client HEADERS on an idle stream is a connection error, self-dependent or not."""
    for stream_id in (2, 5):
        rig = ClientRig()
        rig.send()
        rig.feed(wire.headers(stream_id, [(b":status", b"200")], priority=(False, stream_id, 1)))
        assert rig.outcome(stream_id) == PROTOCOL


def test_priority_on_itself_is_no_work() -> None:
    """§5.3.2 RFC 7540 priorities are parsed and ignored; a self-dependency may be a stream error, never more."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(wire.priority(1, 1), wire.headers(3, FIELDS, priority=(False, 3, 1), end_stream=True))
    assert rig.outcome(1) in [OK, ("stream", wire.PROTOCOL_ERROR)]


# --- SETTINGS (§6.5) ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "value", "expected"),
    [
        (wire.ENABLE_PUSH, 0, OK),
        (wire.ENABLE_PUSH, 1, OK),
        (wire.ENABLE_PUSH, 2, PROTOCOL),
        (wire.ENABLE_PUSH, 2**32 - 1, PROTOCOL),
        (wire.MAX_FRAME_SIZE, 16383, PROTOCOL),
        (wire.MAX_FRAME_SIZE, 0, PROTOCOL),
        (wire.MAX_FRAME_SIZE, 16384, OK),
        (wire.MAX_FRAME_SIZE, 2**24 - 1, OK),
        (wire.MAX_FRAME_SIZE, 2**24, PROTOCOL),
        (wire.MAX_FRAME_SIZE, 2**32 - 1, PROTOCOL),
        (wire.INITIAL_WINDOW_SIZE, 0, OK),
        (wire.INITIAL_WINDOW_SIZE, 2**31 - 1, OK),
        (wire.INITIAL_WINDOW_SIZE, 2**31, ("connection", wire.FLOW_CONTROL_ERROR)),
        (wire.INITIAL_WINDOW_SIZE, 2**32 - 1, ("connection", wire.FLOW_CONTROL_ERROR)),
        (wire.HEADER_TABLE_SIZE, 0, OK),
        (wire.HEADER_TABLE_SIZE, 2**32 - 1, OK),
        (wire.MAX_CONCURRENT_STREAMS, 0, OK),
        (wire.MAX_CONCURRENT_STREAMS, 2**32 - 1, OK),
        (wire.MAX_HEADER_LIST_SIZE, 0, OK),
        (wire.MAX_HEADER_LIST_SIZE, 2**32 - 1, OK),
        (wire.ENABLE_CONNECT_PROTOCOL, 0, OK),
        (wire.ENABLE_CONNECT_PROTOCOL, 1, OK),
        (wire.NO_RFC7540_PRIORITIES, 1, OK),
        (0, 5, OK),
        (7, 5, OK),
        (0xFFFF, 2**32 - 1, OK),
    ],
)
def test_settings_values(identifier: int, value: int, expected: tuple[object, ...]) -> None:
    """§6.5.2 Each setting's range, and its error; an unknown identifier MUST be ignored."""
    rig = ServerRig()
    rig.feed(wire.settings({identifier: value}))
    assert rig.outcome(0) == expected
    if expected == OK:
        assert [f.ack for f in rig.frames(wire.SETTINGS)] == [True]
        if identifier != wire.INITIAL_WINDOW_SIZE:
            rig.assert_siblings_go_on()


@pytest.mark.parametrize(("value", "expected"), [(0, OK), (1, PROTOCOL), (2, PROTOCOL)])
def test_a_server_must_not_enable_push(value: int, expected: tuple[str, int]) -> None:
    """§6.5.2 A client MUST treat receipt of ENABLE_PUSH set to 1 as a connection error of type PROTOCOL_ERROR."""
    rig = ClientRig()
    rig.feed(wire.settings({wire.ENABLE_PUSH: value}))
    assert rig.outcome(0) == expected


def test_a_bad_value_behind_good_ones() -> None:
    """§6.5.3 Values are processed in the order they appear; a bad one late in the frame is still found."""
    rig = ServerRig()
    rig.feed(wire.settings([(3, 1), (4, 5), (0x99, 1), (5, 1)]))
    assert rig.outcome(0) == PROTOCOL


def test_settings_merge() -> None:
    """A SETTINGS frame changes what it names and leaves the rest: it does not reset others to defaults."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 7, wire.MAX_FRAME_SIZE: 20_000})
    rig.feed(wire.settings({wire.MAX_CONCURRENT_STREAMS: 1}), wire.settings())
    rig.request(1)
    rig.respond(1, b"x" * 100)
    rig.take()
    assert bytes(rig.content[1]) == b"x" * 7


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_settings_frame_gets_its_ack(count: int) -> None:
    """§6.5.3 Once all values have been processed, the recipient MUST immediately emit SETTINGS with ACK."""
    rig = ServerRig()
    frames = rig.exchange(*[wire.settings({wire.MAX_HEADER_LIST_SIZE: 5})] * count)
    assert [f.ack for f in frames if f.type == wire.SETTINGS] == [True] * count


def test_a_surplus_ack_does_no_harm() -> None:
    """§6.5.3 An ACK that answers nothing: ignored or a connection error PROTOCOL_ERROR, never a crash."""
    rig = ServerRig()
    rig.feed(wire.settings_ack(), wire.settings_ack())
    assert rig.outcome(0) in [OK, PROTOCOL]


@pytest.mark.parametrize(("count", "expected"), [(32, OK), (33, ("connection", wire.ENHANCE_YOUR_CALM))])
def test_entries_in_one_settings_frame(count: int, expected: tuple[str, int]) -> None:
    """CVE-2020-11080: at most 32 entries to a SETTINGS frame, then ENHANCE_YOUR_CALM."""
    rig = ServerRig()
    rig.feed(wire.settings([(wire.MAX_HEADER_LIST_SIZE, n) for n in range(count)]))
    assert rig.outcome(0) == expected


def test_max_header_list_size_is_advice() -> None:
    """Netty CVE-2026-50560: MAX_HEADER_LIST_SIZE=1 of the peer is advisory; answers go out as ever."""
    rig = ServerRig(settings={wire.MAX_HEADER_LIST_SIZE: 1})
    rig.request(1)
    rig.respond(1, b"body", headers=[(b"content-type", b"text/plain")])
    rig.take()
    assert bytes(rig.content[1]) == b"body"


# --- PING (§6.7) ----------------------------------------------------------------------------------


@pytest.mark.parametrize("opaque", [b"\0" * 8, b"\xff" * 8, b"opaque!!"])
@pytest.mark.parametrize("role", [ServerRig, ClientRig])
def test_ping_is_answered(role: type, opaque: bytes) -> None:
    """§6.7 Receivers of a PING without ACK MUST send a PING with ACK and an identical payload."""
    rig = role()
    (answer,) = rig.exchange(wire.ping(opaque))
    assert (answer.type, answer.ack, answer.payload) == (wire.PING, True, opaque)


def test_ping_ack_is_not_answered() -> None:
    """§6.7 An endpoint MUST NOT respond to PING frames containing the ACK flag."""
    rig = ServerRig()
    assert rig.exchange(wire.ping(b"whatever", ack=True)) == []


def test_ping_goes_before_data() -> None:
    """§6.7 PING responses SHOULD be given higher priority than any other frame."""
    rig = ServerRig()
    rig.request(1)
    rig.respond(1, b"x" * 60_000)
    rig.feed(wire.ping(b"urgently"))
    frames = rig.take()
    order = [f.type for f in frames]
    assert order.index(wire.PING) < order.index(wire.DATA)


def test_our_ping_is_told_when_answered() -> None:
    """§6.7 A PING of ours: its ACK becomes PingAcknowledged."""
    rig = ServerRig()
    rig.conn.send_ping(b"question")
    (ping,) = rig.take()
    assert (ping.type, ping.ack, ping.payload) == (wire.PING, False, b"question")
    (event,) = rig.feed(wire.ping(ping.payload, ack=True))
    assert isinstance(event, ev.PingAcknowledged)
    assert event.opaque == b"question"


def test_keepalive() -> None:
    """`keepalive_ping_s`: a PING after silence; without its ACK in time the connection ends."""
    rig = ServerRig(Limits(keepalive_ping_s=5, keepalive_ack_s=20, idle_timeout_s=3600))
    rig.request(1)
    rig.advance(5.1)
    (ping,) = [f for f in rig.take() if f.type == wire.PING]
    rig.feed(wire.ping(ping.payload, ack=True))
    rig.advance(5.1)
    assert [f for f in rig.take() if f.type == wire.PING]
    rig.advance(20.1)
    assert rig.conn.closed


# --- RST_STREAM (§6.4), PUSH_PROMISE (§6.6) ---------------------------------------------------------


def test_clients_cannot_push() -> None:
    """§8.4 A client cannot push: PUSH_PROMISE at a server is a connection error of type PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.request(1, end_stream=False)
    rig.feed(wire.push_promise(1, 2, FIELDS))
    assert rig.outcome(1) == PROTOCOL


@pytest.mark.parametrize("promised", [0, 1, 2, 3, 2**31 - 1])
def test_push_promise_after_the_ack(promised: int) -> None:
    """§6.6 An endpoint that has set ENABLE_PUSH=0 and has its ACK MUST treat a push as connection PROTOCOL_ERROR."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.push_promise(stream_id, promised, FIELDS))
    assert rig.outcome(stream_id) == PROTOCOL
