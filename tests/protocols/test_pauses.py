"""An application lets its client pause: native and ASGI, over every wire. The rules: tests/lawful/test_pauses.py."""

from __future__ import annotations

from typing import Any

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.protocols.conftest import Wire
from tests.support.serving import Run

SHORT = {"upload_pause_timeout_s": 0.2, "upload_grace_s": 0.1}


async def native(request: Request) -> Response:
    if request.path == "/patient":
        request.allow_pauses()
    return Response(200, (), await request.read())


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    assert scope["extensions"]["headrace.request.pause"] == {}
    if scope["path"] == "/patient":
        await send({"type": "headrace.request.pause"})
    content, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        content += message["body"]
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": content})


async def pause(wire: Wire, app: Any, interface: str) -> None:
    """Two clients pause. When the one is cut that may not, the other, which began before it, still goes on."""
    async with (
        wire.serving(app, interface=interface, lifespan="off", limits=SHORT) as server,
        wire.peer(server) as patient,
        wire.peer(server) as other,
    ):
        first = await patient.open("/patient", "POST", end=False)
        await patient.send(first, b"hello")
        second = await other.open("/other", "POST", end=False)
        await other.send(second, b"hello")
        cut = await other.over(second)
        assert cut.status == 408 or cut.reset is not None, vars(cut)
        await patient.send(first, b" again", end=True)
        answer = await patient.over(first)
        assert (answer.status, answer.body) == (200, b"hello again")


def test_a_native_handler_allows_pauses(run: Run, wire: Wire) -> None:
    run(pause(wire, native, "native"))


def test_an_asgi_application_allows_pauses(run: Run, wire: Wire) -> None:
    run(pause(wire, asgi, "asgi"))
