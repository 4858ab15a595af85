"""Log lines: one record is one line on stderr, whatever is in it, and levels hold."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from headrace.server.telemetry.logs import ACCESS_LOGGER, LineFormatter, configure_logging
from headrace.transport.log import printable

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


FORGED = "2026-11-30T00:00:00.000Z info headrace: stopped"
BREAKS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
MARKS = ["\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\x08\x08", "\x7f", "\x00", "\u202e", "\ud83d"]


@pytest.mark.parametrize("evil", [*BREAKS, *MARKS])
@pytest.mark.parametrize("where", ["message", "exception", "cause", "note", "stack", "cached", "id"])
def test_nobody_s_text_can_forge_a_line(evil: str, where: str) -> None:
    """What an exception says is often what a client sent. A record begins at the left edge, and nothing else does."""
    text = f"before{evil}{FORGED}"
    record = logging.makeLogRecord({"msg": "it failed", "levelname": "ERROR", "name": "headrace.error"})
    cause = ValueError(text if where == "cause" else "")
    error = LookupError(text if where == "exception" else "")
    if where == "note":
        error.add_note(text)
    error.__cause__ = cause
    record.exc_info = (LookupError, error, None)
    if where == "message":
        record.msg = text
    elif where == "stack":
        record.stack_info = f"Stack:\n{text}"
    elif where == "cached":  # another handler's formatter leaves its text in the record
        record.exc_text = f"Traceback:\n{text}"
    elif where == "id":
        record.request_id = text
    lines = LineFormatter().format(record).split("\n")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z error headrace\.error: ", lines[0])
    assert len(lines) > 2
    assert all(line.startswith("    ") for line in lines[1:])
    assert all(line.isprintable() for line in lines)
    if where != "cached":
        assert any(FORGED in line for line in lines)  # it is told all the same


def test_a_record_is_left_as_it_was_for_other_handlers() -> None:
    error = LookupError("a\nb")
    record = logging.makeLogRecord({"msg": "%s\n", "args": (1,), "name": "headrace.error"})
    record.exc_info = (LookupError, error, None)
    LineFormatter().format(record)
    assert (record.msg, record.args, record.exc_info) == ("%s\n", (1,), (LookupError, error, None))


@pytest.mark.parametrize("text", ["plain", "café", "日本", 'a "quote" and a \\', ""])
def test_what_can_be_printed_stays(text: str) -> None:
    assert printable(text) == text


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
