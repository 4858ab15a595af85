"""ASGI's lifespan: started before the first connection, ended after the last one, and optional."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.server.app import Server, StartupError
from headrace.server.settings.config import Config

from tests.asgi.test_http import OK, body
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving


async def _answer(send: Any, data: bytes = b"") -> None:
    await send(OK)
    await send(body(data))


def test_start_state_and_end(run: Run) -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
            heard.append((await receive())["type"])
            scope["state"]["name"] = "pool"
            scope["state"]["list"] = []
            await send({"type": "lifespan.startup.complete"})
            heard.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        scope["state"]["list"].append(1)
        scope["state"]["own"] = scope["state"].get("own", 0) + 1
        text = f"{scope['state']['name']} {len(scope['state']['list'])} {scope['state']['own']}"
        await _answer(send, text.encode())

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert heard == ["lifespan.startup"]
            assert (await peer.get("/")).body == b"pool 1 1"
            assert (await peer.get("/")).body == b"pool 2 1"
        assert heard == ["lifespan.startup", "lifespan.shutdown"]

    run(main())


async def _raises(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("what is a lifespan?")
    assert "state" not in scope
    await _answer(send)


async def _returns(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _answer(send)


@pytest.mark.parametrize("app", [_raises, _returns])
def test_auto_serves_an_application_without_lifespan(run: Run, app: Any) -> None:
    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200
        async with serving(app, lifespan="off") as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200

    run(main())


async def _fails(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback:\n  line\nValueError: no database"})


@pytest.mark.parametrize(
    ("app", "mode", "words"),
    [
        (_fails, "auto", "the application's start failed: ValueError: no database"),
        (_raises, "on", "the application's start failed: RuntimeError: what is a lifespan?"),
        (_returns, "on", "returned without an answer"),
    ],
)
def test_a_start_that_fails_ends_the_start_of_the_server(app: Any, mode: str, words: str) -> None:
    async def main() -> None:
        server = Server(app, Config(bind="127.0.0.1:0", lifespan=mode))
        with pytest.raises(StartupError, match=words):
            await server.start()
        assert server.addresses == []

    asyncio.run(main())


def test_an_address_that_cannot_be_had_shuts_the_application_down() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        heard.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    async def main() -> None:
        with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:1"):
            await Server(app, Config(bind=["127.0.0.1:0", "192.0.2.1:1"])).start()
        assert heard == ["lifespan.startup", "lifespan.shutdown"]

    asyncio.run(main())


def test_a_lifespan_that_fails_later_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await _answer(send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise RuntimeError("at the end")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200

    asyncio.run(main())
    assert [each.getMessage() for each in caplog.records if each.name == "headrace.error"] == [
        "the application's lifespan failed"
    ]


async def _starts(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()


async def _shutdown_fails(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _answer(send)
        return
    await _starts(receive, send)
    await send({"type": "lifespan.shutdown.failed", "message": "the pool is lost"})


async def _never_shuts_down(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _answer(send)
        return
    await _starts(receive, send)
    await asyncio.Event().wait()


async def _shuts_down_and_goes_on(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _answer(send)
        return
    await _starts(receive, send)
    await send({"type": "lifespan.shutdown.complete"})
    await asyncio.Event().wait()


async def _says_something_else(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _answer(send)
        return
    await _starts(receive, send)
    with pytest.raises(RuntimeError, match=r"unexpected ASGI message 'lifespan\.startup\.complete' in the lifespan"):
        await send({"type": "lifespan.startup.complete"})
    with pytest.raises(RuntimeError, match=r"unexpected ASGI message 'http\.response\.start' in the lifespan"):
        await send(OK)
    await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize(
    ("app", "logged"),
    [
        (_shutdown_fails, ["the application's shutdown failed: the pool is lost"]),
        (_never_shuts_down, ["the application did not shut down within 5 s"]),
        (_shuts_down_and_goes_on, []),  # it is cancelled, without a word
        (_says_something_else, []),
    ],
)
def test_the_server_ends_however_the_application_shuts_down(
    app: Any, logged: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serving(app, limits={"drain_timeout_s": 0.05}) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200
        assert not [each for each in asyncio.all_tasks() if "Lifespan._run" in repr(each)]

    wait_for = asyncio.wait_for
    monkeypatch.setattr("headrace.asgi.lifespan.asyncio.wait_for", lambda what, limit: wait_for(what, min(limit, 0.05)))
    asyncio.run(main())
    assert [each.getMessage() for each in caplog.records if each.name == "headrace.error"] == logged
