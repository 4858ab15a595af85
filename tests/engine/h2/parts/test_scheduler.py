"""parts/scheduler.py alone: the order of RFC 9218 §10."""

from __future__ import annotations

from headrace.engine.h2.parts.scheduler import Scheduler
from headrace.engine.h2.states import OPEN
from headrace.engine.h2.stream import Stream


def stream(stream_id: int, urgency: int = 3, incremental: bool = True) -> Stream:
    made = Stream(stream_id, b"", OPEN)
    made.urgency, made.incremental = urgency, incremental
    return made


def turns(scheduler: Scheduler, count: int) -> list[int]:
    found = [scheduler.next() for _ in range(count)]
    return [each.stream_id for each in found if each is not None]


def test_urgent_streams_go_first() -> None:
    scheduler = Scheduler()
    for each in (stream(1, 5), stream(3, 0), stream(5, 7)):
        scheduler.add(each)
    assert turns(scheduler, 3) == [3, 3, 3]


def test_incremental_streams_take_turns_and_others_go_by_number() -> None:
    scheduler = Scheduler()
    for each in (stream(1), stream(3)):
        scheduler.add(each)
    assert turns(scheduler, 4) == [1, 3, 1, 3]
    ordered = Scheduler()
    for each in (stream(7, incremental=False), stream(5, incremental=False)):
        ordered.add(each)
    assert turns(ordered, 3) == [5, 5, 5]


def test_neither_kind_starves_the_other() -> None:
    scheduler = Scheduler()
    for each in (stream(1, incremental=False), stream(3), stream(5)):
        scheduler.add(each)
    assert turns(scheduler, 6) == [3, 1, 5, 1, 3, 1]


def test_a_stream_is_in_once_and_moves_with_its_priority() -> None:
    scheduler, one = Scheduler(), stream(1)
    scheduler.add(one)
    scheduler.add(one)
    assert scheduler.count == 1
    scheduler.change(one, 0, False)
    assert scheduler.count == 1 and scheduler.next() is one
    scheduler.remove(one)
    scheduler.remove(one)
    assert scheduler.count == 0 and scheduler.next() is None
    scheduler.change(one, 7, True)
    assert not one.scheduled and one.urgency == 7
