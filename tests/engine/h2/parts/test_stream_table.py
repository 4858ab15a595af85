"""parts/stream_table.py alone. The oracle is a set of the identifiers that were used (RFC 9113 §5.1.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h2.parts.stream_table import StreamTable
from headrace.engine.h2.states import CLOSED, CLOSED_BY_US, OPEN
from headrace.engine.h2.stream import Stream

from tests.properties.profile import tries


@given(steps=st.lists(st.integers(1, 12), max_size=40), is_server=st.booleans())
@tries(300)
def test_idle_is_what_nobody_has_used_or_passed_over(steps: list[int], is_server: bool) -> None:
    table = StreamTable(is_server)
    used: set[int] = set()
    own: list[int] = []
    highest = -1 if is_server else 0  # of the peer: a client's are odd
    for step in steps:
        if step == 1:
            own.append(table.own_id())
        else:
            highest += 2 * step
            table.use(highest)
            used.add(highest)
    assert own == [(2 if is_server else 1) + 2 * each for each in range(len(own))]
    for stream_id in range(1, 1_000):
        if stream_id % 2 == (0 if is_server else 1):
            assert table.is_idle(stream_id) == (stream_id not in own)
        else:
            assert table.is_idle(stream_id) == (stream_id > max(used, default=0))
            assert table.was_skipped(stream_id) == (stream_id < max(used, default=0) and stream_id not in used)


def test_gaps_are_bounded() -> None:
    table = StreamTable(True)
    for each in range(100):
        table.use(5 + 4 * each)
    assert table.was_skipped(3) and table.was_skipped(5 + 4 * 60 + 2)
    assert not table.was_skipped(5 + 4 * 90 + 2), "beyond 64 gaps it counts as a stream that has ended"


@pytest.mark.parametrize(("state", "answered"), [(CLOSED, 1), (CLOSED_BY_US, 0)])
def test_answers_are_counted_by_how_streams_end(state: int, answered: int) -> None:
    table = StreamTable(True)
    stream = Stream(1, b"", OPEN)
    stream.fields_size = 77
    table.add(stream)
    assert (table.opened, table.fields_size, table.answered()) == (1, 77, 0)
    table.remove(stream, state)
    assert (table.opened, table.fields_size, table.answered(), table.open) == (1, 0, answered, {})


def test_an_answer_can_be_counted_by_hand() -> None:
    table = StreamTable(True)
    for stream_id in (1, 3):
        table.add(Stream(stream_id, b"", OPEN))
    table.remove(table.open[1], CLOSED_BY_US)
    table.count_answer(True)  # an early answer: whole, and then reset
    assert table.answered() == 1
    table.remove(table.open[3], CLOSED)
    table.count_answer(False)  # no handler's work
    assert table.answered() == 1
