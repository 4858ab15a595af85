"""What `headrace serve` says of applications that are wrong: before it serves, or in one line while it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import run, serving
from tests.support.fetch import fetch

ANY_PORT = ("--bind", "127.0.0.1:0")

APPS = """
from headrace import Response, Route, Router, StreamResponse

async def nothing(request):
    return None

def text(request):
    return "text"

async def crash(request):
    raise RuntimeError("boom\\nGET /forged from nowhere")

async def bad_field(request):
    return Response(200, [("bad name", "value")])

async def fine(request):
    return Response.text("fine")

async def cut(request):
    async def pieces():
        yield b"part"
        yield "text"
    return StreamResponse(200, (), pieces())

app = Router([
    Route("/nothing/{number:int}", nothing),
    Route("/text", text),
    Route("/crash", crash),
    Route("/field", bad_field),
    Route("/cut", cut),
    Route("/", fine),
])

def unclosed():
    return Router([Route("/a/{name", fine)])

def no_handler():
    return Router([Route("/a", None)])

def twice():
    return Router([Route("/a", fine), Route("/a", text)])

async def asgi(scope, receive, send):
    if scope["type"] == "http" and scope["path"] == "/":
        await send({"type": "http.response.start", "status": "200"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "apps.py").write_text(APPS)
    (tmp_path / "tables.py").write_text(
        'from headrace import Route, Router\napp = Router([Route("/a/{name:nosuch}", print)])\n'
    )
    return tmp_path


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (("tables:app",), "the path /a/{name:nosuch}: 'nosuch' is not a type of parameter"),
        (("apps:unclosed", "--factory"), "the path /a/{name: "),
        (("apps:no_handler", "--factory"), "/a"),
        (("apps:twice", "--factory"), "/a"),
    ],
)
def test_a_bad_route_table_ends_the_start_with_3_and_one_sentence(
    folder: Path, target: tuple[str, ...], said: str
) -> None:
    done = run("serve", *target, *ANY_PORT, cwd=folder)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"headrace: {target[0].partition(':')[0]}") and "raised RouteError: " in line
    assert said in line


def test_nonsense_is_500_and_one_line_that_names_the_route_and_what_was_wrong(folder: Path) -> None:
    wrong = {
        "/nothing/7": (
            500,
            r"GET /nothing/{number:int} \(apps\.nothing\) failed before its headers: TypeError: .*None",
        ),
        "/text": (
            500,
            r"GET /text \(apps\.text\) failed before its headers: TypeError: .*must return a response.* str",
        ),
        "/crash": (500, r"GET /crash \(apps\.crash\) failed before its headers: RuntimeError: boom$"),
        "/field": (500, r"GET /field \(apps\.bad_field\) failed before its headers: .*InvalidFieldError: .*bad name"),
    }
    with serving("apps:app", *ANY_PORT, cwd=folder) as server:
        port = server.port()
        for path, (status, said) in wrong.items():
            answer = fetch(port, path)
            assert (answer.status, answer.text) == (status, "Internal Server Error\n")
            server.wait_for(
                rf" error headrace\.error: GET {path} from 127\.0\.0\.1:\d+ on stream \d+: the handler of {said}"
            )
        assert fetch(port, "/").text == "fine"
    begun = [line for line in server.lines if " error headrace.error: " in line]
    assert len(begun) == len(wrong)


def test_an_asgi_application_that_is_wrong_is_one_line_too(folder: Path) -> None:
    with serving("apps:asgi", *ANY_PORT, cwd=folder) as server:
        port = server.port()
        assert fetch(port, "/").status == 500
        server.wait_for(r"GET / from .*: the handler failed before its headers: TypeError: the status .* int, not str$")
        assert fetch(port, "/nothing").status == 500
        server.wait_for(r"GET /nothing from .* RuntimeError: the ASGI application returned without a response$")
