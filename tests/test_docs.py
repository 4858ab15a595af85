"""What the documents say about settings and files is true, name by name."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from headrace.engine.limits import Limits
from headrace.server.config import Config, server_limits
from headrace.server.settings import SETTINGS, Setting

from tests.conftest import ROOT, engine_is_compiled

REFERENCE = ROOT / "docs/reference/settings.md"
RESOURCE_MODEL = (ROOT / "SECURITY.md").read_text("utf-8")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def default_of(setting: Setting) -> object:
    found = {each.name: each for each in (*fields(Limits), *fields(Config))}[setting.name]
    if found.default is not MISSING:
        return found.default
    assert found.default_factory is not MISSING
    return found.default_factory()


def row_of(setting: Setting) -> str:
    """The line of docs/reference/settings.md about one setting."""
    # A server's connections take turns; the engine alone has no limit there.
    default = in_words(default_of(setting))
    if setting.name == "frames_per_turn":
        default = "100; 40 where the engine is pure"
        assert str(server_limits().frames_per_turn) == ("100" if engine_is_compiled() else "40")
    choices = f" One of {', '.join(setting.choices)}." if setting.choices else ""
    flag = "" if setting.secret else f"`{setting.flag}`"
    return f"| `{setting.name}` | {flag} | {default} | {setting.help}{choices} |"


def in_words(default: object) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, int):
        return f"{default:,}"
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, tuple):
        return ", ".join(default) or "none"
    return str(default) if default is not None else "none"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_is_documented_with_its_default(setting: Setting) -> None:
    assert row_of(setting) in REFERENCE.read_text("utf-8").splitlines()


@pytest.mark.parametrize("limit", [each for each in SETTINGS if each.limit], ids=lambda setting: setting.name)
def test_a_limit_is_in_the_resource_model(limit: Setting) -> None:
    assert f"`{limit.name}`" in RESOURCE_MODEL


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_points_only_at_what_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_map_of_the_code_names_files_and_functions_that_exist() -> None:
    rows = [line for line in (ROOT / "ARCHITECTURE.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    missing = []
    for row in rows:
        cells = row.split("|")
        named = re.findall(r"`([\w./-]+\.py|tests/[\w/]+)`", row)
        sources = [name for name in named if name.endswith(".py")]
        for name in named:
            if not any(
                (base / name).exists() for base in (ROOT, ROOT / "src/headrace", ROOT / "src/headrace/engine/h2")
            ):
                missing.append(name)
        code = "".join(text for name in sources for text in [source(name)] if text)
        for function in re.findall(r"`(?:[A-Z]\w+\.)?(_?[a-z]\w*)`", cells[2] if len(cells) > 3 else ""):
            if code and f"def {function}(" not in code:
                missing.append(f"{function} in {sources}")
    assert missing == []


def source(name: str) -> str:
    for base in (ROOT / "src/headrace", ROOT / "src/headrace/engine/h2"):
        if (base / name).exists():
            return (base / name).read_text("utf-8")
    return ""
