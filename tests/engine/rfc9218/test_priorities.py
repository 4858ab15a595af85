"""RFC 9218: the priority field, PRIORITY_UPDATE, and a scheduler that obeys them and stays fair."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

PROTOCOL = ("connection", wire.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("value", "urgency", "incremental"),
    [
        (None, 3, False),
        (b"", 3, False),
        (b"u=0", 0, False),
        (b"u=7, i", 7, True),
        (b"i", 3, True),
        (b"i=?1", 3, True),
        (b"i=?0", 3, False),
        (b"u=5,i=?0", 5, False),
        (b"i,u=1", 1, True),
        (b"u=8", 3, False),
        (b"u=-1", 3, False),
        (b"u=1.5", 3, False),
        (b'u="1"', 3, False),
        (b"u", 3, False),
        (b"i=1", 3, False),
        (b"x=y, u=2", 2, False),
        (b"u=1, u=6", 6, False),
        (b"foo;bar, u=4;baz", 4, False),
    ],
)
def test_priority_field(value: bytes | None, urgency: int, incremental: bool) -> None:
    """RFC 9218 §4 Urgency 0-7, default 3; incremental, default false; the rest is ignored."""
    rig = ServerRig()
    rig.request(1, extra=[] if value is None else [(b"priority", value)])
    (event,) = rig.of(ev.RequestReceived)
    assert (event.urgency, event.incremental) == (urgency, incremental)


@pytest.mark.parametrize(
    "value", [b"u=", b"=", b"u=1,,", b"\xff", b"u=1 i", b"(((", b"U=1", b"," * 100, b"u=" + b"9" * 50]
)
def test_broken_priority_fields_break_nothing(value: bytes) -> None:
    """RFC 9218 §4 A dictionary that cannot be parsed is ignored: the request itself is as good as any."""
    rig = ServerRig()
    rig.request(1, extra=[(b"priority", value)])
    assert rig.outcome(1) == OK
    assert 0 <= rig.of(ev.RequestReceived)[0].urgency <= 7


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (wire.priority_update(1, b"u=1"), OK),
        (wire.priority_update(3, b"u=1"), OK),
        (wire.priority_update(1, b""), OK),
        (wire.priority_update(1, b"\xff garbage"), OK),
        (wire.priority_update(0, b"u=1"), PROTOCOL),
        (wire.priority_update(1, b"u=1", stream_id=1), PROTOCOL),
        (wire.priority_update(2, b"u=1"), PROTOCOL),
        (wire.priority_update(0, b"", payload=b"\0\0\0"), ("connection", wire.FRAME_SIZE_ERROR)),
        (wire.priority_update(0, b"", payload=b""), ("connection", wire.FRAME_SIZE_ERROR)),
    ],
)
def test_priority_update_frames(data: bytes, expected: tuple[str, int]) -> None:
    """RFC 9218 §7.1 On stream 0, for a stream that is not 0 and not an idle push: else PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(data)
    assert rig.outcome(0) == expected


def test_priority_update_at_a_client() -> None:
    """RFC 9218 §7.1 Servers MUST NOT send PRIORITY_UPDATE: a client answers with connection error PROTOCOL_ERROR."""
    rig = ClientRig()
    rig.send()
    rig.feed(wire.priority_update(1, b"u=1"))
    assert rig.outcome(0) == PROTOCOL


def first_data(rig: ServerRig) -> list[int]:
    """Stream ids in the order of their DATA frames."""
    return [f.stream_id for f in rig.take() if f.type == wire.DATA]


def blocked(priorities: list[bytes | None], size: int = 60_000) -> ServerRig:
    """Streams 1, 3, 5 ... with answers of `size`, all held by a closed connection window."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**20})
    rig.request(2001)
    rig.respond(2001, b"x" * 65_535)
    rig.take()
    for n, value in enumerate(priorities):
        stream_id = 2003 + 2 * n
        rig.request(stream_id, extra=[] if value is None else [(b"priority", value)])
        rig.respond(stream_id, b"x" * size)
    rig.take()
    return rig


def test_urgency_decides() -> None:
    """RFC 9218 §10 Responses with lower urgency values go first, whatever the order of the requests."""
    rig = blocked([b"u=7", b"u=3", b"u=0", None])
    rig.feed(wire.window_update(0, 240_000))
    order = list(dict.fromkeys(first_data(rig)))
    assert order == [2007, 2005, 2009, 2003]


def test_incremental_streams_share() -> None:
    """RFC 9218 §10 Incremental responses of the same urgency share the bandwidth."""
    rig = blocked([b"i"] * 4)
    rig.feed(wire.window_update(0, 16_384 * 8))
    order = first_data(rig)
    assert set(order[:4]) == {2003, 2005, 2007, 2009}
    assert max(order.count(n) for n in set(order)) <= 3


def test_non_incremental_streams_go_one_by_one() -> None:
    """RFC 9218 §4.2, §10 Non-incremental responses of one urgency SHOULD go in the order of the requests, or share."""
    rig = blocked([None, None, None])
    rig.feed(wire.window_update(0, 180_000))
    order = first_data(rig)
    assert order[0] == 2003
    assert {2003, 2005, 2007} == set(order)


def test_a_large_download_does_not_starve_a_small_answer() -> None:
    """A "round robin" that drains one stream before the next starves small answers."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**24})
    rig.feed(wire.window_update(0, 2**24))
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    rig.conn.send_data(1, b"x" * 60_000)
    data = rig.conn.take_output(20_000)
    rig.request(3)
    rig.respond(3, b"small")
    ahead = 0
    while b"small" not in data:
        data = rig.conn.take_output(20_000)
        assert data, "the small answer never came"
        rig.conn.send_data(1, b"x" * 20_000)
        ahead += len(data)
        assert ahead < 150_000, "the large download goes on and on in front of a small answer"


def test_priority_update_moves_a_waiting_response() -> None:
    """RFC 9218 §7.1 PRIORITY_UPDATE reprioritises a response that waits."""
    rig = blocked([b"u=3", b"u=3"])
    rig.feed(wire.priority_update(2005, b"u=0"))
    rig.feed(wire.window_update(0, 120_000))
    assert first_data(rig)[0] == 2005


def test_priority_update_before_its_request() -> None:
    """RFC 9218 §7 A server SHOULD buffer the most recent PRIORITY_UPDATE for an idle stream and apply it on opening."""
    rig = blocked([b"u=3"])
    rig.feed(wire.priority_update(2005, b"u=0"))
    rig.request(2005)
    rig.respond(2005, b"x" * 60_000)
    rig.take()
    rig.feed(wire.window_update(0, 120_000))
    assert first_data(rig)[0] == 2005


def test_priority_updates_for_idle_streams_are_bounded() -> None:
    """RFC 9218 §7.1 Idle streams prioritised plus active ones MUST NOT exceed the limit: PROTOCOL_ERROR, or dropped."""
    rig = ServerRig()
    rig.feed(*[wire.priority_update(1 + 2 * n, b"u=1") for n in range(500)])
    assert rig.outcome(0) in [OK, PROTOCOL, ("connection", wire.ENHANCE_YOUR_CALM)]


def test_we_say_that_old_priorities_are_ignored() -> None:
    """RFC 9218 §2.1 SETTINGS_NO_RFC7540_PRIORITIES=1 MAY be in the first SETTINGS; its value is 0 or 1."""
    rig = ServerRig(start=False)
    assert dict(rig.take()[0].settings).get(wire.NO_RFC7540_PRIORITIES, 1) == 1
