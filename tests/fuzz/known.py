"""Findings that are not mended yet: rules that the harness does not assert until they are.

Each has a test in `test_known.py` that shows it, and that fails as soon as it is mended: then take its name off here.
"""

from __future__ import annotations

EVENTS_AFTER_THE_END = "events-after-the-end"

OPEN = frozenset({EVENTS_AFTER_THE_END})
