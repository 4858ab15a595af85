"""A client's traps: bugs that good clients have shipped, here against the engine (see README.md).

Those that are a driver's or a pool's are in other files. Both protocols are held against each, where both can fall in.
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.h1_rig import CUT, WHOLE, H1ClientRig, answer
from tests.support.rig import ClientRig

HEAD = b"HTTP/1.1 200 OK\r\nX-Status: head\r\nTransfer-Encoding: chunked\r\n\r\n"


def received(rig: ClientRig, stream_id: int) -> bytes:
    return b"".join(event.data for event in rig.of(ev.DataReceived, stream_id))


def test_other_streams_are_decoded_while_a_tunnel_opens() -> None:
    """What comes between a request for a tunnel and its answer is read as ever, HPACK state included."""
    rig = ClientRig(settings={wire.ENABLE_CONNECT_PROTOCOL: 1})
    first = rig.send()
    tunnel = rig.send(b"/chat", method=b"CONNECT", protocol=b"websocket", end_stream=False)
    rig.feed(
        wire.headers(first, wire.literal(b":status", b"200") + wire.literal(b"a", b"1", index=True)),
        wire.data(first, b"while you wait", end_stream=True),
    )
    rig.feed(wire.headers(tunnel, wire.literal(b":status", b"200") + wire.indexed(62)))
    heads = {event.stream_id: event.headers for event in rig.of(ev.ResponseReceived)}
    assert heads == {first: [(b"a", b"1")], tunnel: [(b"a", b"1")]}
    assert received(rig, first) == b"while you wait"


def test_one_unread_response_holds_up_nobody() -> None:
    """A response that nobody reads fills its own window; its siblings get theirs whole."""
    rig = ClientRig(Limits(initial_stream_window=65_535, initial_connection_window=131_070))
    slow = rig.send()
    rig.feed(wire.response(slow), *[wire.data(slow, b"x" * 16_000) for _ in range(4)])
    for _ in range(50):
        stream_id = rig.send()
        rig.feed(wire.response(stream_id))
        for n in range(4):
            rig.feed(wire.data(stream_id, b"y" * 15_000, end_stream=n == 3))
            rig.conn.acknowledge_data(stream_id, 15_000)
        rig.take()
        assert len(received(rig, stream_id)) == 60_000
    assert rig.conn.open_streams == 1 and not rig.of(ev.PeerFault)


def test_trailers_and_interim_responses_are_no_response_h2() -> None:
    """Trailers overwrite nothing, a `:status` in them is an error, and a 1xx is not the response."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(
        wire.response(stream_id, b"103", extra=[(b"x-status", b"early")]),
        wire.response(stream_id, b"200", extra=[(b"x-status", b"head")]),
        wire.data(stream_id, b"content"),
        wire.headers(stream_id, wire.literals([(b"x-status", b"tail"), (b"status", b"500")]), end_stream=True),
    )
    (early,) = rig.of(ev.InformationalReceived)
    (head,) = rig.of(ev.ResponseReceived)
    (tail,) = rig.of(ev.TrailersReceived)
    assert (early.status, early.headers) == (103, [(b"x-status", b"early")])
    assert (head.status, head.headers) == (200, [(b"x-status", b"head")])
    assert tail.headers == [(b"x-status", b"tail"), (b"status", b"500")]
    bad = rig.send()
    rig.feed(wire.response(bad), wire.headers(bad, wire.literal(b":status", b"500"), end_stream=True))
    assert rig.outcome(bad) == ("stream", wire.PROTOCOL_ERROR)
    assert [event.status for event in rig.of(ev.ResponseReceived, bad)] == [200]


def test_trailers_and_interim_responses_are_no_response_h1() -> None:
    """The same of HTTP/1.1."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(b"HTTP/1.1 103 Early Hints\r\nX-Status: early\r\n\r\n" + HEAD + b"2\r\nok\r\n")
    rig.feed(b"0\r\nX-Status: tail\r\nStatus: 500\r\n\r\n")
    (early,) = rig.of(ev.InformationalReceived)
    (head,) = rig.of(ev.ResponseReceived)
    (tail,) = rig.of(ev.TrailersReceived)
    assert (early.status, early.headers) == (103, [(b"x-status", b"early")])
    assert (head.status, head.headers[0]) == (200, (b"x-status", b"head"))
    assert tail.headers == [(b"x-status", b"tail"), (b"status", b"500")]


@pytest.mark.parametrize("code", [wire.NO_ERROR, wire.INTERNAL_ERROR])
@pytest.mark.parametrize("end", ["finishes", "eof"])
def test_goaway_ends_no_response(code: int, end: str) -> None:
    """After GOAWAY a half-read response goes on; if its connection ends first, that is a reset, no end."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id), wire.data(stream_id, b"half of"), wire.goaway(stream_id, code))
    assert not rig.conn.closed and not rig.of(ev.StreamReset)
    assert not any(event.end_stream for event in rig.of(ev.DataReceived))
    if end == "finishes":
        rig.feed(wire.data(stream_id, b" it", end_stream=True))
        assert received(rig, stream_id) == b"half of it"
        assert rig.of(ev.DataReceived)[-1].end_stream and not rig.of(ev.StreamReset)
    else:
        rig.events += rig.conn.receive_eof(rig.now)
        (reset,) = rig.of(ev.StreamReset)
        assert reset.stream_id == stream_id and reset.code != wire.REFUSED_STREAM
        assert not any(event.end_stream for event in rig.of(ev.DataReceived))
    assert rig.conn.closed


def test_nothing_is_sent_after_goaway() -> None:
    """Once GOAWAY has come no stream is opened, whatever waits; those above the last identifier come back."""
    rig = ClientRig()
    kept, lost = rig.send(), rig.send()
    rig.feed(wire.goaway(kept))
    assert not rig.conn.can_send_request
    resets = [(event.stream_id, event.code) for event in rig.of(ev.StreamReset)]
    assert resets == [(lost, wire.REFUSED_STREAM)]
    with pytest.raises(Exception, match="no stream can be opened"):
        rig.send()


def test_connection_close_is_obeyed() -> None:
    """The same of HTTP/1.1: after `connection: close` nothing follows (RFC 9112 §9.6)."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert not rig.conn.can_send_request and rig.conn.closed


def test_giving_up_frees_the_slot() -> None:
    """A caller that gives up sends RST_STREAM(CANCEL), and its place is free at once."""
    rig = ClientRig(settings={wire.MAX_CONCURRENT_STREAMS: 1})
    for _ in range(100):
        stream_id = rig.send()
        assert not rig.conn.can_send_request
        rig.conn.reset_stream(stream_id, wire.CANCEL)
        assert rig.conn.can_send_request
        assert rig.reset_code(stream_id) is None
        rig.take()
        assert rig.reset_code(stream_id) == wire.CANCEL
        rig.feed(wire.response(stream_id), wire.data(stream_id, b"late", end_stream=True))
    assert not rig.of(ev.ResponseReceived) and not rig.of(ev.PeerFault)


@pytest.mark.parametrize("empty", [False, True])
def test_fragments_of_headers_are_bounded(empty: bool) -> None:
    """CONTINUATION without end stops at `max_continuations` or `max_block_size`, of the server's too."""
    rig = ClientRig()
    limits = Limits()
    most = limits.max_continuations if empty else limits.max_block_size // 16_000
    stream_id = rig.send()
    rig.feed(wire.headers(stream_id, b"" if empty else b"\x00" * 10, end_headers=False))
    fed = 0
    while not rig.conn.closed and fed < 1_000:
        rig.feed(wire.continuation(stream_id, b"" if empty else b"a" * 16_000))
        fed += 1
    rig.take()
    assert most == (32 if empty else 16)  # what a peer may send is small, whatever it is called
    assert fed == most + 1 and rig.goaway_code() == wire.ENHANCE_YOUR_CALM


def test_a_head_that_does_not_end_is_bounded() -> None:
    """The same of HTTP/1.1: its bytes, and its lines."""
    data = b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000
    for cut in (0, 1_000):
        got = answer(data, cut=cut, ended=False)
        assert got.end == "RFC 9112 §5.4"
    most = Limits().max_fields
    assert most == 256
    assert answer(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * most + b"\r\n").status == 200
    many = answer(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (most + 1) + b"\r\n")
    assert many.end == "RFC 6585 §5" and many.status == 0


def test_a_frames_size_is_held_against_our_own_limit() -> None:
    """The server may allow large frames; that does not allow it to send them."""
    rig = ClientRig(settings={wire.MAX_FRAME_SIZE: 1_000_000})
    stream_id = rig.send()
    rig.feed(wire.response(stream_id), wire.data(stream_id, b"x" * 16_384))
    assert not rig.conn.closed
    rig.feed(wire.data(stream_id, b"x" * 16_385)[:9])  # on its header, before anything is stored
    rig.take()
    assert rig.goaway_code() == wire.FRAME_SIZE_ERROR


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({wire.ENABLE_PUSH: 1}, wire.PROTOCOL_ERROR),
        ({wire.ENABLE_PUSH: 2}, wire.PROTOCOL_ERROR),
        ({wire.INITIAL_WINDOW_SIZE: 2**31}, wire.FLOW_CONTROL_ERROR),
        ({wire.MAX_FRAME_SIZE: 16_383}, wire.PROTOCOL_ERROR),
        ({wire.MAX_FRAME_SIZE: 2**24}, wire.PROTOCOL_ERROR),
        ({wire.ENABLE_CONNECT_PROTOCOL: 2}, wire.PROTOCOL_ERROR),
    ],
)
def test_settings_out_of_their_range_are_not_accepted(values: dict[int, int], code: int) -> None:
    """Each with the code that RFC 9113 §6.5.2 names."""
    rig = ClientRig()
    rig.feed(wire.settings(values))
    rig.take()
    assert rig.goaway_code() == code and rig.conn.closed


def test_refused_streams_can_be_sent_again() -> None:
    """A server that allows less than we had sent before its SETTINGS refuses the rest: each comes back as
    REFUSED_STREAM, and the engine keeps to the limit from then on."""
    rig = ClientRig(start=False)
    streams = [rig.send() for _ in range(5)]
    rig.feed(wire.settings({wire.MAX_CONCURRENT_STREAMS: 2}))
    rig.feed(*[wire.rst_stream(stream_id, wire.REFUSED_STREAM) for stream_id in streams[2:]])
    assert [(e.stream_id, e.code) for e in rig.of(ev.StreamReset)] == [(n, wire.REFUSED_STREAM) for n in streams[2:]]
    assert not rig.conn.can_send_request
    rig.feed(wire.response(streams[0], end_stream=True))
    assert rig.conn.can_send_request


def test_a_response_that_is_dropped_gives_its_credit_back() -> None:
    """Content that was unread when its stream was cancelled does not keep the connection's window closed."""
    rig = ClientRig(Limits(initial_stream_window=65_535, initial_connection_window=131_070, max_unread=131_070))
    for _ in range(20):
        stream_id = rig.send()
        rig.feed(wire.response(stream_id), *[wire.data(stream_id, b"x" * 16_000) for _ in range(4)])
        rig.conn.reset_stream(stream_id, wire.CANCEL)
        rig.take()
    assert not rig.conn.closed and not rig.of(ev.PeerFault)
    assert rig.conn.stats()["unread"] == 0


@pytest.mark.parametrize(
    ("data", "request_", "end"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", {}, CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", {}, CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", {}, WHOLE),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", {"method": b"HEAD"}, WHOLE),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", {}, WHOLE),
        (HEAD + b"5\r\nhello\r\n", {}, CUT),
    ],
)
def test_a_response_that_ends_short_h1(data: bytes, request_: dict[str, Any], end: str) -> None:
    """Less than content-length says is an error, and to HEAD it is not."""
    assert answer(data, **request_).end == end


@pytest.mark.parametrize("how", ["data", "trailers", "headers", "too much"])
def test_a_response_that_ends_short_h2(how: str) -> None:
    """The same of HTTP/2, however the stream ends."""
    rig = ClientRig()
    stream_id = rig.send()
    whole = wire.response(stream_id, extra=[(b"content-length", b"5")], end_stream=how == "headers")
    rig.feed(whole)
    if how == "data":
        rig.feed(wire.data(stream_id, b"hell", end_stream=True))
    elif how == "trailers":
        rig.feed(wire.data(stream_id, b"hell"), wire.headers(stream_id, wire.literal(b"a", b"b"), end_stream=True))
    elif how == "too much":
        rig.feed(wire.data(stream_id, b"hello!"))
    (reset,) = rig.of(ev.StreamReset)
    assert reset.code == wire.PROTOCOL_ERROR and "content-length" in reset.reason
    assert not any(event.end_stream for event in [*rig.of(ev.DataReceived), *rig.of(ev.ResponseReceived)])
    assert not rig.of(ev.TrailersReceived)
    asked = rig.send(method=b"HEAD")
    rig.feed(wire.response(asked, extra=[(b"content-length", b"5")], end_stream=True))
    assert rig.of(ev.ResponseReceived, asked)[0].end_stream and not rig.of(ev.StreamReset, asked)
