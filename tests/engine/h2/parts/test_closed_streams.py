"""parts/closed_streams.py alone, beside RFC 9113 §5.1's words on the state "closed"."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.h2.parts.closed_streams import ClosedStreams, raise_fault
from headrace.engine.h2.states import (
    CLOSED,
    CLOSED_BY_PEER,
    CLOSED_BY_US,
    CLOSED_STREAM,
    IDLE,
    RECV_DATA,
    RECV_DATA_END,
    RECV_HEADERS,
    RECV_RST,
    RECV_WINDOW_UPDATE,
)
from headrace.engine.limits import DEFAULT_WINDOW, Limits


def test_the_last_thousand_are_remembered() -> None:
    closed = ClosedStreams(Limits())
    assert closed.state(1) == CLOSED and len(closed) == 0
    for stream_id in range(1, 2 * 1_025, 2):
        closed.remember(stream_id, CLOSED_BY_US)
    assert len(closed) == 1_024
    assert closed.state(1) == CLOSED, "the oldest is forgotten"
    assert closed.state(3) == CLOSED_BY_US


@pytest.mark.parametrize("step", [RECV_HEADERS, RECV_DATA, RECV_WINDOW_UPDATE])
def test_frames_under_way_when_we_reset_are_discarded(step: int) -> None:
    closed = ClosedStreams(Limits())
    closed.remember(5, CLOSED_BY_US)
    closed.receive(5, closed.state(5), step, "a frame")
    assert closed.state(5) == CLOSED_BY_US


@pytest.mark.parametrize(("step", "state"), [(RECV_DATA_END, CLOSED), (RECV_RST, CLOSED_BY_PEER)])
def test_the_peers_own_end_ends_that(step: int, state: int) -> None:
    closed = ClosedStreams(Limits())
    closed.remember(5, CLOSED_BY_US)
    closed.receive(5, closed.state(5), step, "a frame")
    assert closed.state(5) == state


def test_faults_have_the_scope_that_the_rfc_names() -> None:
    closed = ClosedStreams(Limits())
    with pytest.raises(ConnectionFault) as idle:
        closed.receive(9, IDLE, RECV_DATA, "DATA")
    assert idle.value.code == errors.PROTOCOL_ERROR and "DATA on idle stream 9" in idle.value.reason
    with pytest.raises(ConnectionFault) as ended:
        closed.receive(1, closed.state(1), RECV_DATA, "DATA")
    assert ended.value.code == errors.STREAM_CLOSED
    closed.remember(3, CLOSED_BY_PEER)
    with pytest.raises(StreamFault) as reset:
        closed.receive(3, closed.state(3), RECV_DATA, "DATA")
    assert (reset.value.code, reset.value.stream_id) == (errors.STREAM_CLOSED, 3)
    with pytest.raises(StreamFault):
        raise_fault(3, CLOSED_STREAM, "DATA")


def test_late_data_is_bounded_by_the_windows_that_were_open() -> None:
    closed = ClosedStreams(Limits(initial_stream_window=100_000))
    closed.expect_data(40_000)
    closed.expect_data(200_000)  # windows that have shrunk: nothing can be under way
    closed.receive_data(60_000)
    with pytest.raises(ConnectionFault) as caught:
        closed.receive_data(1)
    assert caught.value.code == errors.FLOW_CONTROL_ERROR


def test_the_first_window_of_a_peer_may_be_larger_than_ours() -> None:
    """RFC 9113 §6.9.2: it has 65,535 until it has seen our SETTINGS."""
    closed = ClosedStreams(Limits(initial_stream_window=1_000))
    closed.expect_data(0)
    closed.receive_data(DEFAULT_WINDOW)


@pytest.mark.parametrize(
    ("state", "reason"),
    [(CLOSED, "it has ended"), (CLOSED_BY_US, "it was reset"), (CLOSED_BY_PEER, "the peer reset it")],
)
def test_the_reason_is_for_people(state: int, reason: str) -> None:
    closed = ClosedStreams(Limits())
    closed.remember(1, state)
    assert closed.reason(1) == reason
