"""A WebSocket client for tests, over HTTP/1.1 or HTTP/2: the `websockets` library's frames in a tunnel made by hand.

An implementation that is not ours judges what the server sends. `raw` sends any bytes, so it can break every rule.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from h2.exceptions import StreamClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.headers import parse_extension
from websockets.protocol import CLIENT, Protocol
from websockets.utils import accept_key

from tests.support.h2_peer import LIMIT_S, Answer, H2Peer, Pairs

OFFER = "permessage-deflate; client_max_window_bits"
KEY = base64.b64encode(b"sixteen octets!!").decode()


class Refused(Exception):
    """The server answered the handshake with an ordinary response."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
        super().__init__(status)
        self.status = status
        self.headers = dict(headers)
        self.body = body


class WSPeer:
    """One WebSocket. Use `open_websocket(...)`. What came stands in `messages`, `pings`, `pongs` and `closed`."""

    def __init__(self, headers: list[tuple[bytes, bytes]], write: Callable[[bytes], None]) -> None:
        self.headers = dict(headers)
        self.protocol: Any = Protocol(CLIENT, max_size=None)
        chosen = self.headers.get(b"sec-websocket-extensions")
        if chosen is not None:
            parsed = parse_extension(chosen.decode())
            factory = ClientPerMessageDeflateFactory(client_max_window_bits=True)
            self.protocol.extensions = [factory.process_response_params(parsed[0][1], [])]
        self.messages: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.ended = False
        """True once the server has ended its side, or reset the stream."""
        self.reset: int | None = None
        self.stream_id = 0
        self.h2: H2Peer | None = None
        self._parts: list[bytes] = []
        self._is_text = False
        self._write = write
        self._changed = asyncio.Event()

    # -- sending

    def raw(self, data: bytes) -> None:
        """Any bytes into the tunnel."""
        self._write(data)

    def flush(self) -> None:
        for data in self.protocol.data_to_send():
            if data:
                self._write(data)

    def send(self, message: str | bytes, *, fin: bool = True) -> None:
        if isinstance(message, str):
            self.protocol.send_text(message.encode(), fin)
        else:
            self.protocol.send_binary(message, fin)
        self.flush()

    def fragment(self, data: bytes, *, fin: bool) -> None:
        self.protocol.send_continuation(data, fin)
        self.flush()

    def ping(self, data: bytes) -> None:
        self.protocol.send_ping(data)
        self.flush()

    def say_close(self, code: int = 1000, reason: str = "") -> None:
        self.protocol.send_close(code, reason)
        self.flush()

    # -- waiting

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something that comes makes `is_true` so."""
        async with asyncio.timeout(LIMIT_S):
            while not is_true():
                assert not self.ended, f"the tunnel ended before; close {self.closed}, reset {self.reset}"
                self._changed.clear()
                await self._changed.wait()

    async def message(self) -> str | bytes:
        """The next message."""
        await self.until(lambda: bool(self.messages))
        return self.messages.pop(0)

    async def close_frame(self) -> tuple[int, str]:
        """Code and reason of the server's close frame."""
        await self.until(lambda: self.closed is not None)
        assert self.closed is not None
        return self.closed

    async def until_ended(self) -> None:
        """Wait until the server has ended its side."""
        async with asyncio.timeout(LIMIT_S):
            while not self.ended:
                self._changed.clear()
                await self._changed.wait()

    # -- what comes

    def feed(self, data: bytes) -> None:
        if data and self.closed is None:
            self.protocol.receive_data(data)
            answers = self.protocol.data_to_send()
            for frame in self.protocol.events_received():
                self._take(frame)
            assert self.protocol.parser_exc is None, f"the server broke a rule: {self.protocol.parser_exc!r}"
            for data in answers:
                if data:
                    self._write(data)
        self._changed.set()

    def end(self, reset: int | None = None) -> None:
        self.ended = True
        self.reset = reset
        self._changed.set()

    def _take(self, frame: Any) -> None:
        if frame.opcode is Opcode.PING:
            self.pings.append(bytes(frame.data))
        elif frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))
        elif frame.opcode is Opcode.CLOSE:
            self.closed = (self.protocol.close_rcvd.code, self.protocol.close_rcvd.reason)
        else:
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._parts.append(bytes(frame.data))
            if frame.fin:
                whole = b"".join(self._parts)
                self._parts.clear()
                self.messages.append(whole.decode() if self._is_text else whole)


def handshake(subprotocols: Sequence[str], compression: bool, headers: Pairs, version: str = "13") -> Pairs:
    """The fields that both protocols send."""
    fields = [("sec-websocket-version", version), *headers]
    if subprotocols:
        fields.append(("sec-websocket-protocol", ", ".join(subprotocols)))
    if compression:
        fields.append(("sec-websocket-extensions", OFFER))
    return fields


@contextlib.asynccontextmanager
async def open_websocket(
    over: str,
    port: int,
    path: str = "/",
    *,
    subprotocols: Sequence[str] = (),
    compression: bool = False,
    headers: Pairs = (),
    version: str = "13",
    tls: ssl.SSLContext | None = None,
    on: H2Peer | None = None,
    scheme: str | None = None,
) -> AsyncIterator[WSPeer]:
    """A WebSocket `over` h1 or h2; `on` an h2 connection that is there already. `scheme` is what the request claims, in
    place of its connection's: by `:scheme`, or by a target in absolute form. Raises Refused."""
    fields = handshake(subprotocols, compression, headers, version)
    if over == "h1":
        target = path if scheme is None else f"{scheme}://localhost{path}"
        async with _over_h1(port, target, fields, tls) as peer:
            yield peer
    elif on is not None:
        async with _over_h2(on, path, fields, scheme) as peer:
            yield peer
    else:
        async with H2Peer.connected(port, tls=tls) as connection, _over_h2(connection, path, fields, scheme) as peer:
            yield peer


@contextlib.asynccontextmanager
async def _over_h1(port: int, path: str, fields: Pairs, tls: ssl.SSLContext | None) -> AsyncIterator[WSPeer]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
    )
    try:
        lines = [f"GET {path} HTTP/1.1", "host: localhost", "upgrade: websocket", "connection: Upgrade"]
        lines += [f"sec-websocket-key: {KEY}", *(f"{name}: {value}" for name, value in fields), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        async with asyncio.timeout(LIMIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        status, *pairs = head.decode("latin-1").split("\r\n")[:-2]
        answered = [(n.lower().encode(), v.strip().encode()) for n, _, v in (pair.partition(":") for pair in pairs)]
        code = int(status.split(" ")[1])
        if code != 101:
            size = int(dict(answered).get(b"content-length", b"0"))
            raise Refused(code, answered, await reader.readexactly(size))
        assert dict(answered)[b"sec-websocket-accept"] == accept_key(KEY).encode()
        assert dict(answered)[b"upgrade"].lower() == b"websocket"
        peer = WSPeer(answered, writer.write)

        async def read() -> None:
            try:
                while data := await reader.read(65_536):
                    peer.feed(data)
            except OSError:
                pass
            peer.end()

        pump = asyncio.create_task(read())
        try:
            yield peer
        finally:
            pump.cancel()
            await asyncio.wait((pump,))
            if not pump.cancelled():
                pump.result()
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), LIMIT_S)


@contextlib.asynccontextmanager
async def _over_h2(connection: H2Peer, path: str, fields: Pairs, scheme: str | None) -> AsyncIterator[WSPeer]:
    await connection.until(lambda: connection.conn.remote_settings.enable_connect_protocol == 1)
    stream_id = int(connection.conn.get_next_available_stream_id())
    answer = connection.answers[stream_id] = Answer()
    if scheme is None:
        scheme = "https" if connection.writer.get_extra_info("ssl_object") else "http"
    pseudo = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", scheme), (":authority", "localhost")]
    connection.conn.send_headers(stream_id, [*pseudo, (":path", path), *fields])
    connection.flush()
    await connection.started(stream_id)
    assert answer.status is not None, f"the stream was reset: {answer.reset}"
    if answer.status != 200:
        await connection.over(stream_id)
        raise Refused(answer.status, answer.headers, bytes(answer.body))
    outgoing: asyncio.Queue[bytes] = asyncio.Queue()
    peer = WSPeer(answer.headers, outgoing.put_nowait)
    peer.h2 = connection
    peer.stream_id = stream_id

    async def read() -> None:
        while True:
            await connection.until(lambda: bool(answer.body) or answer.is_over)
            data = bytes(answer.body)
            answer.body.clear()
            peer.feed(data)
            if answer.is_over and not answer.body:
                peer.end(answer.reset)
                return

    async def write() -> None:
        while True:
            data = await outgoing.get()
            if answer.is_over:
                return
            try:
                await connection.send(stream_id, data)
            except StreamClosedError:  # it has ended while this waited
                return

    pumps = [asyncio.create_task(read()), asyncio.create_task(write())]
    try:
        yield peer
    finally:
        pending = set(pumps)
        while pending:  # up to Python 3.11, wait_for can lose a cancellation that comes together with its result
            for pump in pending:
                pump.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.1)
        if not answer.is_over and not connection.closed:
            with contextlib.suppress(Exception):
                connection.reset(stream_id)
