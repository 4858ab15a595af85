"""A plain ASGI application under asgiref's ApplicationCommunicator and under headrace: the same in both directions.

The communicator is given the scope and the messages that headrace gave, and must get the messages that headrace got.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from tests.apps.clients import post, websocket
from tests.protocols.conftest import Wire
from tests.support.serving import Run, settled

LARGE = bytes(range(256)) * 400


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers in pieces, with what it was sent and told."""
    if scope["type"] == "websocket":
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            await send({"type": "websocket.send", "text": f"{text} {scope['path']}"})
            if text == "over":
                await send({"type": "websocket.close", "code": 4002, "reason": "it is over"})
        return
    content = b""
    while True:
        message = await receive()
        content += message.get("body", b"")
        if not message.get("more_body", False):
            break
    told = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {scope['scheme']}".encode()
    await send({"type": "http.response.start", "status": 207, "headers": [(b"x-told", told)]})
    await send({"type": "http.response.body", "body": content, "more_body": True})
    await send({"type": "http.response.body", "body": b" and more", "more_body": True})
    await send({"type": "http.response.body"})


class Recorded:
    """The application, with everything written down that went in and came out."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, list[Any], list[Any]]] = []
        self.over = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        received: list[Any] = []
        sent: list[Any] = []
        self.calls.append((copy.deepcopy({**scope, "extensions": {}}), received, sent))

        async def recorded_receive() -> Any:
            message = await receive()
            received.append(message)
            return message

        async def recorded_send(message: Any) -> None:
            sent.append(message)
            await send(message)

        await application(scope, recorded_receive, recorded_send)
        self.over += 1


async def said_again(scope: Any, received: list[Any], count: int) -> list[Any]:
    """What the application says to asgiref's communicator."""
    communicator: Any = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
    for message in received:
        await communicator.send_input(message)
    messages = [await communicator.receive_output() for _ in range(count)]
    await communicator.wait()
    assert await communicator.receive_nothing(0)
    return messages


@pytest.mark.parametrize("content", [b"", b"small", LARGE])
def test_requests(run: Run, wire: Wire, content: bytes) -> None:
    app = Recorded()

    async def main() -> None:
        async with wire.serving(app, interface="asgi", lifespan="off") as server, wire.peer(server) as peer:
            answer = await post(peer, "/a%20b?c=%2F", content, [("x-one", "1")])
            assert (answer.status, bytes(answer.body), answer.ended) == (207, content + b" and more", True)
            ((scope, received, sent),) = app.calls
            assert answer.header(b"x-told") == sent[0]["headers"][0][1]
            assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a b", b"/a%20b", b"c=%2F")
            assert (b"x-one", b"1") in scope["headers"] and scope["http_version"] == wire.version
            assert await said_again(scope, received, len(sent)) == sent

    run(main())


def test_websockets(run: Run, wire: Wire) -> None:
    app = Recorded()

    async def main() -> None:
        async with wire.serving(app, interface="asgi", lifespan="off") as server:
            async with websocket(wire, server, "/chat", subprotocols=["one", "two"]) as peer:
                assert peer.headers[b"sec-websocket-protocol"] == b"one"
                for text in ("hello", "over"):
                    peer.send(text)
                    assert await peer.message() == f"{text} /chat"
                assert await peer.close_frame() == (4002, "it is over")
            await settled(lambda: app.over == 1)
            ((scope, received, sent),) = app.calls
            assert received[-1]["type"] == "websocket.disconnect"
            assert await said_again(scope, received, len(sent)) == sent

    run(main())
