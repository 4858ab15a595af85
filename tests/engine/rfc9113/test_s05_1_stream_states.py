"""RFC 9113 §5.1: the stream states, walked cell by cell: every state, every frame, both roles.

A row says how a stream gets into a state, a column what the peer sends then; the cell is the set of outcomes that
the RFC allows. Most cells hold one outcome. Where the text gives a choice ("MAY treat ... as a connection error"), the
cell holds all of them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.engine import events as ev

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

GO_PROTOCOL = ("connection", wire.PROTOCOL_ERROR)
GO_CLOSED = ("connection", wire.STREAM_CLOSED)
RST_PROTOCOL = ("stream", wire.PROTOCOL_ERROR)
RST_CLOSED = ("stream", wire.STREAM_CLOSED)

SID = 5


# --- server ---------------------------------------------------------------------------------------


def idle(rig: ServerRig) -> None:
    """Never opened, above all that were."""


def open_(rig: ServerRig) -> None:
    """HEADERS without END_STREAM."""
    rig.request(SID, method=b"POST", end_stream=False)


def half_closed_remote(rig: ServerRig) -> None:
    """The request is whole, the response has not begun."""
    rig.request(SID)


def half_closed_remote_after_data(rig: ServerRig) -> None:
    """The request ended with DATA, the response has begun."""
    rig.request(SID, method=b"POST", end_stream=False)
    rig.feed(wire.data(SID, b"x", end_stream=True))
    rig.conn.send_headers(SID, 200, [])
    rig.conn.send_data(SID, b"y")


def closed_by_both(rig: ServerRig) -> None:
    """END_STREAM went both ways."""
    rig.request(SID)
    rig.respond(SID, b"done")


def closed_by_their_reset(rig: ServerRig) -> None:
    """The peer sent RST_STREAM."""
    rig.request(SID, method=b"POST", end_stream=False)
    rig.feed(wire.rst_stream(SID, wire.CANCEL))


def closed_by_our_reset(rig: ServerRig) -> None:
    """We sent RST_STREAM while the peer could still send."""
    rig.request(SID, method=b"POST", end_stream=False)
    rig.conn.reset_stream(SID, wire.CANCEL)


def closed_by_our_error(rig: ServerRig) -> None:
    """We had to reset the stream because of a stream error of the peer."""
    rig.request(SID, method=b"POST", end_stream=False)
    rig.feed(wire.window_update(SID, 0))


def closed_by_refusal(rig: ServerRig) -> None:
    """The owner refused the stream."""
    rig.request(SID, method=b"POST", end_stream=False)
    rig.conn.refuse_stream(SID)
    assert [each.stream_id for each in rig.conn.take_events()] == [SID]


def skipped(rig: ServerRig) -> None:
    """Never opened, but a higher one was: implicitly closed (§5.1.1)."""
    rig.request(SID + 2)


FRAMES: dict[str, Callable[[int], bytes]] = {
    "DATA": lambda sid: wire.data(sid, b"abc"),
    "DATA+ES": lambda sid: wire.data(sid, b"abc", end_stream=True),
    "HEADERS": lambda sid: wire.headers(sid, wire.request_fields()),
    "HEADERS+ES": lambda sid: wire.headers(sid, [(b"trailer", b"yes")], end_stream=True),
    "PRIORITY": lambda sid: wire.priority(sid, 0),
    "RST_STREAM": lambda sid: wire.rst_stream(sid, wire.CANCEL),
    "PUSH_PROMISE": lambda sid: wire.push_promise(sid, 2, wire.request_fields()),
    "WINDOW_UPDATE": lambda sid: wire.window_update(sid, 100),
    "CONTINUATION": lambda sid: wire.continuation(sid, b"", end_headers=True),
    "unknown": lambda sid: wire.frame(0xFA, 0, sid, b"?"),
}

IGNORED_OR_CLOSED = {OK, GO_CLOSED, GO_PROTOCOL, RST_CLOSED}
AFTER_CLOSE = {RST_CLOSED, GO_CLOSED}

SERVER: dict[Callable[[ServerRig], None], dict[str, set[tuple[Any, ...]]]] = {
    idle: {
        "DATA": {GO_PROTOCOL}, "DATA+ES": {GO_PROTOCOL}, "HEADERS": {OK}, "HEADERS+ES": {RST_PROTOCOL},
        "PRIORITY": {OK}, "RST_STREAM": {GO_PROTOCOL}, "PUSH_PROMISE": {GO_PROTOCOL}, "WINDOW_UPDATE": {GO_PROTOCOL},
        "CONTINUATION": {GO_PROTOCOL}, "unknown": {OK},
    },
    open_: {
        "DATA": {OK}, "DATA+ES": {OK}, "HEADERS": {RST_PROTOCOL}, "HEADERS+ES": {OK}, "PRIORITY": {OK},
        "RST_STREAM": {OK}, "PUSH_PROMISE": {GO_PROTOCOL}, "WINDOW_UPDATE": {OK}, "CONTINUATION": {GO_PROTOCOL},
        "unknown": {OK},
    },
    half_closed_remote: {
        "DATA": {RST_CLOSED}, "DATA+ES": {RST_CLOSED}, "HEADERS": {RST_CLOSED}, "HEADERS+ES": {RST_CLOSED},
        "PRIORITY": {OK}, "RST_STREAM": {OK}, "PUSH_PROMISE": {GO_PROTOCOL}, "WINDOW_UPDATE": {OK},
        "CONTINUATION": {GO_PROTOCOL}, "unknown": {OK},
    },
    closed_by_both: {
        "DATA": AFTER_CLOSE, "DATA+ES": AFTER_CLOSE, "HEADERS": AFTER_CLOSE | {GO_PROTOCOL},
        "HEADERS+ES": AFTER_CLOSE | {GO_PROTOCOL}, "PRIORITY": {OK}, "RST_STREAM": {OK}, "PUSH_PROMISE": {GO_PROTOCOL},
        "WINDOW_UPDATE": {OK}, "CONTINUATION": {GO_PROTOCOL}, "unknown": {OK},
    },
    closed_by_their_reset: {
        "DATA": AFTER_CLOSE, "DATA+ES": AFTER_CLOSE, "HEADERS": AFTER_CLOSE | {GO_PROTOCOL},
        "HEADERS+ES": AFTER_CLOSE | {GO_PROTOCOL}, "PRIORITY": {OK}, "RST_STREAM": IGNORED_OR_CLOSED,
        "PUSH_PROMISE": {GO_PROTOCOL}, "WINDOW_UPDATE": IGNORED_OR_CLOSED, "CONTINUATION": {GO_PROTOCOL},
        "unknown": {OK},
    },
    closed_by_our_reset: {
        "DATA": {OK}, "DATA+ES": {OK}, "HEADERS": {OK}, "HEADERS+ES": {OK}, "PRIORITY": {OK}, "RST_STREAM": {OK},
        "PUSH_PROMISE": {GO_PROTOCOL}, "WINDOW_UPDATE": {OK}, "CONTINUATION": {GO_PROTOCOL}, "unknown": {OK},
    },
    skipped: {
        "DATA": AFTER_CLOSE | {GO_PROTOCOL}, "DATA+ES": AFTER_CLOSE | {GO_PROTOCOL}, "HEADERS": {GO_PROTOCOL},
        "HEADERS+ES": {GO_PROTOCOL}, "PRIORITY": {OK}, "RST_STREAM": IGNORED_OR_CLOSED, "PUSH_PROMISE": {GO_PROTOCOL},
        "WINDOW_UPDATE": IGNORED_OR_CLOSED, "CONTINUATION": {GO_PROTOCOL}, "unknown": {OK},
    },
}  # fmt: skip
SERVER[half_closed_remote_after_data] = SERVER[half_closed_remote]
SERVER[closed_by_our_error] = SERVER[closed_by_our_reset]
SERVER[closed_by_refusal] = SERVER[closed_by_our_reset]


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("state", SERVER, ids=lambda state: state.__name__.strip("_"))
def test_server_cell(state: Callable[[ServerRig], None], frame: str) -> None:
    """§5.1 What a server does with each frame in each state; after a stream error the siblings go on."""
    rig = ServerRig()
    rig.request(3, method=b"POST", end_stream=False)
    state(rig)
    rig.take()
    rig.sent.clear()
    had_events = len(rig.events)
    rig.feed(FRAMES[frame](SID))
    outcome = rig.outcome(SID)
    assert outcome in SERVER[state][frame], rig.events[had_events:]
    if outcome[0] == "connection":
        rig.assert_fault("connection", outcome[1])
        assert rig.frames(wire.GOAWAY)[-1].last_stream_id in (3, 5, 7)
        return
    if outcome[0] == "stream" and SERVER[state][frame] <= {RST_PROTOCOL, RST_CLOSED}:
        rig.assert_fault("stream", outcome[1])
    if state in (closed_by_our_reset, closed_by_our_error, closed_by_refusal, closed_by_both):
        late = [e for e in rig.events[had_events:] if e.stream_id == SID and not isinstance(e, ev.PeerFault)]
        assert late == [], "nothing of a closed stream reaches the app"
        assert not rig.frames(wire.HEADERS, SID) + rig.frames(wire.DATA, SID)
    rig.feed(wire.data(3, b"sibling", end_stream=True))
    assert [e.data for e in rig.of(ev.DataReceived, 3)] == [b"sibling"]
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("frame", FRAMES)
def test_server_even_id(frame: str) -> None:
    """§5.1 idle: a stream of the server's own numbers that it never opened: PROTOCOL_ERROR, but for PRIORITY."""
    rig = ServerRig()
    rig.request(3, end_stream=False)
    rig.feed(FRAMES[frame](4))
    expected = {OK} if frame in ("PRIORITY", "unknown") else {GO_PROTOCOL}
    assert rig.outcome(4) in expected


def test_events_of_an_open_stream() -> None:
    """§5.1 open: DATA, trailers and RST_STREAM are told to the app, in order."""
    rig = ServerRig()
    open_(rig)
    rig.feed(wire.data(SID, b"a"), wire.data(SID, b"b"), wire.headers(SID, [(b"t", b"v")], end_stream=True))
    kinds = [type(e).__name__ for e in rig.events]
    assert kinds == ["RequestReceived", "DataReceived", "DataReceived", "TrailersReceived"]
    rig.feed(wire.rst_stream(SID, wire.CANCEL))
    (reset,) = rig.of(ev.StreamReset)
    assert (reset.stream_id, reset.code, reset.initiator) == (SID, wire.CANCEL, "remote")


def test_no_rst_in_answer_to_rst() -> None:
    """§5.4.2 To avoid looping, an endpoint MUST NOT send a RST_STREAM in response to a RST_STREAM frame."""
    rig = ServerRig()
    for state in (open_, closed_by_both):
        rig = ServerRig()
        state(rig)
        rig.take()
        rig.sent.clear()
        rig.feed(wire.rst_stream(SID), wire.rst_stream(SID))
        assert rig.outcome(SID) == OK
        assert rig.take() == []


def test_one_rst_for_many_late_frames() -> None:
    """§5.4.2 Normally an endpoint SHOULD NOT send more than one RST_STREAM frame for any stream."""
    rig = ServerRig()
    open_(rig)
    rig.conn.reset_stream(SID, wire.CANCEL)
    rig.take()
    rig.feed(*[wire.data(SID, b"late")] * 20, wire.headers(SID, [(b"t", b"v")], end_stream=True))
    rig.take()
    assert len(rig.frames(wire.RST_STREAM, SID)) == 1


def test_many_faults_on_one_stream_are_one_rst() -> None:
    """§5.4 The first stream error reported for a given stream prevents any others on that stream."""
    rig = ServerRig()
    half_closed_remote(rig)
    rig.feed(wire.data(SID, b"x"), wire.data(SID, b"x"), wire.headers(SID, [(b"t", b"v")], end_stream=True))
    assert rig.outcome(SID) == RST_CLOSED


def test_nothing_is_sent_on_a_stream_after_its_rst() -> None:
    """§5.4.2 A RST_STREAM is the last frame that an endpoint can send on a stream: queued DATA is dropped."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 10})
    rig.request(SID)
    rig.respond(SID, b"x" * 1000)
    rig.take()
    rig.conn.reset_stream(SID, wire.INTERNAL_ERROR)
    rig.feed(wire.window_update(SID, 5000))
    rig.take()
    on_stream = [f for f in rig.sent if f.stream_id == SID]
    assert on_stream[-1].type == wire.RST_STREAM
    assert sum(len(f.payload) for f in on_stream if f.type == wire.DATA) == 10


def test_nothing_is_sent_after_the_peers_rst() -> None:
    """§6.4 After receiving a RST_STREAM, the receiver MUST NOT send additional frames for that stream."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 10})
    rig.request(SID)
    rig.respond(SID, b"x" * 1000)
    rig.take()
    rig.sent.clear()
    rig.feed(wire.rst_stream(SID, wire.CANCEL), wire.settings({wire.INITIAL_WINDOW_SIZE: 100_000}))
    rig.take()
    assert [f for f in rig.sent if f.stream_id == SID] == []


# --- client ---------------------------------------------------------------------------------------


def client_open(rig: ClientRig) -> int:
    """The request goes on, no answer yet."""
    return rig.send(method=b"POST", end_stream=False)


def client_half_closed_local(rig: ClientRig) -> int:
    """The request is whole, no answer yet."""
    return rig.send()


def client_answered(rig: ClientRig) -> int:
    """The final HEADERS have come."""
    stream_id = rig.send()
    rig.feed(wire.response(stream_id))
    return stream_id


def client_half_closed_remote(rig: ClientRig) -> int:
    """The answer is whole, the request goes on."""
    stream_id = rig.send(method=b"POST", end_stream=False)
    rig.feed(wire.response(stream_id, end_stream=True))
    return stream_id


def client_closed_by_both(rig: ClientRig) -> int:
    """END_STREAM went both ways."""
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, end_stream=True))
    return stream_id


def client_gave_up(rig: ClientRig) -> int:
    """We sent RST_STREAM(CANCEL)."""
    stream_id = rig.send()
    rig.conn.reset_stream(stream_id, wire.CANCEL)
    return stream_id


def client_was_reset(rig: ClientRig) -> int:
    """The server sent RST_STREAM."""
    stream_id = rig.send()
    rig.feed(wire.rst_stream(stream_id, wire.INTERNAL_ERROR))
    return stream_id


def client_idle(rig: ClientRig) -> int:
    """A number that we have not used yet."""
    return rig.send() + 2


def client_even(rig: ClientRig) -> int:
    """A number that only a push could open."""
    rig.send()
    return 2


CLIENT_FRAMES: dict[str, Callable[[int], bytes]] = {
    **FRAMES,
    "HEADERS": wire.response,
    "HEADERS+ES": lambda sid: wire.response(sid, end_stream=True),
    "PUSH_PROMISE": lambda sid: wire.push_promise(sid, 2, wire.request_fields()),
}

_SENT_ALL: dict[str, set[tuple[Any, ...]]] = {
    "DATA": {RST_PROTOCOL}, "DATA+ES": {RST_PROTOCOL}, "HEADERS": {OK}, "HEADERS+ES": {OK}, "PRIORITY": {OK},
    "RST_STREAM": {OK}, "PUSH_PROMISE": {GO_PROTOCOL}, "WINDOW_UPDATE": {OK}, "CONTINUATION": {GO_PROTOCOL},
    "unknown": {OK},
}  # fmt: skip
_IDLE: dict[str, set[tuple[Any, ...]]] = {
    name: {OK} if name in ("PRIORITY", "unknown") else {GO_PROTOCOL} for name in CLIENT_FRAMES
}
CLIENT: dict[Callable[[ClientRig], int], dict[str, set[tuple[Any, ...]]]] = {
    client_open: _SENT_ALL,
    client_half_closed_local: _SENT_ALL,
    client_answered: {
        **_SENT_ALL, "DATA": {OK}, "DATA+ES": {OK}, "HEADERS": {RST_PROTOCOL}, "HEADERS+ES": {RST_PROTOCOL},
    },
    client_half_closed_remote: {
        **_SENT_ALL, "DATA": {RST_CLOSED}, "DATA+ES": {RST_CLOSED}, "HEADERS": {RST_CLOSED}, "HEADERS+ES": {RST_CLOSED},
    },
    client_closed_by_both: {
        **_SENT_ALL, "DATA": AFTER_CLOSE, "DATA+ES": AFTER_CLOSE, "HEADERS": AFTER_CLOSE, "HEADERS+ES": AFTER_CLOSE,
    },
    client_gave_up: {
        **_SENT_ALL, "DATA": {OK}, "DATA+ES": {OK},
    },
    client_was_reset: {
        **_SENT_ALL, "DATA": AFTER_CLOSE, "DATA+ES": AFTER_CLOSE, "HEADERS": AFTER_CLOSE, "HEADERS+ES": AFTER_CLOSE,
        "RST_STREAM": IGNORED_OR_CLOSED, "WINDOW_UPDATE": IGNORED_OR_CLOSED,
    },
    client_idle: _IDLE,
    client_even: _IDLE,
}  # fmt: skip


@pytest.mark.parametrize("frame", CLIENT_FRAMES)
@pytest.mark.parametrize("state", CLIENT, ids=lambda state: state.__name__.removeprefix("client_"))
def test_client_cell(state: Callable[[ClientRig], int], frame: str) -> None:
    """§5.1 What a client does with each frame in each state; after a stream error the siblings go on."""
    rig = ClientRig()
    sibling = rig.send(b"/sibling")
    stream_id = state(rig)
    rig.take()
    rig.sent.clear()
    had_events = len(rig.events)
    rig.feed(CLIENT_FRAMES[frame](stream_id))
    outcome = rig.outcome(stream_id)
    assert outcome in CLIENT[state][frame], rig.events[had_events:]
    if outcome[0] == "connection":
        rig.assert_fault("connection", outcome[1])
        return
    if state in (client_gave_up, client_closed_by_both):
        late = [e for e in rig.events[had_events:] if e.stream_id == stream_id and not isinstance(e, ev.PeerFault)]
        assert late == []
    rig.feed(wire.response(sibling), wire.data(sibling, b"sibling", end_stream=True))
    assert [e.data for e in rig.of(ev.DataReceived, sibling)] == [b"sibling"]
    rig.assert_siblings_go_on()


def test_a_push_before_the_ack_is_refused_too() -> None:
    """§6.6 Until ENABLE_PUSH=0 is acknowledged a push is legal: rejected by RST_STREAM or GOAWAY."""
    rig = ClientRig(start=False)
    stream_id = rig.send()
    rig.feed(wire.settings())
    rig.feed(wire.push_promise(stream_id, 2, wire.request_fields()))
    rig.take()
    if rig.goaway_code() is None:
        assert rig.reset_code(2) in (wire.CANCEL, wire.REFUSED_STREAM, wire.PROTOCOL_ERROR)
        rig.feed(wire.response(stream_id, end_stream=True))
        assert rig.of(ev.ResponseReceived)
    else:
        assert rig.goaway_code() == wire.PROTOCOL_ERROR
