"""http.response.trailers, http.response.early_hint and http.response.pathsend."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.asgi.test_http import OK, body
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving


@pytest.mark.parametrize("is_streamed", [False, True])
def test_trailers(run: Run, is_streamed: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({**OK, "trailers": True})
        if is_streamed:
            await send(body(b"he", more=True))
            await send(body(b"llo"))
        else:
            await send(body(b"hello"))
        await send({"type": "http.response.trailers", "headers": [(b"x-a", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [[b"x-b", b"2"]]})

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert (bytes(answer.body), answer.trailers) == (b"hello", [(b"x-a", b"1"), (b"x-b", b"2")])
            assert answer.ended

    run(main())


def test_early_hint(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        await send(OK)
        await send(body(b"x"))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert answer.informational == [{b":status": b"103", b"link": b"</a>; rel=preload"}]
            assert answer.status == 200

    run(main())


def test_pathsend(run: Run, tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192
    (tmp_path / "large").write_bytes(content)
    (tmp_path / "empty").write_bytes(b"")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({**OK, "headers": [(b"x-kind", b"file")]})
        await send({"type": "http.response.pathsend", "path": str(tmp_path) + scope["path"]})

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/large")
            assert answer.body == content
            assert answer.header(b"x-kind") == b"file"
            assert (await peer.get("/large", "HEAD")).body == b""
            empty = await peer.get("/empty")
            assert (empty.status, empty.ended, bytes(empty.body)) == (200, True, b"")
            assert (await peer.get("/missing")).status == 500

    run(main())


def test_pathsend_of_a_file_that_is_cut_short_resets_the_stream(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3_000_000))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({**OK, "headers": [(b"content-length", b"3000000")]})
        await send({"type": "http.response.pathsend", "path": str(file)})

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            stream_id = peer.open("/")
            await peer.until(lambda: len(peer.answers[stream_id].body) == 65_535)
            file.write_bytes(b"")
            peer.conn.increment_flow_control_window(5_000_000, stream_id)
            peer.conn.increment_flow_control_window(5_000_000)
            peer.flush()
            assert (await peer.over(stream_id)).reset == 2

    run(main())


def test_pathsend_wants_an_absolute_path() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send(OK)
        await send({"type": "http.response.pathsend", "path": "relative"})

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 500

    asyncio.run(main())
