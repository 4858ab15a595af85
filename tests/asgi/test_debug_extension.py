"""`http.response.debug`: offered only to those who log at debug, and then put into the log."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_the_debug_message(run: Run, caplog: pytest.LogCaptureFixture, level: int) -> None:
    offered: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        offered.append("http.response.debug" in scope["extensions"])
        if offered[-1]:
            await send({"type": "http.response.debug", "info": {"template": "a.html"}})
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    async def main() -> None:
        async with serving(app, lifespan="off") as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).body == b"fine"

    with caplog.at_level(level, "headrace.error"):
        run(main())
    assert offered == [level == logging.DEBUG]
    assert ("http.response.debug: template" in caplog.text) == offered[0]
