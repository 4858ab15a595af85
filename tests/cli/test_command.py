"""The command as a process: exit codes, one sentence for each error, and what it prints."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from pathlib import Path

import pytest

from tests.cli.command import SOURCE, run

GOOD_APP = "async def app(request): ...\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good_app.py").write_text(GOOD_APP)
    (tmp_path / "raises_app.py").write_text("raise ValueError('no database')\n")
    return tmp_path


def test_version_says_whether_the_engine_is_compiled(folder: Path) -> None:
    done = run("--version", cwd=folder)
    assert done.returncode == 0
    first, second, third = done.stdout.splitlines()
    assert first.startswith("headrace ")
    assert second.startswith(("engine: compiled (mypyc)", "engine: pure Python"))
    assert "Python 3." in third


def test_help_names_every_flag_once_and_groups_the_limits(folder: Path) -> None:
    done = run("serve", "--help", cwd=folder)
    assert done.returncode == 0
    options, limits = done.stdout.split("Limits and timeouts:")
    for flag in ("--bind", "--cleartext-bind", "--tls-cert", "--dev-tls", "--access-log / --no-access-log", "--config"):
        assert re.findall(rf"^  {flag} ", options, re.M) == [f"  {flag} "], flag
    for flag in ("--max-concurrent-streams", "--idle-timeout", "--drain-timeout"):
        assert limits.count(f"{flag} ") == 1, flag
    assert "password TEXT" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "extra", "sentence"),
    [
        ((), {}, "TARGET is missing: say what to serve, such as package.module:app"),
        (("good_app",), {}, "TARGET is 'good_app'; it must be module:attribute, such as good_app:app"),
        (("good_app:app", "--bnid", "x"), {}, "no such option '--bnid'. Did you mean '--bind'?"),
        (("good_app:app", "--bind"), {}, "option '--bind' requires an argument."),
        (("good_app:app", "more"), {}, "got unexpected extra argument (more)"),
        (("good_app:app", "--bind", "nowhere"), {}, "--bind: the address 'nowhere' is none of "),
        (("good_app:app", "--max-fields", "1"), {}, "--max-fields: max_fields is 1; it must be between 8 and 65536"),
        (
            ("good_app:app",),
            {"HEADRACE_BNID": "x"},
            "environment: HEADRACE_BNID is not a setting; did you mean HEADRACE_BIND?",
        ),
        (("good_app:app", "--config", "missing.toml"), {}, "missing.toml: no such file or directory"),
        (("good_app:app", "--tls-cert", "missing.pem"), {}, "missing.pem: no such file or directory"),
        (
            ("good_app:app", "--tls-cert", "good_app.py"),
            {},
            "good_app.py: there is no certificate in PEM form in this file",
        ),
        (("good_app:app", "--app-dir", "nowhere"), {}, "--app-dir: there is no directory nowhere"),
    ],
)
def test_usage_and_configuration_end_with_2_and_one_sentence(
    folder: Path, arguments: tuple[str, ...], extra: dict[str, str], sentence: str
) -> None:
    done = run("serve", *arguments, cwd=folder, extra=extra)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.lower().replace(": ", " ").startswith(f"headrace: {sentence}".lower().replace(": ", " "))


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("absent:app", "headrace: absent: there is no module 'absent' in "),
        ("good_app:ap", "headrace: good_app:ap: module 'good_app' ("),
        ("raises_app:app", "headrace: raises_app: importing it raised ValueError: no database ("),
    ],
)
def test_an_application_that_does_not_load_ends_with_3_and_one_sentence(
    folder: Path, target: str, sentence: str
) -> None:
    done = run("serve", target, cwd=folder)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(sentence)


def test_an_address_in_use_ends_with_1_and_one_sentence(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = run("serve", "good_app:app", "--bind", address, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"headrace: cannot listen on {address}: address already in use"
    assert "Traceback" not in done.stderr


def test_a_socket_in_a_missing_folder_ends_with_1_and_one_sentence(folder: Path) -> None:
    done = run("serve", "good_app:app", "--bind", "unix:missing/a.sock", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "headrace: cannot listen on unix:missing/a.sock: no such file or directory"


def test_an_event_loop_that_is_not_installed_ends_with_2(folder: Path) -> None:
    (folder / "uvloop.py").write_text("raise ModuleNotFoundError(name='uvloop')\n")
    extra = {"PYTHONPATH": os.pathsep.join([str(folder), str(SOURCE)])}
    done = run("serve", "good_app:app", "--loop", "uvloop", "--bind", "127.0.0.1:0", cwd=folder, extra=extra)
    assert done.returncode == 2
    assert done.stderr == "headrace: --loop: uvloop is not installed here; install it, or choose asyncio\n"


def test_check_config_says_yes_without_serving(folder: Path) -> None:
    done = run("serve", "good_app:app", "--check-config", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "headrace: the configuration is valid\n")
    assert run("serve", "--check-config", cwd=folder).returncode == 0
    assert run("serve", "raises_app:app", "--check-config", cwd=folder).returncode == 3
    assert run("serve", "--check-config", "--tls-cert", "missing.pem", cwd=folder).returncode == 2


def test_print_config_prints_a_file_with_the_origin_of_each_value(folder: Path) -> None:
    (folder / "headrace.toml").write_text('root_path = "/api"\n')
    done = run(
        "serve", "--print-config", "--config", "headrace.toml", "--max-fields", "99",
        cwd=folder, extra={"HEADRACE_LOG_LEVEL": "warning"},
    )  # fmt: skip
    assert done.returncode == 0
    table = tomllib.loads(done.stdout)
    assert (table["root_path"], table["log_level"], table["limits"]["max_fields"]) == ("/api", "warning", 99)
    assert 'root_path = "/api"  # headrace.toml: root_path' in done.stdout
    assert 'log_level = "warning"  # HEADRACE_LOG_LEVEL' in done.stdout
    assert "max_fields = 99  # --max-fields" in done.stdout


def test_without_arguments_the_help_is_shown(folder: Path) -> None:
    done = run(cwd=folder)
    assert done.returncode == 2
    assert "serve" in done.stderr
