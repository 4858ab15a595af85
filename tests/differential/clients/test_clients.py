"""The same scripted servers for headrace's client, Go's net/http and curl: each difference stands in verdicts.py.

Outcomes are compared: statuses, content, one field and one trailer, or that the request failed; the codes that the
client has sent; and whether its next request came on the same connection. Not compared are kinds of errors, what was
handed over of a response before it failed, and time.
"""

from __future__ import annotations

import pytest

from tests.differential.clients.fetching import CLIENTS, for_curl, outcomes
from tests.differential.clients.http1 import HTTP1
from tests.differential.clients.http2 import HTTP2
from tests.differential.clients.verdicts import TABLE
from tests.differential.peers.running import need_version
from tests.differential.table import Pair, stale, told, unexplained

SESSIONS = (*HTTP1, *HTTP2)

pytestmark = pytest.mark.tool


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The outcomes of headrace."""
    return outcomes("headrace", SESSIONS, tmp_path_factory.mktemp("headrace"))


@pytest.fixture(scope="module", params=CLIENTS)
def peer(request: pytest.FixtureRequest) -> str:
    need_version(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def pairs(peer: str, ours: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """The outcomes of headrace and of a peer, session by session."""
    theirs = outcomes(peer, SESSIONS, tmp_path_factory.mktemp(peer))
    if peer == "curl":
        return [Pair(name, for_curl(ours[name]), for_curl(theirs[name])) for name in ours]
    return [Pair(name, ours[name], theirs[name]) for name in ours]


def test_each_difference_is_explained(peer: str, pairs: list[Pair]) -> None:
    left = unexplained(TABLE, peer, pairs)
    assert not left, told(left)


def test_each_row_is_of_a_difference(peer: str, pairs: list[Pair]) -> None:
    left = stale(TABLE, peer, pairs)
    assert not left, told(left)


def test_headrace_never_waits_in_vain(ours: dict[str, str]) -> None:
    """In each session the server says something, and then headrace knows what came of the request, and of the next."""
    assert not [name for name, outcome in ours.items() if "waits" in outcome or "nowhere" in outcome]
    assert len(ours) == len(SESSIONS) >= 40
