"""How far a connection has come; for people, and for its owner."""

from __future__ import annotations

from typing import Final

PREFACE: Final = 0  # waiting for the client's 24 bytes
SETTINGS: Final = 1  # waiting for the peer's first SETTINGS
OPEN: Final = 2
DRAINING: Final = 3
ENDED: Final = 4


def phase(awaits_preface: bool, has_settings: bool, is_draining: bool, is_closed: bool) -> int:
    """Return the phase that follows from what has come and what was begun."""
    if is_closed:
        return ENDED
    if is_draining:
        return DRAINING
    if has_settings:
        return OPEN
    return PREFACE if awaits_preface else SETTINGS
