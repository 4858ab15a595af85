"""The environ of a WSGI request, name by name."""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Sequence
from typing import Any

from headrace.wsgi.files import FileWrapper

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving

Pairs = Sequence[tuple[str, str]]


def environ_of(run: Run, path: str = "/", headers: Pairs = (), *, unix: str = "", **settings: Any) -> dict[str, Any]:
    """What an application gets for a request."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [b""]

    async def main() -> None:
        if unix:
            settings["bind"] = f"unix:{unix}"
        async with (
            serving(app, **settings) as server,
            H2Peer.connected(None if unix else port(server), path=unix or None) as peer,
        ):
            assert (await peer.get(path, headers=headers)).status == 200
            seen[0]["test.port"] = "" if unix else str(port(server))

    run(main())
    return seen[0]


def test_what_pep_3333_asks_for(run: Run) -> None:
    environ = environ_of(run, "/a%20b/c%C3%BC?q=%20&r=1")
    assert type(environ) is dict
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/a b/cü"
    assert environ["QUERY_STRING"] == "q=%20&r=1"
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == "/a%20b/c%C3%BC?q=%20&r=1"
    assert environ["SERVER_PROTOCOL"] == "HTTP/2"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", environ["test.port"])
    assert environ["HTTP_HOST"] == "localhost"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REMOTE_PORT"].isdigit()
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"], environ["wsgi.run_once"]) == (True, False, False)
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.file_wrapper"] is FileWrapper
    assert isinstance(environ["wsgi.input"], io.BytesIO)
    assert "CONTENT_LENGTH" not in environ
    assert "CONTENT_TYPE" not in environ
    assert "HTTPS" not in environ


def test_a_path_that_is_no_utf_8_keeps_its_bytes(run: Run) -> None:
    assert environ_of(run, "/%ff%00")["PATH_INFO"] == "/\xff\x00"


def test_the_mount_point_is_the_script_name(run: Run) -> None:
    environ = environ_of(run, "/x", root_path="/äpi")
    assert environ["SCRIPT_NAME"].encode("latin-1").decode() == "/äpi"
    assert environ["PATH_INFO"] == "/x"


def test_fields(run: Run) -> None:
    environ = environ_of(
        run,
        "/",
        [
            ("accept", "a"),
            ("accept", "b"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("content-type", "text/plain"),
            ("x-name", "caf\xe9"),
            ("x-forwarded-for", "1.2.3.4"),
        ],
    )
    assert environ["HTTP_ACCEPT"] == "a,b"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["CONTENT_TYPE"] == "text/plain"
    assert "HTTP_CONTENT_TYPE" not in environ
    assert environ["HTTP_X_NAME"].encode("latin-1").decode() == "caf\xe9"


def test_httpoxy(run: Run) -> None:
    # CVE-2016-5385: a field named Proxy became HTTP_PROXY, which libraries take for the proxy they are to use.
    assert "HTTP_PROXY" not in environ_of(run, "/", [("proxy", "http://evil.test")])


def test_a_field_with_an_underscore_cannot_pass_for_another(run: Run) -> None:
    environ = environ_of(run, "/", [("x_forwarded_for", "evil"), ("x-forwarded_host", "evil")])
    assert "evil" not in environ.values()


def test_a_unix_socket_still_has_a_server_name_and_port(run: Run, tmp_path: Any) -> None:
    # PEP 3333: SERVER_NAME and SERVER_PORT "can never be empty strings".
    environ = environ_of(run, unix=str(tmp_path / "s"))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("localhost", "80", "")
    assert "REMOTE_PORT" not in environ


def test_requests_do_not_share_what_they_change(run: Run) -> None:
    seen: list[bool] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append("mine" in environ)
        environ["mine"] = 1
        start_response("200 OK", [])
        return [b""]

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await asyncio.gather(*(peer.get("/") for _ in range(3)))

    run(main())
    assert seen == [False] * 3
