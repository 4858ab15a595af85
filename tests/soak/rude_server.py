"""A server that breaks the rules, or breaks off, as the path of a request asks for: the other half of the rude part."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

from tests.support import wire

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def serve_h1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request over HTTP/1.1."""
    head = await reader.readuntil(b"\r\n\r\n")
    path = head.split(b" ", 2)[1].decode()
    if path == "/cut":
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789")
    elif path == "/reset":
        _reset(writer)
    elif path == "/garbage":
        writer.write(b"\x00\xff what is this\r\n\r\n")
    elif path == "/chunk":
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n")
    elif path == "/large":
        writer.write(b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"x" * 200_000 + b"\r\n")
    elif path == "/never":
        await reader.read()
    await _read_rest(reader, writer)


async def serve_h2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request over HTTP/2."""
    frames = wire.FrameReader(expect_preface=True)
    writer.write(wire.settings({}))
    while data := await reader.read(65_536):
        for frame in frames.feed(data):
            if frame.type == wire.HEADERS:
                path = dict(frames.fields(frame))[b":path"].decode()
                _answer_h2(path, frame.stream_id, writer)
                if path == "/never":
                    await reader.read()
                if path not in ("/rst", "/garbage", "/push"):
                    await _read_rest(reader, writer)
                    return


def _answer_h2(path: str, stream_id: int, writer: asyncio.StreamWriter) -> None:
    if path == "/cut":
        writer.write(wire.response(stream_id) + wire.data(stream_id, b"0123456789"))
    elif path == "/reset":
        _reset(writer)
    elif path == "/garbage":
        writer.write(wire.ping(b"short"))
    elif path == "/rst":
        writer.write(wire.response(stream_id) + wire.rst_stream(stream_id, wire.INTERNAL_ERROR))
    elif path == "/goaway":
        writer.write(wire.goaway(stream_id, wire.NO_ERROR))
    elif path == "/push":
        writer.write(wire.push_promise(stream_id, 2, wire.request_fields()))


async def _read_rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let what was written arrive: a close with unread bytes would be a reset, which may overtake it."""
    await writer.drain()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            while await reader.read(65_536):
                pass


def guarded(serve: Serve) -> Serve:
    """Return `serve` that ends its connection in every case, and takes any end of the client."""

    async def guard(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return guard


async def main() -> None:
    """Listen on two ports, print them, and serve until the process is ended."""
    servers = [await asyncio.start_server(guarded(each), "127.0.0.1", 0) for each in (serve_h1, serve_h2)]
    print(*(each.sockets[0].getsockname()[1] for each in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
