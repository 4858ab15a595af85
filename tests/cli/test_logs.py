"""Log lines: one record is one line on stderr, whatever is in it, and levels hold."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from headrace.server.logs import ACCESS_LOGGER, configure_logging

LOGGERS = ("headrace", ACCESS_LOGGER)


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    before = [(logging.getLogger(name), logging.getLogger(name).level) for name in LOGGERS]
    yield
    for logger, level in before:
        logger.handlers.clear()
        logger.setLevel(level)
        logger.propagate = True


def test_a_record_is_one_line_with_a_date_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logging.getLogger("headrace.server").info("one\nheadrace: %s", "two\r\n")
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info headrace\.server: one\\nheadrace: two\\r\\n", line
    )


def test_a_second_configuration_replaces_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug")
    configure_logging("warning")
    logging.getLogger("headrace").info("quiet")
    logging.getLogger("headrace").warning("loud")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("warning headrace: loud")


def test_access_lines_come_as_they_are_at_any_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("critical")
    logging.getLogger(ACCESS_LOGGER).info("a line")
    assert capsys.readouterr().err == "a line\n"
