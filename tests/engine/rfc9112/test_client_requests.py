"""RFC 9112 §3, §5, §6, §7 for a client: the requests that it writes."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import InvalidFieldError, LocalProtocolError, StreamClosedError
from headrace.engine.h1 import H1ServerConnection, states
from headrace.engine.limits import Limits

from tests.support.h1_rig import H1ClientRig

pytestmark = pytest.mark.engine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        ({}, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ({"path": b"/x?y=%20"}, b"GET /x?y=%20 HTTP/1.1\r\nhost: a\r\n\r\n"),
        ({"authority": b"[::1]:8080"}, b"GET / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n"),
        ({"headers": [(b"Accept", b" */* ")]}, b"GET / HTTP/1.1\r\nhost: a\r\naccept: */*\r\n\r\n"),
        ({"headers": [(b"connection", b"close")]}, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        ({"headers": [(b"te", b"trailers")]}, b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n"),
        (
            {"headers": [(b"te", b"trailers"), (b"connection", b"close")]},
            b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close, te\r\n\r\n",
        ),
        ({"method": b"OPTIONS", "path": b"*"}, b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n"),
        ({"path": b"http://b/x", "authority": b"b"}, b"GET http://b/x HTTP/1.1\r\nhost: b\r\n\r\n"),
        (
            {"method": b"CONNECT", "path": b"", "authority": b"b:443"},
            b"CONNECT b:443 HTTP/1.1\r\nhost: b:443\r\n\r\n",
        ),
        ({"method": b"POST"}, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
        ({"method": b"DELETE"}, b"DELETE / HTTP/1.1\r\nhost: a\r\n\r\n"),
        ({"method": b"BREW", "content_length": 0}, b"BREW / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
        (
            {"method": b"PUT", "content_length": 5, "end_stream": False},
            b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n",
        ),
        (
            {"method": b"PUT", "headers": [(b"content-length", b"5")], "end_stream": False},
            b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n",
        ),
        (
            {"method": b"PUT", "end_stream": False},
            b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (
            {"method": b"CONNECT", "protocol": b"websocket", "headers": [(b"sec-websocket-key", KEY)]},
            b"GET / HTTP/1.1\r\nhost: a\r\nsec-websocket-key: " + KEY + b"\r\nsec-websocket-version: 13\r\n"
            b"upgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        ),
    ],
)
def test_heads(request_: dict[str, Any], data: bytes) -> None:
    """What a request's head looks like on the wire: host first (RFC 9110 §7.2), framing as RFC 9112 §6 asks for."""
    rig = H1ClientRig()
    for _ in range(2):  # the second is written from memory
        rig.output = b""
        rig.send(**request_)
        assert rig.output == data
        if rig.conn._request.state == states.REQUEST:
            rig.conn.send_data(rig.conn._request.stream_id, b"12345" if b"length" in data else b"", True)
            rig.take()
        rig.feed(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
        if rig.conn.closed:
            assert b"close" in data
            return


@pytest.mark.parametrize(
    "request_",
    [
        {"path": b""},
        {"path": b"/a b"},
        {"path": b"/a\r\nx: y"},
        {"path": b"/a#b"},
        {"path": b"/\xc3\xa9"},
        {"path": b"a"},
        {"path": b"*"},
        {"method": b""},
        {"method": b"GE T"},
        {"method": b"GET\r\n"},
        {"authority": b""},
        {"authority": b"a b"},
        {"authority": b"user@a"},
        {"authority": b"a\r\nx: y"},
        {"authority": b"a:b"},
        {"method": b"CONNECT", "path": b"/"},
        {"method": b"CONNECT", "path": b"", "authority": b"a"},
        {"method": b"CONNECT", "path": b"", "authority": b"a:"},
        {"method": b"CONNECT", "path": b"", "authority": b"[::1]"},
        {"headers": [(b"host", b"b")]},
        {"headers": [(b"a b", b"c")]},
        {"headers": [(b"", b"c")]},
        {"headers": [(b"a", b"b\r\nc: d")]},
        {"headers": [(b"a", b"b\x00")]},
        {"headers": [(b"transfer-encoding", b"chunked")]},
        {"headers": [(b"connection", b"keep-alive")]},
        {"headers": [(b"upgrade", b"h2c")]},
        {"headers": [(b"keep-alive", b"5")]},
        {"headers": [(b"te", b"gzip")]},
        {"headers": [(b"content-length", b"5")]},
        {"headers": [(b"content-length", b"x")], "end_stream": False},
        {"headers": [(b"content-length", b"5"), (b"content-length", b"5")], "end_stream": False},
        {"headers": [(b"content-length", b"5")], "content_length": 6, "end_stream": False},
        {"content_length": 5},
        {"headers": [("a", b"b")]},
        {"headers": [(b"a", b"b", b"c")]},
        {"protocol": b"websocket", "method": b"CONNECT"},
        {"protocol": b"websocket", "method": b"POST", "headers": [(b"sec-websocket-key", KEY)]},
        {"protocol": b"h2c", "method": b"CONNECT", "headers": [(b"sec-websocket-key", KEY)]},
        {
            "protocol": b"websocket",
            "method": b"CONNECT",
            "headers": [(b"sec-websocket-key", KEY), (b"sec-websocket-key", KEY)],
        },
    ],
)
def test_what_must_not_be_sent(request_: dict[str, Any]) -> None:
    """A misuse raises, nothing is written, and the connection is as it was, whatever it remembers."""
    rig = H1ClientRig()
    for _ in range(2):
        with pytest.raises(InvalidFieldError):
            rig.send(**request_)
        assert rig.output == b"" and rig.conn.can_send_request
        rig.send(b"/fine")
        rig.feed(OK)
        assert rig.conn.can_send_request
        rig.output = b""


def test_connection_fields_may_be_left_out() -> None:
    """A gateway passes fields on: what concerns its other connection stays there."""
    rig = H1ClientRig()
    rig.conn.drop_connection_fields = True
    rig.send(headers=[(b"keep-alive", b"5"), (b"a", b"b"), (b"te", b"gzip")])
    assert rig.output == b"GET / HTTP/1.1\r\nhost: a\r\na: b\r\n\r\n"


def test_each_byte_in_a_path() -> None:
    """No byte gets into a request line that would end it, or that RFC 3986 does not have at all."""
    for byte in range(256):
        rig = H1ClientRig()
        path = b"/" + bytes((byte,))
        allowed = 0x21 <= byte < 0x7F and byte != 0x23
        for known in (False, True):
            rig.output = b""
            if known:
                rig.send(b"/x")
                rig.feed(OK)
                rig.output = b""
            if allowed:
                rig.send(path)
                assert rig.output.startswith(b"GET " + path + b" HTTP/1.1\r\n")
                rig.feed(OK)
            else:
                with pytest.raises(InvalidFieldError):
                    rig.send(path)
                assert rig.output == b""


def test_equal_requests_are_written_alike_and_others_are_not() -> None:
    """The memory of heads: each request is what it says, however alike it is to those before it."""
    rig = H1ClientRig()
    server = H1ServerConnection()
    a_list: list[tuple[bytes, bytes]] = [(b"a", b"1")]
    seen = []
    for method, path, authority, headers in [
        (b"GET", b"/1", b"a", a_list),
        (b"GET", b"/2", b"a", a_list),
        (b"HEAD", b"/2", b"a", a_list),
        (b"GET", b"/2", b"b", a_list),
        (b"GET", b"/2", b"b", ((b"a", b"1"),)),
        (b"GET", b"/2", b"b", ((b"a", b"2"),)),
        (b"GET", b"/2", b"b", ()),
        (b"POST", b"/2", b"b", ()),
        (b"GET", b"/2", b"b", [[b"a", b"2"]]),
        (b"GET", b"/1", b"a", a_list),
    ]:
        rig.output = b""
        rig.send(path, method=method, authority=authority, headers=headers)
        (event,) = server.receive_data(rig.output, 0.0)
        server.send_response(event.stream_id, 204, (), b"")
        server.take_output()
        wanted = [(b"host", authority), *[tuple(pair) for pair in headers]]
        if method == b"POST":
            wanted.append((b"content-length", b"0"))
        assert isinstance(event, ev.RequestReceived)
        assert (event.method, event.path, event.headers) == (method, path, wanted)
        seen.append(event.path)
        rig.feed(b"HTTP/1.1 204 No Content\r\n\r\n")
    a_list.append((b"b", b"3"))  # the caller's own, to change as it likes
    rig.output = b""
    rig.send(b"/1", headers=a_list)
    assert rig.output == b"GET /1 HTTP/1.1\r\nhost: a\r\na: 1\r\nb: 3\r\n\r\n"


def test_the_memory_of_heads_is_bounded() -> None:
    """10,000 different requests leave no more than a few behind."""
    rig = H1ClientRig()
    for n in range(1_000):
        rig.send(headers=((b"x-id", b"%d" % n),))
        rig.feed(OK)
    assert 0 < rig.conn._heads.cache.count <= 64


def test_content_by_length() -> None:
    """RFC 9112 §6.2."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", content_length=10, end_stream=False)
    assert rig.conn.send_data(stream_id, b"12345")
    assert rig.conn.send_data(stream_id, b"67890", True)
    rig.take()
    assert rig.output.endswith(b"content-length: 10\r\n\r\n1234567890")
    rig.feed(OK)
    assert rig.conn.can_send_request


def test_chunked_content_and_trailers() -> None:
    """RFC 9112 §7.1, and that an empty piece is not the last chunk."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", end_stream=False)
    rig.output = b""
    rig.conn.send_data(stream_id, b"hello")
    rig.conn.send_data(stream_id, b"")
    rig.conn.send_data(stream_id, b"x" * 256)
    rig.conn.send_trailers(stream_id, [(b"Digest", b"abc")])
    rig.take()
    assert rig.output == b"5\r\nhello\r\n100\r\n" + b"x" * 256 + b"\r\n0\r\ndigest: abc\r\n\r\n"
    rig.feed(OK)
    stream_id = rig.send(method=b"POST", end_stream=False)
    rig.output = b""
    rig.conn.send_data(stream_id, b"hello", True)
    rig.take()
    assert rig.output == b"5\r\nhello\r\n0\r\n\r\n"
    rig.feed(OK)
    stream_id = rig.send(method=b"POST", end_stream=False)
    rig.output = b""
    rig.conn.send_data(stream_id, b"", True)
    rig.take()
    assert rig.output == b"0\r\n\r\n"


def test_trailers_with_a_length_are_left_out() -> None:
    """There is no place for them (RFC 9112 §7.1.2)."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", content_length=2, end_stream=False)
    rig.conn.send_data(stream_id, b"hi")
    rig.conn.send_trailers(stream_id, [(b"a", b"b")])
    rig.take()
    assert rig.output.endswith(b"\r\n\r\nhi")
    rig.feed(OK)
    assert rig.conn.can_send_request


def test_trailers_that_must_not_be_sent() -> None:
    """They are checked as other fields are."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", end_stream=False)
    with pytest.raises(InvalidFieldError):
        rig.conn.send_trailers(stream_id, [(b"a\n", b"b")])
    rig.conn.send_data(stream_id, b"", True)
    with pytest.raises(LocalProtocolError):
        rig.conn.send_trailers(stream_id, [])


def test_too_much_content_is_refused_too_little_ends_the_connection() -> None:
    """A server never takes a short request for a whole one (RFC 9112 §8)."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", content_length=3, end_stream=False)
    with pytest.raises(LocalProtocolError):
        rig.conn.send_data(stream_id, b"1234")
    assert not rig.conn.closed
    with pytest.raises(LocalProtocolError, match="reset"):
        rig.conn.send_data(stream_id, b"12", True)
    assert rig.conn.closed and rig.conn.aborted


def test_verbs_out_of_place() -> None:
    """Misuse raises, and harms nothing."""
    rig = H1ClientRig()
    with pytest.raises(LocalProtocolError):
        rig.conn.send_ping(b"12345678")
    with pytest.raises(StreamClosedError):
        rig.conn.send_data(1, b"x")
    stream_id = rig.send()
    assert rig.conn.has_stream(stream_id) and rig.conn.open_streams == 1
    with pytest.raises(LocalProtocolError):
        rig.send()  # one at a time
    with pytest.raises(LocalProtocolError):
        rig.conn.send_data(stream_id, b"x")
    with pytest.raises(StreamClosedError):
        rig.conn.send_data(stream_id + 2, b"x")
    rig.conn.reset_stream(stream_id + 2, 8)
    rig.feed(OK)
    with pytest.raises(StreamClosedError):
        rig.conn.send_data(stream_id, b"x")
    rig.conn.reset_stream(stream_id, 8)
    assert rig.conn.can_send_request and rig.conn.open_streams == 0


def test_requests_are_numbered_as_streams_are() -> None:
    """1, 3, 5: one rule for both protocols."""
    rig = H1ClientRig()
    numbers = []
    for _ in range(3):
        numbers.append(rig.send())
        rig.feed(OK)
    assert numbers == [1, 3, 5]
    assert [event.stream_id for event in rig.of(ev.ResponseReceived)] == [1, 3, 5]


def test_a_writer_waits_for_room() -> None:
    """What the server does not take is not piled up: SendAccepted tells when to go on."""
    rig = H1ClientRig(Limits(max_stream_send_buffer=1_000))
    stream_id = rig.send(method=b"POST", end_stream=False)
    assert rig.conn.send_data(stream_id, b"x" * 900)
    assert not rig.conn.send_data(stream_id, b"x" * 900)
    assert not rig.of(ev.SendAccepted)
    rig.conn.take_output(500)
    assert not rig.conn.take_events()
    rig.conn.take_output(500)
    (event,) = rig.conn.take_events()
    assert isinstance(event, ev.SendAccepted) and event.stream_id == stream_id
    assert not rig.conn.send_data(stream_id, b"y" * 2_000, True)
    rig.take()
    assert len(rig.of(ev.SendAccepted)) == 1
    rig.feed(OK)
    assert rig.conn.can_send_request


def test_large_content_goes_out_uncopied() -> None:
    """`take_buffers` gives the very object that was sent."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", content_length=1_000_000, end_stream=False)
    body = bytes(1_000_000)
    rig.conn.send_data(stream_id, body, True)
    assert rig.conn.bodies_queued
    buffers = rig.conn.take_buffers(2_000_000)
    assert any(each is body for each in buffers)


def test_content_may_wait_for_100() -> None:
    """`expect: 100-continue` (RFC 9110 §10.1.1): the head goes out alone, and the content when the owner says so."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", headers=[(b"expect", b"100-continue")], content_length=5, end_stream=False)
    assert rig.output.endswith(b"\r\n\r\n") and b"expect: 100-continue\r\n" in rig.output
    (event,) = rig.feed(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert isinstance(event, ev.InformationalReceived) and event.status == 100
    rig.conn.send_data(stream_id, b"hello", True)
    rig.take()
    rig.feed(OK)
    assert rig.output.endswith(b"hello") and rig.conn.can_send_request


def test_a_refusal_in_place_of_100_ends_the_connection() -> None:
    """The content was never sent, so the server may still wait for it: nothing else can follow (RFC 9110 §10.1.1)."""
    rig = H1ClientRig()
    rig.send(method=b"POST", headers=[(b"expect", b"100-continue")], content_length=5, end_stream=False)
    rig.feed(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert rig.ended and rig.content == b"no" and not rig.of(ev.StreamReset)
    assert rig.conn.closed and not rig.conn.can_send_request


@pytest.mark.parametrize("written", ["none", "some", "queued"])
def test_a_response_before_the_end_of_its_request(written: str) -> None:
    """It counts (RFC 9112 §9.3 lets a server do so), what is left of the request is not sent, and the connection ends:
    the server could take no other request for certain."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", content_length=300_000, end_stream=False)
    if written == "some":
        rig.conn.send_data(stream_id, b"x" * 1_000)
        rig.take()
    if written == "queued":
        assert not rig.conn.send_data(stream_id, b"x" * 300_000, True)
        rig.conn.take_output(1_000)
    rig.feed(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nno")
    assert not rig.conn.closed
    if written == "some":
        rig.conn.send_data(stream_id, b"y" * 1_000)  # both directions go on until the response is whole
        assert rig.take() == b"y" * 1_000
    rig.feed(b"pe")
    assert rig.ended and rig.content == b"nope"
    assert type(rig.events[-1]) is ev.ConnectionEnded and rig.events[-1].code == 0
    assert not rig.of(ev.StreamReset) and not rig.of(ev.PeerFault) and not rig.of(ev.SendAccepted)
    assert rig.take() == b""
    with pytest.raises(StreamClosedError):
        rig.conn.send_data(stream_id, b"z")


def test_giving_up_drops_what_is_queued() -> None:
    """`reset_stream`: nothing more is written, nothing more is read, and the transport ends with a reset."""
    rig = H1ClientRig()
    stream_id = rig.send(method=b"POST", content_length=300_000, end_stream=False)
    rig.conn.send_data(stream_id, b"x" * 300_000, True)
    rig.conn.reset_stream(stream_id, 8)
    assert rig.take() == b"" and rig.conn.closed and rig.conn.aborted
    assert [type(event) for event in rig.events] == [ev.ConnectionEnded]
    assert rig.feed(OK) == []
