"""Fields with an underscore in their name: left out, for every interface and over every wire, unless one asks for them.

RFC 3875 §4.1.18 makes the same variable of `x_forwarded_for` and `x-forwarded-for`, and so do WSGI and frameworks.
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Request, Response

from tests.protocols.conftest import Wire
from tests.support.serving import Run

SENT = [("x-real", "1"), ("x_real", "2"), ("_a", "3"), ("a_", "4"), ("content_length", "5"), ("x-last_", "6")]
ODD = {name for name, _ in SENT if "_" in name}


async def native(request: Request) -> Response:
    await request.read()
    return Response.text(" ".join(name.decode() for name, _ in [*request.headers, *request.trailers]))


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b" ".join(name for name, _ in scope["headers"])})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [" ".join(f"{name}={value}" for name, value in environ.items() if isinstance(value, str)).encode()]


def names(run: Run, wire: Wire, app: Any, headers: Any = SENT, **settings: Any) -> list[set[str]]:
    """What requests had, for the application: some that are alike, and others."""

    async def main() -> list[set[str]]:
        async with wire.serving(app, **settings) as server, wire.peer(server) as peer:
            answers = [await peer.get("/", headers=headers) for _ in range(5)]
            answers += [await peer.get("/other", headers=headers), await peer.get("/", headers=headers[:2])]
            assert all(answer.status == 200 for answer in answers)
            return [set(answer.body.decode().split()) for answer in answers]

    found: list[set[str]] = run(main())
    return found


@pytest.mark.parametrize("app", [native, asgi])
def test_they_are_left_out(run: Run, wire: Wire, app: Any) -> None:
    settings = {"lifespan": "off"} if app is asgi else {}
    for found in names(run, wire, app, **settings):
        assert "x-real" in found
        assert not any("_" in name for name in found)


@pytest.mark.parametrize("app", [native, asgi])
def test_they_are_kept_where_one_asks_for_them(run: Run, wire: Wire, app: Any) -> None:
    settings = {"lifespan": "off"} if app is asgi else {}
    *found, last = names(run, wire, app, underscore_fields=True, **settings)
    assert all(each >= ODD | {"x-real"} for each in found)
    assert last >= {"x-real", "x_real"}


@pytest.mark.parametrize("asked_for", [False, True])
def test_wsgi_never_gets_them(run: Run, wire: Wire, asked_for: bool) -> None:
    for found in names(run, wire, wsgi, interface="wsgi", underscore_fields=asked_for):
        assert "HTTP_X_REAL=1" in found
        assert not any(each.partition("=")[0] in ("HTTP__A", "HTTP_A_", "HTTP_CONTENT_LENGTH") for each in found)


@pytest.mark.parametrize("asked_for", [False, True])
def test_trailers(run: Run, wire: Wire, asked_for: bool) -> None:
    async def main() -> None:
        async with wire.serving(native, underscore_fields=asked_for) as server, wire.peer(server) as peer:
            number = await peer.open("/", "POST", end=False)
            await peer.finish(number, b"content", [("x-sum", "1"), ("x_sum", "2")])
            found = (await peer.over(number)).body.decode().split()
            assert "x-sum" in found
            assert ("x_sum" in found) == asked_for

    run(main())


def test_values_may_have_underscores(run: Run, wire: Wire) -> None:
    for found in names(run, wire, native, [("x-a", "b_c"), ("cookie", "a_b=c_d"), ("user-agent", "a_b/1")]):
        assert {"x-a", "cookie"} <= found
