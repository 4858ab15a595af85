"""What an HTTP/1.1 connection tells its owner, and what its owner tells it, beside messages: times, ends, pauses."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR
from headrace.engine.h1.client import INTERIM_A_REQUEST
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, H1ClientRig, H1Rig, chunked, head, post

pytestmark = pytest.mark.engine


def test_a_transport_that_failed_is_a_client_that_is_gone() -> None:
    rig = H1Rig()
    rig.feed(GET)
    events = rig.conn.receive_failure(0.0, "TLS: bad record")
    assert [event.kind for event in events] == [ev.RESET, ev.ENDED]
    assert events[1].initiator == "remote"


@pytest.mark.parametrize("rig", [H1Rig(), H1ClientRig()], ids=["server", "client"])
def test_a_connection_that_has_ended_waits_for_nothing(rig: H1Rig | H1ClientRig) -> None:
    rig.conn.close()
    assert [event.kind for event in rig.conn.take_events()] == [ev.ENDED]
    assert rig.conn.next_deadline() is None
    assert rig.conn.handle_deadline(1e9) == []


def test_a_server_says_how_much_has_gone_out_and_that_no_work_is_due() -> None:
    rig = H1Rig(auto=True)
    rig.feed(GET)
    assert rig.conn.written(1) == 0
    taken = rig.take()
    assert rig.conn.written(1) == len(taken) > 0
    assert rig.conn.work_due == 0


def test_dropping_connection_fields_is_a_setting_that_can_be_asked_for() -> None:
    for rig in (H1Rig(), H1ClientRig()):
        assert rig.conn.drop_connection_fields is False
        rig.conn.drop_connection_fields = True
        assert rig.conn.drop_connection_fields is True


def test_fields_with_an_underscore_are_left_out_of_trailers_too() -> None:
    """A gateway to CGI reads `x_a` and `x-a` as the same name."""
    rig = H1Rig()
    rig.conn.drop_underscore_fields = True
    rig.feed(chunked(b"0\r\nx_a: 1\r\nx-a: 2\r\n\r\n"))
    (trailers,) = rig.of(ev.TrailersReceived)
    assert trailers.headers == [(b"x-a", b"2")]


def test_pauses_of_a_request_that_is_over_are_not_waited_for() -> None:
    rig = H1Rig(auto=True)
    rig.feed(GET)
    rig.take()
    before = rig.conn.next_deadline()
    rig.conn.allow_pauses(1, 0.5)
    assert rig.conn.next_deadline() == before


def test_a_request_that_may_pause_longer_is_looked_at_when_that_is_over() -> None:
    rig = H1Rig(Limits(upload_pause_timeout_s=10, min_upload_rate=0))
    rig.feed(chunked(b"1\r\nx\r\n"))
    rig.conn.acknowledge_data(1, 1)
    rig.conn.allow_pauses(1, 30)
    rig.advance(29)
    assert not rig.conn.closed
    rig.advance(11)
    assert rig.conn.closed


# -- what is left of a request after its response --


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_response_to_a_large_upload_ends_the_connection(streams: bool) -> None:
    """RFC 9112 §9.3: more than 64 KiB of content are not read for nothing."""
    rig = H1Rig()
    rig.feed(post(bytes(100_000))[:200])
    if streams:
        rig.conn.send_headers(1, 200, [(b"content-length", b"2")])
        rig.conn.send_data(1, b"no", end_stream=True)
    else:
        rig.conn.send_response(1, 413, (), b"no")
    rig.take()
    (ended,) = rig.of(ev.ConnectionEnded)
    assert ended.code == NO_ERROR and ended.initiator == "local"


def test_of_content_that_is_read_for_nothing_the_first_end_counts() -> None:
    """Too much of it ends the connection; a fault behind that in the same read changes nothing."""
    rig = H1Rig()
    rig.feed(chunked(b""))
    rig.conn.send_response(1, 200, (), b"")
    rig.take()
    rig.feed(b"20000\r\n" + bytes(0x20000) + b"\r\nno chunk\r\n")
    assert not rig.of(ev.PeerFault)
    (ended,) = rig.of(ev.ConnectionEnded)
    assert ended.code == NO_ERROR and "left after its response" in ended.reason


# -- a client's times --


def test_interim_responses_without_end_are_a_fault() -> None:
    """RFC 9110 §15.2 allows any number; more than a request pays for, and then `odd_frame_burst`, is a flood."""
    rig = H1ClientRig(Limits(odd_frame_burst=10, odd_frame_rate=0))
    rig.send()
    rig.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n" * (INTERIM_A_REQUEST + 10))
    assert not rig.conn.closed
    rig.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    assert rig.fault.budget and rig.of(ev.ConnectionEnded)[0].code == ENHANCE_YOUR_CALM
    assert len(rig.of(ev.InformationalReceived)) == INTERIM_A_REQUEST + 10


def test_a_head_that_comes_in_part_has_its_time_from_its_first_byte_on() -> None:
    rig = H1ClientRig(Limits(request_header_timeout_s=10))
    rig.send()
    rig.feed(b"HTTP/1.1 200 ")
    assert rig.conn.handle_deadline(9.0) == [] and rig.conn.next_deadline() == 10
    rig.advance(10)
    assert rig.fault.budget == "request_header_timeout_s"
    assert rig.of(ev.ConnectionEnded)[0].code == CANCEL


def test_a_send_without_a_clock_is_dated_by_the_next_deadline() -> None:
    """Workers send between two calls that bring the time: what began there counts from the next one on."""
    rig = H1ClientRig(Limits(idle_timeout_s=50, stalled_send_timeout_s=10, max_stream_send_buffer=1))
    rig.feed(b"")
    rig.send(method=b"POST", end_stream=False)
    assert not rig.conn.send_data(1, bytes(100_000))
    rig.conn.handle_deadline(7.0)
    assert rig.conn.next_deadline() == 17
    rig.conn.handle_deadline(17.0)
    assert rig.conn.closed and rig.conn.aborted


def test_content_may_end_without_a_last_piece() -> None:
    rig = H1Rig()
    rig.feed(GET)
    rig.conn.send_headers(1, 200, [(b"content-length", b"2")])
    rig.conn.send_data(1, b"ok")
    rig.conn.send_data(1, b"", end_stream=True)
    assert rig.responses()[0].body == b"ok" and not rig.conn.closed


def test_an_answer_of_our_own_to_head_has_no_content() -> None:
    """RFC 9110 §9.3.2."""
    rig = H1Rig()
    rig.feed(head(b"Content-Length: x", request=b"HEAD / HTTP/1.1"))
    rig.take()
    assert rig.output.startswith(b"HTTP/1.1 400 ") and rig.output.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("takes", ["take_output", "take_buffers"])
def test_output_that_is_taken_brings_the_time(takes: str) -> None:
    """What a worker began without a clock counts from then on, not from the beginning of time."""
    rig = H1ClientRig(Limits(idle_timeout_s=50, stalled_send_timeout_s=10, max_stream_send_buffer=1))
    rig.feed(b"")
    rig.send(method=b"POST", end_stream=False)
    assert not rig.conn.send_data(1, bytes(100_000))
    assert getattr(rig.conn, takes)(10, 7.0)
    assert rig.conn.handle_deadline(10.0) == [] and rig.conn.next_deadline() == 17


def test_a_client_that_waits_needs_no_attention() -> None:
    rig = H1ClientRig()
    attention = [rig.conn.needs_attention]
    rig.conn.send_request(b"GET", b"http", b"a", b"/", (), end_stream=True)
    attention.append(rig.conn.needs_attention)
    rig.take()
    attention.append(rig.conn.needs_attention)
    rig.conn.begin_drain(0.0)
    attention.append(rig.conn.needs_attention)  # for the event
    rig.conn.close()
    rig.conn.take_events()
    assert [*attention, rig.conn.needs_attention] == [False, True, False, True, True]
