"""The same scripted servers for headrace's client, Go's net/http and curl: each difference stands in verdicts.py.

Outcomes are compared: statuses, content, one field and one trailer, or that the request failed; codes of RST_STREAM
that the client has sent; and whether its next request came on the same connection. Not compared are kinds of errors,
parts of a response that were handed over before it failed, GOAWAY, and time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.differential.clients.fetching import CLIENTS, outcomes, without_goaway
from tests.differential.clients.http1 import HTTP1
from tests.differential.clients.http2 import HTTP2
from tests.differential.clients.session import CLOSE
from tests.differential.clients.verdicts import TABLE
from tests.differential.peers.running import is_usable, need_version
from tests.differential.table import Pair, stale, told, unexplained
from tests.support import wire

SESSIONS = (*HTTP1, *HTTP2)

pytestmark = pytest.mark.tool


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The outcomes of headrace and of all peers that are here, at the same time: Go mostly waits, once."""
    names = ["headrace", *filter(is_usable, CLIENTS)]
    folders = [tmp_path_factory.mktemp(name) for name in names]
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(
            zip(names, pool.map(lambda name, folder: outcomes(name, SESSIONS, folder), names, folders), strict=True)
        )


@pytest.fixture(scope="module")
def ours(played: dict[str, dict[str, str]]) -> dict[str, str]:
    return played["headrace"]


@pytest.fixture(scope="module", params=CLIENTS)
def peer(request: pytest.FixtureRequest) -> str:
    need_version(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def pairs(peer: str, played: dict[str, dict[str, str]]) -> list[Pair]:
    """The outcomes of headrace and of a peer, session by session."""
    ours, theirs = played["headrace"], played[peer]
    return [Pair(name, without_goaway(ours[name]), without_goaway(theirs[name])) for name in ours]


def test_each_difference_is_explained(peer: str, pairs: list[Pair]) -> None:
    left = unexplained(TABLE, peer, pairs)
    assert not left, told(left)


def test_each_row_is_of_a_difference(peer: str, pairs: list[Pair]) -> None:
    left = stale(TABLE, peer, pairs)
    assert not left, told(left)


def test_headrace_says_why_it_ends_a_connection(ours: dict[str, str]) -> None:
    """RFC 9113 §5.4.1: GOAWAY goes before the end, where it is not the server that has ended the connection."""
    ended = [each.name for each in HTTP2 if CLOSE not in each.steps and not any(map(is_goaway, each.steps))]
    failed = [name for name in ended if ours[name].startswith("error") and ours[name].endswith("next: new")]
    assert len(failed) > 20
    assert not [name for name in failed if "GOAWAY" not in ours[name]]


def is_goaway(step: object) -> bool:
    """Whether a script begins with a GOAWAY of the server."""
    return isinstance(step, bytes) and step[3:4] == bytes((wire.GOAWAY,))


def test_headrace_never_waits_in_vain(ours: dict[str, str]) -> None:
    """In each session the server says something, and then headrace knows what came of the request, and of the next."""
    assert not [name for name, outcome in ours.items() if "waits" in outcome or "nowhere" in outcome]
    assert len(ours) == len(SESSIONS) >= 40
