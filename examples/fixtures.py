"""pytest fixtures of headrace: an application on a real server, and a client for it.

pytest examples/fixtures.py
"""

from collections.abc import Callable

from headrace import Request, Response, SyncClient, WebSocket, WebSocketResponse
from headrace.pytest_plugin import RunningServer

Serve = Callable[..., RunningServer]
Connect = Callable[..., SyncClient]


async def app(request: Request) -> Response | WebSocketResponse:
    """The code under test."""
    if request.is_websocket:
        return WebSocketResponse(shout)
    return Response.text(f"hello over HTTP/{request.http_version}")


async def shout(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message.upper())


app.takes_websockets = True  # type: ignore[attr-defined]


def test_a_request_over_tls(headrace_server: Serve, headrace_client: Connect) -> None:
    server = headrace_server(app, tls=True)
    assert headrace_client(server).get("/").text == "hello over HTTP/2"


def test_a_websocket(headrace_server: Serve, headrace_client: Connect) -> None:
    server = headrace_server(app)
    with headrace_client(server).websocket(server.websocket_url) as ws:
        ws.send("hello")
        assert ws.receive() == "HELLO"
