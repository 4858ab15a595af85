"""What is said of a fault does not depend on how the bytes were cut on their way: not its place, not its words."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.detection import Detection
from headrace.engine.h1 import H1ClientConnection, H1ServerConnection
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.h2.frames import PREFACE
from headrace.engine.limits import Limits

from tests.engine.rfc9112.test_s02_2_parsing import STREAMS
from tests.properties.profile import tries
from tests.support import sessions, wire

LIMITS = Limits(max_concurrent_streams=10)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
REQUEST: tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]] = (b"https", b"a", b"/", [])


def told(event: Any) -> str:
    """All that an event says; its memory and the like aside."""
    parts = {name: getattr(event, name) for name in ("code", "scope", "stream_id", "initiator", "reason", "section")
             if hasattr(event, name)}  # fmt: skip
    return f"{type(event).__name__} {parts} {getattr(event, 'budget', '')}"


def story(role: str, pieces: list[bytes]) -> tuple[list[str], bytes]:
    """Events that tell of faults and ends, and all that is written; `role` is who reads the pieces."""
    conn: Any
    if role == "detection":
        conn = Detection(LIMITS, 0.0)
    elif role == "h2 server":
        conn = ServerConnection(LIMITS, now=0.0)
    elif role == "h1 server":
        conn = H1ServerConnection(LIMITS, now=0.0)
    elif role == "h2 client":
        conn = ClientConnection(LIMITS, now=0.0)
        for _ in range(4):
            conn.send_request(b"GET", *REQUEST, end_stream=True)
    else:
        conn = H1ClientConnection(LIMITS, now=0.0)
        conn.send_request(b"GET", *REQUEST, end_stream=True)
    found: list[str] = []
    out = conn.take_output()
    for piece in pieces:
        events = list(conn.receive_data(piece, 0.0))
        while events:
            event = events.pop(0)
            if event.kind == ev.PROTOCOL:
                conn = (
                    ServerConnection(LIMITS, now=0.0) if event.protocol == "h2" else H1ServerConnection(LIMITS, now=0.0)
                )
                events += conn.receive_data(event.data, 0.0)
            elif event.kind in (ev.FAULT, ev.ENDED, ev.RESET):
                found.append(told(event))
            elif event.kind == ev.REQUEST and event.end_stream and isinstance(conn, H1ServerConnection):
                conn.send_response(event.stream_id, 200, (), b"")  # so that the next one is read
                events += conn.take_events()
        out += conn.take_output()
    return found, out


def cut(data: bytes, places: list[int]) -> list[bytes]:
    marks = [0, *sorted(each % (len(data) + 1) for each in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(marks)]


def same(role: str, data: bytes, places: list[int]) -> None:
    """At once, cut at these places, and byte by byte."""
    whole = story(role, [data])
    assert story(role, cut(data, places)) == whole
    assert story(role, [data[n : n + 1] for n in range(len(data))]) == whole


WRONG = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /index HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT / HTTP/1.1\r\n\r\n",
    b"PRI / HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\x00" + wire.settings(),
    b"PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"\x16GET / HTTP/1.1",
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"\r\n\r\n" + GET,
    b"SSH-2.0-OpenSSH\r\n",
    b"*1\r\n$4\r\nPING\r\n",
    b"P",
    PREFACE[:-1],
]


@pytest.mark.parametrize("role", ["h2 server", "h1 server", "detection"])
@pytest.mark.parametrize("data", WRONG, ids=range(len(WRONG)))
def test_a_wrong_preface(role: str, data: bytes) -> None:
    """RFC 9113 §3.4: the words are decided by the bytes up to the first that differs, in any cut."""
    for place in range(len(data) + 1):
        same(role, data, [place])


@given(st.sampled_from(["h2 server", "detection"]), st.integers(0, 23), st.binary(min_size=1, max_size=40))
@tries(400)
def test_a_preface_that_goes_wrong_anywhere(role: str, place: int, rest: bytes) -> None:
    same(role, PREFACE[:place] + rest, [place, place + 1])


@given(st.sampled_from(["h2 server", "h2 client"]), st.integers(0, 2**32), st.lists(st.integers(0, 2**16), max_size=12))
@tries(200)
def test_sessions_of_http2_with_bytes_changed(role: str, seed: int, places: list[int]) -> None:
    rnd = random.Random(seed)
    data = bytearray(b"".join(sessions.script(seed, client=role == "h2 client", hostile=0.5, frames=12)))
    for _ in range(rnd.randrange(4)):
        at = rnd.randrange(len(data))
        data[at : at + rnd.randrange(2)] = rnd.randbytes(rnd.randrange(3))
    same(role, bytes(data[:3_000]), places)


FRAMES = st.tuples(
    st.one_of(st.integers(0, 16), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 0x2D]), st.integers(0, 255)),
    st.one_of(st.integers(0, 12), st.sampled_from([2**31 - 1, 1001])),
    st.binary(max_size=40),
)


@given(
    st.sampled_from(["h2 server", "h2 client"]),
    st.lists(FRAMES, max_size=12),
    st.binary(max_size=12),
    st.lists(st.integers(0, 2**16), max_size=12),
)
@tries(300)
def test_any_frames_of_http2(role: str, frames: list[Any], rest: bytes, places: list[int]) -> None:
    start = wire.settings() if role == "h2 client" else wire.client_preface()
    same(role, start + b"".join(wire.frame(*each) for each in frames) + rest, places)


ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nx",
    b"HTTP/2 200 OK\r\n\r\n",
    PREFACE,
]


@given(
    st.sampled_from(["h1 server", "h1 client", "detection"]),
    st.integers(0, 2**16),
    st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=3), st.integers(0, 2)), max_size=3),
    st.lists(st.integers(0, 2**16), max_size=12),
)
@tries(400)
def test_messages_of_http1_with_bytes_changed(role: str, choice: int, changes: list[Any], places: list[int]) -> None:
    kinds = ANSWERS if role == "h1 client" else STREAMS
    data = kinds[choice % len(kinds)][:3_000]
    for place, new, lost in changes:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + lost :]
    same(role, data, places)
