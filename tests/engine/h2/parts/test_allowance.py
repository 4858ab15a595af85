"""parts/allowance.py alone: work pays for frames, and time for the rest."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault
from headrace.engine.h2.parts.allowance import MOST_FREE_FRAMES, Allowance
from headrace.engine.limits import Limits


def poor(**limits: float) -> Allowance:
    """An allowance whose budgets are empty, so that only paid frames pass."""
    burst = {"odd_frame_burst": 0, "early_reset_burst": 0, "provoked_reset_burst": 0}
    rate = {"odd_frame_rate": 0, "early_reset_rate": 0, "provoked_reset_rate": 0}
    allowance = Allowance(Limits(**{**burst, **rate, **limits}), 0.0)  # type: ignore[arg-type]
    allowance.spend(100, 0.0)  # that each connection has to begin with
    return allowance


def refused(caught: pytest.ExceptionInfo[ConnectionFault]) -> str:
    assert caught.value.code == errors.ENHANCE_YOUR_CALM
    return caught.value.budget


def test_frames_are_free_as_far_as_work_has_paid() -> None:
    allowance = poor()
    allowance.pay(3)
    allowance.spend(2, 0.0)
    with pytest.raises(ConnectionFault) as caught:
        allowance.spend(2, 0.0)
    assert refused(caught) == "odd_frames"
    allowance.spend(1, 0.0)


def test_data_pays_for_the_updates_that_it_brings_back() -> None:
    allowance = poor()
    allowance.pay_for_data(1_000)
    for _ in range(4 + 1_000 // 256):
        allowance.spend_update(65_535, 0, True, 0.0)
    with pytest.raises(ConnectionFault):
        allowance.spend_update(65_535, 0, True, 0.0)


def test_crumbs_are_free_between_larger_pieces_only() -> None:
    allowance = poor()
    allowance.pay(1_000)
    with pytest.raises(ConnectionFault):
        allowance.spend_update(1, 0, True, 0.0)
    allowance.spend_update(1, 0, False, 0.0)  # nothing waits for it
    allowance.spend_update(1, 256, True, 0.0)  # the window is open
    allowance.spend_update(512, 0, True, 0.0)
    for _ in range(2):
        allowance.spend_update(1, 0, True, 0.0)
    with pytest.raises(ConnectionFault):
        allowance.spend_update(1, 0, True, 0.0)


def test_paid_frames_are_not_saved_up_for_a_flood() -> None:
    allowance = poor()
    allowance.pay(10 * MOST_FREE_FRAMES)
    allowance.spend(1, 0.0)
    assert allowance.free_frames == MOST_FREE_FRAMES - 1
    allowance.pay(10 * MOST_FREE_FRAMES)
    allowance.spend_update(65_535, 0, True, 0.0)
    assert allowance.free_frames == MOST_FREE_FRAMES


def test_odd_frames_come_back_with_time() -> None:
    allowance = poor(odd_frame_burst=2, odd_frame_rate=1)
    allowance.spend_odd(2, 0.0)
    allowance.spend_odd(1, 1.0)
    with pytest.raises(ConnectionFault) as caught:
        allowance.spend_odd(1, 1.5)
    assert refused(caught) == "odd_frames"


def test_resets_of_requests_that_held_their_place_are_free() -> None:
    allowance = poor()
    allowance.spend_early(0.0, 0, 0.010)
    with pytest.raises(ConnectionFault) as caught:
        allowance.spend_early(0.0, 0, 0.009)
    assert refused(caught) == "early_resets"


def test_answers_earn_resets() -> None:
    allowance = poor(early_reset_burst=10, provoked_reset_burst=10)
    for _ in range(10 + 2 * 5):
        allowance.spend_early(0.0, 5, 0.0)
    with pytest.raises(ConnectionFault):
        allowance.spend_early(0.0, 5, 0.0)
    for _ in range(10):
        allowance.spend_provoked(10, 0.0)
    allowance.spend_provoked(10, 0.0)
    with pytest.raises(ConnectionFault) as caught:
        allowance.spend_provoked(10, 0.0)
    assert refused(caught) == "provoked_resets"
