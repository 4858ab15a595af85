"""Applications that answer alike, each with the same paths: `asgi`, `native`, `wsgi`, and `proxy`, which asks another.

A request carries its token in the field `x-soak`; the answer has it in the same field, and content that is made of it.
SOAK_FAULTS makes them leak and err on purpose, so that a test sees the soak fail.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from headrace import Request, Response, ReverseProxy, StreamResponse, WebSocket, WebSocketResponse
from headrace.client import NetworkTransport
from headrace.proxy.network import UPSTREAM_NETWORK
from headrace.server.files.response import FileResponse
from headrace.server.handlers.events import EventStream
from headrace.server.handlers.response import AnyResponse

from tests.soak.census import census

PIECE = 964 * 17
"""Bytes of a streamed piece: a number of whole tokens, so that one piece in memory makes content of any size."""
FILE_SIZE = 300_000
TOKEN = "x-soak"
NO_TOKEN = "-"
"""That of requests for the census, which are no part of the load."""


def pattern(token: str, size: int) -> bytes:
    """Return the content of that size that belongs to a token."""
    unit = token.encode() + b"."
    return (unit * (size // len(unit) + 1))[:size]


def receipt(token: str, content: bytes) -> bytes:
    """Return what acknowledges an upload."""
    return f"{token} {len(content)} {hashlib.sha256(content).hexdigest()}".encode()


def _make_file() -> Path:
    with tempfile.NamedTemporaryFile(prefix="headrace-soak-", delete=False) as file:
        file.write(pattern("file", FILE_SIZE))
    return Path(file.name)


FILE = Path(os.environ["SOAK_FILE"]) if "SOAK_FILE" in os.environ else _make_file()

# -- faults on purpose

_FAULTS = os.environ.get("SOAK_FAULTS", "").split()
_kept: list[Any] = []
_tokens: list[str] = []


def on_request(what: Any, token: str) -> str:
    """Do what the faults of this process ask for; return the token that the answer carries."""
    if token == NO_TOKEN:
        return token
    if "objects" in _FAULTS:
        _kept.append([what, *([token] for _ in range(50))])
    if "descriptors" in _FAULTS:
        os.open(os.devnull, os.O_RDONLY)
    if "tasks" in _FAULTS:
        _kept.append(asyncio.ensure_future(asyncio.Event().wait()))
    if "answers" in _FAULTS:
        _tokens.append(token)
        return _tokens[0]
    return token


# -- what all three share

_failed_once: dict[str, None] = {}


def is_first(token: str) -> bool:
    """Return True when a token comes for the first time, of the thousand that came last."""
    if token in _failed_once:
        del _failed_once[token]
        return False
    if len(_failed_once) > 1_000:
        del _failed_once[next(iter(_failed_once))]
    _failed_once[token] = None
    return True


class Wanted(Exception):
    """An error that the load asked for."""


Made = tuple[int, list[tuple[bytes, bytes]], bytes]


def at_once(path: str, token: str, query: dict[str, str], content: bytes) -> Made | None:
    """Return the answer of a path that neither waits nor streams, None for another path."""
    fields = [(TOKEN.encode(), token.encode())]
    if path == "/echo":
        return 200, fields, receipt(token, content)
    if path == "/early":
        return 200, fields, token.encode()
    if path == "/flaky":
        return (503, fields, b"once more") if is_first(token) else (200, fields, token.encode())
    if path == "/redirect":
        return 303, [*fields, (b"location", b"/echo")], b""
    if path == "/crash":
        raise Wanted(f"asked for by {token}")
    if path == "/census":
        return 200, fields, json.dumps(census(deep="deep" in query)).encode()
    return None


def pieces_of(token: str, size: int) -> Iterator[bytes]:
    """Cut the content of a token into pieces."""
    piece = pattern(token, PIECE)
    for at in range(0, size, PIECE):
        yield piece[: size - at]


def queried(raw: str) -> dict[str, str]:
    """Return the first value of each name."""
    return {name: values[0] for name, values in parse_qs(raw, keep_blank_values=True).items()}


# -- ASGI


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer by ASGI."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    token = on_request(scope, dict(scope["headers"]).get(TOKEN.encode(), NO_TOKEN.encode()).decode())
    if scope["type"] == "websocket":
        await _asgi_websocket(token, receive, send)
        return
    path, query = scope["path"], queried(scope["query_string"].decode())
    content = b"" if path == "/early" else await _asgi_content(receive)
    if content is None:
        return
    made = at_once(path, token, query, content)
    if path == "/slow":
        await asyncio.sleep(float(query["s"]))
        made = (200, [(TOKEN.encode(), token.encode())], token.encode())
    if made is not None:
        status, fields, body = made
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": status, "headers": [*fields, length]})
        await send({"type": "http.response.body", "body": body})
        return
    fields = [(TOKEN.encode(), token.encode())]
    if path == "/events":
        fields.append((b"content-type", b"text/event-stream"))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    if path == "/file":
        await send({"type": "http.response.pathsend", "path": str(FILE)})
        return
    async for piece in _streamed(path, token, query):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _asgi_content(receive: Any) -> bytes | None:
    content = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        content += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return content


async def _asgi_websocket(token: str, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        data = message["bytes"].decode() if text is None else text
        await send({"type": "websocket.send", "text": f"{token} {data}"})


async def _streamed(path: str, token: str, query: dict[str, str]) -> AsyncIterator[bytes]:
    if path == "/bytes":
        for piece in pieces_of(token, int(query["n"])):
            yield piece
    elif path == "/events":
        for number in range(int(query["n"])):
            yield f"data: {token} {number}\n\n".encode()
            await asyncio.sleep(float(query["gap"]))
    elif path == "/crash-late":
        yield token.encode()
        await asyncio.sleep(0.02)
        raise Wanted(f"asked for late by {token}")


# -- native


async def native(request: Request) -> AnyResponse:
    """Answer as a native handler."""
    token = on_request(request, request.header(TOKEN) or NO_TOKEN)
    path, query = request.path, queried(request.query_string.decode())
    if request.is_websocket:

        async def echo(ws: WebSocket) -> None:
            async for message in ws:
                await ws.send(f"{token} {message!s}")

        return WebSocketResponse(echo)
    if path.startswith("/more/"):
        from tests.soak.more import router

        answer: AnyResponse = await router(request)
        return answer
    fields = [(TOKEN.encode(), token.encode())]
    content = b"" if path == "/early" else await request.read()
    made = at_once(path, token, query, content)
    if made is not None:
        return Response(*made)
    if path == "/slow":
        await asyncio.sleep(float(query["s"]))
        return Response(200, fields, token.encode())
    if path == "/file":
        return FileResponse(200, fields, FILE)
    if path == "/events":
        return EventStream(_native_events(token, query), headers=fields)
    return StreamResponse(200, fields, _streamed(path, token, query))


async def _native_events(token: str, query: dict[str, str]) -> AsyncIterator[str]:
    for number in range(int(query["n"])):
        yield f"{token} {number}"
        await asyncio.sleep(float(query["gap"]))


# -- WSGI


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer by WSGI. It has no WebSockets."""
    token = on_request(environ, environ.get("HTTP_X_SOAK", NO_TOKEN))
    path, query = environ["PATH_INFO"], queried(environ["QUERY_STRING"])
    content = b"" if path == "/early" else environ["wsgi.input"].read()
    made = at_once(path, token, query, content)
    if path == "/slow":
        time.sleep(float(query["s"]))
        made = (200, [(TOKEN.encode(), token.encode())], token.encode())
    if made is not None:
        status, fields, body = made
        start_response(f"{status} -", [(name.decode(), value.decode()) for name, value in fields])
        return [body]
    kind = [("content-type", "text/event-stream")] if path == "/events" else []
    start_response("200 OK", [(TOKEN, token), *kind])
    if path == "/file":
        file: Iterable[bytes] = environ["wsgi.file_wrapper"](FILE.open("rb"), PIECE)
        return file
    return _wsgi_streamed(path, token, query)


def _wsgi_streamed(path: str, token: str, query: dict[str, str]) -> Iterator[bytes]:
    if path == "/bytes":
        yield from pieces_of(token, int(query["n"]))
    elif path == "/events":
        for number in range(int(query["n"])):
            yield f"data: {token} {number}\n\n".encode()
            time.sleep(float(query["gap"]))
    elif path == "/crash-late":
        yield token.encode()
        raise Wanted(f"asked for late by {token}")


# -- a proxy

_UPSTREAM = os.environ.get("SOAK_UPSTREAM", "")
_IDLE_S = 2.0
_proxies: list[ReverseProxy] = []


async def proxy(request: Request) -> AnyResponse:
    """Forward to the server at SOAK_UPSTREAM, over HTTP/1.1 and HTTP/2 by turns; the census is its own."""
    if request.path == "/census":
        return Response(*(at_once("/census", NO_TOKEN, queried(request.query_string.decode()), b"") or (404,)))
    if not _proxies:
        for protocol in ("http1", "http2"):
            network = replace(UPSTREAM_NETWORK, idle_timeout_s=_IDLE_S, http1=protocol == "http1")
            _proxies.append(ReverseProxy(_UPSTREAM, transport=NetworkTransport(network)))
    _proxies.reverse()
    return await _proxies[0](request)
