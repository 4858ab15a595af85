"""A handler's `Request` has what handlers need and nothing else; the exchange behind it is the server's own."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from headrace import EventStream, HTTPError, Request, Response, Route, Router, StreamResponse
from headrace.server.middleware import AnyResponse, Next

from tests.protocols.conftest import Wire
from tests.support.requests import request as asked
from tests.support.serving import Run

SETTABLE = {"authority", "body_limit", "cancel_on_disconnect", "client", "scheme", "state"}
PUBLIC = {
    "allow_pauses",
    "authority",
    "body_limit",
    "cancel_on_disconnect",
    "client",
    "connection",
    "content_length",
    "early_hints",
    "header",
    "headers",
    "http_version",
    "is_disconnected",
    "is_websocket",
    "method",
    "params",
    "path",
    "query_string",
    "raw_path",
    "read",
    "request_id",
    "route",
    "scheme",
    "state",
    "stream",
    "stream_id",
    "trailers",
}
# The names of the exchange that a handler could hurt its connection with, before they were apart.
PLUMBING = ("blocked", "gone", "inbox", "progress", "task", "waiters", "write", "driver", "user")


def test_the_public_names_are_these() -> None:
    """One that comes or goes is a change of this list, of docs/reference/handlers.md and of CHANGELOG.md."""
    assert {name for name in dir(Request) if not name.startswith("_")} == PUBLIC
    assert all(getattr(Request, name).__doc__ for name in PUBLIC)
    assert not hasattr(asked(), "__dict__")


@pytest.mark.parametrize("name", [*PLUMBING, *sorted(PUBLIC - SETTABLE)])
def test_nothing_else_can_be_set(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(asked(), name, True)


def test_these_can_be_set() -> None:
    request = asked()
    for name in SETTABLE:
        value = object()
        setattr(request, name, value)
        assert getattr(request, name) is value


@pytest.mark.parametrize("name", PLUMBING)
def test_a_handler_that_sets_what_is_ours_hangs_nothing(run: Run, wire: Wire, name: str) -> None:
    """`request.blocked = True` made the response wait for ever."""

    async def app(request: Request) -> AnyResponse:
        if request.path == "/raises":
            setattr(request, name, True)
        with contextlib.suppress(AttributeError):
            setattr(request, name, True)
        if request.path == "/stream":
            return StreamResponse(200, (), lambda send: send(b"hello"))
        if request.path == "/events":
            return EventStream(events())
        return Response.text("hello")

    async def events() -> Any:
        yield "hello"

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            assert (await peer.get("/raises")).status == 500
            for path, content in (("/", b"hello"), ("/stream", b"hello"), ("/events", b"data: hello\n\n")):
                answer = await peer.get(path)
                assert (answer.status, answer.body, answer.ended) == (200, content, True)

    run(main())


def test_state_is_the_place_for_ones_own_things(run: Run, wire: Wire) -> None:
    """A route's `state` is there first, for all that are inside of the router; each request has its own."""
    seen = []

    async def signed_in(request: Request, following: Next) -> AnyResponse:
        seen.append(request.state)
        request.state = {"user": request.header("x-user")}
        return await following(request)

    async def show(request: Request) -> Response:
        if request.state["user"] is None:
            raise HTTPError(401, "Unauthorized")
        return Response.text(request.state["user"])

    async def main() -> None:
        router = Router([Route("/a", show, state="of the route"), Route("/b", show)], middleware=[signed_in])
        async with wire.serving(router) as server, wire.peer(server) as peer:
            assert (await peer.get("/a", headers=[("x-user", "alice")])).body == b"alice"
            assert (await peer.get("/a")).status == 401
            assert (await peer.get("/b", headers=[("x-user", "bob")])).body == b"bob"
        assert seen == ["of the route", "of the route", None]

    run(main())
