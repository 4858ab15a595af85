"""Operations of headrace's own client on what only native handlers have, directly and through the proxy."""

from __future__ import annotations

import asyncio

from headrace import Client

from tests.soak.apps import FILE_SIZE, TOKEN, pattern
from tests.soak.operations.places import Operation, Surroundings, expect

AMONG = ("native", "proxy")


def _one(around: Surroundings, path: str) -> tuple[Client, str, str]:
    """Choose client and URL, and make a token."""
    return around.clients[around.protocol()], around.place(among=AMONG).url(path, around.is_tls()), around.token()


async def topic(around: Surroundings) -> None:
    """Two listeners of one topic, and a message; then one of them is cancelled while it waits, and the other leaves."""
    client, url, token = _one(around, f"/more/topic/{around.token()}")

    async def listen() -> None:
        async with client.sse(url, headers={TOKEN: token}) as source:
            async for event in source:
                expect(event.data == token, f"event {event.data!r}")
                heard.set()

    heard = asyncio.Event()
    waiting = asyncio.ensure_future(listen())
    try:
        async with client.sse(url, headers={TOKEN: token}) as source:
            while True:
                response = await client.post(url, headers={TOKEN: token}, content=token.encode())
                if response.text == "2":
                    break
                expect(response.text == "1", f"{response.text} listeners")
                await asyncio.sleep(0.01)
            async for event in source:
                expect(event.data == token, f"event {event.data!r}")
                break
            await heard.wait()
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def compressed(around: Surroundings) -> None:
    """Content that is compressed, in one piece or in several, on the event loop or in a thread."""
    size = around.random.choice((600, 20_000, 200_000, -1_000, -200_000))
    client, url, token = _one(around, f"/more/text?{size}")
    response = await client.get(url, headers={TOKEN: token})
    expect("content-encoding" in response.headers, "it is not compressed")
    expect(response.content == pattern(token, abs(size)), "another content")


async def leave_compressed(around: Surroundings) -> None:
    """The same, given up in the middle."""
    client, url, token = _one(around, "/more/text?-20000000")
    async with client.stream("GET", url, headers={TOKEN: token}) as response:
        async for piece in response.iter_bytes():
            expect(piece.startswith(token.encode()), "another content")
            break


async def files(around: Surroundings) -> None:
    """A part of a file; then nothing, since the client has it already."""
    client, url, _ = _one(around, "/more/files/file")
    begin = around.random.randrange(FILE_SIZE)
    response = await client.get(url, headers={"range": f"bytes={begin}-{begin + 99}"})
    wanted = pattern("file", FILE_SIZE)[begin : begin + 100]
    expect((response.status, response.content) == (206, wanted), f"status {response.status}")
    response = await client.get(url, headers={"if-none-match": response.headers["etag"]})
    expect((response.status, response.content) == (304, b""), f"status {response.status}")


async def head(around: Surroundings) -> None:
    """Only the head of an answer."""
    client, url, token = _one(around, "/more/text?70000")
    response = await client.head(url, headers={TOKEN: token})
    expect((response.headers.get(TOKEN), response.content) == (token, b""), "another head")


OPERATIONS: dict[Operation, float] = {topic: 0.6, compressed: 0.6, leave_compressed: 0.4, files: 0.5, head: 0.3}
"""Operations a second."""
