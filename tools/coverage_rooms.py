"""The gate of `make coverage` for each room of src/headrace: prints how much the tests take, and fails for too little.

A room is a folder, so that none hides behind another; the modules beside the folders are one room, too.

    python -m tools.coverage_rooms FILE PERCENT     FILE is of `coverage json`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PACKAGE: Final = "src/headrace/"
BESIDE: Final = "(beside the rooms)"


@dataclass(slots=True)
class Room:
    """Counts of one room."""

    lines: int = 0
    taken_lines: int = 0
    branches: int = 0
    taken_branches: int = 0

    @property
    def percent(self) -> float:
        """The share that is taken: of branches, or of lines and branches together, whichever is less."""
        return min(
            _percent(self.taken_branches, self.branches),
            _percent(self.taken_lines + self.taken_branches, self.lines + self.branches),
        )


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 100.0


def rooms(report: Mapping[str, Any]) -> dict[str, Room]:
    """Return the counts of each room in a report of `coverage json`, by name."""
    found: dict[str, Room] = {}
    for path, file in sorted(report["files"].items()):
        name, slash, _ = path.removeprefix(PACKAGE).partition("/")
        room = found.setdefault(name if slash else BESIDE, Room())
        counts = file["summary"]
        room.lines += counts["num_statements"]
        room.taken_lines += counts["covered_lines"]
        room.branches += counts["num_branches"]
        room.taken_branches += counts["covered_branches"]
    return found


def main(file: str, limit: str) -> int:
    """Print the table, and return 1 when a room has less than `limit` percent."""
    found = rooms(json.loads(Path(file).read_text(encoding="utf-8")))
    for name, room in found.items():
        too_little = "" if room.percent >= float(limit) else f"   below {limit} %"
        missing = f"{room.lines - room.taken_lines} lines, {room.branches - room.taken_branches} branches not taken"
        print(f"{name:20} {room.percent:6.1f} %   {missing}{too_little}")
    return int(not found or any(room.percent < float(limit) for room in found.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
