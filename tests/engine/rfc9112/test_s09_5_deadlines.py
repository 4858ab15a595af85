"""RFC 9112 §9.5, and slow clients: every phase has its deadline, and a rate that crumbs do not meet."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import CANCEL
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, H1Rig, chunked, head, post

LIMITS = Limits(
    preface_timeout_s=10,
    request_header_timeout_s=30,
    idle_timeout_s=75,
    upload_grace_s=10,
    min_upload_rate=100,
    stalled_send_timeout_s=60,
)


def rig(**arguments: Any) -> H1Rig:
    return H1Rig(LIMITS, **arguments)


def ends_after(subject: H1Rig, seconds: float) -> ev.ConnectionEnded:
    """The connection lives until then, and not longer."""
    assert not [event for event in subject.advance(seconds - 0.01) if isinstance(event, ev.ConnectionEnded)]
    last = subject.advance(0.02)[-1]
    assert isinstance(last, ev.ConnectionEnded)
    return last


def test_a_client_that_says_nothing() -> None:
    """A connection without a request ends without an answer after `preface_timeout_s`: nobody asked anything."""
    subject = rig()
    ended = ends_after(subject, 10)
    assert ended.code == 0
    assert not subject.of(ev.PeerFault)
    assert subject.take() == b""


@pytest.mark.parametrize("first", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r"])
def test_a_head_that_does_not_end(first: bytes) -> None:
    """Slowloris: a part of a head has come: 408 after `request_header_timeout_s` from its first byte."""
    subject = rig()
    subject.advance(5)
    subject.feed(first)
    ends_after(subject, 30)
    assert subject.fault.budget == "request_header_timeout_s"
    (response,) = subject.responses()
    assert (response.status, response.field(b"connection")) == (408, b"close")


def test_a_head_byte_by_byte() -> None:
    """Slowloris: bytes do not extend the deadline, however regular they come."""
    subject = rig()
    data = b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100
    for n in range(30):
        subject.feed(data[n : n + 1])
        subject.advance(0.99)
        assert not subject.conn.closed
    subject.advance(0.31)
    assert subject.conn.closed


def test_an_empty_line_is_no_beginning_of_a_head() -> None:
    """RFC 9112 §2.2 CRLF alone asks for nothing: no 408 for it."""
    subject = rig(auto=True)
    subject.feed(GET)
    subject.take()
    subject.feed(b"\r")
    subject.feed(b"\n")
    ends_after(subject, 75)
    assert not subject.of(ev.PeerFault)


def test_idle_between_requests() -> None:
    """§9.5 After `idle_timeout_s` without a request the connection ends, without a word."""
    subject = rig(auto=True)
    subject.feed(GET)
    subject.take()
    subject.advance(50)
    subject.feed(GET)
    subject.take()
    subject.output = b""
    ended = ends_after(subject, 75)
    assert ended.reason == "idle"
    assert subject.take() == b""


def test_a_part_of_a_head_between_requests() -> None:
    """The second head has the same time as the first one: and 408, as something was asked."""
    subject = rig(auto=True)
    subject.feed(GET)
    subject.take()
    subject.advance(60)
    subject.feed(b"GET")
    ends_after(subject, 30)
    assert [response.status for response in subject.responses()] == [200, 408]


def test_a_silent_handler_is_not_idle() -> None:
    """While a request runs the connection does not end, however long it takes."""
    subject = rig()
    subject.feed(GET)
    assert subject.advance(10_000) == []
    subject.conn.send_response(1, 200, (), b"late")
    subject.take()
    assert subject.responses()[0].body == b"late"
    ends_after(subject, 75)  # from the response on


def test_idle_begins_with_the_response_that_a_worker_sends() -> None:
    """A worker brings no clock: what it sent is dated when it leaves (docs/adr/0008)."""
    subject = rig()
    subject.feed(GET)
    subject.advance(1_000)
    subject.conn.send_response(1, 200, (), b"")
    subject.now += 20
    subject.take()
    ends_after(subject, 75)


@pytest.mark.parametrize("data", [post(b"x" * 50_000)[:-50_000], chunked(b"ffff\r\n")])
def test_content_that_comes_too_slowly(data: bytes) -> None:
    """`min_upload_rate`, asked for after `upload_grace_s`: 408, and the handler's request ends."""
    subject = rig()
    subject.feed(data)
    for _ in range(9):
        subject.feed(b"x" * 99)
        subject.advance(1)
    assert not subject.conn.closed
    subject.advance(1)
    reset = subject.of(ev.StreamReset)[0]
    assert reset.initiator == "local" and subject.fault.budget == "min_upload_rate"
    assert subject.responses()[0].status == 408


def test_content_that_comes_fast_enough() -> None:
    """The rate is asked for again and again, and met."""
    subject = rig()
    subject.feed(post(b"x" * 50_000)[:-50_000])
    for _ in range(200):
        subject.feed(b"x" * 110)
        subject.conn.acknowledge_data(1, 110)
        subject.advance(1)
    assert not subject.conn.closed


def test_content_that_we_do_not_read_is_not_slow() -> None:
    """A handler that lets its content wait stops the client: that is no fault of the client's."""
    subject = H1Rig(Limits(initial_stream_window=1_000, min_upload_rate=100, upload_grace_s=10))
    subject.feed(post(b"x" * 50_000)[:-49_000])
    assert subject.advance(1_000) == []


def test_content_that_waits_for_100_is_not_slow() -> None:
    """RFC 9110 §10.1.1: the client waits for us; from 100 (Continue) on the rate counts."""
    subject = rig()
    subject.feed(head(b"Content-Length: 50000", b"Expect: 100-continue", request=b"POST / HTTP/1.1"))
    assert subject.advance(1_000) == []
    subject.conn.send_informational(1, 100, ())
    subject.take()
    subject.advance(9.9)
    assert not subject.conn.closed
    subject.advance(10.2)
    assert subject.conn.closed


def test_a_slow_upload_after_the_response_has_begun() -> None:
    """What the handler has answered it may go on reading as slowly as it likes, as with HTTP/2."""
    subject = rig()
    subject.feed(chunked(b""))
    subject.conn.send_headers(1, 200, ())
    subject.take()
    assert subject.advance(1_000) == []


def test_no_rate_is_asked_for_with_0() -> None:
    """`min_upload_rate=0`: no limit."""
    subject = H1Rig(Limits(min_upload_rate=0))
    subject.feed(chunked(b""))
    assert subject.advance(10_000) == []


def test_the_rest_of_an_answered_request_has_a_deadline() -> None:
    """§9.3 What is read and forgotten must come within `request_header_timeout_s`; then the end, without a word."""
    subject = rig()
    subject.feed(chunked(b""))
    subject.conn.send_response(1, 200, (), b"")
    subject.take()
    ended = ends_after(subject, 30)
    assert ended.code == 0 and not subject.of(ev.PeerFault)


def test_a_response_that_is_not_taken() -> None:
    """Slow read: without progress for `stalled_send_timeout_s` the client is given up; its worker is told."""
    subject = rig()
    subject.feed(GET)
    subject.conn.send_response(1, 200, (), b"x" * 1_000_000)
    subject.conn.take_output(10_000, 0.0)
    reset = next(event for event in subject.advance(121) if isinstance(event, ev.StreamReset))
    assert reset.code == CANCEL and "stalled_send_timeout_s" in reset.reason
    assert subject.conn.aborted and subject.take() == b""


def test_crumbs_do_not_save_a_response() -> None:
    """A client that takes 100 bytes now and then is given up all the same."""
    subject = rig()
    subject.feed(GET)
    subject.conn.send_response(1, 200, (), b"x" * 1_000_000)
    for _ in range(12):
        subject.conn.take_output(100, subject.now)
        subject.advance(10)
    assert subject.conn.closed


def test_a_slow_reader_that_makes_progress_is_served() -> None:
    """4 KiB a minute are slow, and progress."""
    subject = rig()
    subject.feed(GET)
    subject.conn.send_response(1, 200, (), b"x" * 100_000)
    for _ in range(20):
        subject.conn.take_output(4_100, subject.now)
        subject.advance(59)
    assert not subject.conn.closed


def test_answers_that_nobody_takes_are_a_stall_too() -> None:
    """Also where each of them was accepted at once."""
    subject = rig(auto=True)
    subject.feed(GET)
    subject.advance(200)
    assert subject.conn.closed and subject.conn.aborted


def test_a_stall_is_forgotten_with_the_last_byte() -> None:
    """A connection that was slow once is not given up for a later response that has only begun."""
    subject = rig(auto=True)
    subject.feed(GET)
    subject.advance(60)
    subject.take()
    for _ in range(3):
        subject.feed(GET)
        subject.advance(50)
        subject.take()
    assert not subject.conn.closed


def test_deadlines_move_only_forward_between_calls() -> None:
    """`deadline` may become earlier at any time and later only in `handle_deadline`: an owner needs one timer."""
    subject = rig(auto=True)
    assert subject.conn.next_deadline() == 10
    subject.feed(GET)
    subject.take()
    assert subject.conn.next_deadline() == 10
    subject.advance(10)
    assert subject.conn.next_deadline() == 75
    subject.feed(b"G")
    assert subject.conn.next_deadline() == 40
    subject.feed(GET[1:])
    subject.conn.close()
    assert subject.conn.next_deadline() is None
