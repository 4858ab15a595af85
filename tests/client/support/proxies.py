"""Proxies for tests, on asyncio's streams and python-hyper's h2: HTTP CONNECT over both protocols, and SOCKS5."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import h2.config
import h2.connection
import h2.events

Serve = Callable[["TestProxy", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TestProxy:
    """A request to a proxy."""

    __test__ = False

    def __init__(self, reply: bytes, password: bytes | None) -> None:
        self.port = 0
        self.reply = reply
        self.password = password
        self.asked: list[Any] = []
        self.connections = 0
        self.tasks: set[asyncio.Task[None]] = set()


@contextlib.asynccontextmanager
async def proxy(
    serve: Serve, *, reply: bytes = b"", password: bytes | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[TestProxy]:
    """A proxy on 127.0.0.1. `reply` replaces its normal answer."""
    found = TestProxy(reply, password)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        task = asyncio.current_task()
        assert task is not None
        found.tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await serve(found, reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in found.tasks:
            task.cancel()
        await asyncio.gather(*found.tasks, return_exceptions=True)
        await server.wait_closed()


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, hello: bytes = b""
) -> None:
    """Carry bytes both ways until either side ends."""
    far_reader, far_writer = await asyncio.open_connection(host, port)
    far_writer.write(hello)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()

    both = [asyncio.ensure_future(pump(reader, far_writer)), asyncio.ensure_future(pump(far_reader, writer))]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        far_writer.transport.abort()
        for each in both:
            each.cancel()
        await asyncio.gather(*both, return_exceptions=True)


async def http_connect(found: TestProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve CONNECT over HTTP/1.1, and requests in absolute-form, one for each connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    found.asked.append((method, target, fields))
    if found.reply:
        writer.write(found.reply)
        await writer.drain()
        await reader.read()
    elif method == "CONNECT":
        host, _, port = target.rpartition(":")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await relay(reader, writer, host.strip("[]"), int(port))
    else:
        authority, _, path = target.removeprefix("http://").partition("/")
        host, _, port = authority.rpartition(":")
        hello = f"{method} /{path} HTTP/1.1\r\nhost: {fields['host']}\r\n\r\n".encode()
        await relay(reader, writer, host, int(port), hello)


async def h2_connect(found: TestProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve CONNECT over HTTP/2: every stream is a tunnel."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    writer.write(connection.data_to_send())
    far: dict[int, asyncio.StreamWriter] = {}
    changed = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    def flush() -> None:
        writer.write(connection.data_to_send())

    async def back(stream_id: int, source: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError):
            while raw := await source.read(65_536):
                while raw:
                    room = min(
                        connection.local_flow_control_window(stream_id), connection.max_outbound_frame_size, len(raw)
                    )
                    if not room:
                        changed.clear()
                        await changed.wait()
                        continue
                    connection.send_data(stream_id, raw[:room])
                    raw = raw[room:]
                    flush()
            connection.end_stream(stream_id)
            flush()

    async def open_tunnel(stream_id: int, authority: str) -> None:
        host, _, port = authority.rpartition(":")
        source, far[stream_id] = await asyncio.open_connection(host, int(port))
        connection.send_headers(stream_id, [(":status", "200")])
        flush()
        await back(stream_id, source)

    try:
        while raw := await reader.read(65_536):
            for event in connection.receive_data(raw):
                changed.set()
                if isinstance(event, h2.events.RequestReceived):
                    fields = {name.decode(): value.decode() for name, value in event.headers}
                    found.asked.append(fields)
                    task = asyncio.create_task(open_tunnel(event.stream_id, fields[":authority"]))
                    tasks.add(task)
                elif isinstance(event, h2.events.DataReceived):
                    far[event.stream_id].write(event.data)
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id in far:
                    far[event.stream_id].close()
            flush()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for each in far.values():
            each.transport.abort()


async def socks5(found: TestProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve RFC 1928, with RFC 1929 when it has a password, b"name:password"."""
    version, count = await reader.readexactly(2)
    assert version == 5
    methods = await reader.readexactly(count)
    if found.reply:
        writer.write(found.reply)
        await writer.drain()
        await reader.read()
        return
    if found.password is not None:
        if 2 not in methods:
            writer.write(b"\x05\xff")
            await writer.drain()
            return
        writer.write(b"\x05\x02")
        await reader.readexactly(1)
        name = await reader.readexactly((await reader.readexactly(1))[0])
        password = await reader.readexactly((await reader.readexactly(1))[0])
        is_right = name + b":" + password == found.password
        writer.write(b"\x01\x00" if is_right else b"\x01\x01")
        if not is_right:
            await writer.drain()
            return
    else:
        writer.write(b"\x05\x00")
    _, command, _, kind = await reader.readexactly(4)
    assert command == 1
    if kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        data = await reader.readexactly(4 if kind == 1 else 16)
        host = ".".join(map(str, data)) if kind == 1 else "::1"
    port = int.from_bytes(await reader.readexactly(2), "big")
    found.asked.append((kind, host, port))
    writer.write(b"\x05\x00\x00\x03\x09somewhere\x00\x50" if kind == 3 else b"\x05\x00\x00\x01\0\0\0\0\0\0")
    await relay(reader, writer, "127.0.0.1", port)
