"""A real Flask application, unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, request, send_file, stream_with_context

from tests.h2_peer import H2Peer
from tests.serving import Run, live_handlers, port, serving, settled


@pytest.fixture
def application(tmp_path: Any) -> Flask:
    app = Flask(__name__)
    app.testing = False
    (tmp_path / "file.bin").write_bytes(bytes(range(256)) * 1024)

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        return f"Hello, {name}, from {request.remote_addr} by {request.scheme} {request.query_string.decode()}"

    @app.post("/json")
    def as_json() -> Any:
        return {"got": request.get_json(), "cookies": request.cookies}

    @app.post("/form")
    def form() -> Any:
        return {name: len(file.read()) for name, file in request.files.items()}

    @app.post("/stream")
    def stream() -> Response:
        def produce() -> Iterator[bytes]:
            while piece := request.stream.read(10_000):
                yield piece

        return Response(stream_with_context(produce()), mimetype="application/octet-stream")

    @app.get("/file")
    def file() -> Response:
        return send_file(tmp_path / "file.bin", conditional=True)

    @app.get("/crash")
    def crash() -> str:
        raise RuntimeError("boom")

    return app


def test_the_application(run: Run, application: Flask, tmp_path: Any) -> None:
    content = (tmp_path / "file.bin").read_bytes()

    async def main() -> None:
        async with serving(application) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/hello/you?a=b")
            assert answer.body == b"Hello, you, from 127.0.0.1 by http a=b"
            assert answer.header(b"content-length") == str(len(answer.body)).encode()
            fields = [("content-type", "application/json"), ("cookie", "a=1"), ("cookie", "b=2")]
            answer = await peer.post("/json", b"[1]", [*fields, ("content-length", "3")])
            assert answer.body.strip() == b'{"cookies":{"a":"1","b":"2"},"got":[1]}'
            part = b'--x\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n' + content + b"\r\n--x--\r\n"
            fields = [("content-type", "multipart/form-data; boundary=x")]
            for length in ([], [("content-length", str(len(part)))]):  # without a length: wsgi.input_terminated
                assert (await peer.post("/form", part, [*fields, *length])).body.strip() == b'{"f":262144}'
            assert (await peer.post("/stream", content)).body == content
            assert (await peer.get("/file")).body == content
            answer = await peer.get("/file", headers=[("range", "bytes=10-19")])
            assert answer.status == 206
            assert answer.body == content[10:20]
            assert (await peer.get("/file", "HEAD")).header(b"content-length") == b"262144"
            assert (await peer.get("/nowhere")).status == 404
            assert (await peer.get("/json")).status == 405
            assert (await peer.get("/crash")).status == 500
            await settled(lambda: live_handlers(server) == 0)

    run(main())
