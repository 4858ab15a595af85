"""A real FastAPI application, unchanged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from tests.h2_peer import H2Peer
from tests.serving import Run, port, serving, settled


class Item(BaseModel):
    name: str
    price: float


log: list[str] = []


async def resource() -> AsyncIterator[str]:
    log.append("open")
    yield "resource"
    log.append("close")


def application() -> FastAPI:
    app = FastAPI()

    async def get_item(number: int, got: Annotated[str, Depends(resource)], x_a: Annotated[str, Header()] = "") -> Any:
        return {"number": number, "got": got, "x_a": x_a}

    async def make_item(item: Item, tasks: BackgroundTasks) -> Any:
        tasks.add_task(log.append, f"made {item.name}")
        return {"total": item.price * 2}

    def in_a_thread() -> Any:
        raise HTTPException(404, "no such thing")

    async def lines(request: Request) -> StreamingResponse:
        async def produce() -> AsyncIterator[bytes]:
            for number in range(5):
                yield f"{number}\n".encode()

        return StreamingResponse(produce())

    app.get("/items/{number}")(get_item)
    app.post("/items", status_code=201)(make_item)
    app.get("/thread")(in_a_thread)
    app.add_api_route("/lines", lines, response_model=None)
    return app


def test_the_application(run: Run) -> None:
    log.clear()

    async def main() -> None:
        async with serving(application()) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/items/7", headers=[("x-a", "b")])
            assert json.loads(answer.body) == {"number": 7, "got": "resource", "x_a": "b"}
            await settled(lambda: log == ["open", "close"])
            body = json.dumps({"name": "n", "price": 2.5}).encode()
            answer = await peer.post("/items", body, [("content-type", "application/json")])
            assert (answer.status, json.loads(answer.body)) == (201, {"total": 5.0})
            await settled(lambda: log[2:] == ["made n"])
            assert (await peer.post("/items", b"{}", [("content-type", "application/json")])).status == 422
            assert (await peer.get("/items/x")).status == 422
            assert (await peer.get("/thread")).status == 404
            assert (await peer.get("/lines")).body == b"0\n1\n2\n3\n4\n"
            assert json.loads((await peer.get("/openapi.json")).body)["info"]["title"] == "FastAPI"

    run(main())
