"""parts/stream_deadlines.py alone, on a record that nothing else has touched."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine.causes import TIMED_OUT
from headrace.engine.errors import StreamFault
from headrace.engine.h2.parts.stream_deadlines import check_stalled, check_upload, upload_check_s
from headrace.engine.h2.states import OPEN
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER

LIMITS = Limits(stalled_send_timeout_s=60, upload_grace_s=10, min_upload_rate=100, upload_pause_timeout_s=25)


def upload(**attributes: float) -> Stream:
    stream = Stream(7, b"", OPEN)
    for name, value in attributes.items():
        setattr(stream, name, value)
    return stream


def given_up(stream: Stream, now: float, has_room: bool = True) -> str:
    with pytest.raises(StreamFault) as caught:
        check_upload(stream, LIMITS, has_room, now)
    fault = caught.value
    assert (fault.stream_id, fault.code, fault.cause) == (7, errors.CANCEL, TIMED_OUT)
    return fault.reason.rpartition("(")[2].rstrip(")")


def test_a_stalled_stream_needs_real_progress() -> None:
    stream = upload(stalled_at=1.0, written=4_096)
    assert check_stalled(stream, LIMITS, 60.9) == 61.0
    assert check_stalled(stream, LIMITS, 61.0) == 121.0, "4 KiB count"
    stream.written += 4_095
    with pytest.raises(StreamFault, match="stalled_send_timeout_s"):
        check_stalled(stream, LIMITS, 121.0)


def test_content_of_a_known_length_comes_at_a_rate() -> None:
    stream = upload(recv_length=10_000, received=999)
    assert check_upload(stream, LIMITS, True, 9.9) == 10.0
    assert given_up(stream, 10.0) == "min_upload_rate"
    stream = upload(recv_length=10_000, received=1_000)
    assert check_upload(stream, LIMITS, True, 10.0) == 20.0
    assert given_up(stream, 20.0) == "min_upload_rate", "each period asks anew"


def test_drips_come_at_a_rate_as_well() -> None:
    assert given_up(upload(drips=3, received=12), 10.0) == "min_upload_rate"
    assert check_upload(upload(drips=2, received=8), LIMITS, True, 10.0) > 10.0


def test_messages_may_pause_for_a_while() -> None:
    stream = upload(received=50)
    assert check_upload(stream, LIMITS, True, 10.0) == 20.0
    assert check_upload(stream, LIMITS, True, 20.0) == 30.0
    assert check_upload(stream, LIMITS, True, 30.0) == 35.0, "quiet since 10"
    assert given_up(stream, 35.0) == "upload_pause_timeout_s"


def test_an_application_may_set_the_pause() -> None:
    assert check_upload(upload(pause_s=0.0, recv_length=9), LIMITS, True, 1e9) == NEVER
    assert given_up(upload(pause_s=3.0, recv_length=9), 3.0) == "upload_pause_timeout_s"


@pytest.mark.parametrize("attributes", [{}, {"recv_length": 10_000}], ids=["messages", "a length"])
def test_nothing_is_asked_for_where_there_is_no_room(attributes: dict[str, float]) -> None:
    stream = upload(**attributes)
    for now in range(10, 200, 10):
        assert check_upload(stream, LIMITS, False, now) == now + 10
    waits = upload(awaits_continue=True, **attributes)
    assert check_upload(waits, LIMITS, True, 10.0) == 20.0


def test_a_pause_begins_when_there_is_room_again() -> None:
    stream = upload(received=50)
    for now in (10.0, 20.0, 30.0, 40.0):
        assert check_upload(stream, LIMITS, False, now) == now + 10
    assert check_upload(stream, LIMITS, True, 50.0) == 60.0
    assert check_upload(stream, LIMITS, True, 60.0) == 65.0, "quiet since 40"


def test_the_first_look_comes_with_the_shorter_limit() -> None:
    assert upload_check_s(LIMITS) == 10
    assert upload_check_s(Limits(upload_grace_s=10, upload_pause_timeout_s=4)) == 4
    assert upload_check_s(Limits(upload_grace_s=10, upload_pause_timeout_s=0)) == 10
