"""What the peer may send beside its work: window updates, PINGs, resets, and frames that do nothing.

Lawful peers send some of it with their content and requests, which pay for it (`pay`). What is beyond that is odd, and
charged to a budget that refills with time (`Budget`): so a flood ends in GOAWAY(ENHANCE_YOUR_CALM), and a busy peer is
not taken for one. See docs/adr/0027.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine import errors
from headrace.engine.budget import Budget
from headrace.engine.errors import ConnectionFault
from headrace.engine.limits import Limits

if TYPE_CHECKING:
    from mypy_extensions import i64

# Small frames that may be under way on a stream that we end before its peer has: messages of a call, its own reset.
FRAMES_UNDER_WAY: Final = 256
MOST_FREE_FRAMES: Final = 10_000
_FIRST_FRAMES: Final = 100
# WINDOW_UPDATEs that a DATA frame pays for, and one more for every so many bytes: two a frame are usual; HAProxy sends
# two for each piece that it reads, and reads small ones while its own server is slow.
_UPDATES_A_FRAME: Final = 4
_BYTES_AN_UPDATE: Final = 256
_CRUMB: Final = 256  # a WINDOW_UPDATE below this is odd
_MOST_FREE_CRUMBS: Final = 100
# A reset is early, and charged, when its stream was open for less. A place that is held so long is no cheaper than one
# whose request is answered in that time; so nothing has to be believed that a client says of its reasons.
_EARLY_S: Final = 0.010
_EARLY_AN_ANSWER: Final = 2.0  # hedged calls: of three attempts at once, one is answered and two are taken back
_PROVOKED_AN_ANSWER: Final = 0.1  # through a proxy, also of those who have nothing to do with it


class Allowance:
    """Frames that are paid for, and the budgets for those that are not. Each `spend` raises ConnectionFault when the
    budget it needs is used up."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.free_frames: i64 = _FIRST_FRAMES
        self._free_crumbs: i64 = 0
        self._odd = Budget("odd_frames", limits.odd_frame_burst, limits.odd_frame_rate, now)
        self._provoked = Budget(
            "provoked_resets", limits.provoked_reset_burst, limits.provoked_reset_rate, now, _PROVOKED_AN_ANSWER
        )
        self._early = Budget("early_resets", limits.early_reset_burst, limits.early_reset_rate, now, _EARLY_AN_ANSWER)

    def pay(self, frames: i64) -> None:
        """Allow the peer so many frames more, beside work that has come or gone."""
        self.free_frames += frames

    def pay_for_data(self, size: i64) -> None:
        """Allow the window updates that a DATA frame of ours brings back."""
        self.free_frames += _UPDATES_A_FRAME + size // _BYTES_AN_UPDATE

    def spend(self, units: i64, now: float) -> None:
        """Charge frames that lawful peers send beside their work, such as PING; odd is only what nothing has paid."""
        if self.free_frames >= units:
            free = self.free_frames
            self.free_frames = (free if free < MOST_FREE_FRAMES else MOST_FREE_FRAMES) - units
        else:
            self.spend_odd(units, now)

    def spend_update(self, increment: i64, window: i64, is_waited_for: bool, now: float) -> None:
        """Charge a WINDOW_UPDATE that found the space `window`; `is_waited_for` tells whether content waits at all.

        Crumbs are odd while something waits for a window that is next to closed, but for those between larger pieces:
        HAProxy gives back credit as it reads, small for a small piece, also while more is queued.
        """
        is_crumb = is_waited_for and increment < _CRUMB and window < _CRUMB
        if self.free_frames <= 0 or (is_crumb and self._free_crumbs <= 0):
            self.spend_odd(1, now)
            return
        free = self.free_frames - 1
        self.free_frames = free if free < MOST_FREE_FRAMES else MOST_FREE_FRAMES
        if is_crumb:
            self._free_crumbs -= 1
        elif increment >= _CRUMB:
            crumbs = self._free_crumbs + increment // _CRUMB
            self._free_crumbs = crumbs if crumbs < _MOST_FREE_CRUMBS else _MOST_FREE_CRUMBS

    def spend_odd(self, units: int, now: float) -> None:
        """Charge something legal but odd (limits `odd_frame_burst` and `odd_frame_rate`)."""
        if not self._odd.spend(units, now):
            raise _calm("too many frames that do no work", self._odd)

    def spend_early(self, opened_at: float, answered: int, now: float) -> None:
        """Charge a request that its client has taken back before it was answered, unless it held its place; `answered`
        requests so far had a whole response."""
        if now - opened_at >= _EARLY_S:
            return
        self._early.earn(answered)
        if not self._early.spend(1, now):
            raise _calm("too many requests taken back", self._early)

    def spend_provoked(self, answered: int, now: float) -> None:
        """Charge a stream that a fault of the peer has made us reset."""
        self._provoked.earn(answered)
        if not self._provoked.spend(1, now):
            raise _calm("too many streams that had to be reset", self._provoked)


def _calm(reason: str, budget: Budget) -> ConnectionFault:
    return ConnectionFault(errors.ENHANCE_YOUR_CALM, reason, "RFC 9113 §10.5", budget.name)
