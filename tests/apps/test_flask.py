"""A Flask application (WSGI), unchanged, over every wire: what Flask's own test client gets of it, headrace sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, abort, flash, get_flashed_messages, redirect, request, send_file, session
from flask import stream_with_context as in_context
from flask.views import MethodView
from flask.wrappers import Response as FlaskResponse

from tests.apps.clients import FORM, everything, form, post
from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled

CONTENT = bytes(range(256)) * 1_024
JSON = ("content-type", "application/json")
log: list[str] = []


class Things(MethodView):
    def get(self, number: int) -> Any:
        return {"number": number}

    def delete(self, number: int) -> Any:
        return "", 204


@pytest.fixture
def application(tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.secret_key = "for tests"
    (tmp_path / "file.bin").write_bytes(CONTENT)
    log.clear()
    app.add_url_rule("/things/<int:number>", view_func=Things.as_view("things"))

    @app.get("/hello/<name>")
    def hello(name: str) -> str:
        return f"Hello, {name}: {request.method} {request.url} {request.args.getlist('a')} {request.is_secure}"

    @app.post("/json")
    def as_json() -> Any:
        return {"got": request.get_json(), "cookies": request.cookies, "length": request.content_length}

    @app.post("/form")
    def as_form() -> Any:
        return {**request.form, **{name: len(file.read()) for name, file in request.files.items()}}

    @app.post("/echo")
    def echo() -> Response:
        def pieces() -> Iterator[bytes]:
            while piece := request.stream.read(10_000):
                yield piece

        return Response(in_context(pieces()), mimetype="application/octet-stream")

    @app.get("/stream")
    def stream() -> Response:
        def pieces() -> Iterator[str]:
            try:
                for number in range(1_000):
                    yield f"{number}\n"
            finally:
                log.append("closed")

        return Response(pieces(), mimetype="text/plain")

    @app.get("/forever")
    def forever() -> Response:
        def pieces() -> Iterator[bytes]:
            try:
                while True:
                    yield CONTENT
            finally:
                log.append("closed")

        return Response(pieces())

    @app.get("/file")
    def file() -> Response:
        return send_file(tmp_path / "file.bin", conditional=True)

    @app.get("/session")
    def count() -> str:
        session["count"] = session.get("count", 0) + 1
        flash(f"seen {session['count']}")
        return f"{session['count']} {get_flashed_messages()}"

    @app.get("/away")
    def away() -> Any:
        return redirect("/hello/there")

    @app.get("/teapot")
    def teapot() -> str:
        abort(418, "short and stout")

    @app.get("/crash")
    def crash() -> str:
        raise RuntimeError("boom")

    @app.get("/crash-later")
    def crash_later() -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"a part"
            raise RuntimeError("boom")

        return Response(pieces())

    @app.errorhandler(404)
    def not_found(error: Exception) -> Any:
        return {"error": "not here"}, 404

    @app.after_request
    def stamp(response: FlaskResponse) -> FlaskResponse:
        response.headers.add("x-stamp", "1")
        response.headers.add("x-stamp", "2")
        return response

    @app.teardown_request
    def torn_down(error: BaseException | None) -> None:
        log.append(f"teardown {type(error).__name__}")

    return app


ASKED: list[tuple[str, str, list[tuple[str, str]], bytes]] = [
    ("GET", "/hello/you?a=b&a=%C3%BC", [], b""),
    ("HEAD", "/hello/you", [], b""),
    ("GET", "/hello/caf%C3%A9", [], b""),
    ("POST", "/json", [JSON, ("cookie", "a=1; b=2")], b'{"a": [1]}'),
    ("POST", "/json", [JSON], b"{not json"),
    ("POST", "/form", [FORM], form({"word": "größe"}, {"f": CONTENT * 3})),  # more than Werkzeug keeps in memory
    ("POST", "/echo", [], CONTENT),
    ("GET", "/stream", [], b""),
    ("HEAD", "/stream", [], b""),
    ("GET", "/things/7", [], b""),
    ("DELETE", "/things/7", [], b""),
    ("PUT", "/things/7", [], b""),
    ("OPTIONS", "/things/7", [], b""),
    ("GET", "/file", [], b""),
    ("GET", "/file", [("range", "bytes=10-19")], b""),
    ("GET", "/file", [("range", "bytes=999999999-")], b""),
    ("GET", "/file", [("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")], b""),
    ("GET", "/away", [], b""),
    ("GET", "/teapot", [], b""),
    ("GET", "/crash", [], b""),
    ("GET", "/nowhere", [], b""),
]


def test_the_test_client_and_headrace_give_the_same_answers(run: Run, wire: Wire, application: Flask) -> None:
    expected = []
    for method, path, headers, content in ASKED:
        client = application.test_client(use_cookies=False)
        given: dict[str, Any] = {"data": content} if content else {}
        response = client.open(path, method=method, headers=headers, base_url=f"{wire.scheme}://localhost", **given)
        fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
        expected.append((response.status_code, everything(fields), response.data))
        response.close()
    seen = log.copy()
    log.clear()

    async def main() -> None:
        async with wire.serving(application) as server, wire.peer(server) as peer:
            for (method, path, headers, content), (status, fields, body) in zip(ASKED, expected, strict=True):
                asked = f"{method} {path} {headers}"
                if content:
                    answer = await post(peer, path, content, headers, method)
                else:
                    answer = await peer.get(path, method, headers)
                assert (answer.status, answer.ended) == (status, True), asked
                assert everything(answer.headers) == fields, asked
                assert bytes(answer.body) == body, asked
                await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert log == seen


def test_a_session(run: Run, wire: Wire, application: Flask) -> None:
    async def main() -> None:
        async with wire.serving(application) as server, wire.peer(server) as peer:
            cookie: list[tuple[str, str]] = []
            for number in range(1, 4):
                answer = await peer.get("/session", headers=cookie)
                assert answer.body == f"{number} ['seen {number}']".encode()
                assert [value for name, value in answer.headers if name == b"x-stamp"] == [b"1", b"2"]
                cookie = [("cookie", answer.header(b"set-cookie").partition(b";")[0].decode())]

    run(main())


def test_content_without_a_length(run: Run, wire: Wire, application: Flask) -> None:
    """`wsgi.input_terminated`."""

    async def main() -> None:
        async with wire.serving(application) as server, wire.peer(server) as peer:
            for path, headers, content, body in (
                ("/echo", [], CONTENT, CONTENT),
                ("/form", [FORM], form({}, {"f": CONTENT}), b'{"f":262144}\n'),
            ):
                number = await peer.open(path, "POST", headers, end=False)
                await peer.send(number, content, end=True)
                assert (await peer.over(number)).body == body

    run(main())


def test_failures_and_clients_that_go_leave_nothing_behind(run: Run, wire: Wire, application: Flask) -> None:
    async def main() -> None:
        async with wire.serving(application) as server, wire.peer(server) as peer:
            answer = await peer.get("/crash-later")
            assert answer.status == 200 and answer.reset is not None and not answer.ended
            number = await peer.open("/forever")
            await peer.started(number)
            peer.reset(number)
            await settled(lambda: "closed" in log and live_handlers(server) == 0)
            assert (await peer.get("/stream")).ended

    run(main())
