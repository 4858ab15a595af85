"""RFC 9112 §6: how long a request's content is, and who may say so; RFC 9110 §10.1.1: expectations."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import LocalProtocolError
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, OK, H1Rig, chunked, head, post, refusal

POST = b"POST / HTTP/1.1"
WHOLE = b"5\r\nhello\r\n0\r\n\r\n"


def outcome(*lines: bytes, content: bytes = b"", request: bytes = POST) -> object:
    return refusal(head(*lines, request=request) + content)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"+5",
        b"-5",
        b"5 ",
        b"0x5",
        b"5.0",
        b"5_0",
        b"5,5",
        b"5, 5",
        b"5 5",
        b"five",
        b"\xb2",
        b"5;q=1",
        b"99999999999999999999",
        b"9" * 200,
    ],
)
def test_malformed_lengths(value: bytes) -> None:
    """§6.3 An invalid Content-Length: the server MUST respond with 400 and close. A list of equal ones is none."""
    assert outcome(b"Content-Length: " + value + (b"x" if value == b"5 " else b""), content=b"hello") == 400


@pytest.mark.parametrize("values", [(b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b""), (b"0", b"0")])
def test_content_length_twice(values: tuple[bytes, bytes]) -> None:
    """§6.3 Several Content-Length fields: reject, also where they agree."""
    assert outcome(*[b"Content-Length: " + value for value in values], content=b"hello") == 400


@pytest.mark.parametrize("value", [b"5", b" 5", b"5  ", b"05", b"0005"])
def test_good_lengths(value: bytes) -> None:
    """RFC 9110 §8.6 Content-Length = 1*DIGIT, with whitespace around it as around any value."""
    rig = H1Rig(auto=True)
    rig.feed(head(b"Content-Length:" + value, request=POST) + b"hello" + GET)
    assert rig.content == b"hello"
    assert len(rig.requests) == 2


CODINGS = [
    ([b"chunked"], OK),
    ([b"Chunked"], OK),
    ([b"CHUNKED"], OK),
    ([b"chunked "], OK),
    ([b"chunked", b"chunked"], 400),
    ([b"chunked, chunked"], 400),
    ([b"chunked,"], 400),
    ([b",chunked"], 400),
    ([b"chunked;q=1"], 400),
    ([b"chunked, identity"], 400),
    ([b"identity"], 400),
    ([b"gzip"], 400),
    ([b""], 400),
    ([b"xchunked"], 400),
    ([b"chunkedx"], 400),
    ([b'"chunked"'], 400),
    ([b"chunked\x0b"], 400),
    ([b"\x0bchunked"], 400),
    ([b"chunked\x00"], 400),
    ([b"ch\xc5\xabnked"], 400),
    ([b"gzip", b"chunked"], 400),
    ([b"chunked", b"gzip"], 400),
    ([b"identity, chunked"], 501),
    ([b"gzip, chunked"], 501),
    ([b"deflate,chunked"], 501),
    ([b"chunked gzip, chunked"], 400),
]


@pytest.mark.parametrize(("values", "expected"), CODINGS)
def test_transfer_codings(values: list[bytes], expected: object) -> None:
    """§6.1 A server that receives a transfer coding it does not understand SHOULD respond with 501; §6.3 where chunked
    is not the final one the length cannot be determined: it MUST respond with 400 and close."""
    assert outcome(*[b"Transfer-Encoding: " + value for value in values], content=WHOLE) == expected


@pytest.mark.parametrize(
    "lines",
    [
        [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Content-Length: 0", b"Transfer-Encoding: chunked"],
        [b"Content-Length: 5", b"Transfer-Encoding: identity"],
        [b"Content-Length: 5", b"Transfer-Encoding: gzip, chunked"],
        [b"Content-Length: 5", b"Transfer-Encoding:"],
    ],
)
def test_transfer_encoding_with_content_length(lines: list[bytes]) -> None:
    """§6.1 ... ought to be handled as an error: 400 and close."""
    assert outcome(*lines, content=WHOLE) == 400


def test_transfer_encoding_in_http_1_0() -> None:
    """§6.1 A server MUST treat Transfer-Encoding in HTTP/1.0 as if the framing is faulty, and close."""
    assert outcome(b"Transfer-Encoding: chunked", content=WHOLE, request=b"POST / HTTP/1.0") == 400


def test_no_length_is_no_content() -> None:
    """§6.3 If none of the above are true, the message body length is zero."""
    rig = H1Rig(auto=True)
    rig.feed(head(request=POST) + GET)
    assert [event.end_stream for event in rig.requests] == [True, True]
    assert rig.requests[0].content_length == -1


def test_a_length_of_zero() -> None:
    """§6.2 A Content-Length of 0 is said to the application, and no content follows."""
    rig = H1Rig(auto=True)
    rig.feed(post(b""))
    assert rig.requests[0].end_stream
    assert rig.requests[0].content_length == 0


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_content_of_a_known_length(cut: int) -> None:
    """§6.2 Exactly so many bytes; what stands behind them is the next request."""
    rig = H1Rig(auto=True)
    rig.feed(post(b"hello world") + GET, cut)
    assert rig.content == b"hello world"
    assert [event.end_stream for event in rig.of(ev.DataReceived)][-1]
    assert len(rig.requests) == 2
    assert rig.requests[0].content_length == 11


def test_get_with_content() -> None:
    """RFC 9110 §9.3.1 Content in GET has no meaning, but a length."""
    rig = H1Rig(auto=True)
    rig.feed(head(b"Content-Length: 5") + b"GET /" + GET)
    assert rig.content == b"GET /"
    assert len(rig.requests) == 2


def test_content_cut_off_by_the_end_of_the_connection() -> None:
    """§8 A request that is incomplete when the connection ends is told so, and is no whole request."""
    rig = H1Rig()
    rig.feed(post(b"hello")[:-1])
    rig._note(rig.conn.receive_eof(1.0))
    assert not any(event.end_stream for event in rig.of(ev.DataReceived))
    assert rig.of(ev.StreamReset)[0].initiator == "remote"


# -- how much is read ahead of the application --


def test_unread_content_pauses_reading() -> None:
    """What the application has not consumed is bounded: reading stops, and goes on with it."""
    rig = H1Rig(Limits(initial_stream_window=1_000))
    rig.feed(head(b"Content-Length: 5000", request=POST) + b"x" * 999)
    assert not rig.conn.read_paused
    rig.feed(b"x")
    assert rig.conn.read_paused
    assert rig.conn.needs_attention
    rig.conn.acknowledge_data(1, 1)
    assert not rig.conn.read_paused


def test_small_pieces_are_charged_more_than_they_have() -> None:
    """A client that sends byte by byte does not make a million objects wait."""
    rig = H1Rig()
    rig.feed(head(b"Content-Length: 50000", request=POST))
    pieces = 0
    while not rig.conn.read_paused:
        rig.feed(b"x")
        pieces += 1
    assert pieces == 65_536 // 256 + 1
    rig.conn.acknowledge_data(1, pieces)
    assert not rig.conn.read_paused


def test_chunks_of_one_read_are_one_piece() -> None:
    """The same: chunks of one byte cost the application one event a read."""
    rig = H1Rig()
    rig.feed(chunked(b"1\r\nx\r\n" * 5_000))
    assert [len(event.data) for event in rig.of(ev.DataReceived)] == [5_000]


def test_consuming_more_than_there_is() -> None:
    """The application's mistake raises, as with HTTP/2."""
    rig = H1Rig()
    rig.feed(post(b"hello"))
    with pytest.raises(LocalProtocolError, match="6 bytes consumed of 5 unread"):
        rig.conn.acknowledge_data(1, 6)
    rig.conn.acknowledge_data(1, 5)
    rig.conn.acknowledge_data(3, 5)  # a stream that is not there: nothing to say


# -- expectations --


def test_expect_continue() -> None:
    """RFC 9110 §10.1.1: 100 is sent when the application wants the content, and once only by it."""
    rig = H1Rig()
    rig.feed(head(b"Content-Length: 5", b"Expect: 100-continue", request=POST))
    assert rig.requests[0].expect_continue
    assert rig.take() == b""
    rig.conn.send_informational(1, 100, ())
    assert rig.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    rig.feed(b"hello")
    rig.conn.acknowledge_data(1, 5)
    rig.conn.send_response(1, 200, (), b"")
    assert rig.responses()[-1].field(b"connection") is None
    assert not rig.conn.closed


@pytest.mark.parametrize("begins_early", [True, False])
def test_a_final_answer_instead_of_100_ends_the_connection(begins_early: bool) -> None:
    """RFC 9110 §10.1.1: after a final status a client may send its content or not: nobody can know what comes next."""
    rig = H1Rig()
    rig.feed(head(b"Content-Length: 5", b"Expect: 100-continue", request=POST))
    if begins_early:
        rig.conn.send_headers(1, 413, ())
        rig.conn.send_data(1, b"no", True)
    else:
        rig.conn.send_response(1, 413, (), b"no")
    assert rig.conn.closed
    rig.feed(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert len(rig.requests) == 1
    response = rig.responses()[0]
    assert response.status == 413 and response.field(b"connection") == b"close" and response.whole


def test_a_final_answer_after_the_content_came_unasked() -> None:
    """RFC 9110 §10.1.1: the client did not wait, its request is whole, the connection is as good as before."""
    rig = H1Rig()
    rig.feed(head(b"Content-Length: 5", b"Expect: 100-continue", request=POST) + b"hello")
    rig.conn.send_response(1, 200, (), b"")
    rig.feed(GET)
    assert len(rig.requests) == 2


@pytest.mark.parametrize("value", [b"200-ok", b"100-continue, 100-continue", b"", b"100-continue;x", b"Continue"])
def test_other_expectations(value: bytes) -> None:
    """RFC 9110 §10.1.1: a server that receives another member than 100-continue MAY respond with 417."""
    assert outcome(b"Expect: " + value) == 417


def test_expectations_in_http_1_0() -> None:
    """RFC 9110 §10.1.1: a server MUST ignore 100-continue in an HTTP/1.0 request."""
    rig = H1Rig()
    rig.feed(head(b"Content-Length: 5", b"Expect: 100-continue", request=b"POST / HTTP/1.0"))
    assert not rig.requests[0].expect_continue
    rig.conn.send_informational(1, 100, ())
    assert rig.take() == b""


def test_an_expectation_without_content() -> None:
    """RFC 9110 §10.1.1: 100 is of no use where no content follows."""
    rig = H1Rig()
    rig.feed(head(b"Expect: 100-continue"))
    assert not rig.requests[0].expect_continue


# -- a response that comes before its request is whole --


@pytest.mark.parametrize("left", [1, 65_536, 65_537])
def test_what_is_left_of_a_request_is_read_and_forgotten(left: int) -> None:
    """§9.3 A server MUST read the entire request or close after the response: little is read, more closes."""
    rig = H1Rig(auto=True)
    rig.auto = False
    rig.feed(head(b"Content-Length: %d" % left, request=POST))
    rig.conn.send_response(1, 200, (), b"early")
    assert rig.conn.closed == (left > 65_536)
    assert rig.responses()[0].field(b"connection") == (b"close" if left > 65_536 else None)
    rig.feed(b"x" * left + GET)
    assert len(rig.requests) == (1 if left > 65_536 else 2)
    assert rig.content == b""


@pytest.mark.parametrize("size", [65_536, 65_537])
def test_chunks_that_are_left_are_read_and_forgotten(size: int) -> None:
    """§9.3 The same for content whose length nobody knows: the connection ends when it is too much."""
    rig = H1Rig()
    rig.feed(chunked(b""))
    rig.conn.send_response(1, 200, (), b"early")
    assert not rig.conn.closed
    rig.feed(b"%x\r\n" % size + b"x" * size + b"\r\n0\r\nt: v\r\n\r\n" + GET)
    assert rig.conn.closed == (size > 65_536)
    assert len(rig.requests) == (1 if size > 65_536 else 2)
    assert not rig.of(ev.TrailersReceived)


def test_nothing_is_told_of_a_request_after_its_response() -> None:
    """As on HTTP/2, where the stream is over: no event, and nothing to acknowledge."""
    rig = H1Rig()
    rig.feed(post(b"hello world")[:-6])
    rig.conn.send_response(1, 200, (), b"early")
    rig.feed(b" world")
    assert rig.content == b"hello"
    rig.conn.acknowledge_data(1, 99)
    assert rig.conn.open_streams == 0


def test_a_fault_in_what_is_forgotten_is_not_answered() -> None:
    """§9.3 The request has its answer: a second one would be taken for that of the next request."""
    rig = H1Rig()
    rig.feed(chunked(b""))
    rig.conn.send_response(1, 200, (), b"early")
    rig.feed(b"nonsense\r\n")
    assert rig.conn.closed
    assert [response.status for response in rig.responses()] == [200]
