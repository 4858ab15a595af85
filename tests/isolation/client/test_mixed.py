"""One client, many callers at once: whatever a caller gives along is in its own request, and in no other."""

from __future__ import annotations

import asyncio
import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headrace.client import Auth, Client, Request, RetryPolicy, SyncClient, Timeouts
from headrace.server.handlers.request import Request as Served
from headrace.server.handlers.response import Response

from tests.support.serving import Run, port, serving

WAYS = ("get", "post", "stream", "redirect", "retry", "challenge", "build", "plain")


class Signed(Auth):
    """One object for all callers: it asks twice, and signs with what the request says."""

    def auth_flow(self, request: Request) -> Any:
        response = yield request
        if response.status == 401:
            request.headers["authorization"] = f"Signed {request.headers['x-user']} {response.headers['x-nonce']}"
            yield request


def server_app() -> Any:
    seen: dict[str, int] = {}

    async def app(request: Served) -> Response:
        content = await request.read()
        fields = {name.decode(): value.decode() for name, value in request.headers}
        path = request.path
        user = fields.get("x-user", "")
        cookies = [("set-cookie", f"last-{user}={user}; path=/{user}")] if user else []
        seen[path] = seen.get(path, 0) + 1
        if "/redirect/" in path:
            return Response(307, [("location", path.replace("/redirect/", "/there/")), *cookies], b"x" * 100)
        if "/retry/" in path and seen[path] == 1:
            return Response(503, [("retry-after", "0")], b"x" * 100_000)
        if "/challenge/" in path and "authorization" not in fields:
            return Response(401, [("x-nonce", f"nonce-{user}")], b"x" * 100)
        told = {"path": path, "fields": fields, "content": content.decode(), "query": request.query_string.decode()}
        return Response(200, cookies, json.dumps(told).encode())

    return app


def options_of(user: str, way: str, hooks: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "headers": {"x-user": user},
        "params": {"user": user},
        "cookies": {"mine": user},
        "timeout": Timeouts(read=10.0 + len(user)),
        "auth": Signed() if way == "challenge" else (user, f"secret-{user}"),
    }
    if way == "retry":
        options["retry"] = RetryPolicy(attempts=2, backoff_s=0.0, budget=None)
    if way in ("post", "redirect", "retry"):
        options["content"] = [f"content of {user}".encode()]
        options["on_upload"] = lambda sent, _: hooks.append(user)
    return options


def check(told: dict[str, Any], user: str, way: str) -> None:
    fields = told["fields"]
    assert fields["x-user"] == user
    assert told["query"] == f"user={user}" or way == "redirect"
    assert told["path"].endswith(f"/{user}")
    cookies = fields["cookie"].split("; ")
    assert f"mine={user}" in cookies
    assert all(cookie.endswith(f"={user}") for cookie in cookies), cookies
    if way == "challenge":
        assert fields["authorization"] == f"Signed {user} nonce-{user}"
    else:
        assert fields["authorization"].startswith("Basic ")
    content = f"content of {user}" if way in ("post", "redirect", "retry") else ""
    assert told["content"] == content


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_many_callers_of_one_client(run: Run, http2: bool) -> None:
    """400 calls, 100 at a time, of all kinds mixed: fields, parameters, cookies, credentials, content, and what is told
    of an upload are the caller's own."""

    async def main() -> None:
        rnd = random.Random(7)
        signed: list[str] = []

        async def note(request: Request) -> None:
            await asyncio.sleep(0)
            request.headers["x-hook"] = request.headers.get("x-user", "")

        async with (
            serving(server_app()) as server,
            Client(http1=not http2, http2=http2, trust_env=False, event_hooks={"request": [note]}) as client,
        ):
            base = f"http://127.0.0.1:{port(server)}"
            turn = asyncio.Semaphore(100)

            async def one(number: int) -> None:
                way = rnd.choice(WAYS)
                user = f"u{number}"
                url = f"{base}/{user}/{way}/{user}"
                options = options_of(user, way, signed)
                async with turn:
                    for _ in range(rnd.randrange(4)):
                        await asyncio.sleep(0)
                    if way == "stream":
                        async with client.stream("GET", url, **options) as response:
                            told = json.loads(await response.aread())
                    elif way == "build":
                        auth = options.pop("auth")
                        response = await client.send(client.build_request("GET", url, **options), auth=auth)
                        told = response.json()
                    elif way in ("post", "redirect", "retry"):
                        method = "PUT" if way == "retry" else "POST"
                        response = await client.request(method, url, **options)
                        told = response.json()
                    else:
                        response = await client.get(url, **options)
                        told = response.json()
                    assert response.request.headers["x-user"] == user
                    assert told["fields"]["x-hook"] == user
                    assert response.request.timeouts.read == 10.0 + len(user)
                    check(told, user, way)
                    if number % 7 == 0:
                        client.headers["x-changed"] = user  # while others' requests are made and under way

            await asyncio.gather(*(one(number) for number in range(400)))
            assert len(set(signed)) > 50

    run(main())


def test_many_threads_of_one_client() -> None:
    """The same of a SyncClient, whose hooks and credentials run in threads."""
    loop = asyncio.new_event_loop()

    def note(request: Request) -> None:
        request.headers["x-hook"] = request.headers.get("x-user", "")

    with ThreadPoolExecutor(1) as looping, ThreadPoolExecutor(8) as callers:
        started: Any = None
        ready = asyncio.Event()
        stop = asyncio.Event()

        async def serve() -> None:
            nonlocal started
            async with serving(server_app()) as server:
                started = port(server)
                ready.set()
                await stop.wait()

        running = looping.submit(loop.run_until_complete, serve())
        while started is None:
            running.done()
        try:
            with SyncClient(http1=False, trust_env=False, event_hooks={"request": [note]}) as client:

                def one(number: int) -> None:
                    way = WAYS[number % len(WAYS)]
                    user = f"u{number}"
                    url = f"http://127.0.0.1:{started}/{user}/{way}/{user}"
                    options = options_of(user, way, [])
                    method = {"post": "POST", "redirect": "POST", "retry": "PUT"}.get(way, "GET")
                    if way == "stream":
                        with client.stream(method, url, **options) as streamed:
                            told = json.loads(streamed.read())
                    else:
                        told = client.request(method, url, **options).json()
                    assert told["fields"]["x-hook"] == user
                    check(told, user, way)

                list(callers.map(one, range(160)))
        finally:
            loop.call_soon_threadsafe(stop.set)
            running.result(10)
    loop.close()
