"""Servers that do as a test says: one that speaks HTTP/2 frame by frame, and one that speaks HTTP/1.1 byte by byte.

They run on a real socket, in the test's own event loop, and share nothing with headrace: frames are
`tests.support.wire`'s, fields are decoded by python-hyper. Either the test itself plays the server's part:

    async with listening() as server:                       # or listening("http/1.1")
        driver, owner = await connect(server)               # tests.client.support.rig
        exchange = driver.begin(get("/"), whole=True)
        peer = await server.accepted()
        request = await peer.request()
        peer.respond(request.stream_id, b"hello")

or a script does, for each connection: `listening(script=answer)` with `async def answer(peer): ...`. What a script
raises fails the test when the server is closed. Nothing here sleeps: everything waits for what the client sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tests.support import wire

LIMIT_S = 10.0  # longest wait of a test; it waits that long only when it fails

Fields = Sequence[tuple[bytes, bytes]]
P = TypeVar("P", bound="Peer")


class Request:
    """A request that has arrived."""

    def __init__(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        self.stream_id = stream_id
        self.fields = fields
        self.content = bytearray()
        self.ended = False
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.reset: int | None = None
        """The code of the client's RST_STREAM."""

    def field(self, name: bytes) -> bytes | None:
        return dict(self.fields).get(name)

    @property
    def method(self) -> bytes:
        return self.field(b":method") or b""

    @property
    def path(self) -> bytes:
        return self.field(b":path") or b""


class Peer:
    """One connection, seen from the server. `closed` is True once the client has ended it, or it was lost."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.closed = False
        self.was_reset = False
        self.fault: BaseException | None = None
        self.requests: list[Request] = []
        self._given = 0
        self._changed = asyncio.Condition()
        self._resumed = asyncio.Event()
        self._resumed.set()
        self._pump = asyncio.create_task(self._read())

    # -- waiting

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until the client's input makes `is_true` return True. Fail when the connection ends before."""
        async with self._changed:
            await asyncio.wait_for(
                self._changed.wait_for(lambda: is_true() or self.closed or self.fault is not None), LIMIT_S
            )
        if self.fault is not None:
            raise self.fault
        assert is_true(), "the client closed the connection before"

    async def until_closed(self) -> None:
        """Wait until the client has closed the connection, properly or by a TCP reset."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self.closed), LIMIT_S)
        if self.fault is not None:
            raise self.fault

    async def request(self) -> Request:
        """Return the next request, once its head is here."""
        await self.until(lambda: len(self.requests) > self._given)
        self._given += 1
        return self.requests[self._given - 1]

    async def whole_request(self) -> Request:
        """Return the next request, once all of it is here."""
        request = await self.request()
        await self.until(lambda: request.ended)
        return request

    # -- writing

    def send(self, *data: bytes) -> None:
        """Write bytes as they are, in one piece."""
        self.writer.write(b"".join(data))

    def stop_reading(self) -> None:
        """Read no more from the socket after the input that is there, so that the client's writes stop."""
        self._resumed.clear()
        transport: Any = self.writer.transport
        with contextlib.suppress(RuntimeError):
            transport.pause_reading()

    def go_on_reading(self) -> None:
        transport: Any = self.writer.transport
        with contextlib.suppress(RuntimeError):
            transport.resume_reading()
        self._resumed.set()

    # -- ends

    def close(self) -> None:
        """End the connection properly, after all output."""
        self.writer.close()

    def end_writing(self) -> None:
        """End the output, and go on reading."""
        self.writer.write_eof()

    def drop(self) -> None:
        """End the connection with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def finish(self) -> None:
        self._pump.cancel()
        await asyncio.wait((self._pump,))
        if not self.writer.transport.is_closing():
            self.writer.transport.abort()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self.writer.wait_closed(), LIMIT_S)

    # -- reading

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65_536):
                await self._resumed.wait()
                self._take(data)
                await self._tell()
        except OSError:
            self.was_reset = True
        except Exception as error:
            self.fault = error
        self.closed = True
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _take(self, data: bytes) -> None:
        raise NotImplementedError


class H2Peer(Peer):
    """A server of HTTP/2. By itself it sends its SETTINGS, acknowledges the client's, and answers PINGs; with
    `is_mute` not even that. It gives no credit, and ignores the client's windows: that is the script's part."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        settings: dict[int, int] | None = None,
        is_mute: bool = False,
    ) -> None:
        self.frames: list[wire.Frame] = []
        """Every frame that arrived, in order."""
        self.goaways: list[wire.Frame] = []
        self.is_mute = is_mute
        self._reader_of_frames = wire.FrameReader(expect_preface=True)
        self._seen: dict[tuple[int, int | None], int] = {}
        self._by_id: dict[int, Request] = {}
        super().__init__(reader, writer)
        if not is_mute:
            self.send(wire.settings(settings or {}))

    async def frame(self, kind: int, stream_id: int | None = None) -> wire.Frame:
        """Return the next frame of a type, and of a stream if that is given, which no such call has returned yet."""
        key = (kind, stream_id)
        at = self._seen.get(key, 0)

        def matching() -> list[wire.Frame]:
            return [
                each
                for each in self.frames
                if each.type == kind and not each.ack and (stream_id is None or each.stream_id == stream_id)
            ]

        await self.until(lambda: len(matching()) > at)
        self._seen[key] = at + 1
        return matching()[at]

    async def round_trip(self) -> None:
        """Wait until the client has read all earlier output, and its reaction is here."""
        opaque = b"test" + len(self.frames).to_bytes(4, "big")
        self.send(wire.ping(opaque))
        await self.until(
            lambda: any(each.type == wire.PING and each.ack and each.payload == opaque for each in self.frames)
        )

    async def reset_of(self, request: Request) -> int:
        """Return the code with which the client resets a request, once it has."""
        await self.until(lambda: request.reset is not None)
        assert request.reset is not None
        return request.reset

    def respond(
        self, stream_id: int, content: bytes = b"", status: int = 200, fields: Fields = (), trailers: Fields = ()
    ) -> None:
        """Send a whole response, with its content in frames of 16,384 bytes."""
        self.begin(stream_id, status, fields, end=not content and not trailers)
        if content:
            self.content(stream_id, content, end=not trailers)
        if trailers:
            self.respond_trailers(stream_id, trailers)

    def respond_trailers(self, stream_id: int, fields: Fields) -> None:
        """Send a trailer section, which ends the response."""
        self.send(wire.headers(stream_id, fields, end_stream=True))

    def begin(self, stream_id: int, status: int = 200, fields: Fields = (), *, end: bool = False) -> None:
        """Send a response's head."""
        self.send(wire.response(stream_id, b"%d" % status, extra=fields, end_stream=end))

    def content(self, stream_id: int, content: bytes, *, end: bool = False) -> None:
        """Send a piece of content."""
        pieces = [content[at : at + 16_384] for at in range(0, len(content), 16_384)] or [b""]
        for piece in pieces[:-1]:
            self.send(wire.data(stream_id, piece))
        self.send(wire.data(stream_id, pieces[-1], end_stream=end))

    def credit(self, stream_id: int, count: int) -> None:
        """Give window for a stream, or with 0 for the connection."""
        self.send(wire.window_update(stream_id, count))

    def _take(self, data: bytes) -> None:
        for one in self._reader_of_frames.feed(data):
            self.frames.append(one)
            request = self._by_id.get(one.stream_id)
            if one.type == wire.HEADERS:
                fields = self._reader_of_frames.fields(one)
                if request is None:
                    request = self._by_id[one.stream_id] = Request(one.stream_id, fields)
                    self.requests.append(request)
                else:
                    request.trailers = fields
                request.ended = one.end_stream
            elif one.type == wire.DATA:
                assert request is not None
                request.content += one.content
                request.ended = one.end_stream
            elif one.type == wire.RST_STREAM and request is not None:
                request.reset = one.code
            elif one.type == wire.GOAWAY:
                self.goaways.append(one)
            elif self.is_mute or self.writer.transport.is_closing():
                continue
            elif one.type == wire.SETTINGS and not one.ack:
                self.send(wire.settings_ack())
            elif one.type == wire.PING and not one.ack:
                self.send(wire.ping(one.payload, ack=True))


class H1Peer(Peer):
    """A server of HTTP/1.1. It parses requests, also chunked ones, and answers nothing by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.output = bytearray()
        """All input."""
        self.tunnel = bytearray()
        """Input after `take_tunnel`."""
        self._rest = b""
        self._left = 0
        self._chunked = False
        self._is_tunnel = False
        super().__init__(reader, writer)

    def respond(self, content: bytes = b"", status: int = 200, fields: Fields = ()) -> None:
        """Send a whole response with a content-length."""
        lines = [b"HTTP/1.1 %d Some Reason" % status, *(name + b": " + value for name, value in fields)]
        lines.append(b"content-length: %d" % len(content))
        self.send(b"\r\n".join(lines) + b"\r\n\r\n" + content)

    def take_tunnel(self) -> None:
        """Treat further input as a tunnel's, and keep it in `tunnel`."""
        self._is_tunnel = True
        self.tunnel += self._rest
        self._rest = b""

    def _take(self, data: bytes) -> None:
        self.output += data
        if self._is_tunnel:
            self.tunnel += data
            return
        self._rest += data
        while self._rest and self._step():
            pass

    def _step(self) -> bool:
        request = self.requests[-1] if self.requests else None
        if request is None or request.ended:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return False
            self._rest = rest
            self._begin(head)
        elif self._chunked:
            return self._chunk(request)
        else:
            request.content += self._rest[: self._left]
            taken = min(self._left, len(self._rest))
            self._rest = self._rest[taken:]
            self._left -= taken
            request.ended = self._left == 0
        return True

    def _begin(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        method, target, version = first.split(b" ")
        assert version == b"HTTP/1.1", first
        fields = [(b":method", method), (b":path", target)]
        for line in lines:
            name, found, value = line.partition(b":")
            assert found, line
            fields.append((name.lower(), value.strip()))
        request = Request(0, fields)
        self.requests.append(request)
        self._chunked = request.field(b"transfer-encoding") == b"chunked"
        self._left = int(request.field(b"content-length") or b"0")
        request.ended = not self._chunked and not self._left

    def _chunk(self, request: Request) -> bool:
        line, found, rest = self._rest.partition(b"\r\n")
        if not found:
            return False
        size = int(line, 16)
        if size:
            if len(rest) < size + 2:
                return False
            assert rest[size : size + 2] == b"\r\n"
            request.content += rest[:size]
            self._rest = rest[size + 2 :]
            return True
        if rest.startswith(b"\r\n"):
            self._rest = rest[2:]
        else:
            section, found, rest = rest.partition(b"\r\n\r\n")
            if not found:
                return False
            request.trailers = [
                (name.lower(), value.strip())
                for name, _, value in (each.partition(b":") for each in section.split(b"\r\n"))
            ]
            self._rest = rest
        request.ended = True
        return True


class Listening:
    """A listening socket and its connections."""

    def __init__(self) -> None:
        self.port = 0
        self.peers: list[Any] = []
        """Connections in order; `H2Peer` or `H1Peer`."""
        self.losses: list[asyncio.Event] = []
        """Set when a connected driver is notified of its end. The driver itself is not kept: tests look for
        references to it."""
        self.tls = False
        self._given = 0
        self._changed = asyncio.Condition()

    async def accepted(self) -> Any:
        """Return the next connection that no such call has returned yet."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: len(self.peers) > self._given), LIMIT_S)
        self._given += 1
        return self.peers[self._given - 1]

    async def add(self, peer: Peer) -> None:
        self.peers.append(peer)
        async with self._changed:
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def listening(
    protocol: str = "h2",
    *,
    script: Callable[[Any], Awaitable[object]] | None = None,
    settings: dict[int, int] | None = None,
    is_mute: bool = False,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Listening]:
    """Give a server on a free port of 127.0.0.1 for as long as the context is open. `protocol` is "h2" or
    "http/1.1"; over `tls`, ALPN's choice goes first. `script` runs for each connection."""
    found = Listening()
    found.tls = tls is not None
    scripts: list[asyncio.Task[object]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured = writer.get_extra_info("ssl_object")
        chosen = (secured.selected_alpn_protocol() if secured else None) or protocol
        peer = H2Peer(reader, writer, settings, is_mute) if chosen == "h2" else H1Peer(reader, writer)
        if script is not None:
            scripts.append(asyncio.ensure_future(_run(script, peer)))
        await found.add(peer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in scripts:
            task.cancel()
        outcomes = await asyncio.gather(*scripts, return_exceptions=True)
        for peer in found.peers:
            await peer.finish()
        # A driver learns of it some turns later. Where the loop is closed before, the collector finds an open socket,
        # which fails whatever test it is that runs then.
        with contextlib.suppress(asyncio.TimeoutError):  # a driver that does not read is never notified
            async with asyncio.timeout(1.0):
                for loss in found.losses:
                    await loss.wait()
        await server.wait_closed()
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def _run(script: Callable[[Any], Awaitable[object]], peer: Any) -> object:
    try:
        return await script(peer)
    except Exception:
        peer.writer.transport.abort()  # so that the client does not wait for it
        raise
