"""RFC 9112 §4, §6, §7: responses as they go out: status line, framing, trailers; RFC 9110 on content and its length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import InvalidFieldError, LocalProtocolError, StreamClosedError
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, H1Rig, Response, head, post, read_responses

HEAD = head(request=b"HEAD / HTTP/1.1")
OLD = head(request=b"GET / HTTP/1.0")
OLD_KEPT = head(b"Connection: Keep-Alive", request=b"GET / HTTP/1.0")


def asked(data: bytes = GET, limits: Limits | None = None) -> H1Rig:
    """A connection with one request that waits for its answer."""
    rig = H1Rig(limits)
    rig.feed(data)
    assert rig.conn.open_streams == 1
    return rig


def only(rig: H1Rig, method: bytes = b"GET") -> Response:
    (response,) = rig.responses([method])
    return response


def test_a_buffered_response() -> None:
    """§4, RFC 9110 §8.6: a status line, the fields with lowered names, default fields, and content-length."""
    rig = asked()
    rig.conn.set_default_fields(((b"date", b"today"), (b"server", b"us")))
    assert rig.conn.send_response(1, 200, [(b"Content-Type", b" text/plain "), (b"Server", b"them")], b"hello")
    assert rig.take() == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nserver: them\r\ndate: today\r\ncontent-length: 5\r\n\r\nhello"
    )


@pytest.mark.parametrize(
    ("status", "line"), [(200, b"200 OK"), (404, b"404 Not Found"), (299, b"299 "), (599, b"599 "), (999, b"999 ")]
)
def test_status_lines(status: int, line: bytes) -> None:
    """§4 status-line = HTTP-version SP status-code SP [ reason-phrase ]: the second space always stands."""
    rig = asked()
    rig.conn.send_response(1, status, (), b"")
    assert rig.take().startswith(b"HTTP/1.1 " + line + b"\r\n")


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 100_000])
def test_the_length_of_a_buffered_response(body: bytes) -> None:
    """RFC 9110 §8.6: a server that knows the length says it, 0 too: without, the client would wait for the end."""
    rig = asked()
    rig.conn.send_response(1, 200, (), body)
    response = only(rig)
    assert response.body == body
    assert response.field(b"content-length") == b"%d" % len(body)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("streamed", [True, False])
def test_responses_without_content(status: int, streamed: bool) -> None:
    """§6.3 Any response to HEAD, and any with 1xx, 204 or 304, ends with its head, whatever the application gives."""
    rig = asked(GET)
    if streamed:
        rig.conn.send_headers(1, status, ())
        rig.conn.send_data(1, b"nothing of this")
        rig.conn.send_data(1, b"goes out", True)
    else:
        rig.conn.send_response(1, status, (), b"nothing of this goes out")
    rig.feed(GET)
    rig.conn.send_response(3, 200, (), b"next")
    first, second = rig.responses()
    assert (first.status, second.body) == (status, b"next")
    assert first.field(b"content-length") is None
    assert first.field(b"transfer-encoding") is None


def test_304_may_say_the_length_that_200_would_have() -> None:
    """RFC 9110 §8.6: a server MAY send Content-Length in a 304; it MUST NOT in a 204."""
    for status, said in ((304, b"5"), (204, None)):
        rig = asked()
        rig.conn.send_response(1, status, [(b"content-length", b"5")], b"")
        assert only(rig).field(b"content-length") == said


@pytest.mark.parametrize(
    ("headers", "body", "length"),
    [([], b"hello", b"5"), ([], b"", None), ([(b"content-length", b"5")], b"", b"5")],
)
def test_head(headers: list[tuple[bytes, bytes]], body: bytes, length: bytes | None) -> None:
    """RFC 9110 §9.3.2: HEAD says the length that GET would have, where it is known, and has no content."""
    rig = asked(HEAD)
    rig.conn.send_response(1, 200, headers, body)
    rig.feed(GET)
    rig.conn.send_response(3, 200, (), b"next")
    first, second = rig.responses([b"HEAD", b"GET"])
    assert first.field(b"content-length") == length
    assert second.body == b"next"


def test_head_of_a_stream() -> None:
    """The same for content piece by piece: the application need not know that it speaks to HEAD."""
    rig = asked(HEAD)
    rig.conn.send_headers(1, 200, [(b"content-length", b"5")])
    rig.conn.send_data(1, b"hel")
    rig.conn.send_trailers(1, [(b"t", b"v")])
    assert only(rig, b"HEAD").body == b""
    assert not rig.conn.closed


def test_chunked() -> None:
    """§7.1 Content of unknown length to a client of HTTP/1.1; an empty piece is no last chunk."""
    rig = asked()
    rig.conn.send_headers(1, 200, ())
    for piece in (b"hello", b"", b" ", b"x" * 300):
        rig.conn.send_data(1, piece)
    rig.conn.send_data(1, b"end", True)
    response = only(rig)
    assert response.body == b"hello " + b"x" * 300 + b"end"
    assert response.field(b"transfer-encoding") == b"chunked"
    assert response.field(b"content-length") is None
    assert not rig.conn.closed


def test_chunked_with_an_empty_end_and_with_trailers() -> None:
    """§7.1.2 The last chunk, then the trailer section, then an empty line."""
    rig = asked()
    rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, b"a")
    rig.conn.send_data(1, b"", True)
    rig.feed(GET)
    rig.conn.send_headers(3, 200, ())
    rig.conn.send_data(3, b"b")
    rig.conn.send_trailers(3, [(b"X-Sum", b"1 "), (b"y", b"")])
    first, second = rig.responses()
    assert (first.body, first.trailers) == (b"a", [])
    assert (second.body, second.trailers) == (b"b", [(b"x-sum", b"1"), (b"y", b"")])


def test_a_stream_of_known_length_is_not_chunked() -> None:
    """§6.2 The application's content-length frames the content; trailers then have no place, and are left out."""
    rig = asked()
    rig.conn.send_headers(1, 200, [(b"content-length", b"5")])
    rig.conn.send_data(1, b"he")
    rig.conn.send_data(1, b"llo")
    rig.conn.send_trailers(1, [(b"t", b"v")])
    response = only(rig)
    assert response.body == b"hello" and response.trailers == []
    assert response.field(b"transfer-encoding") is None
    assert not rig.conn.closed


def test_headers_with_the_end() -> None:
    """A response without content, said at once: content-length: 0."""
    rig = asked()
    rig.conn.send_headers(1, 200, (), True)
    rig.feed(GET)
    rig.conn.send_response(3, 200, (), b"")
    assert [response.field(b"content-length") for response in rig.responses()] == [b"0", b"0"]


@pytest.mark.parametrize("request_bytes", [OLD, OLD_KEPT])
def test_a_stream_to_http_1_0_ends_with_the_connection(request_bytes: bytes) -> None:
    """§6.1 A server MUST NOT send Transfer-Encoding unless the request indicates HTTP/1.1; §6.3 then the end is the
    connection's. Trailers are left out."""
    rig = asked(request_bytes)
    rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, b"hello")
    rig.conn.send_trailers(1, [(b"t", b"v")])
    assert rig.conn.closed
    assert not rig.conn.aborted
    response = only(rig)
    assert response.body == b"hello"
    assert response.field(b"connection") == b"close"


def test_keep_alive_in_http_1_0() -> None:
    """§9.3 A client of HTTP/1.0 that asks for it keeps the connection, where the length is known."""
    rig = asked(OLD_KEPT)
    rig.conn.send_response(1, 200, (), b"a")
    assert only(rig).field(b"connection") == b"keep-alive"
    rig.feed(OLD)
    rig.conn.send_response(3, 200, (), b"b")
    assert rig.responses()[-1].field(b"connection") == b"close"
    assert rig.conn.closed


# -- lengths that do not hold --


def test_a_buffered_response_of_another_length_is_refused() -> None:
    """RFC 9110 §8.6: what is said and what is sent agree; nothing is written when they do not."""
    rig = asked()
    with pytest.raises(LocalProtocolError, match="content-length says 5, the content has 3 bytes"):
        rig.conn.send_response(1, 200, [(b"content-length", b"5")], b"abc")
    rig.conn.send_response(1, 500, (), b"")
    assert only(rig).status == 500


def test_too_much_content_is_refused() -> None:
    """More content than content-length says is refused. The response may still be completed."""
    rig = asked()
    rig.conn.send_headers(1, 200, [(b"content-length", b"5")])
    rig.conn.send_data(1, b"hel")
    with pytest.raises(LocalProtocolError, match="6 bytes for a content-length of 5"):
        rig.conn.send_data(1, b"lo!")
    rig.conn.send_data(1, b"lo", True)
    assert only(rig).whole


@pytest.mark.parametrize("how", ["data", "empty", "trailers"])
def test_too_little_content_ends_the_connection(how: str) -> None:
    """Less content than content-length says: the client must see that it is short."""
    rig = asked()
    rig.conn.send_headers(1, 200, [(b"content-length", b"5")])
    rig.conn.send_data(1, b"hel")
    ends: dict[str, Callable[[], object]] = {
        "data": lambda: rig.conn.send_data(1, b"l", True),
        "empty": lambda: rig.conn.send_data(1, b"", True),
        "trailers": lambda: rig.conn.send_trailers(1, ()),
    }
    with pytest.raises(LocalProtocolError, match="bytes for a content-length of 5: reset"):
        ends[how]()
    assert rig.conn.closed
    response = only(rig)
    assert not response.whole and response.body == b"hel"


# -- what an application must not send --


@pytest.mark.parametrize(
    "field",
    [
        (b"a b", b"c"),
        (b"", b"c"),
        (b"a\r\nb", b"c"),
        (b"a", b"b\r\nc: d"),
        (b"a", b"b\nc"),
        (b"a", b"b\rc"),
        (b"a", b"b\x00"),
        (b":status", b"200"),
        (b"content-length", b"x"),
        (b"content-length", b"-1"),
        (b"a", "text"),
        ("a", b"b"),
        (b"a",),
    ],
)
def test_fields_that_must_not_be_sent(field: Any) -> None:
    """Response splitting: refused with one sentence; nothing is written."""
    rig = asked()
    with pytest.raises(InvalidFieldError):
        rig.conn.send_response(1, 200, [field], b"")
    with pytest.raises(InvalidFieldError):
        rig.conn.send_headers(1, 200, [field])
    assert rig.take() == b""
    rig.conn.send_headers(1, 200, ())
    with pytest.raises(InvalidFieldError):
        rig.conn.send_trailers(1, [field])
    rig.conn.send_data(1, b"", True)
    assert only(rig).whole


@pytest.mark.parametrize(
    "field",
    [
        (b"Connection", b"upgrade"),
        (b"connection", b"keep-alive"),
        (b"Keep-Alive", b"timeout=5"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"proxy-connection", b"close"),
    ],
)
@pytest.mark.parametrize("dropped", [True, False])
def test_connection_specific_fields(field: tuple[bytes, bytes], dropped: bool) -> None:
    """Framing and connection are ours to say (RFC 9110 §7.6.1): left out for ASGI, refused for native handlers."""
    rig = asked()
    rig.conn.drop_connection_fields = dropped
    if dropped:
        rig.conn.send_response(1, 200, [field], b"x")
        assert [name for name, _ in only(rig).headers] == [b"content-length"]
    else:
        with pytest.raises(InvalidFieldError, match="connection-specific"):
            rig.conn.send_response(1, 200, [field], b"x")


@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("streamed", [True, False])
def test_connection_close_is_obeyed(dropped: bool, streamed: bool) -> None:
    """§9.6 An application may ask for the end of the connection: it is said, once, and done."""
    rig = asked(GET + GET)
    rig.conn.drop_connection_fields = dropped
    if streamed:
        rig.conn.send_headers(1, 200, [(b"Connection", b"Close")])
        rig.conn.send_data(1, b"x", True)
    else:
        rig.conn.send_response(1, 200, [(b"Connection", b"Close")], b"x")
    assert rig.conn.closed
    assert only(rig).field(b"connection") == b"close"
    assert len(rig.requests) == 1


@pytest.mark.parametrize("status", [0, 99, 100, 103, 199, 1000])
def test_final_statuses(status: int) -> None:
    """RFC 9110 §15: a final status is one of three digits from 200."""
    rig = asked()
    with pytest.raises(InvalidFieldError):
        rig.conn.send_response(1, status, (), b"")
    with pytest.raises(InvalidFieldError):
        rig.conn.send_headers(1, status, ())


# -- interim responses --


def test_early_hints() -> None:
    """RFC 9110 §15.2: any number of interim responses, without default fields, before the final one."""
    rig = asked()
    rig.conn.set_default_fields(((b"date", b"today"),))
    rig.conn.send_informational(1, 103, [(b"link", b"</a.css>")])
    rig.conn.send_informational(1, 102, ())
    rig.conn.send_response(1, 200, (), b"x")
    hints, other, final = rig.responses()
    assert (hints.status, hints.headers) == (103, [(b"link", b"</a.css>")])
    assert (other.status, other.headers, final.body) == (102, [], b"x")


@pytest.mark.parametrize("status", [99, 101, 200])
def test_interim_statuses(status: int) -> None:
    """101 belongs to `accept_tunnel`; a final one is none."""
    rig = asked()
    with pytest.raises(InvalidFieldError, match="not an interim one"):
        rig.conn.send_informational(1, status, ())


def test_no_interim_response_after_the_final_one_has_begun() -> None:
    """`100-continue` is not answered once a final status is sent."""
    rig = asked()
    rig.conn.send_headers(1, 200, ())
    with pytest.raises(LocalProtocolError, match="after the final response has begun"):
        rig.conn.send_informational(1, 100, ())


# -- order of the verbs --


def test_verbs_out_of_order() -> None:
    """The same errors as with HTTP/2, so that one handler works on both."""
    rig = asked()
    with pytest.raises(LocalProtocolError, match="send the headers before the content"):
        rig.conn.send_data(1, b"x")
    with pytest.raises(LocalProtocolError, match="send the headers before the content"):
        rig.conn.send_trailers(1, ())
    rig.conn.send_headers(1, 200, ())
    with pytest.raises(LocalProtocolError, match="has begun already"):
        rig.conn.send_response(1, 200, (), b"")
    with pytest.raises(LocalProtocolError, match="has begun already"):
        rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, b"x", True)
    with pytest.raises(StreamClosedError, match="it has ended"):
        rig.conn.send_data(1, b"x")
    with pytest.raises(StreamClosedError):
        rig.conn.send_response(3, 200, (), b"")
    rig.conn.close()
    with pytest.raises(StreamClosedError, match="the connection has ended"):
        rig.conn.send_data(1, b"x")


def test_verbs_after_an_end_that_waits() -> None:
    """The last piece is not accepted yet, the response is ended all the same."""
    rig = asked(limits=Limits(max_stream_send_buffer=100))
    rig.conn.send_headers(1, 200, ())
    assert not rig.conn.send_data(1, b"x" * 1_000, True)
    with pytest.raises(LocalProtocolError, match="has ended already"):
        rig.conn.send_data(1, b"x")


# -- back-pressure --


def test_a_write_waits_for_its_place() -> None:
    """Internal data buffering: what waits to be written is bounded by `max_stream_send_buffer`."""
    rig = asked()
    rig.conn.send_headers(1, 200, ())
    sends = 0
    while rig.conn.send_data(1, b"x" * 10_000):
        sends += 1
    assert sends == 6
    first = rig.conn.take_output(4_000, 0.0)
    assert len(first) == 4_000
    assert rig.conn.take_events() == []
    rig.conn.take_output(4_000, 0.0)
    (accepted,) = rig.conn.take_events()
    assert isinstance(accepted, ev.SendAccepted) and accepted.stream_id == 1


def test_a_buffered_response_waits_as_well() -> None:
    """The worker that sent 1 MiB goes on when little of it is left; the next request begins then."""
    rig = asked(GET + GET)
    assert not rig.conn.send_response(1, 200, (), b"x" * 1_048_576)
    assert rig.conn.open_streams == 1
    taken = 0
    while not rig.of(ev.SendAccepted):
        taken += len(rig.conn.take_output(100_000, 0.0))
        rig._note(rig.conn.take_events())
    assert taken >= 1_048_576 - 65_536
    assert [(type(event), event.stream_id) for event in rig.events] == [
        (ev.RequestReceived, 1),
        (ev.SendAccepted, 1),
        (ev.RequestReceived, 3),
    ]


def test_many_small_writes_are_bounded_too() -> None:
    """A piece costs more than its bytes: a million of them must not cost a hundred megabytes."""
    rig = asked()
    rig.conn.send_headers(1, 200, ())
    sends = 0
    while rig.conn.send_data(1, b"x"):
        sends += 1
    assert sends < 65_536 // 64


@pytest.mark.parametrize("limit", [1, 7, 1_000, 262_144])
def test_both_ways_out_write_the_same(limit: int) -> None:
    """`take_buffers` joined is what `take_output` returns, for any limit, and nothing large is copied."""
    body = bytes(range(256)) * 1_024
    written = []
    for vectored in (False, True):
        rig = asked()
        rig.conn.send_headers(1, 200, ())
        rig.conn.send_data(1, b"small")
        rig.conn.send_data(1, body)
        rig.conn.send_data(1, b"last", True)
        data = b""
        while rig.conn.output_pending:
            take = min(limit * 300, 262_144)
            pieces = rig.conn.take_buffers(take, 0.0) if vectored else [rig.conn.take_output(take, 0.0)]
            assert 0 < sum(map(len, pieces)) <= take
            data += b"".join(pieces)
        written.append(data)
    assert written[0] == written[1]
    assert read_responses(written[0])[0].body == b"small" + body + b"last"


def test_a_large_body_is_not_copied() -> None:
    """`bodies_queued` says when `take_buffers` is the cheaper way out: the body itself comes back."""
    rig = asked()
    body = b"x" * 100_000
    rig.conn.send_response(1, 200, (), body)
    assert rig.conn.bodies_queued
    top, same = rig.conn.take_buffers(262_144, 0.0)
    assert same is body and top.endswith(b"\r\n\r\n")
    assert not rig.conn.bodies_queued and not rig.conn.output_pending


# -- content that goes past the engine --


def test_content_past_the_engine() -> None:
    """The kernel sends a file: its bytes count against content-length, and the response ends with them."""
    rig = asked(GET + GET)
    rig.conn.send_headers(1, 200, [(b"content-length", b"10")])
    with pytest.raises(LocalProtocolError, match="in its turn"):
        rig.conn.content_sent(1, 5)
    rig.take()
    rig.conn.content_sent(1, 4)
    with pytest.raises(LocalProtocolError, match="11 bytes for a content-length of 10"):
        rig.conn.content_sent(1, 7)
    rig.conn.send_data(1, b"xy")
    rig.take()
    rig.conn.content_sent(1, 4)
    rig._note(rig.conn.take_events())
    assert [event.stream_id for event in rig.requests] == [1, 3]
    assert rig.conn.stats()["bytes_out"] == len(rig.output) + 8


def test_content_past_the_engine_needs_a_length() -> None:
    """Chunks have to be written by the engine."""
    rig = asked()
    rig.conn.send_headers(1, 200, ())
    rig.take()
    with pytest.raises(LocalProtocolError, match="only by length"):
        rig.conn.content_sent(1, 5)


def test_requests_go_on_after_content_past_the_engine() -> None:
    """The same at the bound of a turn, where the next request waits for `take_output`, though there is no output."""
    rig = H1Rig(Limits(frames_per_turn=1))
    rig.feed(GET * 3)
    for stream_id in (1, 3, 5):
        rig.conn.send_headers(stream_id, 200, [(b"content-length", b"1")])
        rig.take()
        rig.conn.content_sent(stream_id, 1)
        rig.take()
    assert len(rig.requests) == 3


# -- remembered heads --


def test_a_head_is_checked_however_often_it_came() -> None:
    """A remembered head serves bodies of any length, and no other list; the application may change its own."""
    rig = H1Rig()
    headers = [(b"a", b"b")]
    for n in range(4):
        rig.feed(GET)
        rig.conn.send_response(1 + 2 * n, 200, headers, b"x" * n)
    headers[0] = (b"a", b"c\r\nd")
    rig.feed(GET)
    with pytest.raises(InvalidFieldError):
        rig.conn.send_response(9, 200, headers, b"")
    rig.conn.send_response(9, 200, [[b"a", b"list"]], b"")
    bodies = [(response.body, response.field(b"a")) for response in rig.responses()]
    assert bodies == [(b"", b"b"), (b"x", b"b"), (b"xx", b"b"), (b"xxx", b"b"), (b"", b"list")]


def test_memory_of_response_heads_is_bounded() -> None:
    """An application with ever new heads does not make a connection keep them all; `date` makes it forget."""
    rig = H1Rig(auto=False)
    for n in range(1_000):
        rig.feed(GET)
        rig.conn.send_response(1 + 2 * n, 200, [(b"n", b"%d" % n)], b"x" * (n % 300))
        rig.take()
    rig.conn.set_default_fields(((b"date", b"later"),))
    rig.feed(GET)
    rig.conn.send_response(2_001, 200, [(b"n", b"999")], b"")
    assert rig.responses()[-1].field(b"date") == b"later"


def test_an_answer_after_the_last_byte_of_content() -> None:
    """An upload that is read to its end leaves the connection as it was."""
    rig = H1Rig(auto=True)
    rig.feed(post(b"x" * 100_000) + GET)
    assert [response.status for response in rig.responses()] == [200, 200]
