"""The table's rules: a difference without a row is found, and so is a row without its difference."""

from __future__ import annotations

import re

import pytest

from tests.differential.clients.fetching import CLIENTS
from tests.differential.clients.test_clients import SESSIONS as CLIENT_SESSIONS
from tests.differential.clients.verdicts import TABLE as CLIENT_TABLE
from tests.differential.peers.running import SERVERS
from tests.differential.servers.test_servers import SESSIONS
from tests.differential.servers.verdicts import TABLE as SERVER_TABLE
from tests.differential.table import Pair, Row, fits, row, stale, unexplained

ROWS = (row("a; b", "go", "200 *; alive", "closed", "RFC 9113 §5.4.1"),)
SAME, OTHER = Pair("a", "200 x; alive", "200 x; alive"), Pair("a", "200 x; alive", "GOAWAY")
KNOWN = [Pair("a", "200 x; alive", "closed"), Pair("b", "200 y; alive", "closed")]


def test_a_difference_without_a_row_is_found() -> None:
    assert unexplained(ROWS, "go", KNOWN) == []
    assert unexplained(ROWS, "node", KNOWN) == KNOWN
    assert unexplained(ROWS, "go", [SAME, OTHER]) == [OTHER]
    assert unexplained((), "go", [SAME, *KNOWN]) == KNOWN


def test_a_row_without_its_difference_is_found() -> None:
    assert stale(ROWS, "go", KNOWN) == stale(ROWS, "node", []) == []
    for first in ([], [SAME], [OTHER]):
        assert len(stale(ROWS, "go", [*first, KNOWN[1]])) == 1
    assert len(stale(ROWS + ROWS, "go", KNOWN)) == 2


def test_patterns() -> None:
    assert fits("200 *; alive", "200 a.b; c; alive") and fits("*", "") and fits("[1]", "[1]")
    assert not fits("200 *; alive", "200; alive") and not fits("a.c", "abc")


@pytest.mark.parametrize(
    "each", [*SERVER_TABLE, *CLIENT_TABLE], ids=lambda each: f"{each.sessions[0]}, {each.peers[0]}"
)
def test_a_row_has_its_reason(each: Row) -> None:
    assert re.match(r"RFC \d{4} §\d", each.reason)
    is_server = set(each.sessions) <= {session.name for session in SESSIONS}
    assert is_server or set(each.sessions) <= {session.name for session in CLIENT_SESSIONS}
    assert set(each.peers) <= set(SERVERS if is_server else CLIENTS)


def test_names_are_unique() -> None:
    names = [*(session.name for session in SESSIONS), *(session.name for session in CLIENT_SESSIONS)]
    assert len(names) == len(set(names))
