"""WebSockets of ASGI applications that end in ways that frameworks hardly ever use."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.asgi.http import HTTPCycle
from headrace.server.errors import ClientDisconnected

from tests.support.serving import Run, live_handlers, port, serving, settled
from tests.support.ws_peer import Refused, open_websocket

BOTH = pytest.mark.parametrize("over", ["h1", "h2"])


@BOTH
def test_one_may_receive_until_the_handshake_is_answered(run: Run, over: str) -> None:
    """A task waits in `receive` while another refuses the handshake; it hears of the end."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"tea"})
        seen.append(await waiting)
        with pytest.raises(RuntimeError, match="the WebSocket was refused"):
            await send({"type": "websocket.close"})

    async def main() -> None:
        async with serving(app, lifespan="off") as server:
            with pytest.raises(Refused) as caught:
                async with open_websocket(over, port(server)):
                    pass
            assert caught.value.status == 418
            assert over == "h1" or caught.value.body == b"no tea"  # that peer reads no chunks
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert seen == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


@BOTH
def test_a_second_close_and_other_messages_are_refused(run: Run, over: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        with pytest.raises(RuntimeError, match=r"expected are 'websocket\.send' and 'websocket\.close'"):
            await send({"type": "websocket.accept"})
        with pytest.raises(TypeError, match="has text or bytes, not int"):
            await send({"type": "websocket.send", "text": 5})
        await send({"type": "websocket.close", "code": 3000, "reason": "enough"})
        with pytest.raises(OSError, match="closed already"):
            await send({"type": "websocket.close"})

    async def main() -> None:
        async with serving(app, lifespan="off") as server, open_websocket(over, port(server)) as ws:
            assert await ws.close_frame() == (3000, "enough")
            await settled(lambda: live_handlers(server) == 0)

    run(main())


@BOTH
@pytest.mark.parametrize("swallows", [True, False])
def test_the_error_of_a_late_message_is_no_fault(
    run: Run, over: str, swallows: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The client has closed, and the application's next message raises: nothing is logged."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        try:
            await send({"type": "websocket.send", "text": "late"})
        except OSError:
            if not swallows:
                raise

    async def main() -> None:
        async with serving(app, lifespan="off") as server, open_websocket(over, port(server)) as ws:
            ws.say_close(1000)
            assert await ws.close_frame() == (1000, "")
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert [each for each in caplog.records if each.name == "headrace.error"] == []


@BOTH
def test_a_client_that_gives_up_before_the_answer(run: Run, over: str) -> None:
    """`receive` says so, and an answer is an OSError."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        asked.set()
        seen.append(await waiting)
        try:
            await send({"type": "websocket.accept"})
        except OSError:
            seen.append("told")

    asked = asyncio.Event()

    async def main() -> None:
        async with serving(app, lifespan="off") as server:

            async def give_up() -> None:
                async with open_websocket(over, port(server)):
                    pass

            opening = asyncio.ensure_future(give_up())
            await asked.wait()
            opening.cancel()
            await settled(lambda: "told" in seen)
            await asyncio.wait((opening,))

    run(main())
    assert seen[0]["type"] == "websocket.disconnect"
    assert seen[0]["code"] == 1006


@BOTH
def test_the_error_of_an_application_in_an_open_websocket_is_told(
    run: Run, over: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also when it is a ClientDisconnected of something else: this WebSocket is open."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise ClientDisconnected("of another request")

    async def main() -> None:
        async with serving(app, lifespan="off") as server, open_websocket(over, port(server)) as ws:
            assert (await ws.close_frame())[0] == 1011
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_before_it_runs_a_request_has_no_progress() -> None:
    """The connection may end it, or a drain may, while it waits for its turn."""
    head: Any = SimpleNamespace(stream_id=1, headers=[], end_stream=True)
    cycle = HTTPCycle(cast(Any, SimpleNamespace()), head)
    cycle.progress, cycle.status, cycle.sent = 3, 200, 5
    assert (cycle.progress, cycle.status, cycle.sent) == (0, 0, 0)
