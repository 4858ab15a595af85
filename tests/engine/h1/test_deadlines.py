"""The parts that know of time, each alone: a clock is an argument, and a verdict comes back."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine.h1.client_deadlines import ClientDeadlines
from headrace.engine.h1.deadlines import STALLED, Expired, Phases, StallWatch, UploadPace
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.persistence import Persistence
from headrace.engine.h1.server_deadlines import ServerDeadlines
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER

LIMITS = Limits(min_upload_rate=100, upload_grace_s=5, upload_pause_timeout_s=60, stalled_send_timeout_s=10)


def pace(limits: Limits = LIMITS) -> UploadPace:
    made = UploadPace(limits)
    made.begin(0.0)
    return made


def test_content_that_is_owed_has_a_rate() -> None:
    """`min_upload_rate`, after `upload_grace_s`: 500 bytes in 5 s pass, 499 do not."""
    fast, slow = pace(), pace()
    fast.add(500, False)
    slow.add(499, False)
    assert fast.check(5.0, True, True) == 10.0
    with pytest.raises(MessageFault, match="too slowly"):
        slow.check(5.0, True, True)


@pytest.mark.parametrize(("has_room", "is_owed"), [(False, True), (True, False)])
def test_nothing_is_asked_of_a_client_that_cannot_send_or_owes_nothing(has_room: bool, is_owed: bool) -> None:
    assert pace().check(5.0, has_room, is_owed) == 10.0


def test_a_pause_between_chunks_has_an_end() -> None:
    """`upload_pause_timeout_s`, from the last byte on."""
    quiet = pace()
    due = 0.0
    while (due := quiet.check(due, True, False)) < 60:
        pass
    assert due == 60
    with pytest.raises(MessageFault, match="did not go on"):
        quiet.check(60.0, True, False)


def test_drips_between_chunks_are_no_pause() -> None:
    """Chunks of a byte, one a second, would hold a connection for ever."""
    dripping = pace()
    for _ in range(5):
        dripping.add(1, True)
    with pytest.raises(MessageFault, match="too slowly"):
        dripping.check(5.0, True, False)


def test_an_application_that_allows_pauses() -> None:
    forever, minute = pace(), pace()
    forever.allow_pauses(0.0)
    minute.allow_pauses(10.0)
    assert forever.check(1e6, True, True) == NEVER and forever.due(0.0) == 5.0
    assert minute.check(5.0, True, True) == 10.0
    with pytest.raises(MessageFault, match="did not go on"):
        minute.check(10.0, True, True)


def test_each_request_has_its_own_pace() -> None:
    used = pace()
    used.allow_pauses(0.0)
    used.add(1, True)
    used.begin(100.0)
    with pytest.raises(MessageFault, match="too slowly"):
        used.check(105.0, True, True)


def test_time_that_was_not_known_is_set_with_the_next() -> None:
    """A worker that sends between two inputs brings no clock (ADR 0008)."""
    undated = pace()
    undated.begin(-1.0)
    undated.date(50.0)
    assert undated.check(54.0, True, True) == 55.0
    phases = Phases(-1.0)
    assert not phases.date(50.0) and phases.idle_since == 50.0
    phases.begin_head(-1.0)
    assert phases.date(60.0) and phases.head_since == 60.0
    phases.begin_discard(-1.0)
    assert phases.date(70.0) and phases.discard_since == 70.0 and not phases.date(80.0)
    watch = StallWatch(10.0)
    assert not watch.date(1.0)
    watch.begin(-1.0, 0)
    assert watch.date(50.0) and watch.check(51.0, 0) == 60.0


def test_output_that_is_taken_by_drips_is_stalled() -> None:
    """4,096 bytes in the timeout are progress, fewer are none."""
    watch = StallWatch(10.0)
    watch.begin(0.0, 0)
    assert watch.check(9.0, 0) == 10.0
    assert watch.check(10.0, 4_096) == 20.0
    assert watch.check(20.0, 8_191) == STALLED
    watch.end()
    assert not watch.is_on


def expired(check: object) -> Expired:
    with pytest.raises(Expired) as caught:
        check()  # type: ignore[operator]
    return caught.value


def test_the_phases_of_a_server() -> None:
    limits = Limits()
    deadlines = ServerDeadlines(limits, 0.0)
    phases = Phases(0.0)
    assert deadlines.check_phases(0.0, phases, False, False) == limits.preface_timeout_s
    assert deadlines.check_phases(0.0, phases, True, False) == limits.idle_timeout_s
    assert deadlines.check_phases(1e9, phases, True, True) == NEVER
    assert expired(lambda: deadlines.check_phases(limits.idle_timeout_s, phases, True, False)).reason == "idle"
    phases.begin_head(10.0)
    due = deadlines.check_phases(10.0, phases, True, True)
    assert due == 10.0 + limits.request_header_timeout_s
    with pytest.raises(MessageFault) as caught:
        deadlines.check_phases(due, phases, True, True)
    assert caught.value.status == 408
    phases.end_head()
    phases.begin_discard(20.0)
    due = deadlines.check_phases(20.0, phases, True, True)
    verdict = expired(lambda: deadlines.check_phases(due, phases, True, True))
    assert not verdict.aborts and verdict.code == errors.NO_ERROR


def test_a_client_that_takes_nothing_of_its_response() -> None:
    deadlines = ServerDeadlines(LIMITS, 0.0)
    watch = StallWatch(LIMITS.stalled_send_timeout_s)
    assert deadlines.check_output(5.0, watch, 0) == 15.0
    assert expired(lambda: deadlines.check_output(15.0, watch, 1)).aborts


def test_the_phases_of_a_client() -> None:
    limits = Limits()
    deadlines = ClientDeadlines(limits)
    phases = Phases(0.0)
    watch = StallWatch(limits.stalled_send_timeout_s)
    idle = limits.idle_timeout_s
    assert deadlines.check(idle, phases, watch, True, 0) == 2 * idle
    assert not expired(lambda: deadlines.check(idle, phases, watch, False, 0)).aborts
    phases.begin_head(0.0)
    late = expired(lambda: deadlines.check(limits.request_header_timeout_s, phases, watch, True, 0))
    assert late.aborts and late.budget == "request_header_timeout_s"
    phases.end_head()
    watch.begin(0.0, 0)
    late = expired(lambda: deadlines.check(limits.stalled_send_timeout_s, phases, watch, True, 1))
    assert late.aborts and late.budget == "stalled_send_timeout_s"


def test_persistence() -> None:
    """RFC 9112 §9.3, §9.6: each response may be the last; a drain makes it so, and has an end."""
    persistence = Persistence()
    persistence.begin_request(True)
    assert not persistence.ends() and persistence.check_drain(1e9, True) == NEVER
    persistence.end_with_response()
    assert persistence.ends()
    persistence.begin_request(True)
    persistence.begin_drain(10.0)
    assert persistence.ends() and not persistence.closes and persistence.check_drain(9.0, True) == 10.0
    assert expired(lambda: persistence.check_drain(10.0, True)).aborts
