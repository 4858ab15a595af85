"""The resources that the tests of `headrace get` and `headrace bench` fetch."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from headrace import HTTPError, Request, Response, StreamResponse, WebSocket, WebSocketResponse

LARGE = b"0123456789abcdef" * 65_536  # 1 MiB


async def app(request: Request) -> Any:
    match request.path.strip("/").split("/"):
        case ["echo"]:
            return await echo(request)
        case ["hello", name]:
            return Response.text(f"hello {name}\n")
        case ["large"]:
            return Response(200, {"content-type": "application/octet-stream"}, LARGE)
        case ["binary"]:
            return Response(200, {"content-type": "application/octet-stream"}, b"\x00\x01\xff")
        case ["colours"]:
            return Response(200, {"x-evil": "\x9b31m"}, b"plain\n")
        case ["status", status]:
            return Response.text(f"this is {status}\n", status=int(status))
        case ["redirect", status, *rest]:
            return Response(int(status), {"location": "/" + "/".join(rest)})
        case ["loop"]:
            return Response(302, {"location": "/loop"})
        case ["hidden"]:
            if request.header("authorization") != "Basic bmFtZTpzZWNyZXQ=":
                raise HTTPError(401, "who are you?")
            return Response.text("found\n")
        case ["slow"]:
            await asyncio.Event().wait()
        case ["bad-gzip"]:
            return Response(200, {"content-encoding": "gzip"}, b"this is no gzip")
        case ["breaks"]:
            return StreamResponse(200, {}, breaks)
        case ["trickle"]:
            return StreamResponse(200, {}, trickle)
        case ["ws"]:
            return WebSocketResponse(talk, subprotocols=["chat"])
        case ["ws-bad"]:
            return WebSocketResponse(ends_badly)
    return Response.text("not here\n", status=404)


app.takes_websockets = True  # type: ignore[attr-defined] # a function may have attributes


async def echo(request: Request) -> Response:
    """Return the request as JSON."""
    content = await request.read()
    told = {
        "method": request.method,
        "path": request.path,
        "query": request.query_string.decode(),
        "headers": [[name.decode(), value.decode()] for name, value in request.headers],
        "content": content.decode("latin-1"),
        "port": request.client[1] if request.client is not None else None,
        "http": request.http_version,
    }
    return Response(200, {"content-type": "application/json"}, json.dumps(told).encode())


async def breaks(send: Any) -> None:
    await send(b"beginning")
    raise RuntimeError("on purpose")


async def trickle(send: Any) -> None:
    await send(b"first\n")
    await asyncio.Event().wait()


async def talk(ws: WebSocket) -> None:
    async for message in ws:
        if message == "binary":
            await ws.send(b"\x00\x01\x02")
        elif message == "bye":
            return
        elif message == "escape":
            await ws.send("\x1b[31mred\nsecond")
        else:
            await ws.send(str(message) + "!")


async def ends_badly(ws: WebSocket) -> None:
    await ws.receive()
    await ws.close(4000, "go away")
