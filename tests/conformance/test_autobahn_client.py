"""Our WebSocket client against Autobahn|Testsuite's fuzzing server: over HTTP/1.1, and over HTTP/2 through HAProxy.

No case is excluded. NON-STRICT ones are those that `test_autobahn` names for the server's side, for the same reason.
"""

from __future__ import annotations

import os

import pytest

from headrace.websocket.connection import WebSocket

from tests.conformance import autobahn, autobahn_client
from tests.conformance.test_autobahn import ALL_CASES, FAULT_BEHIND_A_MESSAGE, SLOW_CASES

pytestmark = pytest.mark.tool

BAD = ("FAILED", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED BY CLIENT")


@pytest.mark.parametrize("over", ["h1", "h2"])
def test_no_case_fails(over: str) -> None:
    report = autobahn_client.run(over, autobahn.QUICK)
    assert report.cases(*BAD) == []
    assert set(report.cases("NON-STRICT")) <= FAULT_BEHIND_A_MESSAGE
    assert len(report.behavior) == ALL_CASES


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("AUTOBAHN_ALL") != "1", reason="minutes; AUTOBAHN_ALL=1 asks for it")
@pytest.mark.parametrize("over", ["h1", "h2"])
def test_no_case_of_limits_and_compression_fails(over: str) -> None:
    report = autobahn_client.run(over, autobahn.SLOW)
    assert report.cases(*BAD, "NON-STRICT") == []
    assert len(report.behavior) == SLOW_CASES


def test_control_a_client_that_closes_at_once_fails_whatever_has_to_come_back() -> None:
    async def closes(ws: WebSocket) -> None:
        await ws.close()

    report = autobahn_client.run("h1", ["1.1.*"], closes)
    assert report.cases("FAILED") == sorted(report.behavior)
    assert len(report.behavior) == 8
