"""The head scanner alone: the end of a head, its limits and its line ends, however the bytes are cut."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.parse.scanner import HeadScanner

from tests.properties.profile import tries

LONG = (414, "long", "RFC 9112 §3", "line")
LARGE = (431, "large", "RFC 6585 §5", "size")
LINE, SIZE = 4, 8

inputs = st.lists(st.sampled_from([b"a", b"\r\n", b"\r\n\r\n", b"\r", b"\n"]), max_size=14).map(b"".join)


def outcome(scanner: HeadScanner, data: bytes, start: int, pieces: list[int]) -> object:
    """Where the head ends, the status and place of a fault, or None when it is not whole, fed piece by piece."""
    for stop in [*pieces, len(data)]:
        seen = data[:stop]
        try:
            end = scanner.find_end(seen, start)
            if end >= 0:
                scanner.check(seen, start, end, seen[start:end])
                scanner.keep(seen[start:end])
                return end
        except MessageFault as fault:
            return fault.status
    return None


def oracle(data: bytes, start: int, has_line: bool) -> object:
    """The same by the rules alone: of a bare CR or LF, and a byte beyond a limit, the first one counts."""
    whole = data.find(b"\r\n\r\n", start)
    stop = len(data) if whole < 0 else whole + 4
    head = data[start:stop]
    for at in range(len(head)):
        first = re.match(rb"[^\n]*\n", head[: at + 1])
        if not has_line:
            if at >= SIZE:
                return 431
        elif first is None or first.end() > LINE + 2:
            if at >= LINE + 1 and not (at == LINE + 1 and head[at : at + 1] == b"\n"):
                return 414
        elif at >= first.end() + SIZE:
            return 431
        if head[at : at + 1] == b"\n" and head[at - 1 : at] != b"\r":
            return 400
        if head[at : at + 1] == b"\r" and head[at + 1 : at + 2] not in (b"", b"\n"):
            return 400
    return stop if whole >= 0 else None


@given(data=inputs, cuts=st.lists(st.integers(0, 40)), has_line=st.booleans())
@tries(100)
def test_any_cut_gives_what_the_rules_say(data: bytes, cuts: list[int], has_line: bool) -> None:
    scanner = HeadScanner(LINE if has_line else 0, SIZE, LONG, LARGE)
    start = 2
    data = b"??" + data
    pieces = sorted(cut + start for cut in cuts if cut + start < len(data))
    assert outcome(scanner, data, start, pieces) == oracle(data, start, has_line)


def test_a_head_that_stands_there_once_more_is_known_by_its_bytes() -> None:
    scanner = HeadScanner(0, 100, LARGE, LARGE)
    head = b"a\r\nb\r\n\r\n"
    assert scanner.repeated(head, 0) == 0
    scanner.keep(head)
    assert scanner.repeated(head, 0) == scanner.repeated(head + b"more", 0) == scanner.repeated(b"?" + head, 1) == 8
    assert scanner.repeated(head[:-1], 0) == scanner.repeated(b"b" + head[1:], 0) == scanner.repeated(b"", 0) == 0


def test_a_large_head_is_not_kept() -> None:
    """A connection keeps no more than 4 KiB for this."""
    scanner = HeadScanner(0, 10_000, LARGE, LARGE)
    head = b"a" * 4_093 + b"\r\n\r\n"
    scanner.keep(head)
    assert scanner.repeated(head, 0) == 0


def test_a_part_is_searched_once() -> None:
    """The bytes of a part that was checked are not checked again: a fault in them, put there since, is not seen."""
    scanner = HeadScanner(0, 1_000, LARGE, LARGE)
    part = b"a" * 500
    assert scanner.find_end(part, 0) == -1
    changed = b"\n" + b"a" * 500
    assert scanner.find_end(changed, 0) == -1


def test_the_place_of_a_bare_line_end_is_told() -> None:
    scanner = HeadScanner(0, 1_000, LARGE, LARGE)
    with pytest.raises(MessageFault):
        scanner.find_end(b"??abc\nd", 2)
    assert scanner.bare_at == 5
