"""The fixtures for users, in a pytest of their own."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from headrace import pytest_plugin
from headrace.server.handlers.response import Response

pytest_plugins = ["pytester"]

# Where the package is installed, pytest has found the plugin by itself.
IS_INSTALLED = any(each.value == "headrace.pytest_plugin" for each in entry_points(group="pytest11"))

HELLO = """
import asyncio
import pytest
import headrace
from headrace.client import Client
from headrace.client.connect.config import NetworkConfig
from headrace.server.handlers.response import Response
from headrace.server.handlers.websocket import WebSocketResponse

async def app(request):
    if request.is_websocket:
        return WebSocketResponse(echo)
    return Response.text(f"{request.http_version} {request.scheme} {request.path}")

async def echo(ws):
    async for message in ws:
        await ws.send(message)

app.takes_websockets = True
"""


def run(pytester: pytest.Pytester, body: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(HELLO + body)
    plugin = () if IS_INSTALLED else ("-p", "headrace.pytest_plugin")
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider", *arguments)


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that is under test here is under test there."""
    import headrace

    monkeypatch.setenv("PYTHONPATH", str(Path(headrace.__file__).parent.parent))


def test_a_server_and_a_plain_client(pytester: pytest.Pytester) -> None:
    body = """
def test_it(headrace_server, headrace_client):
    server = headrace_server(app)
    assert server.url == f"http://127.0.0.1:{server.port}"
    client = headrace_client(server)
    assert client.get("/a").text == "1.1 http /a"
    with client.websocket(server.websocket_url) as ws:
        ws.send("hello")
        assert ws.receive() == "hello"

def test_tls(headrace_server, headrace_client):
    server = headrace_server(app, tls=True)
    assert headrace_client(server).get("/b").text == "2 https /b"

def test_two_of_each(headrace_server, headrace_client):
    one, two = headrace_server(app), headrace_server(app)
    assert one.port != two.port
    assert headrace_client(one).get("/").text == headrace_client(two.url).get("/").text
"""
    run(pytester, body).assert_outcomes(passed=3)


def test_an_async_client_and_an_asgi_application(pytester: pytest.Pytester) -> None:
    body = """
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["name"] = "ann"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})
        print("shut down")
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["state"]["name"].encode()})

def test_it(headrace_server):
    server = headrace_server(asgi, tls=True)

    async def main():
        async with Client(network=NetworkConfig(verify=server.client_context)) as client:
            assert (await client.get(server.url)).text == "ann"

    asyncio.run(main())
"""
    result = run(pytester, body, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*shut down*"])


def test_what_a_start_raises_fails_the_test(pytester: pytest.Pytester) -> None:
    body = """
async def broken(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})

def test_it(headrace_server):
    with pytest.raises(Exception, match="no database"):
        headrace_server(broken, lifespan="on")
    with pytest.raises(headrace.ConfigError):
        headrace_server(app, bind="nonsense")
    with pytest.raises(TypeError):
        headrace_server(app, no_such_setting=1)
"""
    run(pytester, body).assert_outcomes(passed=1)


def test_requests_that_run_do_not_hold_up_the_end(pytester: pytest.Pytester) -> None:
    body = """
import threading

def test_it(headrace_server, headrace_client):
    began = threading.Event()

    async def waits(request):
        began.set()
        await asyncio.Event().wait()

    server = headrace_server(waits)
    client = headrace_client(server)
    errors = []

    def ask():
        try:
            client.get("/")
        except headrace.client.ConnectionLost as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert began.wait(10)
    server.stop()
    server.stop()
    thread.join(10)
    assert len(errors) == 1
"""
    run(pytester, body).assert_outcomes(passed=1)


def test_the_fixtures_are_listed_with_what_they_do(pytester: pytest.Pytester) -> None:
    result = run(pytester, "", "--fixtures")
    result.stdout.fnmatch_lines_random(["headrace_client*", "headrace_server*"])


def test_nothing_is_imported_for_those_who_do_not_use_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\n\ndef test_it():\n    assert 'headrace.server.app' not in sys.modules\n"
        "    assert 'headrace.client.client' not in sys.modules\n"
    )
    plugin = () if IS_INSTALLED else ("-p", "headrace.pytest_plugin")
    result = pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)


# -- in this process ---------------------------------------------------------------------------------------------------


async def hello(request: Any) -> Any:
    return Response.text("hello")


def test_a_server_that_never_starts_or_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest_plugin.RunningServer(hello)
    assert repr(server) == f"<headrace server http://127.0.0.1:{server.port}>"
    with monkeypatch.context() as patch:
        patch.setattr(pytest_plugin, "STOP_S", 0.0)
        patch.setattr(server._thread, "join", lambda seconds: None)
        with pytest.raises(TimeoutError, match="did not end within 0 s"):
            server.stop()
    server._thread.join(20.0)
    server.stop()
    with monkeypatch.context() as patch:
        patch.setattr(pytest_plugin, "START_S", 0.0)
        patch.setattr(pytest_plugin.RunningServer, "_run", lambda self: self._loop.close())
        with pytest.raises(TimeoutError, match="did not start within 0 s"):
            pytest_plugin.RunningServer(hello)


def test_tls_without_trustme_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(pytest.UsageError, match=r"pip install 'headrace\[dev-tls\]'"):
        pytest_plugin.RunningServer(hello, tls=True)


def test_a_client_of_no_server_in_particular(pytester: pytest.Pytester) -> None:
    body = """
def test_it(headrace_server, headrace_client):
    server = headrace_server(app)
    assert headrace_client().get(server.url + "/a").text == "1.1 http /a"
    assert headrace_client(server.url).get("/b").text == "1.1 http /b"
"""
    run(pytester, body).assert_outcomes(passed=1)
