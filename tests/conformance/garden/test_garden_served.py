"""The differential garden with servers that are processes: Go, Node, and nginx and HAProxy in front of Node.

`python -m tests.conformance.garden.run` has more of them, and says what each made of an input.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.conformance.garden import peers
from tests.conformance.garden.corpus import corpus
from tests.conformance.garden.inside import Reading
from tests.conformance.garden.run import Difference, differences
from tests.differential.peers.running import is_usable, need_version

SERVED = ("go", "node", "nginx", "haproxy")
NEEDED = {"go": ["go"], "node": ["node"], "nginx": ["nginx", "node"], "haproxy": ["haproxy", "node"]}
TRIES = 3
"""A difference counts when it comes up each time: the end of an answer is found by silence, also where the machine is
busy."""

pytestmark = pytest.mark.tool


def left(peer: str) -> list[Difference]:
    """The differences from a peer that are not explained."""
    names = list(corpus())
    found: list[Difference] = []
    for _ in range(TRIES):
        read = peers.read({name: corpus()[name] for name in names}, [peer])[peer]
        nothing = {name: Reading((), "not asked") for name in corpus()}
        found = [each for each in differences({peer: nothing | read}) if each.name in names and each.verdict is None]
        names = [each.name for each in found]
        if not names:
            break
    return found


@pytest.fixture(scope="module")
def unexplained() -> dict[str, Future[list[Difference]]]:
    """What is left of all peers, which are asked at the same time: each mostly waits."""
    usable = [peer for peer in SERVED if all(map(is_usable, NEEDED[peer]))]
    if not usable:
        return {}
    with ThreadPoolExecutor(len(usable)) as pool:
        return {peer: pool.submit(left, peer) for peer in usable}


@pytest.mark.parametrize("peer", SERVED)
def test_every_difference_is_explained(peer: str, unexplained: dict[str, Future[list[Difference]]]) -> None:
    for needed in NEEDED[peer]:
        need_version(needed)
    assert unexplained[peer].result() == []
