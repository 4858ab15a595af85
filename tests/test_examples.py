"""Every example is run, as its first lines say, and answers a client that is not ours."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.fetch import fetch
from tests.support.process import free_port, serving
from tests.test_pytest_plugin import IS_INSTALLED

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
RUN_HERE = {
    "asgi_hello",
    "early_hints",
    "embedded",
    "engine_in_memory",
    "faults",
    "files",
    "fixtures",
    "long_polling",
    "middleware",
    "native_hello",
    "observed",
    "reverse_proxy",
    "routes",
    "server_sent_events",
    "starlette_app",
    "static_files",
    "stream_with_trailers",
    "testing_an_app",
    "under_httpx",
    "upload",
    "websocket_client",
    "wsgi_hello",
}


@contextmanager
def example(target: str) -> Iterator[int]:
    with serving(f"examples.{target}") as server:
        yield server.ports["http"]


def test_every_example_has_its_test_here() -> None:
    assert {path.stem for path in EXAMPLES} - {"__init__"} == RUN_HERE


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 60


def test_asgi_hello() -> None:
    with example("asgi_hello:app") as port:
        assert fetch(port, "/you").text == "Hello, you, over HTTP/2\n"


def test_starlette_app() -> None:
    with example("starlette_app:app") as port:
        assert fetch(port, "/fish/carp").text == '{"count":12}'
        assert fetch(port, "/fish/shark").status == 404


def test_native_hello() -> None:
    with example("native_hello:handler") as port:
        assert fetch(port, "/you").text == "Hello, you\n"
        refused = fetch(port, "/", "DELETE")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_stream_with_trailers() -> None:
    with example("stream_with_trailers:handler") as port:
        answer = fetch(port, "/")
        assert answer.body.count(b"\n") == 1000
        assert answer.trailers == {"x-sha256": hashlib.sha256(answer.body).hexdigest()}
        assert fetch(port, "/short").text == "line 0\nline 1\nline 2\n"


def test_upload() -> None:
    content = bytes(range(256)) * 4096
    with example("upload:handler") as port:
        answer = fetch(port, "/", "PUT", content)
        assert answer.text == f'{{"bytes":{len(content)},"sha256":"{hashlib.sha256(content).hexdigest()}"}}'
        assert fetch(port, "/note", "POST", b"buy milk").text == "noted: buy milk\n"
        assert fetch(port, "/note", "POST", b"x" * 1001).status == 413


def test_early_hints() -> None:
    with example("early_hints:handler") as port:
        answer = fetch(port, "/")
        assert answer.informational == [(103, {"link": "</style.css>; rel=preload; as=style"})]
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_files() -> None:
    own = (ROOT / "examples/files.py").read_bytes()
    with example("files:handler") as port:
        assert fetch(port, "/").body == own
        assert fetch(port, "/beginning").body == own[:3]
        download = fetch(port, "/download")
        assert (download.body, download.headers["content-length"]) == (own, str(len(own)))
        assert download.headers["content-disposition"] == 'attachment; filename="files.py"'
        assert fetch(port, "/nothing").status == 404


def test_server_sent_events() -> None:
    with example("server_sent_events:handler") as port:
        answer = fetch(port, "/countdown")
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.text.split("\n\n") == [
            "retry: 1000",
            "id: 3\ndata: 3",
            "id: 2\ndata: 2",
            "id: 1\ndata: 1",
            "event: start\ndata: Go!",
            "",
        ]
        again = fetch(port, "/countdown", headers=[("last-event-id", "2")]).text
        assert again.startswith("retry: 1000\n\nid: 1\ndata: 1\n\n")
        assert fetch(port, "/news", "POST", b"nobody hears this").text == "0 readers\n"


def test_long_polling() -> None:
    with example("long_polling:handler") as port, ThreadPoolExecutor() as threads:
        guest = threads.submit(fetch, port, "/?Ada")
        while fetch(port, "/", "POST", b"hello").text == "0 here\n":
            pass
        assert fetch(port, "/", "POST", b"/close").text == "1 here\n"
        lines = guest.result(20).text.splitlines()
        assert (lines[0], lines[-2:]) == ("Ada has come", ["hello", "/close"])


def test_engine_in_memory() -> None:
    from examples import engine_in_memory

    assert engine_in_memory.main() == "stream 1: status 200, Hello"


def test_embedded() -> None:
    from examples import embedded

    async def visit() -> list[str]:
        port = free_port()
        program = asyncio.create_task(embedded.main(port))
        answers = []
        for path in ("/", "/stop"):
            while True:
                try:
                    answers.append((await asyncio.to_thread(fetch, port, path)).text)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
        await program
        return answers

    assert asyncio.run(visit()) == ["Ask for /stop to end the program.\n", "This is the last answer.\n"]


def test_wsgi_hello() -> None:
    with example("wsgi_hello:app") as port:
        assert fetch(port, "/").text == "Hello over HTTP/2\n"
        assert fetch(port, "/count", "POST", b"one\ntwo\nthree").text == "3 lines\n"
        assert fetch(port, "/stream").text.splitlines() == [str(number) for number in range(1000)]


def test_observed(caplog: pytest.LogCaptureFixture) -> None:
    from examples import observed

    async def visit() -> list[str]:
        port, stop, answers = free_port(), asyncio.Event(), []
        program = asyncio.create_task(observed.main(port, stop))
        for path in ("/", "/slow", "/metrics"):
            while True:
                try:
                    answers.append((await asyncio.to_thread(fetch, port, path, headers=[("x-request-id", path)])).text)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
        stop.set()
        await program
        return answers

    first, second, metrics = asyncio.run(visit())
    assert (first, second) == ("You are request /\n", "You are request /slow\n")
    assert 'headrace_request_duration_seconds_count{route="",status="200"} 2.0' in metrics
    assert [record.getMessage()[:24] for record in caplog.records if record.name == "slow"] == [
        "GET /slow from 127.0.0.1"
    ]


def test_testing_an_app() -> None:
    from examples import testing_an_app

    testing_an_app.test_a_refused_method_is_told_what_is_allowed()
    testing_an_app.test_the_server_gives_up_on_a_silent_client()


def test_routes() -> None:
    with example("routes:app") as port:
        assert fetch(port, "/fish/").text == '[{"name":"carp","url":"/fish/7"},{"name":"pike","url":"/fish/8"}]'
        assert fetch(port, "/fish/9", "PUT", b"perch").status == 204
        assert fetch(port, "/fish/9").text == '{"name":"perch"}'
        assert fetch(port, "/fish/9", "DELETE").headers["allow"] == "GET, HEAD, OPTIONS, PUT"
        assert fetch(port, "/fish/10").text == fetch(port, "/fish/10").text == '{"error":"there is no /fish/10"}'
        assert fetch(port, "/frogs").status == 404


def test_middleware() -> None:
    with serving("examples.middleware:app") as server:
        port = server.ports["http"]
        answer = fetch(port, "/", headers=[("accept-encoding", "gzip"), ("origin", "https://app.example")])
        assert gzip.decompress(answer.body).startswith(b"a stream, and a wheel")
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert answer.headers["content-security-policy"] == "default-src 'self'"
        assert fetch(port, "/notes", "POST", b"x").status == 401
        key = [("authorization", "Bearer open-sesame")]
        assert fetch(port, "/notes", "POST", b"x", key).text == "1 bytes\n"
        assert fetch(port, "/notes", "POST", b"x" * 1001, key).status == 413


def test_static_files() -> None:
    source = (ROOT / "examples/static_files.py").read_bytes()
    with example("static_files:app") as port:
        assert fetch(port, "/").headers["content-type"] == "text/html; charset=utf-8"
        assert b"static_files.py" in fetch(port, "/source/").body
        whole = fetch(port, "/source/static_files.py")
        assert (whole.body, whole.headers["cache-control"]) == (source, "no-cache")
        part = fetch(port, "/source/static_files.py", headers=[("range", "bytes=0-99")])
        assert (part.status, part.body) == (206, source[:100])
        assert fetch(port, "/source/../README.md").status == 404


def test_reverse_proxy() -> None:
    with serving("examples.asgi_hello:app") as behind:
        upstream = f"http://127.0.0.1:{behind.ports['http']}"
        with serving("examples.reverse_proxy:app", env={"UPSTREAM": upstream}) as server:
            port = server.ports["http"]
            assert "This page is our own" in fetch(port, "/").text
            answer = fetch(port, "/api/you")
            assert answer.text == "Hello, api/you, over HTTP/1.1\n"
            # A name of this proxy's own, so that two that stand behind one another are not taken for a circle.
            assert re.fullmatch("1\\.1 headrace-[0-9a-f]{8}", answer.headers["via"])


def test_websocket_client() -> None:
    from examples import websocket_client

    with serving("tests.conformance.echo:app") as server:
        url = f"ws://127.0.0.1:{server.ports['http']}/"
        assert asyncio.run(websocket_client.main(url)) == ["one", "two", "three", "None, 3 messages, True"]
    with example("native_hello:handler") as port:
        assert asyncio.run(websocket_client.main(f"ws://127.0.0.1:{port}/")) == ["200: Hello, world"]


def test_under_httpx() -> None:
    from examples import under_httpx

    with example("native_hello:handler") as port:
        url = f"http://127.0.0.1:{port}/you"
        assert asyncio.run(under_httpx.main(url, http1=False)) == ["HTTP/2 200"] * 10


def test_faults() -> None:
    from examples import faults

    faults.test_a_download_goes_on_where_it_broke_off()
    faults.test_a_server_that_goes_away_first_is_no_error()


def test_fixtures() -> None:
    import headrace

    plugin = () if IS_INSTALLED else ("-p", "headrace.pytest_plugin")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, "examples/fixtures.py"]
    environment = {**os.environ, "PYTHONPATH": str(Path(headrace.__file__).parent.parent)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert "2 passed" in done.stdout, done.stdout
