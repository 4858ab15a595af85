"""Autobahn|Testsuite against the echo handler: over HTTP/1.1, and over HTTP/2 through two bridges.

No case is excluded. NON-STRICT ones are named here, each with its reason; Autobahn counts them as passed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.conformance import autobahn, controls
from tests.support.process import Served, serving

pytestmark = pytest.mark.tool

# A message, and right behind it, in the same read, a frame that fails the connection. Autobahn would like the message's
# echo first and takes the close alone as well. The fault is answered as soon as it is seen (RFC 6455 §7.1.7), before
# the handler had its turn. Which of these cases it hits depends on how a bridge cuts the stream into frames.
FAULT_BEHIND_A_MESSAGE = {
    "3.2",
    "3.3",
    "3.4",
    "4.1.3",
    "4.1.4",
    "4.1.5",
    "4.2.3",
    "4.2.4",
    "4.2.5",
    "5.15",
}
ALL_CASES = 247  # of the sections in `autobahn.QUICK`
SLOW_CASES = 270

BRIDGES = pytest.mark.parametrize("bridge", ["none", "haproxy", "nghttpx"])


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving("tests.conformance.echo:app") as server:
        yield server


@BRIDGES
def test_no_case_fails(served: Served, bridge: str) -> None:
    with autobahn.bridge(bridge, served.ports["http"]) as port:
        report = autobahn.run(port, autobahn.QUICK)
    assert report.cases("FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT") == []
    assert set(report.cases("NON-STRICT")) <= FAULT_BEHIND_A_MESSAGE
    assert len(report.behavior) == ALL_CASES


def test_no_case_fails_in_asgi() -> None:
    with serving("tests.conformance.echo:asgi", "--max-message-size", "64 MiB", "--lifespan", "off") as server:
        report = autobahn.run(server.ports["http"], autobahn.QUICK)
    assert report.cases("FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT") == []
    assert set(report.cases("NON-STRICT")) <= FAULT_BEHIND_A_MESSAGE
    assert len(report.behavior) == ALL_CASES


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("AUTOBAHN_ALL") != "1", reason="minutes; AUTOBAHN_ALL=1 asks for it")
@BRIDGES
def test_no_case_of_limits_and_compression_fails(served: Served, bridge: str) -> None:
    with autobahn.bridge(bridge, served.ports["http"]) as port:
        report = autobahn.run(port, autobahn.SLOW)
    assert report.cases("FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT", "NON-STRICT") == []
    assert len(report.behavior) == SLOW_CASES


def test_control_a_server_that_closes_at_once_passes_nothing() -> None:
    with controls.serving(controls.closes_at_once) as port:
        report = autobahn.run(port, ["1.1.*", "2.*"])
    assert report.cases("OK") == []
    assert len(report.cases("FAILED")) > 10
