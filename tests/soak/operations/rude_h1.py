"""Operations that no library does, over HTTP/1.1: what peers send by mistake or on purpose, and how they leave."""

from __future__ import annotations

import asyncio
import base64
import os
import struct

from tests.soak.apps import TOKEN, receipt
from tests.soak.operations.places import Operation, Place, Surroundings, expect
from tests.soak.operations.raw import Raw

REFUSALS = (b"400", b"413", b"414", b"431", b"501", b"505")
MALFORMED = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    b"GET / HTTP/9.9\r\nhost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
    b"\x00\x01\x02\x03\r\n\r\n",
    b"GET\r\n\r\n",
)


def connection(around: Surroundings, place: Place, tls: bool, receive_buffer: int = 0) -> Raw:
    """Return a connection that speaks HTTP/1.1."""
    return Raw(place.port(tls), around.tls["h1"] if tls else None, receive_buffer)


def head(path: str, token: str, *lines: str, method: str = "GET") -> bytes:
    """Return the head of a request."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "host: localhost", f"{TOKEN}: {token}", *lines, "", "")).encode()


async def malformed(around: Surroundings) -> None:
    """A request that is refused; then the connection ends."""
    place, bad = around.place(), around.random.choice(MALFORMED)
    async with connection(around, place, around.is_tls()) as raw:
        try:
            await raw.send(bad)
            data = await raw.receive_all()
        except OSError:
            return  # it ended the connection before it had read all
    expect(data[9:12] in REFUSALS or (bad[0] == 0 and not data), f"{data[:60]!r} in answer to {bad[:60]!r}")


async def half_close(around: Surroundings) -> None:
    """A client that closes its side counts as gone (docs/reference/http1.md): the connection ends in any case."""
    token = around.token()
    async with connection(around, around.place(), False) as raw:
        await raw.send(head(around.random.choice(("/echo", "/slow?s=0.2", "/bytes?n=500000")), token))
        if around.random.random() < 0.5:
            await read_some(raw)
        raw.half_close()
        await raw.receive_all()


async def read_some(raw: Raw) -> None:
    """Wait until an answer has begun."""
    expect((await raw.receive()).startswith(b"HTTP/1.1 200"), "another answer")


async def pipeline(around: Surroundings) -> None:
    """Three requests in one write are answered in order."""
    token = around.token()
    async with connection(around, around.place(), around.is_tls()) as raw:
        await raw.send(b"".join(head("/echo", f"{token}{n}") for n in range(3)))
        data = b""
        while data.count(receipt("", b"")[-64:]) < 3:
            piece = await raw.receive()
            expect(bool(piece), f"the end after {data[-80:]!r}")
            data += piece
    at = [data.find(receipt(f"{token}{n}", b"")) for n in range(3)]
    expect(-1 not in at and at == sorted(at), f"answers at {at}")


async def cut(around: Surroundings) -> None:
    """A connection that is cut somewhere: in the head, in an upload, in a download; by a reset or by a FIN."""
    token = around.token()
    begin = around.random.choice(
        (
            b"",
            head("/echo", token)[:30],
            head("/echo", token, "content-length: 100000", method="POST") + b"x" * 20_000,
            head("/echo", token, "transfer-encoding: chunked", method="POST") + b"5\r\nabc",
            head("/bytes?n=3000000", token),
            head("/file", token),
            head("/events?n=1000&gap=0.05", token),
            head("/slow?s=0.2", token),
        )
    )
    async with connection(around, around.place(), around.is_tls()) as raw:
        if begin:
            await raw.send(begin)
        await asyncio.sleep(around.random.choice((0.0, 0.01, 0.1)))
        raw.reset() if around.random.random() < 0.5 else raw.close()


async def handshake_cut(around: Surroundings) -> None:
    """TLS that is begun and cut, or not TLS at all."""
    garbage = around.random.choice(
        (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x05hello", b"")
    )
    async with Raw(around.place().https) as raw:
        if garbage:
            await raw.send(garbage)
        await asyncio.sleep(around.random.choice((0.0, 0.02)))
        raw.reset() if around.random.random() < 0.5 else raw.close()


async def slow_reader(around: Surroundings) -> None:
    """A reader that takes its time gets all of it."""
    token, size = around.token(), 400_000
    async with connection(around, around.place(), around.is_tls(), receive_buffer=8_192) as raw:
        await raw.send(head(f"/bytes?n={size}", token, "connection: close"))
        data = b""
        while piece := await raw.receive(16_384):
            data += piece
            await asyncio.sleep(0.03)
    unit = token.encode() + b"."
    expect(data.endswith(b"0\r\n\r\n") and data.count(unit) > size // len(unit) * 0.9, f"{len(data)} bytes")


async def no_reader(around: Surroundings) -> None:
    """A reader that never reads and leaves after a while."""
    token = around.token()
    async with connection(around, around.place(), around.is_tls(), receive_buffer=8_192) as raw:
        await raw.send(head(around.random.choice(("/bytes?n=3000000", "/file")), token))
        await asyncio.sleep(around.random.choice((0.5, 4.0, 8.0)))
        raw.reset() if around.random.random() < 0.5 else raw.close()


def ws_frame(opcode: int, payload: bytes, *, masked: bool = True, fin: bool = True) -> bytes:
    """Return a WebSocket frame (RFC 6455 §5.2) of at most 65,535 bytes; the mask is zero."""
    first = (0x80 if fin else 0) | opcode
    bit = 0x80 if masked else 0
    size = struct.pack("!B", bit | len(payload)) if len(payload) < 126 else struct.pack("!BH", bit | 126, len(payload))
    return bytes((first,)) + size + (b"\0\0\0\0" if masked else b"") + payload


async def rude_websocket(around: Surroundings) -> None:
    """A WebSocket whose client breaks a rule, or leaves without a word."""
    token = around.token()
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", f"sec-websocket-key: {key}")
    async with connection(around, around.place(websockets=True), around.is_tls()) as raw:
        await raw.send(head("/ws", token, *lines))
        data = b""
        while b"\r\n\r\n" not in data:
            data += await raw.receive()
        expect(data.startswith(b"HTTP/1.1 101"), f"{data[:60]!r}")
        await raw.send(ws_frame(1, b"hello"))
        wanted = f"{token} hello".encode()
        while wanted not in data:
            piece = await raw.receive()
            expect(bool(piece), f"the end after {data[-60:]!r}")
            data += piece
        way = around.random.randrange(5)
        if way == 0:
            raw.reset()
        elif way == 1:
            raw.close()
        elif way == 2:
            await raw.send(ws_frame(1, b"x" * 1_000, fin=False))
            raw.reset()
        else:
            await raw.send(ws_frame(1, b"unmasked", masked=False) if way == 3 else ws_frame(7, b"reserved"))
            rest = await raw.receive_all()
            expect(rest[:4] == b"\x88" + rest[1:2] + b"\x03\xea", f"{rest[:20]!r} and not 1002")


OPERATIONS: dict[Operation, float] = {
    malformed: 0.8, half_close: 0.4, pipeline: 0.4, cut: 1.2, handshake_cut: 0.4, slow_reader: 0.15, no_reader: 0.15,
    rude_websocket: 0.5,
}  # fmt: skip
"""Operations a second."""
