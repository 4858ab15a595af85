"""The same sessions through headrace, Go's net/http, Node's http2 and nghttpd: each difference stands in verdicts.py.

Outcomes are compared: per stream statuses, content, trailers and RST_STREAM's code; of the connection whether it still
answers a PING, or how it ended. Not compared are other fields, the order of frames, texts of errors, and time.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.differential.peers.running import SERVERS, need_version, serving
from tests.differential.servers.broken import BROKEN
from tests.differential.servers.malformed import MALFORMED
from tests.differential.servers.player import Outcome, play
from tests.differential.servers.session import Session
from tests.differential.servers.sound import SOUND
from tests.differential.servers.verdicts import TABLE
from tests.differential.table import Pair, stale, told, unexplained

SESSIONS: tuple[Session, ...] = (*SOUND, *MALFORMED, *BROKEN)
AT_ONCE = 16

pytestmark = pytest.mark.tool


def outcomes(server: str, folder: Path, sessions: tuple[Session, ...] = SESSIONS) -> dict[str, Outcome]:
    """Play sessions against a server of its own."""
    with serving(server, folder) as port, ThreadPoolExecutor(AT_ONCE) as pool:
        played = pool.map(lambda each: play(port, each), sessions)
        return {each.name: outcome for each, outcome in zip(sessions, played, strict=True)}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The outcomes of headrace."""
    return outcomes("headrace", tmp_path_factory.mktemp("headrace"))


@pytest.fixture(scope="module", params=SERVERS)
def peer(request: pytest.FixtureRequest) -> str:
    need_version(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def pairs(peer: str, ours: dict[str, Outcome], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """The outcomes of headrace and of a peer, session by session; without content where the peer has only files."""
    has_app = peer != "nghttpd"
    sessions = tuple(each for each in SESSIONS if has_app or not each.needs_app)
    theirs = outcomes(peer, tmp_path_factory.mktemp(peer), sessions)
    return {name: Pair(name, ours[name].text(has_app), theirs[name].text(has_app)) for name in theirs}


def test_each_difference_is_explained(peer: str, pairs: dict[str, Pair]) -> None:
    left = unexplained(TABLE, peer, pairs.values())
    assert not left, told(left)


def test_each_row_is_of_a_difference(peer: str, pairs: dict[str, Pair]) -> None:
    left = stale(TABLE, peer, pairs.values())
    assert not left, told(left)


def test_nothing_that_is_sound_is_refused(ours: dict[str, Outcome]) -> None:
    """Each of these is answered, and the connection goes on, or ends as the client wants it."""
    odd = {"CONNECT": "501; alive", "SETTINGS, NO_RFC7540_PRIORITIES changes": "GOAWAY PROTOCOL_ERROR"}
    odd |= {"a second length that is the same": "RST PROTOCOL_ERROR; alive"}  # a choice that RFC 9110 §8.6 leaves
    for each in SOUND:
        text = ours[each.name].text()
        if each.name in odd:
            assert text == odd[each.name]
        else:
            assert ours[each.name].connection == ("GOAWAY NO_ERROR" if "GOAWAY" in each.name else "alive"), each.name
            assert "nothing" not in text and "unfinished" not in text, (each.name, text)


def test_no_session_waits_for_headrace_in_vain(ours: dict[str, Outcome]) -> None:
    assert not [name for name, outcome in ours.items() if outcome.connection == "silent"]
    assert len(ours) == len(SESSIONS) >= 60
