"""httplint reads every kind of response that the server sends, over HTTP/1.1 and HTTP/2: no BAD note on any of them.

What it warns of is either named here, with the reason, or a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import httplint
import pytest

from headrace.server.files.http_date import write_date

from tests.conformance import everything
from tests.conformance.everything import MODIFIED, ORIGIN
from tests.support.h1_peer import H1Peer
from tests.support.h1_rig import read_responses
from tests.support.h2_peer import H2Peer
from tests.support.serving import port, serving

DATE = write_date(MODIFIED).decode()


class Case(NamedTuple):
    """A request, and the status of its answer; `over` one protocol only where it is of that one."""

    method: str
    path: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes | None = None
    over: str = ""


GET = "GET"
FILE = "/files/large.txt"
SOCKET = (
    ("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
)  # fmt: skip
CASES = {
    "buffered": Case(GET, "/text", 200),
    "html": Case(GET, "/html", 200),
    "json": Case(GET, "/json", 200),
    "head": Case("HEAD", "/text", 200),
    "no content": Case(GET, "/nothing", 204),
    "stream": Case(GET, "/stream", 200),
    "head of a stream": Case("HEAD", "/stream", 200),
    "stream with a length": Case(GET, "/sized", 200),
    "trailers": Case(GET, "/trailers", 200),
    "early hints": Case(GET, "/hinted", 200),
    "loop": Case(GET, "/loop", 200),
    "content taken": Case("POST", "/post", 200, (), b"content"),
    "event stream": Case(GET, "/events", 200),
    "figures": Case(GET, "/metrics", 200),
    "file": Case(GET, "/file", 200),
    "head of a file": Case("HEAD", "/file", 200),
    "folder's small file": Case(GET, "/files/small.txt", 200),
    "folder's large file": Case(GET, FILE, 200),
    "head of a folder's file": Case("HEAD", FILE, 200),
    "compressed sibling": Case(GET, FILE, 200, (("accept-encoding", "gzip"),)),
    "index": Case(GET, "/files/sub/", 200),
    "folder without its slash": Case(GET, "/files/sub", 308),
    "range": Case(GET, FILE, 206, (("range", "bytes=10-19"),)),
    "range by its end": Case(GET, "/files/small.txt", 206, (("range", "bytes=-2"),)),
    "large range": Case(GET, FILE, 206, (("range", "bytes=1-"),)),
    "two ranges": Case(GET, FILE, 206, (("range", "bytes=0-9,50-59"),)),
    "range beyond the end": Case(GET, FILE, 416, (("range", "bytes=999999-"),)),
    "not modified since": Case(GET, FILE, 304, (("if-modified-since", DATE),)),
    "none match": Case(GET, FILE, 304, (("if-none-match", "*"),)),
    "head, none match": Case("HEAD", FILE, 304, (("if-none-match", "*"),)),
    "condition failed": Case(GET, FILE, 412, (("if-match", '"other"'),)),
    "no such file": Case(GET, "/files/none", 404),
    "no such path": Case(GET, "/none", 404),
    "head of no such path": Case("HEAD", "/none", 404),
    "another method": Case("DELETE", "/text", 405),
    "another method on a file": Case("DELETE", FILE, 405),
    "options": Case("OPTIONS", "/text", 204),
    "slash too much": Case(GET, "/text/", 308),
    "too much content": Case("POST", "/limited", 413, (), b"x" * 11),
    "forbidden": Case(GET, "/forbidden", 403),
    "broken": Case(GET, "/broken", 500),
    "coded by gzip": Case(GET, "/coded", 200, (("accept-encoding", "gzip"),)),
    "coded by br": Case(GET, "/coded", 200, (("accept-encoding", "br"),)),
    "coded by zstd": Case(GET, "/coded", 200, (("accept-encoding", "zstd"),)),
    "not coded": Case(GET, "/coded", 200),
    "coded stream": Case(GET, "/coded-stream", 200, (("accept-encoding", "gzip"),)),
    "coded event stream": Case(GET, "/coded-events", 200, (("accept-encoding", "gzip"),)),
    "shared": Case(GET, "/shared", 200, (("origin", ORIGIN),)),
    "not shared": Case(GET, "/shared", 200, (("origin", "https://other.example"),)),
    "preflight": Case(
        "OPTIONS", "/shared", 204,
        (("origin", ORIGIN), ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-asked")),
    ),
    "preflight refused": Case(
        "OPTIONS", "/shared", 403, (("origin", "https://other.example"), ("access-control-request-method", "PUT"))
    ),
    "security fields": Case(GET, "/guarded", 200),
    "too many requests": Case(GET, "/rare", 429),
    "WebSocket without an upgrade": Case(GET, "/never-chat", 426, over="h1"),
    "WebSocket without a CONNECT": Case(GET, "/never-chat", 400, over="h2"),
    "WebSocket of another origin": Case(
        GET, "/chat", 403, (*SOCKET, ("sec-websocket-version", "13"), ("origin", ORIGIN)), over="h1"
    ),
    "WebSocket of another version": Case(GET, "/chat", 426, (*SOCKET, ("sec-websocket-version", "8")), over="h1"),
    "WebSocket where there is none": Case(GET, "/text", 404, (*SOCKET, ("sec-websocket-version", "13")), over="h1"),
}  # fmt: skip

REFUSED = {  # by the engine itself, before any application
    "malformed": (b"GET / HTTP/1.1\r\nhost: a\r\nx y: z\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "target too long": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 414),
    "fields too large": (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "too many fields": (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 300 + b"\r\n", 431),
    "another expectation": (b"GET / HTTP/1.1\r\nhost: a\r\nexpect: much\r\n\r\n", 417),
    "a coding that is not there": (
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n", 501
    ),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n", 501),
    "another version": (b"GET / HTTP/2.1\r\nhost: a\r\n\r\n", 505),
    "too slow": (b"GET / HTTP/1.1\r\nhost: a\r\n", 408),
    "content malformed": (b"POST /post HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", 400),
    "HTTP/1.0": (b"GET /text HTTP/1.0\r\n\r\n", 200),
    "HTTP/1.0 stream": (b"GET /stream HTTP/1.0\r\n\r\n", 200),
}  # fmt: skip

# Notes that are right as they are: the statuses they may stand with, and why.
ACCEPTED: dict[str, tuple[range, str]] = {
    "FRESHNESS_HEURISTIC": (range(200, 300), "how long its responses may be stored is the application's to say"),
    "DATE_CLOCKLESS": (range(100, 200), "RFC 9110 §6.6.1: a server may leave `date` out of interim responses"),
    # The rest say in words what the status says, whatever the response: they are about the request.
    "STATUS_BAD_REQUEST": (range(400, 401), "this is what 400 means"),
    "STATUS_URI_TOO_LONG": (range(414, 415), "this is what 414 means"),
    "STATUS_VERSION_NOT_SUPPORTED": (range(505, 506), "this is what 505 means"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return everything.make_folder(tmp_path_factory.mktemp("everything") / "files")


def lint(case: Case, status: int, headers: Any, content: bytes, trailers: Any, version: bytes) -> list[Any]:
    asked = httplint.HttpRequestLinter()
    asked.process_request_topline(case.method.encode(), case.path.encode(), version)
    asked.process_headers([(b"host", b"localhost"), *((n.encode(), v.encode()) for n, v in case.headers)])
    asked.finish_content(True)
    linter = httplint.HttpResponseLinter()
    linter.request = asked
    linter.is_head_response = case.method == "HEAD"
    phrase = HTTPStatus(status).phrase.encode() if version != b"HTTP/2" else None
    linter.process_response_topline(version, b"%d" % status, phrase)
    linter.process_headers(list(headers))
    if content:
        linter.feed_content(bytes(content))
    linter.finish_content(True, list(trailers or []))
    return list(linter.notes)


def flatten(notes: Any) -> Iterator[Any]:
    for note in notes:
        yield note
        yield from flatten(note.subnotes)


def judge(notes: list[Any], status: int) -> None:
    found = [note for note in flatten(notes) if note.level in (httplint.levels.BAD, httplint.levels.WARN)]
    left = [note for note in found if status not in ACCEPTED.get(type(note).__name__, (range(0), ""))[0]]
    assert [f"{note.level.name} {type(note).__name__}: {note.summary}" for note in left] == []


GATEWAYS = {
    "ASGI": ("asgi", Case(GET, "/asgi", 200)),
    "ASGI, broken": ("asgi", Case(GET, "/broken", 500)),
    "ASGI, no answer": ("asgi", Case(GET, "/silent", 500)),
    "ASGI, WebSocket denied": ("asgi", Case(GET, "/chat", 403, (*SOCKET, ("sec-websocket-version", "13")), over="h1")),
    "WSGI": ("wsgi", Case(GET, "/wsgi", 200)),
    "WSGI, broken": ("wsgi", Case(GET, "/broken", 500)),
}


def over_both(cases: dict[str, Case]) -> list[tuple[str, str]]:
    """Each case with each protocol that it is of."""
    return [(name, each) for name, case in cases.items() for each in ("h1", "h2") if case.over in ("", each)]


@pytest.mark.parametrize(("name", "protocol"), over_both(CASES))
def test_responses(folder: Path, name: str, protocol: str) -> None:
    read_all(CASES[name], protocol, everything.app(folder))


@pytest.mark.parametrize(("name", "protocol"), over_both({name: case for name, (_, case) in GATEWAYS.items()}))
def test_what_the_gateways_answer(name: str, protocol: str) -> None:
    interface, case = GATEWAYS[name]
    read_all(case, protocol, getattr(everything, interface), interface=interface)


def read_all(case: Case, protocol: str, app: Any, **settings: Any) -> None:
    """Ask for one response, and let httplint read all that comes."""

    async def main() -> Any:
        peer_class: Any = H1Peer if protocol == "h1" else H2Peer
        async with serving(app, **settings) as server, peer_class.connected(port(server)) as peer:
            if case.status == 429:
                await peer.get(case.path)
            headers = list(case.headers)
            if case.content is not None:
                return await peer.post(case.path, case.content, headers)
            return await peer.get(case.path, case.method, headers)

    answer = asyncio.run(asyncio.wait_for(main(), 60))
    assert answer.status == case.status and answer.ended
    version = b"HTTP/1.1" if protocol == "h1" else b"HTTP/2"
    for hint in answer.informational:
        status = int(hint.pop(b":status"))
        judge(lint(case, status, hint.items(), b"", None, version), status)
    headers = [pair for pair in answer.headers if pair[0] != b":status"]
    judge(lint(case, case.status, headers, answer.body, answer.trailers, version), case.status)


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_engine_says_itself(folder: Path, name: str) -> None:
    sent, status = REFUSED[name]

    async def main() -> bytes:
        limits = {"request_header_timeout_s": 0.2}
        async with serving(everything.app(folder), limits=limits) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
            writer.write(sent)
            data = await reader.read()
            writer.close()
            return data

    data = asyncio.run(asyncio.wait_for(main(), 60))
    response = read_responses(data, ended=True)[-1]
    assert response.status == status
    method, path, _ = sent.split(b" ", 2)
    expects = (("expect", "much"),) if status == 417 else ()
    case = Case(method.decode(), path.decode(), status, expects)
    judge(lint(case, status, response.headers, response.body, response.trailers, b"HTTP/1.1"), status)


def test_control_a_bad_response_is_seen() -> None:
    """Were nothing read, nothing would be found."""
    headers = [(b"content-type", b"text"), (b"content-length", b"3"), (b"etag", b"x"), (b"date", b"today")]
    notes = lint(CASES["buffered"], 200, headers, b"four", None, b"HTTP/1.1")
    bad = {type(note).__name__ for note in flatten(notes) if note.level is httplint.levels.BAD}
    assert {"CL_INCORRECT", "BAD_DATE_SYNTAX"} <= bad, bad
