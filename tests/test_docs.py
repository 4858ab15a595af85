"""What the documents say about settings and files is true, name by name."""

from __future__ import annotations

import ast
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from headrace.asgi.types import DEBUG_EXTENSION, EXTENSIONS
from headrace.engine.h2.parts.allowance import Allowance
from headrace.engine.limits import Limits
from headrace.server.settings.config import Config, server_limits
from headrace.server.settings.table import SETTINGS, Setting

from tests.conftest import ROOT, engine_is_compiled

REFERENCE = ROOT / "docs/reference/settings.md"
RESOURCE_MODEL = (ROOT / "SECURITY.md").read_text("utf-8")
PAGES = [*ROOT.glob("*.md"), *(page for each in ("docs", "src", "tests") for page in (ROOT / each).rglob("*.md"))]


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


def test_the_name_of_a_budget_in_the_log_leads_to_its_settings() -> None:
    allowance = Allowance(Limits(), 0.0)
    for budget, setting in (
        (allowance._early, "early_reset"),
        (allowance._provoked, "provoked_reset"),
        (allowance._odd, "odd_frame"),
    ):
        assert f"| `{setting}_burst`, `{setting}_rate` | `{budget.name}` |" in RESOURCE_MODEL


# -- SECURITY.md: whoever says that something is bounded says which test fails without it


def security_claims(page: str) -> dict[str, str]:
    """Return each numbered promise and each row of a table, by its beginning, with the text that has to name a test."""
    claims = {}
    promises = page.partition("\n## What headrace promises\n")[2].partition("\n## ")[0]
    for number, text in re.findall(r"(?ms)^(\d+)\. (.*?)(?=^\d+\. |\n\n|\Z)", promises):
        claims[f"promise {number}"] = text
    lines = page.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("|") and not line.startswith("|---") and not following.startswith("|---"):
            cells = line.split(" | ")
            claims[f"{cells[0]} | {cells[1]}"] = cells[-1]
    return claims


def claims_without_a_test(page: str, tests: set[str]) -> list[str]:
    """Return which claims name no test, and which tests that the page names are not there."""
    unproven = [name for name, text in security_claims(page).items() if not re.search(r"`test_\w+`", text)]
    return unproven + [name for name in re.findall(r"`(test_\w+)`", page) if name not in tests]


def all_tests() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
    return found


def test_each_promise_and_limit_names_a_test_that_exists() -> None:
    claims = security_claims(RESOURCE_MODEL)
    assert sum(name.startswith("promise ") for name in claims) >= 14 and len(claims) >= 90
    assert claims_without_a_test(RESOURCE_MODEL, all_tests()) == []


def test_a_claim_without_a_test_is_found() -> None:
    """The control: a promise and a row without a name, and a name of nothing, beside each one that is well."""
    page = (
        "# Security\n\n## What headrace promises\n\n1. **One** (`test_here`).\n2. **Two**, which goes\n   on.\n\n"
        "Beside that.\n\n## The resource model\n\n| limit | default | shown by |\n|---|---|---|\n"
        "| `max_a` | 1 | `test_here` |\n| `max_b` | `test_here` | |\n| `max_c` | 3 | `test_gone` |\n"
    )
    assert claims_without_a_test(page, {"test_here"}) == ["promise 2", "| `max_b` | `test_here`", "test_gone"]


def test_the_page_about_asgi_names_each_extension() -> None:
    rows = re.findall(r"^\| `([a-z._]+)` \|", (ROOT / "docs/reference/asgi.md").read_text("utf-8"), re.MULTILINE)
    assert set(rows) == {*EXTENSIONS, *DEBUG_EXTENSION, "websocket.http.response", "tls"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_points_only_at_what_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
