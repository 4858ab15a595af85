"""The page of memories names tests and places that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/explanation/memories.md").read_text("utf-8")
ALL_TESTS = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
ALL_SOURCES = "\n".join(path.read_text("utf-8") for path in (ROOT / "src/headrace").rglob("*.py"))


def test_the_tests_that_prove_a_memory_exist() -> None:
    files = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    named = set(re.findall(r"`(test_\w+(?:\.py)?)`", PAGE))
    assert len(named) > 30
    assert [name for name in sorted(named) if name not in files and f"def {name}(" not in ALL_TESTS] == []


def test_the_places_of_memories_exist() -> None:
    places = set(re.findall(r"`((?:engine|client|transport|wsgi|transports)/[\w/]+\.py)`", PAGE))
    assert len(places) > 10
    src = ROOT / "src/headrace"
    assert [
        place for place in sorted(places) if not (src / place).exists() and not (src / "client" / place).exists()
    ] == []
    names = {name.rpartition(".")[2] for name in re.findall(r"`([A-Z]\w+\.\w+)`", PAGE)}
    assert [name for name in sorted(names) if name not in ALL_SOURCES] == []
