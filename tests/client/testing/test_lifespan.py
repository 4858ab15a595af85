"""The lifespan of an application in memory, where it answers too late, wrongly, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace.client import Client
from headrace.client.testing import lifespan as lifespan_module
from headrace.client.testing.asgi import ASGITransport, LifespanError

Lifespan = Callable[[Any, Any], Awaitable[None]]


def application(lifespan: Lifespan) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            await lifespan(receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    return app


async def asked(behaviour: Lifespan, **options: Any) -> str:
    async with Client(transport=ASGITransport(application(behaviour), **options)) as client:
        return (await client.get("https://a.example/")).text


async def _nothing(receive: Any, send: Any) -> None:
    return


async def _hangs(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.Event().wait()


async def _fails(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "the pool is lost"})


async def _says_it_twice(receive: Any, send: Any) -> None:
    await send({"type": "lifespan.startup.complete"})
    with pytest.raises(RuntimeError, match=r"unexpected ASGI message 'lifespan\.startup\.complete'"):
        await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def test_one_without_an_answer_is_used_or_refused() -> None:
    assert asyncio.run(asked(_nothing)) == "ok"
    with pytest.raises(LifespanError, match=r"without an answer to lifespan\.startup"):
        asyncio.run(asked(_nothing, lifespan="on"))


@pytest.mark.parametrize(
    ("lifespan", "words"), [(_hangs, "did not shut down within 0.01 s"), (_fails, "the pool is lost")]
)
def test_a_shutdown_that_fails_is_told(lifespan: Lifespan, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifespan_module, "SHUTDOWN_S", 0.01)
    with pytest.raises(LifespanError, match=words):
        asyncio.run(asked(lifespan))


def test_a_message_out_of_its_turn_is_refused() -> None:
    assert asyncio.run(asked(_says_it_twice)) == "ok"


def test_a_transport_that_was_never_used_has_nothing_to_shut_down() -> None:
    async def main() -> None:
        async with Client(transport=ASGITransport(application(_fails))):
            pass

    asyncio.run(main())
