"""TARGET: what it finds, and the sentence and exit code for each way in which it cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.errors import EXIT_APPLICATION, EXIT_USAGE, CommandError
from headrace.cli.target import load_target

MODULES = {
    "good_app.py": "async def app(request): ...\nclass box:\n    async def app(request): ...\nnumber = 3\n"
    "def make(): return app\ndef make_nothing(): return None\ndef break_down(): raise RuntimeError('no database')\n",
    "raises_app.py": "\n\nraise ValueError('first line\\nsecond line')\n",
    "syntax_app.py": "x = 1\ndef broken(:\n",
    "imports_app.py": "\nimport a_module_that_is_not_there\n",
    "exits_app.py": "import sys\nsys.exit(5)\n",
    "deep_app.py": "import raises_app\n",
}


@pytest.fixture
def app_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in MODULES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name.removesuffix(".py"), None)


@pytest.mark.parametrize("target", ["good_app:app", "good_app:box.app"])
def test_the_attribute_is_found(app_dir: Path, target: str) -> None:
    assert getattr(load_target(target, app_dir), "__name__", "") == "app"


def test_a_factory_is_called(app_dir: Path) -> None:
    assert load_target("good_app:make", app_dir, factory=True) is load_target("good_app:app", app_dir)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("good_app", "TARGET is 'good_app'; it must be module:attribute, such as good_app:app"),
        ("good_app:", "TARGET is 'good_app:'; it must be module:attribute, such as good_app:app"),
        (":app", "TARGET is ':app'; it must be module:attribute, such as module:app"),
        ("good_app.py:app", "TARGET is 'good_app.py:app', a path; name the module instead, such as good_app:app"),
        ("./web/main.py", "TARGET is './web/main.py', a path; name the module instead, such as web.main:app"),
        ("good-app:app", "TARGET is 'good-app:app'; module and attribute must be names, such as package.module:app"),
    ],
)
def test_a_malformed_target_is_a_usage_error(app_dir: Path, target: str, sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        load_target(target, app_dir)
    assert (str(caught.value), caught.value.exit_code) == (sentence, EXIT_USAGE)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("absent_app:app", "absent_app: there is no module 'absent_app' in DIR or among the installed packages"),
        ("absent.sub:app", "absent.sub: there is no module 'absent' in DIR or among the installed packages"),
        ("good_app:ap", "good_app:ap: module 'good_app' (DIR/good_app.py) has no attribute 'ap'; did you mean 'app'?"),
        ("good_app:box.x", "good_app:box.x: 'box' has no attribute 'x'"),
        ("good_app:number", "good_app:number: this is not an application: an int cannot be called"),
        ("raises_app:app", "raises_app: importing it raised ValueError: first line (DIR/raises_app.py:3)"),
        ("deep_app:app", "deep_app: importing it raised ValueError: first line (DIR/raises_app.py:3)"),
        ("syntax_app:app", "syntax_app: importing it raised SyntaxError: invalid syntax (DIR/syntax_app.py:2)"),
        (
            "imports_app:app",
            "imports_app: importing it raised ModuleNotFoundError: No module named 'a_module_that_is_not_there' "
            "(DIR/imports_app.py:2)",
        ),
        ("exits_app:app", "exits_app: importing it raised SystemExit: 5 (DIR/exits_app.py:2)"),
    ],
)
def test_an_application_that_cannot_be_had_is_one_sentence(app_dir: Path, target: str, sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        load_target(target, app_dir)
    assert str(caught.value).replace(str(app_dir), "DIR") == sentence
    assert caught.value.exit_code == EXIT_APPLICATION


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (
            "good_app:break_down",
            "good_app:break_down: the factory raised RuntimeError: no database (DIR/good_app.py:7)",
        ),
        ("good_app:make_nothing", "good_app:make_nothing: the factory returned None, which cannot be called"),
    ],
)
def test_a_factory_that_fails_is_one_sentence(app_dir: Path, target: str, sentence: str) -> None:
    with pytest.raises(CommandError) as caught:
        load_target(target, app_dir, factory=True)
    assert str(caught.value).replace(str(app_dir), "DIR") == sentence
    assert caught.value.exit_code == EXIT_APPLICATION


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as caught:
        load_target("good_app:app", tmp_path / "nowhere")
    assert str(caught.value) == f"--app-dir: there is no directory {tmp_path / 'nowhere'}"
    assert caught.value.exit_code == EXIT_USAGE
