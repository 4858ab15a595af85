"""What servers may say in their logs under this load: each line from `warning` up needs a row here, with its reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?P<level>[a-z]+) (?P<logger>[\w.]+): (?P<text>.*)")
QUIET = ("debug", "info")


class Row(NamedTuple):
    """A pattern for the text of a line, the reason for it, and the operations that cause one such line at most."""

    pattern: str
    reason: str
    operations: tuple[str, ...]


EXPECTED = (
    Row(r"Wanted: asked for by \w+$", "the application fails because it is told to", ("polite.crash",)),
    Row(r"Wanted: asked for late by \w+$", "the same, after its answer has begun", ("polite.crash_late",)),
    Row(
        r"a request line beyond 8,192 bytes \(limit request_line,",
        "one of its requests has such a line",
        ("rude_h1.malformed",),
    ),
    Row(
        r"a field section beyond the limits \(limit max_field_section_size,",
        "one of its requests has such a field",
        ("rude_h1.malformed",),
    ),
    Row(
        r"GET /crash-late from .* the response broke off: ",
        "the proxy's upstream fails after its answer has begun",
        ("polite.crash_late",),
    ),
    Row(
        r"the client took no byte of our output \(limit stalled_send_timeout_s\)",
        "they never read",
        ("rude_h1.no_reader", "rude_h2.no_reader"),
    ),
)


def unexpected(lines: Iterable[str], seen: Counter[Row]) -> list[str]:
    """Return the lines that no row explains, with the tracebacks below them. Count in `seen` which rows were used."""
    found = []
    explained = True
    for line in lines:
        if line[:1] in (" ", "\t", ""):
            if not explained:
                found.append(line)
            continue
        record = RECORD.fullmatch(line)
        if record is not None and record["level"] in QUIET:
            explained = True
            continue
        row = (
            None
            if record is None
            else next((each for each in EXPECTED if re.search(each.pattern, record["text"])), None)
        )
        explained = row is not None
        if row is None:
            found.append(line)
        else:
            seen[row] += 1
    return found
