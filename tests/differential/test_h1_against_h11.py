"""The HTTP/1.1 engine against h11, as server against server and as server against client.

h11 is the most careful reader of HTTP/1.1 in Python, and more lenient than we are: it takes bare LF and equal lengths.
So what we accept it must accept, with the same requests and the same content; and what we write it must read.
"""

from __future__ import annotations

import random
from typing import Any

import h11
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support.h1_rig import H1Rig, chunked, head, post

Message = tuple[bytes, bytes, bytes, bool]


def by_h11(raw: bytes) -> tuple[list[Message], bool | None]:
    """Requests as (method, target, content, whole), and whether h11 refused something; None: it was an empty line
    before a request, which RFC 9112 §2.2 asks a server to bear with."""
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=1_000_000)
    conn.receive_data(raw)
    found: list[Message] = []
    while True:
        try:
            event = conn.next_event()
        except h11.RemoteProtocolError as error:
            return found, None if "no request line received" in str(error) else True
        if isinstance(event, h11.Request):
            found.append((event.method, event.target, b"", False))
        elif isinstance(event, h11.Data):
            method, target, content, _ = found[-1]
            found[-1] = (method, target, content + bytes(event.data), False)
        elif isinstance(event, h11.EndOfMessage):
            found[-1] = (*found[-1][:3], True)
            conn.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            conn.send(h11.EndOfMessage())
            if conn.our_state is not h11.DONE:
                return found, False
            conn.start_next_cycle()
        else:
            return found, False


def by_us(raw: bytes, cut: int) -> tuple[list[Message], bool]:
    rig = H1Rig(auto=True)
    rig.feed(raw, cut)
    found: list[Message] = []
    for event in rig.events:
        if event.kind == ev.REQUEST:
            found.append((event.method, event.path, b"", event.end_stream))
        elif event.kind == ev.DATA:
            method, target, content, _ = found[-1]
            found[-1] = (method, target, content + event.data, event.end_stream)
        elif event.kind == ev.TRAILERS:
            found[-1] = (*found[-1][:3], True)
    return found, bool(rig.of(ev.PeerFault))


def compare(data: bytes, cut: int = 0) -> None:
    """Everything that we took for a whole request h11 does too, byte for byte."""
    ours, we_refused = by_us(data, cut)
    theirs, they_refused = by_h11(data)
    whole = [message for message in ours if message[3]]
    if they_refused is None:
        whole = whole[: len(theirs)]
    assert whole == theirs[: len(whole)], data
    if not we_refused:
        assert not they_refused or len(theirs) >= len(ours), data


@given(seed=st.integers(0, 2**32), cut=st.sampled_from([0, 1, 5, 100]))
@tries(300)
def test_sound_requests(seed: int, cut: int) -> None:
    """Pipelines of sound requests: the same in both, and nothing refused."""
    rnd = random.Random(seed)
    data = pipeline(rnd)
    ours, refused = by_us(data, cut)
    assert not refused
    assert (ours, False) == by_h11(data)


@given(seed=st.integers(0, 2**32), cut=st.sampled_from([0, 1, 5]))
@tries(500)
def test_requests_with_bytes_changed(seed: int, cut: int) -> None:
    """Near to what is sound: a byte lost, doubled, changed, or a line moved."""
    rnd = random.Random(seed)
    data = pipeline(rnd)
    for _ in range(rnd.randrange(1, 4)):
        at = rnd.randrange(len(data))
        change = rnd.choice((b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"0", b"\x00", b"\xff", rnd.randbytes(1)))
        data = data[:at] + change + data[at + rnd.randrange(3) :]
    compare(data, cut)


def pipeline(rnd: random.Random) -> bytes:
    data = b""
    for _ in range(rnd.randrange(1, 5)):
        lines = [b"%s: %s" % (rnd.choice((b"a", b"X-Y", b"Cookie")), rnd.choice((b"", b"v", b"a b", b"\xe9")))]
        kind = rnd.randrange(4)
        if kind == 0:
            data += head(*lines, request=b"GET /%d?q HTTP/1.1" % rnd.randrange(9))
        elif kind == 1:
            data += post(rnd.randbytes(rnd.randrange(50)), *lines)
        elif kind == 2:
            content = b""
            for _ in range(rnd.randrange(4)):
                piece = rnd.randbytes(rnd.randrange(1, 30))
                content += b"%x%s\r\n" % (len(piece), rnd.choice((b"", b";a=b"))) + piece + b"\r\n"
            data += chunked(content + b"0\r\n" + rnd.choice((b"", b"t: v\r\n")) + b"\r\n", *lines)
        else:
            data += head(b"Connection: close", request=b"HEAD /x HTTP/1.1")
    return data


@given(seed=st.integers(0, 2**32))
@tries(200)
def test_h11_reads_what_we_write(seed: int) -> None:
    """Responses of all shapes on one connection: h11 as the client sees what the application said."""
    rnd = random.Random(seed)
    client: Any = h11.Connection(h11.CLIENT)
    rig = H1Rig(Limits(max_stream_send_buffer=rnd.choice((1, 1_000, 65_536))))
    rig.conn.set_default_fields(((b"date", b"Sat, 21 Nov 2026 10:00:00 GMT"),))
    for n in range(rnd.randrange(1, 8)):
        if client.our_state is not h11.IDLE:
            break
        method = rnd.choice(("GET", "HEAD", "POST"))
        asked = client.send(h11.Request(method=method, target=f"/{n}", headers=[("host", "a"), *closing(rnd)]))
        rig.feed((asked or b"") + (client.send(h11.EndOfMessage()) or b""))
        status = rnd.choice((200, 204, 304, 404, 599))
        expected = answer(rig, rig.requests[-1].stream_id, status, rnd)
        got = read(client, rig, rnd)
        empty = method == "HEAD" or status in (204, 304)
        assert got == (status, b"" if empty else expected)
        if {client.their_state, client.our_state} == {h11.DONE}:
            assert not rig.conn.closed
            client.start_next_cycle()
        else:
            assert rig.conn.closed
            break


def closing(rnd: random.Random) -> list[tuple[str, str]]:
    return [("connection", "close")] if rnd.random() < 0.1 else []


def answer(rig: H1Rig, stream_id: int, status: int, rnd: random.Random) -> bytes:
    """Answer in one of the shapes there are; returns the content."""
    pieces = [rnd.randbytes(rnd.choice((0, 1, 100, 5_000))) for _ in range(rnd.randrange(4))]
    body = b"".join(pieces)
    if rnd.random() < 0.3:
        rig.conn.send_informational(stream_id, 103, [(b"link", b"</a>")])
    if rnd.random() < 0.4:
        rig.conn.send_response(stream_id, status, [(b"a", b"b")], body)
        return body
    headers = [(b"content-length", b"%d" % len(body))] if rnd.random() < 0.3 and status == 200 else []
    rig.conn.send_headers(stream_id, status, headers)
    for piece in pieces:
        rig.conn.send_data(stream_id, piece)
    if rnd.random() < 0.3:
        rig.conn.send_trailers(stream_id, [(b"t", b"v")])
    else:
        rig.conn.send_data(stream_id, b"", True)
    return body


def read(client: Any, rig: H1Rig, rnd: random.Random) -> tuple[int, bytes]:
    status = 0
    body = b""
    raw = rig.take(rnd.choice((7, 100, 262_144)))
    step = rnd.choice((1, 10, 100_000))
    for at in range(0, len(raw), step):
        client.receive_data(raw[at : at + step])
        while True:
            event = client.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif not isinstance(event, (h11.InformationalResponse, h11.EndOfMessage)):
                break
    return status, body
