"""HTTP/1.1 as a client: bytes that nobody thought of: no exception, the same story for any cut, one last event."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.errors import LocalError
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support.h1_rig import H1ClientRig

TIGHT = Limits(max_field_section_size=2_048, max_fields=16, odd_frame_burst=5, odd_frame_rate=0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="

STREAMS = [
    OK,
    OK + b"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 7 + OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nt: v\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nG\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + b"e" * 1_100 + b"\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 400 + b"\nb: c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2_100 + b"\rb\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_900 + b"\rb\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
    b"HTTP/1.1 200 OK\nX: y\r\n\r\n",
    b"HTT\nP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello",
    b"\x16\x03\x01\x00\x05hello",
    b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00",
]
WORDS = [
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 \r\n\r\n"),
    *(b"HTTP/1.1 304 Not Modified\r\n", b"HTTP/1.1 101 Switching Protocols\r\n", b"\r\n", b"\r\n\r\n", b"\r", b"\n"),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"a: b\r\n", b": ", b" "),
    *(b"0\r\n", b"3\r\n", b"abc", b"abc\r\n", b";a=b", b"\x00", b"\xff", b"x" * 1_100, OK),
]
REQUESTS: list[dict[str, Any]] = [
    {},
    {"method": b"HEAD"},
    {"method": b"CONNECT", "path": b"", "authority": b"b:1"},
    {"method": b"CONNECT", "protocol": b"websocket", "headers": ((b"sec-websocket-key", KEY),)},
    {"method": b"POST", "end_stream": False},
]


def story(raw: bytes, cuts: list[int], request: dict[str, Any]) -> list[str]:
    """What happens when the bytes of a response come in these pieces, content put together."""
    rig = H1ClientRig(TIGHT)
    rig.send(**request)
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    for begin, end in pairwise(places):
        rig.feed(raw[begin:end])
    rig.eof()
    told: list[str] = []
    content = b""
    for event in rig.events:
        if event.kind == ev.DATA:
            content += event.data
            if event.end_stream:
                told.append(f"{content!r} end")
                content = b""
            continue
        if content:
            told.append(repr(content))
            content = b""
        told.append(repr(event))
    kinds = [type(event) for event in rig.events]
    assert kinds[-1] is ev.ConnectionEnded and kinds.count(ev.ConnectionEnded) == 1
    assert kinds.count(ev.StreamReset) <= 1 and kinds.count(ev.ResponseReceived) <= 1
    is_connect = request.get("method") == b"CONNECT" and "protocol" not in request
    responses = rig.of(ev.ResponseReceived)
    if responses and not (responses[0].status == 101 or (is_connect and responses[0].status < 300)):
        assert (ev.StreamReset in kinds) != rig.ended, "an open request ends once: whole, or reset"
    return told


@pytest.mark.parametrize("data", STREAMS, ids=range(len(STREAMS)))
@pytest.mark.parametrize("request_", REQUESTS, ids=range(len(REQUESTS)))
def test_byte_by_byte_is_the_same_as_at_once(data: bytes, request_: dict[str, Any]) -> None:
    """Where TCP cuts has no meaning."""
    assert story(data, list(range(len(data))), request_) == story(data, [], request_)


@given(
    words=st.lists(st.sampled_from(WORDS), max_size=20),
    cuts=st.lists(st.integers(0, 2**16), max_size=10),
    request_=st.sampled_from(REQUESTS),
)
@tries(400)
def test_any_words_in_any_cut(words: list[bytes], cuts: list[int], request_: dict[str, Any]) -> None:
    """Whatever the bytes are; and nothing raises."""
    data = b"".join(words)
    assert story(data, cuts, request_) == story(data, [], request_)


@given(
    data=st.sampled_from(STREAMS),
    changes=st.lists(
        st.tuples(st.integers(0, 2**16), st.binary(max_size=2), st.integers(0, 2)), min_size=1, max_size=3
    ),
    cuts=st.lists(st.integers(0, 2**16), max_size=8),
    request_=st.sampled_from(REQUESTS),
)
@tries(400)
def test_sound_streams_with_bytes_changed(
    data: bytes, changes: list[tuple[int, bytes, int]], cuts: list[int], request_: dict[str, Any]
) -> None:
    """The same near to what is sound."""
    for place, new, lost in changes:
        at = place % len(data) if data else 0
        data = data[:at] + new + data[at + lost :]
    assert story(data, cuts, request_) == story(data, [], request_)


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 2**16), max_size=5))
@tries(200)
def test_any_bytes_in_any_cut(data: bytes, cuts: list[int]) -> None:
    """The same for noise, also behind a head that is well."""
    assert story(data, cuts, {}) == story(data, [], {})
    begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert story(begun + data, cuts, {}) == story(begun + data, [], {})


VERBS = ["request", "post", "data", "end", "trailers", "reset", "take", "feed", "ack", "eof", "fail", "drain", "time"]


@given(verbs=st.lists(st.sampled_from(VERBS), max_size=40), responses=st.lists(st.sampled_from(STREAMS), max_size=4))
@tries(400)
def test_any_order_of_verbs(verbs: list[str], responses: list[bytes]) -> None:
    """Whatever an owner does, in any order: LocalError or nothing; each request ends once; one last event."""
    rig = H1ClientRig()
    conn = rig.conn
    data = b"".join(responses)
    asked: list[int] = []
    given_up: set[int] = set()
    for verb in verbs:
        stream_id = asked[-1] if asked else 1
        try:
            if verb in ("request", "post"):
                asked.append(
                    conn.send_request(
                        *(b"POST" if verb == "post" else b"GET", b"http", b"a", b"/", ()),
                        end_stream=verb == "request",
                    )
                )
            elif verb in ("data", "end"):
                conn.send_data(stream_id, b"y" * 50_000, verb == "end")
            elif verb == "trailers":
                conn.send_trailers(stream_id, [(b"t", b"v")])
            elif verb == "reset":
                if conn.has_stream(stream_id):
                    given_up.add(stream_id)
                conn.reset_stream(stream_id, 8)
            elif verb == "take":
                conn.take_output(50_000, rig.now)
            elif verb == "feed":
                rig.feed(data[:40])
                data = data[40:]
            elif verb == "ack":
                conn.acknowledge_data(stream_id, 5)
            elif verb == "eof":
                rig.eof()
            elif verb == "fail":
                rig.events += conn.receive_failure(rig.now, "it broke")
            elif verb == "drain":
                conn.begin_drain(rig.now, rig.now + 5)
            else:
                rig.advance(7)
        except LocalError:
            pass
        rig.events += conn.take_events()
        assert not (conn.closed and conn.can_send_request)
        assert (conn.deadline == float("inf")) == conn.closed
    conn.close()
    rig.events += conn.take_events()
    ends: list[int] = []
    for event in rig.events:
        if event.kind in (ev.RESET, ev.TRAILERS) or (event.kind in (ev.DATA, ev.RESPONSE) and event.end_stream):
            ends.append(event.stream_id)
    assert sorted([*ends, *given_up]) == asked
    assert type(rig.events[-1]) is ev.ConnectionEnded and len(rig.of(ev.ConnectionEnded)) == 1
