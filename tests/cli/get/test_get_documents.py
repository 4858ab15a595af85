"""The options and exit codes in docs/reference/client-commands.md exist, and all are there."""

from __future__ import annotations

import re

import click
import pytest

from headrace.cli import errors, exits, request_options
from headrace.cli.bench.command import bench
from headrace.cli.get.command import get

from tests.conftest import ROOT

PAGE = (ROOT / "docs/reference/client-commands.md").read_text("utf-8")
OPTIONS = [
    (command.name, option)
    for command in (get, bench)
    for parameter in command.params
    if isinstance(parameter, click.Option)
    for option in parameter.opts
]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_an_option_is_documented(command: str, option: str) -> None:
    text = PAGE if command == "get" else PAGE.replace("## `headrace get", "", 1)
    assert re.search(rf"`{re.escape(option)}[ `]", text), option


def test_the_exit_codes_are_all_of_them() -> None:
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.M)}
    known = {value for name, value in vars(exits).items() if name.startswith("EXIT_")}
    known |= {0, errors.EXIT_FAILED, errors.EXIT_USAGE, request_options.EXIT_UNREADABLE}
    assert documented == known
