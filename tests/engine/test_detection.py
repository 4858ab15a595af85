"""Which protocol a cleartext client speaks, told by its first bytes, however they come."""

from __future__ import annotations

import pytest

from headrace.engine.detection import Detection
from headrace.engine.events import ConnectionEnded, PeerFault, ProtocolDetected
from headrace.engine.limits import Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def fed(data: bytes, bytes_at_once: int) -> tuple[Detection, list[object]]:
    detection = Detection(Limits(), 0.0)
    events: list[object] = []
    for start in range(0, len(data), bytes_at_once):
        if not events:
            events += detection.receive_data(data[start : start + bytes_at_once], 0.0)
    return detection, events


@pytest.mark.parametrize("bytes_at_once", [1, 5, 1000])
def test_the_preface_is_http2(bytes_at_once: int) -> None:
    """RFC 9113 §3.4."""
    _, (event,) = fed(PREFACE, bytes_at_once)
    assert isinstance(event, ProtocolDetected)
    assert (event.protocol, event.data) == ("h2", PREFACE)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.0\r\n\r\n", b"POST / HTTP/1.1\r\n", b"PRI / HTTP/1.1\r\n", b"\r\nGET /", b"P", b"PU", b"m-x /"],
)
def test_a_request_line_is_decided_at_its_first_byte_that_is_no_preface(data: bytes) -> None:
    """Sniffing that waits for 24 bytes hangs on a short HTTP/1.0 request."""
    for bytes_at_once in (1, 1000):
        detection, events = fed(data, bytes_at_once)
        if PREFACE.startswith(data):
            assert events == [] and not detection.closed
            continue
        (event,) = events
        assert isinstance(event, ProtocolDetected)
        first_other = next(n for n in range(len(data)) if data[n] != PREFACE[n])
        assert event.protocol == "http/1.1"
        assert event.data == (data[: first_other + 1] if bytes_at_once == 1 else data)


@pytest.mark.parametrize(
    ("data", "reason"), [(b"\x16\x03\x01\x02\x00", "TLS handshake"), (b"\x00\x00", "neither"), (b"\xff", "neither")]
)
def test_what_neither_protocol_begins_with_ends_without_an_answer(data: bytes, reason: str) -> None:
    detection, (fault, ended) = fed(data, 1000)
    assert isinstance(fault, PeerFault) and reason in fault.reason
    assert isinstance(ended, ConnectionEnded) and detection.closed
    assert detection.take_output() == b"" and detection.receive_data(b"GET", 0.0) == []


def test_silence_has_its_deadline() -> None:
    detection = Detection(Limits(preface_timeout_s=5.0), 100.0)
    assert detection.deadline == 105.0
    assert detection.handle_deadline(104.0) == []
    (ended,) = detection.handle_deadline(105.0)
    assert isinstance(ended, ConnectionEnded) and detection.closed


def test_its_owner_ends_it_and_so_does_the_peer() -> None:
    detection = Detection(Limits(), 0.0)
    detection.close()
    assert detection.closed and detection.needs_attention
    detection = Detection(Limits(), 0.0)
    assert len(detection.receive_eof(0.0)) == 1
    assert detection.receive_eof(0.0) == []


def test_it_writes_nothing_and_holds_nobody_up() -> None:
    """Its owner treats it as a connection, which has output, turns and pauses; it has none, whatever has come."""
    detection = Detection(Limits(), 0.0)
    for data in (b"", PREFACE[:5]):
        assert detection.receive_data(data, 0.0) == []
        assert detection.take_output() == b"" and detection.take_buffers() == [] and detection.take_events() == []
        assert not (detection.output_pending or detection.bodies_queued or detection.needs_attention)
        assert not (detection.input_pending or detection.read_paused or detection.work_due)
