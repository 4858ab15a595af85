"""What is released is what pyproject.toml says: the workflows, the source archive and the wheels' try agree with it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import headrace

from tests.conftest import ROOT, engine_is_compiled
from tools.check_release import faults
from tools.wheels.__main__ import table, versions
from tools.wheels.build_one import MOST_UNPACKED, unpacked_size

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}


def jobs(workflow: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOWS[workflow].read_text("utf-8"))["jobs"]
    return found


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job["steps"]
    return found


# -- versions of Python


def test_the_lowest_classifier_is_what_is_required() -> None:
    assert PYPROJECT["project"]["requires-python"] == f">={versions()[0]}"


def test_wheels_are_built_for_the_pythons_of_the_classifiers() -> None:
    assert PYPROJECT["tool"]["cibuildwheel"]["build"] == [f"cp{each.replace('.', '')}-*" for each in versions()]


def test_the_workflow_tests_each_python_that_wheels_are_built_for() -> None:
    assert jobs("tests")["linux"]["strategy"]["matrix"]["python"] == versions()


# -- workflows


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_by_commit_with_their_version(name: str) -> None:
    uses = re.findall(r"uses: *(.*)", WORKFLOWS[name].read_text("utf-8"))
    assert uses
    for each in uses:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_job_has_the_permissions_that_it_needs(name: str) -> None:
    """Only `publish` may sign and upload, and it runs no code of this repository."""
    text = WORKFLOWS[name].read_text("utf-8")
    assert yaml.safe_load(text)["permissions"] == {}
    for job, content in jobs(name).items():
        if job == "publish":
            assert content["permissions"] == {"id-token": "write", "attestations": "write"}
            assert not any("run" in step or "checkout" in step["uses"] for step in steps(content))
        else:
            assert content["permissions"] == {"contents": "read"}
    assert "secrets." not in text


def test_all_that_is_built_is_tried_before_it_is_published() -> None:
    release = jobs("release")
    publish = release.pop("publish")
    assert set(publish["needs"]) == set(release)
    for job, content in release.items():
        text = str(content)
        assert "smoke.py" in text or "cibuildwheel" in text, f"{job} tries nothing"
    assert "smoke.py compiled" in PYPROJECT["tool"]["cibuildwheel"]["test-command"]


# -- tools


def smoke(engine: str) -> subprocess.CompletedProcess[str]:
    """Run the smoke test on this headrace, which must have this `engine`: `compiled` or `pure`."""
    site = Path(headrace.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-P", ROOT / "tools/wheels/smoke.py", engine],
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
    )


def test_an_installed_headrace_passes_the_smoke_test() -> None:
    done = smoke("compiled" if engine_is_compiled() else "pure")
    assert done.returncode == 0, done.stderr
    for each in ("https with HTTP/2", "http with HTTP/2", "https with HTTP/1.1", "http with HTTP/1.1"):
        assert done.stdout.count(each) == 2, done.stdout  # on asyncio and on uvloop


def test_the_smoke_test_fails_on_the_other_engine() -> None:
    done = smoke("pure" if engine_is_compiled() else "compiled")
    assert done.returncode != 0
    assert "AssertionError" in done.stderr


def test_a_wheel_that_has_outgrown_the_limit_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "large.whl"
    for size in (MOST_UNPACKED, MOST_UNPACKED + 1):
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("headrace/a.py", bytes(size - 10))
            archive.writestr("headrace/b.py", bytes(10))
        if size == MOST_UNPACKED:
            assert unpacked_size(wheel) == size
    with pytest.raises(SystemExit, match="5,000,001 bytes unpacked; at most 5,000,000"):
        unpacked_size(wheel)


@pytest.mark.parametrize(
    ("tag", "changelog", "said"),
    [
        ("v1.2.0", "## Unreleased\n\n## 1.2.0 - 2026-12-01\n\n- new", []),
        ("v1.2.0", "## 1.2.0 - 2026-12-01\n\n- new", []),
        ("1.2.0", "## 1.2.0 - 2026-12-01\n", ["the tag must be v1.2.0"]),
        ("v1.2.0", "## Unreleased\n\n- new", ["has no section '1.2.0 ", "under 'Unreleased'"]),
        ("v1.2.0", "## 1.2.0\n", ["has no section '1.2.0 "]),
        ("v1.2.0", "## 1x2.0 - 2026-12-01\n", ["has no section '1.2.0 "]),
    ],
)
def test_a_release_names_one_version_everywhere(tag: str, changelog: str, said: list[str]) -> None:
    found = faults(tag, "1.2.0", changelog)
    assert len(found) == len(said)
    for fault, part in zip(found, said, strict=True):
        assert part in fault


def test_the_table_says_what_was_made_and_what_was_not() -> None:
    about = {
        "wheel": "headrace-1-cp313-cp313-manylinux_2_17_x86_64.whl",
        "size": 1_234_567,
        "unpacked": 2_345_678,
        "python": "3.13.0",
        "libc": "glibc 2.36",
        "tried": "asyncio (4)",
    }
    said = table({"3.13": about, "3.12": {"failed": "long\nthe last line"}}).splitlines()
    assert said[2] == (
        "| 3.13 | headrace-1-cp313-cp313-manylinux_2_17_x86_64.whl | 1,234,567 | 2,345,678 "
        "| 3.13.0, glibc 2.36: asyncio (4) |"
    )
    assert said[3] == "| 3.12 | none: the last line | | | |"
