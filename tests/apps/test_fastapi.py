"""A FastAPI application, unchanged, over every wire: what its own test client gets of it, headrace sends."""

# No `from __future__ import annotations`: FastAPI must see the dependencies, which are local here.
import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import pytest
from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    UploadFile,
    WebSocket,
    WebSocketException,
)
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from tests.apps.clients import FORM, everything, form, post, websocket
from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled
from tests.support.ws_peer import Refused

CONTENT = bytes(range(256)) * 1_000
JSON = ("content-type", "application/json")


class Item(BaseModel):
    name: str = Field(min_length=2)
    price: float = Field(gt=0)
    tags: list[str] = []


class Shop:
    """The application, and what happened in it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        app = self.app = FastAPI(title="Shop")
        log = self.log

        async def resource() -> AsyncIterator[str]:
            log.append("open")
            try:
                yield "resource"
            except HTTPException as error:
                log.append(f"saw {error.status_code}")
                raise
            finally:
                log.append("close")

        def user(x_token: Annotated[str, Header()] = "") -> str:
            if x_token != "t":
                raise HTTPException(401, "no token", {"www-authenticate": "Token"})
            return "ann"

        @app.get("/items/{number}")
        async def item(
            number: int,
            got: Annotated[str, Depends(resource)],
            q: Annotated[list[str] | None, Query(max_length=3)] = None,
        ) -> dict[str, Any]:
            if number == 404:
                raise HTTPException(404, "no such item")
            return {"number": number, "got": got, "q": q}

        @app.post("/items", status_code=201)
        async def make(item: Item, tasks: BackgroundTasks, user: Annotated[str, Depends(user)]) -> Item:
            tasks.add_task(log.append, f"made {item.name} for {user}")
            return item

        @app.post("/upload")
        async def upload(word: Annotated[str, Form()], file: Annotated[UploadFile, File()]) -> dict[str, Any]:
            pieces = 0
            while piece := await file.read(100_000):
                pieces += len(piece)
            return {"word": word, "size": pieces, "type": file.content_type, "name": file.filename}

        @app.get("/thread")
        def in_a_thread(request: Request) -> dict[str, Any]:
            return {"path": request.url.path, "query": request.url.query}

        @app.get("/lines")
        async def lines(got: Annotated[str, Depends(resource)]) -> StreamingResponse:
            async def pieces() -> AsyncIterator[str]:
                for number in range(100):
                    yield f"{number} {got}\n"

            return StreamingResponse(pieces(), media_type="text/plain")

        @app.get("/forever")
        async def forever(got: Annotated[str, Depends(resource)]) -> StreamingResponse:
            async def pieces() -> AsyncIterator[str]:
                yield "begun"
                await asyncio.Event().wait()

            return StreamingResponse(pieces())

        @app.get("/crash")
        async def crash(got: Annotated[str, Depends(resource)]) -> None:
            raise RuntimeError("boom")

        async def token(ws: WebSocket, token: str | None = None) -> str:
            if token is None:
                raise WebSocketException(code=1008, reason="no token")
            return token

        @app.websocket("/rooms/{room}")
        async def room(ws: WebSocket, room: int, token: Annotated[str, Depends(token)]) -> None:
            await ws.accept()
            async for said in ws.iter_json():
                await ws.send_json({"room": room, "token": token, "said": said})
            log.append("room left")


ASKED: list[tuple[str, str, list[tuple[str, str]], bytes]] = [
    ("GET", "/items/7", [], b""),
    ("GET", "/items/7?q=a&q=b%20c", [], b""),
    ("GET", "/items/seven", [], b""),
    ("GET", "/items/404", [], b""),
    ("HEAD", "/items/7", [], b""),
    ("POST", "/items", [JSON, ("x-token", "t")], b'{"name": "spoon", "price": 2.5, "tags": ["a"]}'),
    ("POST", "/items", [JSON], b'{"name": "spoon", "price": 2.5}'),
    ("POST", "/items", [JSON, ("x-token", "t")], b'{"name": "x", "price": -1}'),
    ("POST", "/items", [JSON, ("x-token", "t")], b"{not json"),
    ("POST", "/items", [("x-token", "t")], b""),
    ("POST", "/upload", [FORM], form({"word": "größe"}, {"file": CONTENT * 5})),  # more than Starlette keeps in memory
    ("POST", "/upload", [FORM], form({"word": "x"}, {})),
    ("POST", "/upload", [FORM], b"no form"),
    ("GET", "/thread?a=%2F", [], b""),
    ("GET", "/lines", [], b""),
    ("GET", "/crash", [], b""),
    ("GET", "/openapi.json", [], b""),
    ("GET", "/docs", [], b""),
    ("GET", "/nowhere", [], b""),
    ("DELETE", "/items/7", [], b""),
]


def test_the_test_client_and_headrace_give_the_same_answers(run: Run, wire: Wire) -> None:
    shop = Shop()
    expected = []
    with TestClient(shop.app, f"{wire.scheme}://localhost", raise_server_exceptions=False) as client:
        client.headers.clear()
        for method, path, headers, content in ASKED:
            response = client.request(method, path, headers=cast("Any", headers), content=content)
            expected.append((response.status_code, everything(response.headers.raw), response.content))
    log = shop.log.copy()
    shop.log.clear()

    async def main() -> None:
        async with wire.serving(shop.app) as server, wire.peer(server) as peer:
            for (method, path, headers, content), (status, fields, body) in zip(ASKED, expected, strict=True):
                asked = f"{method} {path} {headers}"
                if content:
                    answer = await post(peer, path, content, headers, method)
                else:
                    answer = await peer.get(path, method, headers)
                assert (answer.status, answer.ended) == (status, True), asked
                assert everything(answer.headers) == fields, asked
                assert bytes(answer.body) == body, asked
                await settled(lambda: live_handlers(server) == 0)
            assert json.loads((await peer.get("/openapi.json")).body)["info"]["title"] == "Shop"

    run(main())
    assert shop.log == log and "made spoon for ann" in log and "saw 404" in log


def test_a_dependency_is_closed_when_the_client_goes(run: Run, wire: Wire) -> None:
    shop = Shop()

    async def main() -> None:
        async with wire.serving(shop.app) as server, wire.peer(server) as peer:
            number = await peer.open("/forever")
            await peer.until(lambda: peer.answers[number].body == b"begun")
            peer.reset(number)
            await settled(lambda: live_handlers(server) == 0)
        assert shop.log == ["open", "close"]

    run(main())


def test_websockets(run: Run, wire: Wire) -> None:
    shop = Shop()
    with TestClient(shop.app) as client, client.websocket_connect("/rooms/7?token=t") as ws:
        ws.send_json([1, "two"])
        said = ws.receive_text()
        ws.close()
    assert shop.log == ["room left"]

    async def main() -> None:
        async with wire.serving(shop.app) as server:
            async with websocket(wire, server, "/rooms/7?token=t", compression=True) as peer:
                peer.send('[1, "two"]')
                assert await peer.message() == said
                peer.say_close()
                assert await peer.close_frame() == (1000, "")
            for path in ("/rooms/7", "/rooms/seven?token=t", "/nowhere"):
                with pytest.raises(Refused) as caught:
                    async with websocket(wire, server, path):
                        pass
                assert caught.value.status == 403
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert shop.log == ["room left"] * 2
