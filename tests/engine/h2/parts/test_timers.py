"""parts/timers.py alone: each wait begins, ends, and is found to be over at its own time."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine.causes import CONNECTION_LOST
from headrace.engine.errors import ConnectionFault
from headrace.engine.h2.parts.timers import Timers
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER


def test_the_handshake_has_its_time() -> None:
    timers = Timers(Limits(preface_timeout_s=10, settings_ack_timeout_s=60), 5.0)
    assert timers.first_due() == 15.0 == timers.check_handshake(14.9)
    with pytest.raises(ConnectionFault) as caught:
        timers.check_handshake(15.0)
    assert (caught.value.code, caught.value.budget) == (errors.PROTOCOL_ERROR, "preface_timeout_s")


def test_settings_are_acknowledged_in_time() -> None:
    timers = Timers(Limits(settings_ack_timeout_s=60), 5.0)
    assert timers.awaits_settings() and timers.check_settings(64.9) == 65.0
    with pytest.raises(ConnectionFault) as caught:
        timers.check_settings(65.0)
    assert caught.value.code == errors.SETTINGS_TIMEOUT
    timers.settings_acknowledged()
    assert not timers.awaits_settings() and timers.check_settings(1e9) == NEVER
    assert timers.send_settings(100.0) == 160.0 == timers.check_settings(100.0)


def test_idle_time_is_dated_once() -> None:
    timers = Timers(Limits(idle_timeout_s=75), 5.0)
    assert timers.idle_due() == 80.0
    timers.begin_idle(-1.0)
    timers.date(20.0)
    timers.date(30.0)
    assert timers.idle_due() == 95.0


def test_a_peer_that_is_silent_gets_a_ping_and_then_an_end() -> None:
    timers = Timers(Limits(keepalive_ping_s=10, keepalive_ack_s=20), 0.0)
    assert timers.first_due() == 10.0 == timers.ping_check_due()
    assert not timers.wants_ping(9.9)
    timers.hear(9.9)
    assert not timers.wants_ping(10.0)
    assert timers.wants_ping(19.9) and timers.awaits_ping()
    assert not timers.wants_ping(30.0), "one at a time"
    assert timers.ping_check_due() == 39.9
    timers.check_ping(39.8)
    with pytest.raises(ConnectionFault) as caught:
        timers.check_ping(39.9)
    assert (caught.value.code, caught.value.cause) == (errors.NO_ERROR, CONNECTION_LOST)
    assert timers.ping_acknowledged(35.0) == 45.0
    timers.check_ping(1e9)


def test_without_keepalive_nothing_is_asked() -> None:
    timers = Timers(Limits(keepalive_ping_s=0), 0.0)
    assert not timers.wants_ping(1e9) and timers.ping_check_due() == NEVER
