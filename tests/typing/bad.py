"""Users' code that has to fail, on each line with a mark and on no other; the mark has mypy's code of the error."""

# ruff: noqa: F841 - that they are assigned is the fault
from __future__ import annotations

from headrace import Client, ClientRequest, ClientResponse, Request, Response, SyncClient, Timeouts
from headrace.client.testing.mock import MockTransport


def options_of_a_client() -> None:
    Client(headers={"a": 1})  # error: arg-type
    Client(headers="a: b")  # error: arg-type
    Client(params=5)  # error: arg-type
    Client(cookies=["a=b"])  # error: list-item
    Client(auth="name:secret")  # error: arg-type
    Client(auth=lambda request: Response(200))  # error: arg-type
    Client(timeout="5")  # error: arg-type
    Client(verify=5)  # error: arg-type
    Client(proxy=8080)  # error: arg-type
    Client(transport=Response(200))  # error: arg-type
    Client(event_hooks=[print])  # error: arg-type
    Client(colour="red")  # error: call-arg
    Timeouts(reading=5)  # error: call-arg


async def calls(client: Client, request: Request) -> None:
    await client.get("/", headers=5)  # error: arg-type
    await client.get("/", tiemout=5)  # error: call-arg
    await client.get(5)  # error: arg-type
    await client.post("/", content={"a": "b"})  # error: dict-item
    await client.post("/", data=b"a=b")  # error: arg-type
    await client.post("/", files={"a": 5})  # error: dict-item
    await client.send(request)  # error: arg-type
    await client.send(Response(200))  # error: arg-type
    server_response: Response = await client.get("/")  # error: assignment
    client_request: ClientRequest = request  # error: assignment


def calls_without_asyncio(client: SyncClient) -> None:
    asynchronous: ClientResponse = client.get("/")  # error: assignment
    client.sse("/", recnnect=True)  # error: call-arg
    client.websocket("/", subprotocols=5)  # error: arg-type


def answers() -> None:
    ClientResponse(200, request=Request)  # error: arg-type
    MockTransport([Response(200)])  # error: list-item
    Response(200, [], 5)  # error: arg-type
    Response("200")  # error: arg-type
