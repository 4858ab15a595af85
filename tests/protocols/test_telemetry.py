"""What sinks are told, with the same assertions over every wire."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse
from headrace.server.telemetry.logs import ACCESS_LOGGER

from tests.protocols.conftest import Wire
from tests.server.telemetry.recorder import Recorder
from tests.support.serving import Run, live_handlers, settled


async def app(request: Request) -> Any:
    async def fill(send: Send) -> None:
        while True:
            await send(bytes(10_000))

    match request.path:
        case "/crash":
            raise RuntimeError("boom")
        case "/fill":
            return StreamResponse(200, (), fill)
    return Response(200, (), await request.read())


def test_start_and_stop(run: Run, wire: Wire) -> None:
    recorder = Recorder()

    async def main() -> None:
        async with wire.serving(app, telemetry=recorder) as server:
            async with wire.peer(server) as peer:
                await peer.post("/echo", b"12345")
                await peer.get("/crash")
                number = await peer.open("/fill")
                await peer.started(number)
                peer.reset(number)
                await settled(lambda: b"/fill" in recorder.stopped)
            await settled(lambda: live_handlers(server) == 0 and ("connection_closed", None) in recorder.calls)

    run(main())
    assert recorder.stopped[b"/echo"] == (200, 5, 5, None)
    assert recorder.stopped[b"/crash"][0] == 500
    assert recorder.stopped[b"/fill"][3] is not None
    assert recorder.names(b"/echo") == recorder.names(b"/fill") == ["started", "stopped"]
    assert recorder.names(b"/crash") == ["started", "failed", "stopped"]
    names = [name for name, _ in recorder.calls]
    assert names.count("connection_opened") == names.count("connection_closed")
    assert any(name == "reset" and what[0] == "client" for name, what in recorder.calls)


def test_access_lines_say_the_protocol(run: Run, wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS_LOGGER)

    async def main() -> None:
        async with (
            wire.serving(app, access_log=True, access_log_format="json", request_id_header="x-request-id") as server,
            wire.peer(server) as peer,
        ):
            await peer.get("/a?b", headers=[("x-request-id", "one")])
            await settled(lambda: bool(caplog.records))

    run(main())
    (record,) = caplog.records
    line = json.loads(record.getMessage())
    found = [line[name] for name in ("request_id", "target", "host", "protocol", "status")]
    assert found == ["one", "/a?b", "localhost", f"HTTP/{wire.version}", 200]
