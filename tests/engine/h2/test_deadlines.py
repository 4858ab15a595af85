"""Every wait of a connection has its own deadline, turned here by hand."""

from __future__ import annotations

import pytest

from headrace.engine.errors import ErrorCode
from headrace.engine.events import ConnectionEnded, StreamReset
from headrace.engine.h2 import DRAINING, ENDED
from headrace.engine.limits import Limits
from headrace.testing import (
    PREFACE,
    Frame,
    ServerUnderTest,
    data_frame,
    frame,
    headers_frame,
    ping_frame,
    settings_frame,
    window_update_frame,
)

pytestmark = pytest.mark.engine


def opened(initial_window: int = 65_535, **limits: float) -> ServerUnderTest:
    server = ServerUnderTest(Limits(**limits))  # type: ignore[arg-type]  # numbers by name
    server.handshake([(4, initial_window)])
    return server


def goaway(frames: list[Frame]) -> Frame:
    found = [each for each in frames if each.kind == "GOAWAY"]
    assert found, frames
    return found[-1]


def test_a_client_that_says_nothing_is_let_go() -> None:
    server = ServerUnderTest(Limits(preface_timeout_s=10))
    server.feed(PREFACE[:7])
    assert server.advance(9.9) == []
    events = server.advance(0.2)
    assert isinstance(events[-1], ConnectionEnded)
    assert b"preface_timeout_s" in goaway(server.frames()).payload


def test_settings_that_are_not_acknowledged_end_the_connection() -> None:
    """RFC 9113 §6.5.3: a sender may issue a connection error of type SETTINGS_TIMEOUT."""
    server = ServerUnderTest()
    server.feed(PREFACE + settings_frame())
    server.advance(59.9)
    assert not server.connection.closed
    server.advance(0.2)
    assert goaway(server.frames()).error_code == ErrorCode.SETTINGS_TIMEOUT


def test_a_field_block_has_to_be_finished_in_time() -> None:
    server = opened(request_header_timeout_s=30)
    server.feed(headers_frame(1, server.encode_request("GET", "/"), end_headers=False))
    server.advance(29.9)
    assert not server.connection.closed
    server.advance(0.2)
    assert goaway(server.frames()).error_code == ErrorCode.ENHANCE_YOUR_CALM


def test_an_idle_connection_ends_with_no_error() -> None:
    server = opened(idle_timeout_s=75)
    server.advance(74)
    assert not server.connection.closed
    server.advance(1.5)
    assert goaway(server.frames()).error_code == ErrorCode.NO_ERROR


def test_idle_begins_anew_when_the_last_stream_ends() -> None:
    server = opened(idle_timeout_s=75)
    server.advance(70)
    server.request(1)
    server.advance(500)
    server.connection.send_response(1, 200, (), b"")
    server.advance(70)
    assert not server.connection.closed
    server.advance(80)
    assert server.connection.closed


def test_a_response_that_the_peer_does_not_take_is_given_up() -> None:
    server = opened(initial_window=0, stalled_send_timeout_s=60)
    server.request(1)
    assert not server.connection.send_response(1, 200, (), bytes(1_000_000))
    server.frames()
    server.advance(59)
    assert server.connection.has_stream(1)
    events = server.advance(2)
    assert [(event.stream_id, event.code) for event in events if isinstance(event, StreamReset)] == [
        (1, ErrorCode.CANCEL)
    ]
    assert not server.connection.closed


def test_drips_of_window_do_not_keep_a_stalled_stream_alive() -> None:
    server = opened(initial_window=0, stalled_send_timeout_s=60)
    server.request(1)
    server.connection.send_response(1, 200, (), bytes(1_000_000))
    for _ in range(7):
        server.frames()
        server.feed(window_update_frame(1, 1) + window_update_frame(0, 1))
        server.advance(10)
    assert not server.connection.has_stream(1)


def test_a_slow_reader_that_makes_progress_is_left_in_peace() -> None:
    server = opened(stalled_send_timeout_s=60)
    server.request(1)
    server.connection.send_response(1, 200, (), bytes(1_000_000))
    for _ in range(20):
        server.frames()
        server.feed(window_update_frame(1, 8_192) + window_update_frame(0, 8_192))
        server.advance(30)
    assert server.connection.has_stream(1)


def test_an_upload_below_the_minimum_rate_is_given_up() -> None:
    server = opened(min_upload_rate=100, upload_grace_s=10)
    server.request(1, "POST", end_stream=False)
    for _ in range(5):
        server.feed(data_frame(1, b"x"))
        server.advance(1.9)
    assert server.connection.has_stream(1)
    server.advance(1)
    assert not server.connection.has_stream(1)


def test_an_upload_that_we_leave_no_room_is_not_slow() -> None:
    server = opened(min_upload_rate=100, upload_grace_s=10, initial_stream_window=65_535)
    server.request(1, "POST", end_stream=False)
    for _ in range(3):
        server.feed(data_frame(1, bytes(16_384)))
    server.feed(data_frame(1, bytes(65_535 - 3 * 16_384)))
    server.advance(3_600)
    assert server.connection.has_stream(1)


def test_a_stream_that_is_answered_already_may_be_silent() -> None:
    """Both directions may be open for hours; only a request that is waited for has a minimum rate."""
    server = opened()
    server.request(1, "POST", end_stream=False)
    server.connection.send_headers(1, 200, ())
    server.advance(3_600)
    assert server.connection.has_stream(1)


def test_a_keepalive_ping_is_sent_and_its_silence_noticed() -> None:
    server = opened(keepalive_ping_s=20, keepalive_ack_s=5, idle_timeout_s=10_000)
    server.advance(21)
    (ping,) = server.frames()
    assert ping.kind == "PING"
    server.feed(ping_frame(ping.payload, ack=True))
    server.advance(21)
    assert [each.kind for each in server.frames()] == ["PING"]
    server.advance(5)
    assert server.connection.phase == ENDED


def test_a_drain_has_two_phases() -> None:
    """RFC 9113 §6.8: GOAWAY with 2^31-1 first, the true last stream id after a round trip."""
    server = opened()
    server.request(1)
    server.connection.begin_drain(server.clock.now)
    server.connection.begin_drain(server.clock.now)
    first, ping = server.frames()
    assert server.connection.phase == DRAINING
    assert first.payload[:4] == b"\x7f\xff\xff\xff"
    assert server.request(3)  # sent before the peer could know
    server.feed(ping_frame(ping.payload, ack=True))
    (second,) = server.frames()
    assert second.payload[:4] == b"\0\0\0\3"
    server.request(5)
    assert [(each.kind, each.error_code) for each in server.frames()] == [("RST_STREAM", ErrorCode.REFUSED_STREAM)]
    server.connection.send_response(1, 200, (), b"one")
    assert not server.connection.closed
    server.connection.send_response(3, 200, (), b"three")
    assert server.connection.closed


def test_a_drain_goes_on_without_the_ping() -> None:
    server = opened()
    server.connection.begin_drain(server.clock.now)
    server.advance(1.1)
    assert server.connection.closed


def test_a_drain_ends_at_its_deadline() -> None:
    server = opened()
    server.request(1)
    server.connection.begin_drain(server.clock.now, server.clock.now + 30)
    server.advance(29)
    assert not server.connection.closed
    events = server.advance(2)
    assert [event.stream_id for event in events if isinstance(event, StreamReset)] == [1]
    assert any(each.kind == "RST_STREAM" and each.error_code == ErrorCode.CANCEL for each in server.frames())
    assert server.connection.closed


def test_nothing_is_left_to_wait_for_after_the_end() -> None:
    server = opened()
    server.feed(frame(0, 0, 0))  # DATA on stream 0
    assert server.connection.closed
    assert server.connection.next_deadline() is None
