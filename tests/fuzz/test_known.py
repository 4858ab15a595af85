"""Findings that are not mended yet: each of these tests fails as soon as its finding is.

Then mend the rest of the kind, take the finding off `known.OPEN`, and turn the test into one of the engine's own.
"""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.h2 import ServerConnection

from tests.fuzz import known
from tests.support import wire


def drained_but_for_one() -> ServerConnection:
    """A connection whose client has said GOAWAY, and which ends with its only stream."""
    conn = ServerConnection(now=0.0)
    conn.receive_data(wire.client_preface() + wire.request(1, end_stream=False) + wire.goaway(), 0.0)
    assert known.EVENTS_AFTER_THE_END in known.OPEN
    return conn


@pytest.mark.xfail(strict=True, reason=known.EVENTS_AFTER_THE_END)
def test_a_fault_on_the_last_stream() -> None:
    """ConnectionEnded is the last event (events.py); the last stream's StreamReset comes after it."""
    events = drained_but_for_one().receive_data(wire.window_update(1, 0), 0.0)
    assert [event.kind for event in events] == [ev.FAULT, ev.RESET, ev.ENDED]


@pytest.mark.xfail(strict=True, reason=known.EVENTS_AFTER_THE_END)
def test_a_refusal_of_the_last_stream() -> None:
    """The same for `refuse_stream`."""
    conn = drained_but_for_one()
    conn.refuse_stream(1)
    assert [event.kind for event in conn.take_events()] == [ev.REFUSED, ev.ENDED]


@pytest.mark.xfail(strict=True, reason=known.EVENTS_AFTER_THE_END)
def test_a_deadline_of_the_last_stream() -> None:
    """The same for a request whose content comes too slowly."""
    conn = drained_but_for_one()
    events = []
    while not conn.closed:
        events += conn.handle_deadline(conn.deadline)
    assert [event.kind for event in events] == [ev.RESET, ev.ENDED]
