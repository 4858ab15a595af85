"""What the tests of contexts share: a context variable for a request's user, and applications that look at it.

Each request looks at the variables before it has set anything, then sets its own user. What it saw stands in `seen`:
anything but nobody and the value from before the server's start is another request's.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from headrace.engine.limits import Limits
from headrace.server.app import Server
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.settings.config import Config

from tests.support.serving import settled

BIG = b"x" * 4_194_304


class User:
    """Who a request is from; an object, so that one can see whether somebody keeps it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"User({self.name})"


USER: contextvars.ContextVar[User | None] = contextvars.ContextVar("user", default=None)
START: contextvars.ContextVar[str] = contextvars.ContextVar("start", default="")

CLEAN = (None, "before the start")


class Probe:
    """The applications, and what their requests saw."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[User | None, str]] = {}
        self.users: dict[str, weakref.ref[User]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    def enter(self, path: str) -> None:
        """A request begins: note what it sees, and be somebody."""
        self.seen[path] = (USER.get(), START.get())
        user = User(path)
        self.users[path] = weakref.ref(user)
        USER.set(user)

    def gate(self, path: str) -> asyncio.Event:
        """What a request with `wait` in its path waits for."""
        return self.gates.setdefault(path, asyncio.Event())

    async def answer(self, path: str, read: Callable[[], Awaitable[bytes]]) -> bytes:
        """What every application does with a request, by its path."""
        self.enter(path)
        if "turn" in path:
            await asyncio.sleep(0)
        if "wait" in path:
            try:
                await self.gate(path).wait()
            except asyncio.CancelledError:
                await self.gate(path).wait()  # its client has gone, and it stays
        content = await read()
        assert USER.get() is not None and USER.get().name == path  # type: ignore[union-attr]
        return BIG if "big" in path else str(len(content)).encode()

    async def native(self, request: Request) -> Response:
        return Response(200, (), await self.answer(request.path, request.read))

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            USER.set(User("the lifespan"))
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return

        async def read() -> bytes:
            content = b""
            more = True
            while more:
                message = await receive()
                content += message.get("body", b"")
                more = message.get("more_body", False)
            return content

        content = await self.answer(scope["path"], read)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": content})

    def wsgi(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.enter(environ["PATH_INFO"])
        content = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [BIG if "big" in environ["PATH_INFO"] else str(len(content)).encode()]

    def check(self, *paths: str) -> None:
        """These requests have begun, and no other ones, and have seen nobody."""
        assert self.seen == dict.fromkeys(paths, CLEAN)

    async def check_forgotten(self, *paths: str) -> None:
        """Every request so far has seen nobody, and nothing keeps the context of these any more, though their
        connection is open."""
        assert self.seen == dict.fromkeys(self.seen, CLEAN)

        def is_forgotten() -> bool:
            gc.collect()
            return all(self.users[path]() is None for path in paths)

        await settled(is_forgotten)


@contextlib.asynccontextmanager
async def started(app: Any, *, limits: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Server]:
    """A server of `app` that was started where START says so, which is not so where the test and its clients run."""
    config = Config(bind="127.0.0.1:0", limits=Limits(**{"frames_per_turn": 100, **(limits or {})}), **settings)
    context = contextvars.copy_context()
    context.run(START.set, CLEAN[1])
    server = Server(app, config)
    await asyncio.get_running_loop().create_task(server.start(), context=context)
    try:
        yield server
    finally:
        server.abort()
        await server.wait_closed()
