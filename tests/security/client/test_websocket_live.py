"""WebSockets seen from a client: a hostile server at the other end of a client's WebSocket, over HTTP/1.1.

The engine is the server's, and has its tests in `test_websocket`; here it is the whole client that has to bear it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import re
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest

from headrace.client import Client
from headrace.client.calls.websocket import WebSocketRefused
from headrace.websocket.tunnel import WebSocketClosed

from tests.engine.ws.raw_frames import BINARY, CONT, PING, TEXT
from tests.engine.ws.raw_frames import frame as masked_frame
from tests.security.support.client_attack import MB, Attack, attacked
from tests.security.support.hostile import Link
from tests.support.serving import Run

pytestmark = pytest.mark.slow

DEFLATED = 0x40
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A frame as servers send it (RFC 6455 §5.1)."""
    return masked_frame(opcode, payload, fin=fin, rsv=rsv, mask=None)


def accept(link: Link, deflate: bool = False) -> None:
    """Wait for the request, and say 101."""
    link.request()
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", link.head)
    assert key is not None
    answer = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
    link.send(
        b"HTTP/1.1 101 -\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: " + answer + b"\r\n"
    )
    link.send(b"sec-websocket-extensions: permessage-deflate\r\n\r\n" if deflate else b"\r\n")


async def receive_all(websocket: Any) -> None:
    while True:
        await websocket.receive()


def talk(converse: Callable[[Any], Awaitable[Any]], **options: Any) -> Callable[[Client, str], Awaitable[Any]]:
    """Open a WebSocket, converse, and return the code that it was closed with, None where it was not."""

    async def ask(client: Client, url: str) -> int | None:
        try:
            async with client.websocket(url.replace("http", "ws"), **options) as websocket:
                await converse(websocket)
        except WebSocketClosed as closed:
            return int(closed.code)
        return None

    return ask


def closed_with(it: Attack, code: int, memory: float = 4.0) -> None:
    assert it.error is None, repr(it.error)
    assert it.result == code
    it.was_bounded(memory=memory)


def test_a_deflated_bomb(run: Run) -> None:
    """100 MB of zeros in a message of 100 KB: 1009 once it has become a megabyte."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (deflate.compress(bytes(100 * MB)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def behave(link: Link) -> None:
        accept(link, deflate=True)
        link.flood([frame(BINARY, bomb, rsv=DEFLATED)])
        link.wait()

    closed_with(run(attacked(behave, talk(receive_all), http1=True)), 1009)


def fragments(payload: bytes) -> Iterator[bytes]:
    """A message that does not end."""
    return itertools.chain([frame(TEXT, fin=False)], itertools.repeat(frame(CONT, payload, fin=False)))


FLOODS: dict[str, tuple[Callable[[], Iterable[bytes]], int]] = {
    "empty fragments": (lambda: fragments(b""), 1009),
    "fragments of a byte": (lambda: fragments(b"x"), 1009),
    "one message without end": (lambda: fragments(b"x" * 60_000), 1009),
    "a length of 2^63 - 1": (lambda: [b"\x82\x7f\x7f" + b"\xff" * 7], 1009),
    "a length of 2^63": (lambda: [b"\x82\x7f\x80" + bytes(7)], 1002),
    "deflated without having agreed": (lambda: [frame(BINARY, b"x", rsv=DEFLATED)], 1002),
    "a large ping": (lambda: [frame(PING, b"x" * 126)], 1002),
}


@pytest.mark.parametrize("what", FLOODS)
def test_frames_that_are_too_much(run: Run, what: str) -> None:
    make, code = FLOODS[what]

    def behave(link: Link) -> None:
        accept(link)
        link.flood(make())
        link.wait()

    closed_with(run(attacked(behave, talk(receive_all, compression=False), http1=True)), code)


def test_messages_that_nobody_takes(run: Run) -> None:
    """Endless messages to a reader that is busy: the queue fills, reading stops, and the server is held up."""
    held_up: list[Link] = []

    def behave(link: Link) -> None:
        held_up.append(link)
        accept(link)
        link.sock.settimeout(0.5)  # so long without taking a byte, and it is held up
        link.flood(itertools.repeat(frame(BINARY, b"x" * 50_000)))

    async def dawdle(websocket: Any) -> None:
        (link,) = held_up
        while not link.is_held_up:
            await asyncio.sleep(0.01)

    it = run(attacked(behave, talk(dawdle, compression=False, close_timeout_s=0.2), http1=True))
    assert it.error is None
    it.was_bounded(memory=8.0)


def test_pings_whose_pongs_are_not_read(run: Run) -> None:
    """A flood of pings from a server that reads nothing: a few are owed a pong, and the message behind them comes."""

    def behave(link: Link) -> None:
        accept(link)
        link.flood(frame(PING, b"%d" % n) for n in range(30_000))
        link.send(frame(TEXT, b"enough"))
        link.wait()

    async def one(websocket: Any) -> None:
        assert await websocket.receive() == "enough"

    it = run(attacked(behave, talk(one, compression=False, close_timeout_s=0.2), http1=True))
    assert it.error is None
    it.was_bounded(memory=4.0)


def test_a_close_that_is_never_answered(run: Run) -> None:
    """The closing handshake has its time; then the connection ends."""

    def behave(link: Link) -> None:
        accept(link)
        link.wait()

    async def leave(websocket: Any) -> None:
        pass

    it = run(attacked(behave, talk(leave, close_timeout_s=0.2), http1=True))
    assert it.error is None


def test_a_refusal_without_end(run: Run) -> None:
    """A 403 whose content never ends: 8 KiB of it are kept, and the client does not wait for the rest."""

    def behave(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 403 -\r\ntransfer-encoding: chunked\r\n\r\n")
        link.flood(itertools.repeat(b"400\r\n" + b"x" * 1_024 + b"\r\n"))

    it = run(attacked(behave, talk(receive_all), http1=True))
    assert isinstance(it.error, WebSocketRefused)
    assert len(it.error.content) == 8_192
    it.was_bounded(memory=4.0)
