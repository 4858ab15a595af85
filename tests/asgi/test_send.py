"""`send` where the client does not read, and after it has gone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.server.errors import ClientDisconnected

from tests.asgi.test_http import OK, body
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving, settled


def test_a_cancelled_send_is_waited_for_by_the_next_one(run: Run) -> None:
    """The first piece was accepted in part; the application gave up waiting, and later sends more."""
    parts: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        sending = asyncio.ensure_future(send(body(bytes(300_000), more=True)))
        await stuck.wait()
        sending.cancel()
        await asyncio.wait((sending,))
        parts.append("given up")
        await send(body(b"end"))
        parts.append("sent")

    stuck = asyncio.Event()

    async def main() -> None:
        async with serving(app, lifespan="off") as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            stream_id = peer.open("/")
            await peer.until(lambda: len(peer.answers[stream_id].body) == 65_535)
            stuck.set()
            await settled(lambda: parts == ["given up"])
            await peer.ping()
            assert parts == ["given up"]
            peer.gives_credit = True
            peer.conn.increment_flow_control_window(2**30)
            peer.conn.increment_flow_control_window(2**30, stream_id)
            peer.flush()
            answer = await peer.over(stream_id)
            assert answer.body == bytes(300_000) + b"end"

    run(main())


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.trailers", "http.response.early_hint"])
def test_an_extension_is_an_oserror_after_the_client_has_gone(run: Run, kind: str) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        try:
            await send({"type": kind, "path": "/nowhere", "headers": [], "links": []})
        except ClientDisconnected:
            seen.append(kind)

    asked = asyncio.Event()

    async def main() -> None:
        async with serving(app, lifespan="off") as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await asked.wait()
            peer.reset(stream_id)
            await settled(lambda: seen == [kind])

    run(main())


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.trailers", "http.response.early_hint"])
def test_an_extension_out_of_its_turn_is_refused(run: Run, kind: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(OK)
        await send(body(b"one", more=True))
        with pytest.raises(RuntimeError, match=f"unexpected ASGI message '{kind}': expected is 'http.response.body'"):
            await send({"type": kind, "path": "/nowhere", "headers": [], "links": []})
        await send(body(b"two"))
        with pytest.raises(RuntimeError, match="the response is complete"):
            await send({"type": kind, "path": "/nowhere", "headers": [], "links": []})

    async def main() -> None:
        async with serving(app, lifespan="off") as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).body == b"onetwo"

    run(main())
