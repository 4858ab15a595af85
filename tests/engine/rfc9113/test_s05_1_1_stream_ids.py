"""RFC 9113 §5.1.1: stream identifiers, and §5.1.2: how many streams at once."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

PROTOCOL = ("connection", wire.PROTOCOL_ERROR)


@pytest.mark.parametrize("stream_id", [0, 2, 4, 2**31 - 2])
def test_clients_use_odd_ids(stream_id: int) -> None:
    """§5.1.1 Streams initiated by a client MUST use odd-numbered stream identifiers."""
    rig = ServerRig()
    rig.request(stream_id)
    assert rig.outcome(stream_id) == PROTOCOL
    assert rig.of(ev.RequestReceived) == []


@pytest.mark.parametrize("stream_id", [2, 4, 6, 8])
def test_clients_use_odd_ids_later_too(stream_id: int) -> None:
    """§5.1.1 An even identifier is as wrong below the highest one in use as above it."""
    rig = ServerRig()
    rig.request(5)
    rig.request(stream_id)
    assert rig.outcome(stream_id) == PROTOCOL


@pytest.mark.parametrize("lower", [1, 3, 5])
def test_ids_only_rise(lower: int) -> None:
    """§5.1.1 A new stream's identifier MUST be greater than all that were opened: else PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.request(7)
    rig.request(lower)
    assert rig.outcome(lower) == PROTOCOL


def test_ids_may_skip() -> None:
    """§5.1.1 An endpoint may skip a stream identifier."""
    rig = ServerRig()
    rig.request(1)
    rig.request(2**30 + 1)
    rig.request(2**31 - 1)
    assert rig.outcome(1) == OK
    assert [e.stream_id for e in rig.of(ev.RequestReceived)] == [1, 2**30 + 1, 2**31 - 1]


def test_client_ids_rise_by_two() -> None:
    """§5.1.1 Our client uses odd numbers, in rising order."""
    rig = ClientRig()
    assert [rig.send() for _ in range(4)] == [1, 3, 5, 7]


@pytest.mark.parametrize("over", [1, 10])
def test_streams_over_the_limit_are_refused(over: int) -> None:
    """§5.1.2 A HEADERS frame above the advertised limit is a stream error: REFUSED_STREAM, to be retried."""
    rig = ServerRig(Limits(max_concurrent_streams=3))
    for n in range(3 + over):
        rig.request(1 + 2 * n)
    rig.take()
    assert [e.stream_id for e in rig.of(ev.RequestReceived)] == [1, 3, 5]
    assert {f.stream_id: f.code for f in rig.frames(wire.RST_STREAM)} == {
        1 + 2 * n: wire.REFUSED_STREAM for n in range(3, 3 + over)
    }
    assert [e.stream_id for e in rig.of(ev.StreamRefused)] == [1 + 2 * n for n in range(3, 3 + over)]
    assert rig.goaway_code() is None
    rig.respond(1)
    rig.take()
    rig.request(101)
    assert rig.of(ev.RequestReceived, 101)


@pytest.mark.parametrize("end_stream", [True, False])
def test_250_streams_at_once(end_stream: bool) -> None:
    """250 streams opened at once against a limit of 100: 100 answers and 150 REFUSED_STREAM."""
    rig = ServerRig()
    rig.feed(b"".join(wire.request(1 + 2 * n, end_stream=end_stream) for n in range(250)))
    for event in rig.of(ev.RequestReceived):
        rig.respond(event.stream_id, b"ok")
    rig.take()
    assert len(rig.of(ev.RequestReceived)) == 100
    refused = [f for f in rig.frames(wire.RST_STREAM) if f.code == wire.REFUSED_STREAM]
    assert len(refused) == 150
    assert len([f for f in rig.frames(wire.DATA) if f.end_stream]) == 100
    assert rig.goaway_code() is None


def test_a_refused_stream_can_still_send() -> None:
    """DATA and trailers of a refused stream are discarded; they neither kill the connection nor HPACK."""
    rig = ServerRig(Limits(max_concurrent_streams=1))
    rig.request(1, end_stream=False)
    rig.request(3, end_stream=False)
    rig.feed(wire.data(3, b"x" * 1000), wire.headers(3, wire.literal(b"k", b"v", index=True), end_stream=True))
    assert rig.outcome(3) == ("stream", wire.REFUSED_STREAM)
    rig.feed(wire.data(1, b"y", end_stream=True))
    rig.respond(1)
    rig.take()
    rig.feed(wire.headers(5, wire.literals(wire.request_fields()) + wire.indexed(62), end_stream=True))
    assert rig.of(ev.RequestReceived, 5)[0].headers == [(b"k", b"v")]


def test_slot_is_free_when_end_stream_is_written() -> None:
    """A stream's slot is free when END_STREAM is written; the next request is not refused."""
    rig = ServerRig(Limits(max_concurrent_streams=1))
    for n in range(300):
        rig.request(1 + 2 * n)
        rig.respond(1 + 2 * n, b"x")
        rig.take()
    assert len(rig.of(ev.RequestReceived)) == 300
    assert rig.frames(wire.RST_STREAM) == []
    assert rig.conn.open_streams == 0


def test_half_closed_streams_count() -> None:
    """§5.1.2 Streams that are open or in either of the half-closed states count toward the limit."""
    rig = ServerRig(Limits(max_concurrent_streams=2))
    rig.request(1)
    rig.request(3, end_stream=False)
    rig.request(5)
    assert rig.outcome(5) == ("stream", wire.REFUSED_STREAM)


@pytest.mark.parametrize("peer", [0, 1, 5])
def test_client_keeps_to_the_servers_limit(peer: int) -> None:
    """§5.1.2 Endpoints MUST NOT exceed the limit set by their peer."""
    rig = ClientRig(settings={wire.MAX_CONCURRENT_STREAMS: peer})
    for _ in range(peer):
        rig.send()
    with pytest.raises(errors.LocalError):
        rig.send()
    rig.take()
    assert len(rig.frames(wire.HEADERS)) == peer
    if peer:
        rig.feed(wire.response(1, end_stream=True))
        rig.send()
        assert len(rig.frames(wire.HEADERS)) == peer + 1


def test_client_limit_counts_until_the_answer_is_whole() -> None:
    """§5.1.2 A stream in "half-closed (local)" still counts; RST_STREAM in either direction frees it."""
    rig = ClientRig(settings={wire.MAX_CONCURRENT_STREAMS: 1})
    first = rig.send()
    rig.feed(wire.response(first), wire.data(first, b"x"))
    with pytest.raises(errors.LocalError):
        rig.send()
    rig.conn.reset_stream(first, wire.CANCEL)
    second = rig.send()
    rig.feed(wire.rst_stream(second, wire.REFUSED_STREAM))
    rig.send()
    assert len(rig.frames(wire.HEADERS)) == 3


def test_client_runs_out_of_ids() -> None:
    """§5.1.1 A client that is unable to establish a new stream identifier raises instead of wrapping around."""
    rig = ClientRig()
    rig.conn._streams.next_id = 2**31 - 1
    assert rig.send() == 2**31 - 1
    with pytest.raises(errors.LocalError):
        rig.send()
