"""Operations of headrace's own client: what users do with it, and what they give up in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from headrace import Client, NetworkConfig, RetryPolicy, SyncClient, Timeouts
from headrace.client.errors import (
    ConnectError,
    ConnectionLost,
    HeadersTimeout,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    StreamReset,
    TruncatedBody,
)

from tests.soak.apps import FILE_SIZE, TOKEN, pattern, receipt
from tests.soak.operations.places import Operation, Place, Surroundings, expect

IDLE_S = 4.0
"""Seconds after which the clients close an idle connection: connections come and go all the time."""


def make_client(around: Surroundings, protocol: str) -> Client:
    """Return a client for one protocol."""
    return Client(network=_network(around, protocol))


def _network(around: Surroundings, protocol: str) -> NetworkConfig:
    return NetworkConfig(
        http1=protocol == "h1", http2=protocol == "h2", verify=around.authority, trust_env=False, idle_timeout_s=IDLE_S
    )


def _one(around: Surroundings, path: str, *, websockets: bool = False) -> tuple[Client, str, str, dict[str, str]]:
    """Choose client, URL and token."""
    token = around.token()
    url = around.place(websockets=websockets).url(path, around.is_tls())
    return around.clients[around.protocol()], url, token, {TOKEN: token}


async def get(around: Surroundings) -> None:
    """A plain request."""
    client, url, token, headers = _one(around, "/echo")
    response = await client.get(url, headers=headers)
    expect(response.status == 200, f"status {response.status}")
    expect(response.headers.get(TOKEN) == token, f"{response.headers.get(TOKEN)} in answer to {token}")
    expect(response.content == receipt(token, b""), "another content")


async def upload(around: Surroundings) -> None:
    """An upload, in one piece or in several, with a length or without."""
    client, url, token, headers = _one(around, "/echo")
    size = around.random.choice((1, 500, 5_000, 50_000, 300_000))
    content = pattern(token, size)
    cut = around.random.choice((0, 1, 2))

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 20_000):
            yield content[at : at + 20_000]

    if cut == 0:
        response = await client.post(url, headers=headers, content=content)
    elif cut == 1:
        response = await client.post(url, headers=headers, content=pieces)
    else:
        response = await client.put(url, headers=headers, content=pieces())
    expect(response.status == 200, f"status {response.status}")
    expect(response.content == receipt(token, content), "another receipt")


async def download(around: Surroundings) -> None:
    """A streamed answer, read whole."""
    size = around.random.choice((0, 1, 5_000, 100_000, 600_000))
    client, url, token, headers = _one(around, f"/bytes?n={size}")
    response = await client.get(url, headers=headers)
    expect(response.headers.get(TOKEN) == token, "another token")
    expect(response.content == pattern(token, size), "another content")


async def leave_download(around: Surroundings) -> None:
    """A streamed answer that is given up in the middle."""
    path = around.random.choice(("/bytes?n=2000000", "/file"))
    client, url, token, headers = _one(around, path)
    async with client.stream("GET", url, headers=headers) as response:
        expect(response.headers.get(TOKEN) == token, "another token")
        async for piece in response.iter_bytes():
            expect(pattern("file" if path == "/file" else token, len(piece)) == piece, "another content")
            break


async def file(around: Surroundings) -> None:
    """A file, read whole."""
    client, url, token, headers = _one(around, "/file")
    response = await client.get(url, headers=headers)
    expect(response.headers.get(TOKEN) == token, "another token")
    expect(response.content == pattern("file", FILE_SIZE), "another content")


async def events(around: Surroundings) -> None:
    """Server-sent events to their end."""
    client, url, token, headers = _one(around, "/events?n=4&gap=0.02")
    seen = []
    async with client.sse(url, headers=headers, reconnect=False) as source:
        async for event in source:
            seen.append(event.data)
    expect(seen == [f"{token} {number}" for number in range(4)], f"events {seen}")


async def leave_events(around: Surroundings) -> None:
    """Server-sent events that are left in the middle."""
    client, url, token, headers = _one(around, "/events?n=1000&gap=0.05")
    wanted = around.random.randrange(1, 5)
    seen: list[str] = []
    async with client.sse(url, headers=headers) as source:
        async for event in source:
            seen.append(event.data)
            if len(seen) == wanted:
                break
    expect(seen == [f"{token} {number}" for number in range(wanted)], f"events {seen}")


async def websocket(around: Surroundings) -> None:
    """Messages both ways, and a close."""
    client, url, token, headers = _one(around, "/ws", websockets=True)
    async with client.websocket(url.replace("http", "ws", 1), headers=headers) as ws:
        for number in range(around.random.randrange(1, 6)):
            text = f"{number}" + "x" * around.random.choice((0, 200, 70_000))
            await ws.send(text)
            answer = await ws.receive()
            expect(answer == f"{token} {text}", f"answer {answer[:40]!r}")


async def leave_websocket(around: Surroundings) -> None:
    """A WebSocket whose user is cancelled while it waits for a message."""
    client, url, token, headers = _one(around, "/ws", websockets=True)

    async def talk() -> None:
        async with client.websocket(url.replace("http", "ws", 1), headers=headers) as ws:
            await ws.send("one")
            expect(await ws.receive() == f"{token} one", "another answer")
            await ws.receive()

    await _cancelled(talk(), around.random.uniform(0.0, 0.1))


async def cancel(around: Surroundings) -> None:
    """A request that is cancelled somewhere on its way."""
    client, url, _, headers = _one(around, around.random.choice(("/slow?s=0.2", "/bytes?n=500000", "/echo")))
    await _cancelled(client.post(url, headers=headers, content=b"x" * 40_000), around.random.uniform(0.0, 0.05))


async def _cancelled(work: object, after_s: float) -> None:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    await asyncio.sleep(after_s)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass


async def time_out(around: Surroundings) -> None:
    """A request whose answer comes too late."""
    client, url, _, headers = _one(around, "/slow?s=0.3")
    try:
        await client.get(url, headers=headers, timeout=Timeouts(headers=0.05, read=0.05))
    except (HeadersTimeout, ReadTimeout):
        return
    expect(False, "no timeout")


async def retry(around: Surroundings) -> None:
    """A request that succeeds when it is sent again."""
    client, url, token, headers = _one(around, "/flaky")
    policy = RetryPolicy(backoff_s=0.01, budget=None)
    response = await client.get(url, headers=headers, retry=policy)
    expect((response.status, response.content) == (200, token.encode()), f"status {response.status}")


async def redirect(around: Surroundings) -> None:
    """A redirect."""
    client, url, token, headers = _one(around, "/redirect")
    response = await client.post(url, headers=headers, content=b"x")
    expect((response.status, response.content) == (200, receipt(token, b"")), f"status {response.status}")


async def crash(around: Surroundings) -> None:
    """An application that fails."""
    client, url, _, headers = _one(around, "/crash")
    response = await client.get(url, headers=headers)
    expect(response.status == 500, f"status {response.status}")


async def crash_late(around: Surroundings) -> None:
    """An application that fails after its answer has begun."""
    client, url, _, headers = _one(around, "/crash-late")
    try:
        await client.get(url, headers=headers)
    except (StreamReset, TruncatedBody, ConnectionLost):
        return
    expect(False, "a broken answer was taken for a whole one")


async def early(around: Surroundings) -> None:
    """An upload that is answered before it has been read. What is left of it may be refused."""
    client, url, token, headers = _one(around, "/early")
    response = await client.post(url, headers=headers, content=b"x" * around.random.choice((10, 60_000)))
    expect((response.status, response.content) == (200, token.encode()), f"status {response.status}")


async def new_client(around: Surroundings) -> None:
    """A client that is opened for three requests and closed, once with a request under way."""
    place, token = around.place(), around.token()
    client = make_client(around, around.protocol())
    try:
        urls = [place.url("/echo", tls) for tls in (True, False, True)]
        responses = await asyncio.gather(*(client.get(url, headers={TOKEN: token}) for url in urls))
        expect(all(each.content == receipt(token, b"") for each in responses), "another content")
        last = asyncio.ensure_future(client.get(place.url("/slow?s=0.1", around.is_tls()), headers={TOKEN: token}))
        await asyncio.sleep(0.05)
    finally:
        await client.aclose()
    expect((await last).content == token.encode(), "another content")


async def sync_client(around: Surroundings) -> None:
    """The blocking client, in a thread."""
    token, url = around.token(), around.place().url("/echo", around.is_tls())
    network = _network(around, around.protocol())

    def work() -> bytes:
        with SyncClient(network=network) as client:
            return client.post(url, headers={TOKEN: token}, content=b"abc").content

    expect(await asyncio.to_thread(work) == receipt(token, b"abc"), "another content")


async def cycled(around: Surroundings) -> None:
    """A request to the server that is drained and started anew: it may find nobody, but must not be lost."""
    place: Place | None = around.cycled
    if place is None:
        return
    token, s = around.token(), around.random.choice((0.0, 0.2, 1.0))
    try:
        client = around.clients[around.protocol()]
        response = await client.get(place.url(f"/slow?s={s}", around.is_tls()), headers={TOKEN: token})
    except ConnectError:
        return
    expect((response.status, response.content) == (200, token.encode()), f"status {response.status}")


RUDE_ANSWERS: dict[str, dict[str, tuple[type[RequestError], ...]]] = {
    "h1": {
        "/cut": (TruncatedBody, ConnectionLost),
        "/reset": (ConnectionLost,),
        "/end": (ConnectionLost,),
        "/garbage": (RemoteProtocolError,),
        "/chunk": (RemoteProtocolError,),
        "/never": (HeadersTimeout,),
        "/large": (RemoteProtocolError,),
    },
    "h2": {
        "/cut": (TruncatedBody, ConnectionLost),
        "/reset": (ConnectionLost,),
        "/end": (ConnectionLost,),
        "/garbage": (RemoteProtocolError,),
        "/rst": (StreamReset,),
        "/goaway": (ConnectionLost, StreamReset),
        "/never": (HeadersTimeout,),
        "/push": (RemoteProtocolError,),
    },
}


async def rude_server(around: Surroundings) -> None:
    """A server that breaks the rules, or off. The client has to say so, by the right class of error."""
    protocol = around.protocol()
    path, errors = around.random.choice(list(RUDE_ANSWERS[protocol].items()))
    client = make_client(around, protocol)
    try:
        url = f"http://127.0.0.1:{around.rude[protocol]}{path}"
        headers_s = 0.2 if path == "/never" else 20.0
        response = await client.post(url, content=b"x" * 1_000, timeout=Timeouts(headers=headers_s))
    except errors:
        return
    finally:
        await client.aclose()
    expect(False, f"{path} over {protocol} was taken for {response.status}")


OPERATIONS: dict[Operation, float] = {
    get: 6.0, upload: 3.0, download: 2.0, leave_download: 1.0, file: 0.6, events: 1.0, leave_events: 1.0,
    websocket: 1.5, leave_websocket: 0.7, cancel: 1.0, time_out: 0.5, retry: 0.5, redirect: 0.4, crash: 0.2,
    crash_late: 0.2, early: 0.4, new_client: 0.3, sync_client: 0.15, cycled: 2.0, rude_server: 0.6,
}  # fmt: skip
"""Operations a second, at a rate of the whole table's sum; the same in the other modules."""
