"""The HTTP/1.1 client against h11, as client against client and as client against server.

h11 is more lenient than we are (bare LF, equal lengths, an empty line before a head), so what we take for a whole
response it must take for the same one; and what we write it must read as we meant it.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import h11
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support.h1_rig import H1ClientRig


class Seen(NamedTuple):
    """A response; `whole` is False when it was cut off, or refused on the way."""

    interim: list[int]
    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes
    trailers: list[tuple[bytes, bytes]]
    whole: bool


def by_h11(raw: bytes, method: str) -> tuple[Seen, bool]:
    """What h11 makes of a response that ends with its connection, and whether another request may follow."""
    conn: Any = h11.Connection(h11.CLIENT, max_incomplete_event_size=1_000_000)
    conn.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    conn.send(h11.EndOfMessage())
    conn.receive_data(raw)
    interim: list[int] = []
    status = 0
    headers: list[tuple[bytes, bytes]] = []
    content = b""
    ended = False
    again = False
    while True:
        try:
            event = conn.next_event()
            if event is h11.NEED_DATA and not ended:
                ended = True
                conn.receive_data(b"")
                continue
        except h11.RemoteProtocolError:
            return Seen(interim, status, headers, content, [], False), False
        if isinstance(event, h11.InformationalResponse):
            interim.append(event.status_code)
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = list(event.headers)
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            again = not ended and conn.their_state is h11.DONE and not conn.trailing_data[0]
            return Seen(interim, status, headers, content, list(event.headers), True), again
        else:
            return Seen(interim, status, headers, content, [], False), False


def by_us(data: bytes, method: str, cut: int = 0) -> tuple[Seen, bool]:
    rig = H1ClientRig()
    rig.send(method=method.encode())
    rig.feed(data, cut)
    again = bool(rig.conn.can_send_request)
    rig.eof()
    heads = rig.of(ev.ResponseReceived)
    trailers = rig.of(ev.TrailersReceived)
    return Seen(
        [event.status for event in rig.of(ev.InformationalReceived)],
        heads[0].status if heads else 0,
        list(heads[0].headers) if heads else [],
        rig.content,
        list(trailers[0].headers) if trailers else [],
        rig.ended,
    ), again


def response(rnd: random.Random, method: str) -> bytes:
    """A sound response of any shape."""
    data = b"".join(
        b"HTTP/1.1 %d X\r\n%s\r\n" % (rnd.choice((100, 102, 103)), rnd.choice((b"", b"Link: </a>\r\n")))
        for _ in range(rnd.choice((0, 0, 0, 1, 2)))
    )
    status = rnd.choice((200, 200, 200, 204, 206, 304, 404, 500))
    lines = [b"%s: %s" % (rnd.choice((b"a", b"X-Y", b"Set-Cookie")), rnd.choice((b"", b"v", b"a b", b"\xe9")))]
    if rnd.random() < 0.2:
        lines.append(b"Connection: " + rnd.choice((b"close", b"keep-alive", b"x")))
    version = b"HTTP/1.1"
    content = rnd.randbytes(rnd.randrange(50))
    kind = rnd.randrange(4)
    if kind == 0:
        lines.append(b"Content-Length: %d" % len(content))
    elif kind == 1:
        lines.append(b"Transfer-Encoding: chunked")
        pieces = b""
        for at in range(0, len(content), 7):
            piece = content[at : at + 7]
            pieces += b"%x%s\r\n" % (len(piece), rnd.choice((b"", b";a=b"))) + piece + b"\r\n"
        content = pieces + b"0\r\n" + rnd.choice((b"", b"t: v\r\n")) + b"\r\n"
    elif kind == 2 and b"Connection: keep-alive" not in lines:  # to h11 no connection of HTTP/1.0 goes on
        version = b"HTTP/1.0"
    if method == "HEAD" or status in (204, 304):
        content = b""
    return data + b"\r\n".join([version + b" %d OK" % status, *lines, b"", b""]) + content


@given(seed=st.integers(0, 2**32), cut=st.sampled_from([0, 1, 5, 100]))
@tries(500)
def test_sound_responses(seed: int, cut: int) -> None:
    """The same head, content and trailers, and the same view of whether the connection goes on."""
    rnd = random.Random(seed)
    method = rnd.choice(("GET", "GET", "HEAD", "POST"))
    data = response(rnd, method)
    ours = by_us(data, method, cut)
    assert ours[0].whole
    assert ours == by_h11(data, method)


@given(seed=st.integers(0, 2**32), cut=st.sampled_from([0, 1, 5]))
@tries(800)
def test_responses_with_bytes_changed(seed: int, cut: int) -> None:
    """Near to what is sound, and cut off anywhere: what is whole to us is whole to h11, and the same."""
    rnd = random.Random(seed)
    method = rnd.choice(("GET", "HEAD"))
    data = response(rnd, method)
    for _ in range(rnd.randrange(1, 4)):
        at = rnd.randrange(len(data))
        change = rnd.choice((b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"0", b"\x00", b"\xff", rnd.randbytes(1)))
        data = data[:at] + change + data[at + rnd.randrange(3) :]
    if rnd.random() < 0.3:
        data = data[: rnd.randrange(len(data) + 1)]
    ours, again = by_us(data, method, cut)
    theirs, they_again = by_h11(data, method)
    if ours.whole:
        assert ours == theirs, data
    else:
        assert theirs.content.startswith(ours.content) or not theirs.whole, data
    assert they_again or not again or b"keep-alive" in data, data


@given(seed=st.integers(0, 2**32))
@tries(300)
def test_h11_reads_what_we_write(seed: int) -> None:
    """Requests of all shapes on one connection: h11 as the server sees what the caller said."""
    rnd = random.Random(seed)
    server: Any = h11.Connection(h11.SERVER)
    rig = H1ClientRig(Limits(max_stream_send_buffer=rnd.choice((1, 1_000, 65_536))))
    for n in range(rnd.randrange(1, 8)):
        method = rnd.choice((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH"))
        pieces = [rnd.randbytes(rnd.choice((0, 1, 100, 5_000))) for _ in range(rnd.randrange(4))]
        content = b"".join(pieces)
        trailers = [(b"t", b"v")] if rnd.random() < 0.3 else []
        length = len(content) if rnd.random() < 0.5 else -1
        end_stream = not pieces
        headers = [(b"accept", b"*/*")] if rnd.random() < 0.5 else [(b"x", b"%d" % n)]
        rig.output = b""
        stream_id = rig.conn.send_request(
            *(method, b"http", b"a", b"/%d?q" % n, headers),
            end_stream=end_stream,
            content_length=0 if end_stream else length,
        )
        if not end_stream:
            for piece in pieces:
                rig.conn.send_data(stream_id, piece)
            if trailers:
                rig.conn.send_trailers(stream_id, trailers)
            else:
                rig.conn.send_data(stream_id, b"", True)
        rig.take()
        got = read(server, rig.output, rnd)
        wanted = trailers if length < 0 and not end_stream else []
        assert got == (method, b"/%d?q" % n, content, wanted)
        answered = server.send(h11.Response(status_code=200, headers=[("content-length", "2")]))
        answered += server.send(h11.Data(data=b"ok")) if method != b"HEAD" else b""
        answered += server.send(h11.EndOfMessage())
        rig.feed(answered)
        assert rig.conn.can_send_request
        server.start_next_cycle()


def read(server: Any, raw: bytes, rnd: random.Random) -> tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]]:
    method = target = content = b""
    trailers: list[tuple[bytes, bytes]] = []
    step = rnd.choice((1, 10, 100_000))
    for at in range(0, len(raw), step):
        server.receive_data(raw[at : at + step])
        while True:
            event = server.next_event()
            if isinstance(event, h11.Request):
                method, target = event.method, event.target
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                trailers = list(event.headers)
            else:
                break
    return method, target, content, trailers
