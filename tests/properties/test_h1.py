"""HTTP/1.1: bytes that nobody thought of: no exception, the same story for any cut, bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.errors import LocalError

from tests.engine.rfc9112.test_s02_2_parsing import STREAMS, story
from tests.properties.profile import tries
from tests.support.h1_rig import GET, H1Rig

WORDS = [
    *(b"GET ", b"POST ", b"/", b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b":", b" ", b"x"),
    *(b"Host: a", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: close", b"Expect: 100-continue"),
    *(b"Connection: Upgrade", b"Upgrade: websocket", b"0", b"3", b"abc", b";a=b", b"\x00", b"\xff", b"x" * 1_100),
    *(GET, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
]
VERBS = ["respond", "headers", "data", "end", "trailers", "reset", "inform", "take", "feed", "eof", "drain", "time"]


@given(words=st.lists(st.sampled_from(WORDS), max_size=25), cuts=st.lists(st.integers(0, 2**16), max_size=10))
@tries(400)
def test_any_words_in_any_cut(words: list[bytes], cuts: list[int]) -> None:
    """Where TCP cuts has no meaning, whatever the bytes are; and nothing raises."""
    data = b"".join(words)
    assert story(data, cuts) == story(data, [])


@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 2**16), max_size=5))
@tries(300)
def test_any_bytes_in_any_cut(data: bytes, cuts: list[int]) -> None:
    """The same for noise, also behind a request that is well."""
    assert story(data, cuts) == story(data, [])
    assert story(GET + data, cuts) == story(GET + data, [])


@given(
    data=st.sampled_from(STREAMS),
    changes=st.lists(
        st.tuples(st.integers(0, 2**16), st.binary(max_size=2), st.integers(0, 2)), min_size=1, max_size=3
    ),
    cuts=st.lists(st.integers(0, 2**16), max_size=8),
)
@tries(400)
def test_sound_streams_with_bytes_changed(data: bytes, changes: list[tuple[int, bytes, int]], cuts: list[int]) -> None:
    """The same near to what is sound."""
    for place, new, lost in changes:
        at = place % len(data) if data else 0
        data = data[:at] + new + data[at + lost :]
    assert story(data, cuts) == story(data, [])


@given(
    verbs=st.lists(st.sampled_from(VERBS), max_size=40),
    requests=st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3),
)
@tries(400)
def test_any_order_of_verbs(verbs: list[str], requests: list[bytes]) -> None:
    """Whatever an owner does, in any order: LocalError or nothing; one last event; no byte after it is read."""
    rig = H1Rig()
    data = b"".join(requests)
    rig.feed(data[:300])
    data = data[300:]
    for verb in verbs:
        stream_id = rig.requests[-1].stream_id if rig.requests else 1
        try:
            if verb == "respond":
                rig.conn.send_response(stream_id, 200, (), b"x" * 70_000)
            elif verb == "headers":
                rig.conn.send_headers(stream_id, 200, ())
            elif verb in ("data", "end"):
                rig.conn.send_data(stream_id, b"y" * 30_000, verb == "end")
            elif verb == "trailers":
                rig.conn.send_trailers(stream_id, [(b"t", b"v")])
            elif verb == "reset":
                rig.conn.reset_stream(stream_id, 8)
            elif verb == "inform":
                rig.conn.send_informational(stream_id, 103, ())
            elif verb == "take":
                rig.conn.take_output(50_000, rig.now)
            elif verb == "feed":
                rig.feed(data[:500])
                data = data[500:]
            elif verb == "eof":
                rig._note(rig.conn.receive_eof(rig.now))
            elif verb == "drain":
                rig.conn.begin_drain(rig.now, rig.now + 5)
            else:
                rig.advance(7)
        except LocalError:
            pass
        rig._note(rig.conn.take_events())
    kinds = [type(event).__name__ for event in rig.events]
    assert kinds.count("ConnectionEnded") == (1 if rig.conn.closed else 0)
    if rig.conn.closed:
        assert kinds[-1] == "ConnectionEnded" and rig.conn.open_streams == 0
    assert rig.conn.stats()["send_queued"] == len(rig.conn.take_output(10**9))
