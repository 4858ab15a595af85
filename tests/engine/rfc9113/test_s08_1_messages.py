"""RFC 9113 §8.1: what makes a message: interim responses, trailers, content-length against DATA."""

from __future__ import annotations

import contextlib

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import LocalError

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

MALFORMED = ("stream", wire.PROTOCOL_ERROR)


# --- content-length against DATA: 12 combinations, both roles ---------------------------------------

DELIVERIES = {
    "end on HEADERS": [],
    "one DATA": [b"hello"],
    "two DATA": [b"he", b"llo"],
    "short": [b"hell"],
    "long": [b"hello!"],
    "empty DATA": [b""],
}


def deliver(stream_id: int, head: list[tuple[bytes, bytes]], parts: list[bytes], trailers: bool) -> bytes:
    """A message of this header section and these DATA frames, ended by trailers, DATA or HEADERS."""
    raw = wire.headers(stream_id, head, end_stream=not parts and not trailers)
    for n, part in enumerate(parts):
        raw += wire.data(stream_id, part, end_stream=n == len(parts) - 1 and not trailers)
    if trailers:
        raw += wire.headers(stream_id, [(b"checksum", b"1")], end_stream=True)
    return raw


@pytest.mark.parametrize("trailers", [False, True], ids=["no-trailers", "trailers"])
@pytest.mark.parametrize("declared", [b"5", b"0", b"4"])
@pytest.mark.parametrize("how", DELIVERIES)
def test_request_length(declared: bytes, how: str, trailers: bool) -> None:
    """§8.1.1, CVE-2021-21295: content-length MUST equal the sum of DATA payloads, compared at every END_STREAM."""
    rig = ServerRig()
    parts = DELIVERIES[how]
    total = len(b"".join(parts))
    head = wire.request_fields(method=b"POST", extra=[(b"content-length", declared)])
    rig.feed(deliver(1, head, parts, trailers))
    good = total == int(declared)
    assert rig.outcome(1) == (OK if good else MALFORMED)
    ends = [e for e in rig.of(ev.DataReceived) if e.end_stream] + rig.of(ev.TrailersReceived)
    ends += [e for e in rig.of(ev.RequestReceived) if e.end_stream]
    if good:
        assert len(ends) == 1
    else:
        assert ends == [], "a body of the wrong length never looks whole to the app"
        if rig.of(ev.RequestReceived):
            assert [e.initiator for e in rig.of(ev.StreamReset, 1)] == ["local"]
        received = sum(len(e.data) for e in rig.of(ev.DataReceived))
        assert received <= int(declared)
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("trailers", [False, True], ids=["no-trailers", "trailers"])
@pytest.mark.parametrize("declared", [b"5", b"0", b"4"])
@pytest.mark.parametrize("how", DELIVERIES)
def test_response_length(declared: bytes, how: str, trailers: bool) -> None:
    """§8.1.1 The same of a response; one that ends short is an error."""
    rig = ClientRig()
    stream_id = rig.send()
    parts = DELIVERIES[how]
    rig.feed(deliver(stream_id, [(b":status", b"200"), (b"content-length", declared)], parts, trailers))
    good = len(b"".join(parts)) == int(declared)
    assert rig.outcome(stream_id) == (OK if good else MALFORMED)
    if not good:
        assert rig.of(ev.StreamReset, stream_id) or not rig.of(ev.ResponseReceived)
    rig.assert_siblings_go_on()


@pytest.mark.parametrize(
    ("method", "status"), [(b"HEAD", b"200"), (b"GET", b"304"), (b"GET", b"204"), (b"HEAD", b"404")]
)
def test_a_response_without_content_may_state_a_length(method: bytes, status: bytes) -> None:
    """§8.1.1 A response defined to have no content MAY have a non-zero content-length."""
    rig = ClientRig()
    stream_id = rig.send(method=method)
    rig.feed(wire.response(stream_id, status, extra=[(b"content-length", b"1000")], end_stream=True))
    assert rig.outcome(stream_id) == OK
    assert rig.of(ev.ResponseReceived)[0].end_stream


def test_a_response_without_content_may_end_with_empty_data() -> None:
    """§8.1.1 HEAD answered by HEADERS and an empty DATA frame is whole as well."""
    rig = ClientRig()
    stream_id = rig.send(method=b"HEAD")
    rig.feed(wire.response(stream_id, extra=[(b"content-length", b"1000")]), wire.data(stream_id, end_stream=True))
    assert rig.outcome(stream_id) == OK


@pytest.mark.parametrize(
    "value",
    [b"", b"+5", b"-5", b"5 ", b" 5", b"0x5", b"5,5", b"5, 6", b"5.0", b"five", b"5_0", b"\xb2", b"1" * 30, b"5;5"],
)
def test_content_length_that_is_no_number(value: bytes) -> None:
    """RFC 9110 §8.6 content-length is 1*DIGIT; anything else makes the request malformed."""
    rig = ServerRig()
    rig.request(1, method=b"POST", extra=[(b"content-length", value)], end_stream=False)
    assert rig.outcome(1) == MALFORMED
    assert rig.of(ev.RequestReceived) == []


@pytest.mark.parametrize("values", [(b"5", b"5"), (b"5", b"6")])
def test_content_length_twice(values: tuple[bytes, bytes]) -> None:
    """RFC 9110 §8.6 More than one content-length: malformed, equal or not."""
    rig = ServerRig()
    rig.request(1, method=b"POST", extra=[(b"content-length", v) for v in values], end_stream=False)
    assert rig.outcome(1) == MALFORMED


def test_leading_zeros_are_a_number() -> None:
    """RFC 9110 §8.6 1*DIGIT includes leading zeros."""
    rig = ServerRig()
    rig.request(1, method=b"POST", extra=[(b"content-length", b"005")], end_stream=False)
    rig.feed(wire.data(1, b"hello", end_stream=True))
    assert rig.outcome(1) == OK


def test_padding_is_no_content() -> None:
    """§8.1.1 The sum of DATA payloads that form the content: padding does not count."""
    rig = ServerRig()
    rig.request(1, method=b"POST", extra=[(b"content-length", b"3")], end_stream=False)
    rig.feed(wire.data(1, b"abc", pad=50, end_stream=True))
    assert rig.outcome(1) == OK


# --- trailers -------------------------------------------------------------------------------------


def test_request_trailers() -> None:
    """§8.1 Trailers are a HEADERS frame with END_STREAM after the content."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x"), wire.headers(1, [(b"checksum", b"abc"), (b"n", b"")], end_stream=True))
    assert [e.headers for e in rig.of(ev.TrailersReceived)] == [[(b"checksum", b"abc"), (b"n", b"")]]


def test_trailers_without_end_stream() -> None:
    """§8.1 A HEADERS frame without END_STREAM after the one that opens a request: malformed."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.headers(1, [(b"t", b"v")]))
    assert rig.outcome(1) == MALFORMED
    assert rig.of(ev.TrailersReceived) == []
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("name", [b":method", b":path", b":scheme", b":authority", b":status", b":protocol", b":x"])
@pytest.mark.parametrize("role", ["server", "client"])
def test_pseudo_header_fields_in_trailers(name: bytes, role: str) -> None:
    """§8.1 Trailers MUST NOT include pseudo-header fields; the message is malformed."""
    if role == "server":
        rig: ServerRig | ClientRig = ServerRig()
        assert isinstance(rig, ServerRig)
        rig.request(1, method=b"POST", end_stream=False)
        stream_id = 1
    else:
        rig = ClientRig()
        stream_id = rig.send()
        rig.feed(wire.response(stream_id))
    rig.feed(wire.headers(stream_id, [(name, b"200")], end_stream=True))
    assert rig.outcome(stream_id) == MALFORMED
    assert rig.of(ev.TrailersReceived) == []
    rig.assert_siblings_go_on()


def test_response_trailers_are_never_headers() -> None:
    """Trailers do not overwrite status or headers: they are an event of their own."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(
        wire.response(stream_id, extra=[(b"a", b"1")]),
        wire.data(stream_id, b"x"),
        wire.headers(stream_id, [(b"a", b"2"), (b"grpc-status", b"0")], end_stream=True),
    )
    assert [e.headers for e in rig.of(ev.ResponseReceived)] == [[(b"a", b"1")]]
    assert [e.headers for e in rig.of(ev.TrailersReceived)] == [[(b"a", b"2"), (b"grpc-status", b"0")]]


def test_trailers_at_once_after_the_response_headers() -> None:
    """§8.1 Zero DATA frames may lie between the header section and the trailers."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id), wire.headers(stream_id, [(b"t", b"v")], end_stream=True))
    assert [e.headers for e in rig.of(ev.TrailersReceived)] == [[(b"t", b"v")]]


def test_our_trailers_follow_all_data() -> None:
    """§8.1 Our trailers end the stream, after every queued byte, also when the window was shut in between."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 3})
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    rig.conn.send_data(1, b"abcdef")
    rig.conn.send_trailers(1, [(b"checksum", b"1")])
    rig.take()
    assert bytes(rig.content[1]) == b"abc"
    assert len(rig.fields[1]) == 1
    rig.feed(wire.window_update(1, 10))
    rig.take()
    on_stream = [f for f in rig.sent if f.stream_id == 1]
    assert bytes(rig.content[1]) == b"abcdef"
    assert rig.fields[1][1] == [(b"checksum", b"1")]
    assert [f.end_stream for f in on_stream][-1] and [f.end_stream for f in on_stream].count(True) == 1


# --- interim responses ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [b"100", b"102", b"103", b"199"])
def test_interim_responses_are_events_of_their_own(status: bytes) -> None:
    """§8.1 Any number of interim responses before the final one; none is taken as the final response."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(*[wire.response(stream_id, status, extra=[(b"link", b"</a>")])] * 3)
    assert rig.of(ev.ResponseReceived) == []
    assert [(e.status, e.headers) for e in rig.of(ev.InformationalReceived)] == [
        (int(status), [(b"link", b"</a>")])
    ] * 3
    rig.feed(wire.response(stream_id, end_stream=True))
    assert [e.status for e in rig.of(ev.ResponseReceived)] == [200]


def test_interim_with_end_stream() -> None:
    """§8.1 A HEADERS frame with END_STREAM that carries an informational status code is malformed."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, b"103", end_stream=True))
    assert rig.outcome(stream_id) == MALFORMED
    assert rig.of(ev.ResponseReceived) == [] and rig.of(ev.InformationalReceived) == []
    rig.assert_siblings_go_on()


def test_interim_after_the_final_response() -> None:
    """§8.1 HEADERS without END_STREAM after a final status: malformed, also when it is a 1xx."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id), wire.response(stream_id, b"103"))
    assert rig.outcome(stream_id) == MALFORMED


def test_data_before_the_final_response() -> None:
    """§8.1 The header section comes first: DATA after only interim responses is malformed."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, b"100"), wire.data(stream_id, b"x"))
    assert rig.outcome(stream_id) == MALFORMED


def test_status_101() -> None:
    """§8.6 HTTP/2 does not support the 101 status code."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, b"101"))
    assert rig.outcome(stream_id) == MALFORMED


def test_we_send_interim_responses() -> None:
    """§8.1 Our 100 and 103 go out without END_STREAM, in front of the final response."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False, extra=[(b"expect", b"100-continue")])
    assert rig.of(ev.RequestReceived)[0].expect_continue
    rig.conn.send_informational(1, 100, [])
    rig.conn.send_informational(1, 103, [(b"link", b"</x>")])
    rig.respond(1, b"ok")
    rig.take()
    assert [f.end_stream for f in rig.frames(wire.HEADERS, 1)] == [False, False, False]
    assert [fields[0][1] for fields in rig.fields[1]] == [b"100", b"103", b"200"]


# --- responses that have no content -----------------------------------------------------------------


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"HEAD", 404), (b"GET", 204), (b"GET", 304)])
@pytest.mark.parametrize("how", ["buffered", "streamed"])
def test_no_content_on_the_wire(method: bytes, status: int, how: str) -> None:
    """HEAD, 204 and 304 never carry content on the wire, whatever the app sends."""
    rig = ServerRig()
    rig.request(1, method=method)
    if how == "buffered":
        rig.respond(1, b"body", status=status)
    else:
        rig.conn.send_headers(1, status, [])
        with contextlib.suppress(LocalError):  # refusing is as good as dropping
            rig.conn.send_data(1, b"bo")
            rig.conn.send_data(1, b"dy", end_stream=True)
    rig.take()
    assert bytes(rig.content.get(1, b"")) == b""
    assert [f.end_stream for f in rig.sent if f.stream_id == 1][-1]
    rig.assert_siblings_go_on()


def test_empty_body_ends_on_headers() -> None:
    """An empty body puts END_STREAM on HEADERS: no empty DATA frame."""
    rig = ServerRig()
    rig.request(1)
    rig.respond(1, b"")
    (headers,) = rig.take()
    assert headers.type == wire.HEADERS and headers.end_stream


def test_our_body_shorter_than_its_length() -> None:
    """An app that sends less than its content-length: the stream is reset, never a short success."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [(b"content-length", b"10")])
    try:
        rig.conn.send_data(1, b"short", end_stream=True)
    except LocalError:
        rig.conn.reset_stream(1, wire.INTERNAL_ERROR)
    rig.take()
    assert rig.reset_code(1) == wire.INTERNAL_ERROR
    assert not any(f.end_stream for f in rig.sent if f.stream_id == 1)
    rig.assert_siblings_go_on()


def test_our_body_longer_than_its_length() -> None:
    """An app that sends more than its content-length is refused; not a byte too many leaves."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [(b"content-length", b"3")])
    with pytest.raises(LocalError):
        rig.conn.send_data(1, b"abcd", end_stream=True)
    rig.take()
    assert len(rig.content.get(1, b"")) <= 3


def test_buffered_response_with_a_wrong_length() -> None:
    """The same for a response in one call: refused, and the stream can still be answered with a 500."""
    rig = ServerRig()
    rig.request(1)
    with pytest.raises(LocalError):
        rig.respond(1, b"abcd", headers=[(b"content-length", b"3")])
    assert rig.take() == []
    rig.respond(1, b"oops", status=500)
    rig.take()
    assert rig.fields[1][0][0] == (b":status", b"500")


def test_head_may_state_the_length_of_get() -> None:
    """RFC 9110 §9.3.2 A response to HEAD states the content-length that GET would have."""
    rig = ServerRig()
    rig.request(1, method=b"HEAD")
    rig.respond(1, b"", headers=[(b"content-length", b"1000")])
    rig.take()
    assert (b"content-length", b"1000") in rig.fields[1][0]
    assert rig.reset_code(1) is None


# --- early final responses --------------------------------------------------------------------------


def test_early_final_response() -> None:
    """§8.1: an answer before the upload's end, then RST_STREAM(NO_ERROR); DATA on the way is discarded."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x" * 1000))
    rig.respond(1, b"too large", status=413)
    rig.take()
    assert bytes(rig.content[1]) == b"too large"
    assert rig.reset_code(1) == wire.NO_ERROR
    kinds = [f.type for f in rig.sent if f.stream_id == 1]
    assert kinds == [wire.HEADERS, wire.DATA, wire.RST_STREAM]
    for _ in range(200):
        rig.feed(wire.data(1, b"y" * 16_000))
        rig.take()
    rig.feed(wire.data(1, b"", end_stream=True))
    rig.take()
    assert rig.goaway_code() is None
    assert sum(f.increment for f in rig.frames(wire.WINDOW_UPDATE, 0)) >= 200 * 16_000 - 1_048_576
    rig.assert_siblings_go_on()


def test_client_keeps_a_response_that_rst_no_error_follows() -> None:
    """§8.1 Clients MUST NOT discard responses as a result of receiving RST_STREAM(NO_ERROR)."""
    rig = ClientRig()
    stream_id = rig.send(method=b"POST", end_stream=False)
    rig.feed(
        wire.response(stream_id, b"413"),
        wire.data(stream_id, b"too large", end_stream=True),
        wire.rst_stream(stream_id, wire.NO_ERROR),
    )
    assert [e.status for e in rig.of(ev.ResponseReceived)] == [413]
    assert [(e.data, e.end_stream) for e in rig.of(ev.DataReceived)] == [(b"too large", True)]
    assert all(e.code == wire.NO_ERROR for e in rig.of(ev.StreamReset))
    rig.assert_siblings_go_on()
