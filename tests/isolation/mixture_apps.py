"""Applications of the mixture: they tell everything that they can see of whoever asked, and leave traces where they
can.

A user is a token such as `u042`. The response names the user of its request in a field, in the content, in trailers
and in early hints; the content repeats every token that can be seen in the scope, the request's content and the
contextvar before the handler set it. Then the application writes its user wherever it is allowed to write. So whatever
is shared shows up as a second token in somebody's response.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
from collections.abc import AsyncIterator
from typing import Any

from headrace import Request, Response, StreamResponse, WebSocketResponse
from headrace.server.handlers.response import AnyResponse

TOKEN = re.compile(rb"u0[0-3]\d")  # forty users; a random sec-websocket-key seldom looks like one
USER: contextvars.ContextVar[str] = contextvars.ContextVar("USER", default="")
SHAPES = (  # heads that move the HPACK table, and heads that do not
    (),
    ((b"content-type", b"text/a"),),
    ((b"content-type", b"text/b"), (b"vary", b"accept")),
    ((b"x-new", b"1"), (b"etag", b'"e"')),
)
PAIRS: list[list[bytes]] = [[b"content-type", b"text/plain"], [b"x-user", b"-"]]
"""A head that the application keeps and changes, inner lists included: legal in ASGI."""


def tokens(seen: object) -> bytes:
    """All users whose names stand in what was seen."""
    return b" ".join(sorted(set(TOKEN.findall(repr(seen).encode("utf-8", "replace")))))


def plan(path: str) -> tuple[str, str, int, int]:
    """Return user, what to do, a head's shape and how often the content repeats, out of /user/what/shape/times."""
    _, user, what, shape, times = path.split("/")
    return user, what, int(shape), int(times)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application: HTTP and WebSocket."""
    if scope["type"] == "lifespan":
        scope["state"]["list"] = ()
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    before = USER.get()
    seen = repr(scope)
    user, what, shape, times = plan(scope["path"])
    USER.set(user)
    mark = user.encode()
    scope["headers"].append((b"x-left", mark))
    scope["state"]["left"] = user
    for shared in (scope["asgi"], *scope["extensions"].values()):
        with contextlib.suppress(TypeError):  # which says that it cannot be changed
            shared["left"] = user
    scope["extensions"]["left"] = {"user": user}
    if scope["type"] == "websocket":
        await _converse(before, seen, receive, send)
        return
    content = set()
    rest = b""  # of a piece, in which a token may have begun
    if what != "unread":
        while True:
            message = await receive()
            rest += message.get("body", b"")
            content |= set(TOKEN.findall(rest))
            rest = rest[-3:]
            if not message.get("more_body"):
                break
    await asyncio.sleep(0 if shape % 2 else 0.001)
    body = b"%s|%s|%s|%s\n" % (before.encode(), tokens(seen), b" ".join(content), USER.get().encode()) * times
    headers: Any = [*SHAPES[shape], (b"x-user", mark)]
    if what == "kept":
        headers = PAIRS
        PAIRS[1][1] = mark
    elif what == "changed":
        headers.append([b"x-own", b"-"])
    elif what == "refused":
        headers.append((b"x bad", mark))
    elif what == "hints":
        await send({"type": "http.response.early_hint", "links": [b"</%s>; rel=preload" % mark]})
    start = {"type": "http.response.start", "status": 200, "headers": headers, "trailers": what == "trailers"}
    await send(start)
    if what == "kept":
        PAIRS[1][1] = b"-"  # from here on nobody may see it
    elif what == "changed":
        headers[-1][1] = b"changed"
        await asyncio.sleep(0)
    half = len(body) // 2
    await send({"type": "http.response.body", "body": body[:half], "more_body": True})
    await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": body[half:] + USER.get().encode()})
    if what == "trailers":
        await send({"type": "http.response.trailers", "headers": [(b"x-end", USER.get().encode())]})


async def _converse(before: str, seen: str, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-user", USER.get().encode())]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        said = f"{before}|{tokens(seen).decode()}|{USER.get()}|{message.get('text')}"
        await send({"type": "websocket.send", "text": said})


def wsgi(environ: Any, start_response: Any) -> Any:
    """The WSGI application."""
    before = USER.get()
    seen = tokens(environ)
    user, what, shape, times = plan(environ["PATH_INFO"])
    USER.set(user)
    content = set() if what == "unread" else set(TOKEN.findall(environ["wsgi.input"].read()))
    environ["left"] = user
    headers = [(name.decode(), value.decode()) for name, value in SHAPES[shape]]
    headers.append(("x-user", user))
    if what == "refused":
        headers.append(("x bad", user))
    start_response("200 OK", headers)
    body = b"%s|%s|%s|%s\n" % (before.encode(), seen, b" ".join(content), USER.get().encode()) * times
    return [body[: len(body) // 2], body[len(body) // 2 :] + USER.get().encode()]


async def native(request: Request) -> AnyResponse:
    """The native handler."""
    before = USER.get()
    seen = [request.headers, request.params, request.state, request.scheme]
    user, what, shape, times = plan(request.path)
    USER.set(user)
    mark = user.encode()
    for leave in (lambda: request.headers.append((b"x-left", mark)), lambda: request.params.update(left=user)):  # type: ignore[attr-defined]
        with contextlib.suppress(AttributeError, TypeError):
            leave()
    if what == "websocket":
        return WebSocketResponse(_echo(before, seen))
    content = set()
    if what != "unread":
        rest = b""  # of a piece, in which a token may have begun
        async for piece in request.stream():
            rest += piece
            content |= set(TOKEN.findall(rest))
            rest = rest[-3:]
    content |= set(TOKEN.findall(repr(request.trailers).encode()))
    body = b"%s|%s|%s|%s\n" % (before.encode(), tokens(seen), b" ".join(content), USER.get().encode()) * times
    headers: Any = [*SHAPES[shape], (b"x-user", mark)]
    if what == "kept":
        PAIRS[1][1] = mark
        headers = PAIRS
    elif what == "refused":
        headers.append((b"x bad", mark))
    elif what == "hints":
        await request.early_hints([(b"link", b"</%s>; rel=preload" % mark)])
    if what in ("trailers", "changed"):

        async def pieces(send: Any) -> None:
            await send(body)
            await asyncio.sleep(0)
            await send(USER.get().encode())
            await send(end=True, trailers=[(b"x-end", USER.get().encode())])

        return StreamResponse(200, headers, pieces)
    if what == "hints":

        async def generated() -> AsyncIterator[bytes]:
            yield body
            await asyncio.sleep(0)
            yield USER.get().encode()

        return StreamResponse(200, headers, generated)
    return Response(200, headers, body + USER.get().encode())


def _echo(before: str, seen: object) -> Any:
    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(f"{before}|{tokens(seen).decode()}|{USER.get()}|{message}")

    return echo
