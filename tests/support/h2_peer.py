"""A client for tests, on python-hyper's h2: an implementation that is not ours judges what our server sends.

It is polite by default, and can be told not to be: not to give window back, not to read at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

LIMIT_S = 10.0  # how long a test waits for what must come; it only ever waits that long when it fails

Pairs = Sequence[tuple[str, str]]


class Answer:
    """What came back on one stream."""

    def __init__(self) -> None:
        self.informational: list[dict[bytes, bytes]] = []
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.ended = False
        self.reset: int | None = None

    @property
    def is_over(self) -> bool:
        return self.ended or self.reset is not None

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)


class H2Peer:
    """One connection. Use `H2Peer.connected(...)`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: dict[Any, int], gives_credit: bool
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.gives_credit = gives_credit
        self.answers: dict[int, Answer] = {}
        self.goaways: list[h2.events.ConnectionTerminated] = []
        self.closed = False
        self._scheme = "https" if writer.get_extra_info("ssl_object") else "http"
        self._changed = asyncio.Condition()
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=False))
        self.conn.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.ENABLE_PUSH: 0, **settings}
        )
        self.conn.initiate_connection()
        self.flush()
        self._pump = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(
        cls,
        port: int | None = None,
        *,
        path: str | None = None,
        tls: ssl.SSLContext | None = None,
        settings: dict[Any, int] | None = None,
        gives_credit: bool = True,
    ) -> AsyncIterator[H2Peer]:
        if path is not None:
            reader, writer = await asyncio.open_unix_connection(path)
        else:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
            )
        peer = cls(reader, writer, settings or {}, gives_credit)
        try:
            yield peer
        finally:
            await peer.close()

    async def close(self) -> None:
        self._pump.cancel()
        await asyncio.wait((self._pump,))
        self.writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self.writer.wait_closed(), LIMIT_S)

    # -- asking

    def flush(self) -> None:
        data = self.conn.data_to_send()
        if data and not self.writer.is_closing():
            self.writer.write(data)

    def open(self, path: str = "/", method: str = "GET", headers: Pairs = (), *, end: bool = True) -> int:
        """Send a request's headers; `end` without content. Returns the stream's id."""
        stream_id = int(self.conn.get_next_available_stream_id())
        pseudo = [(":method", method), (":scheme", self._scheme), (":authority", "localhost"), (":path", path)]
        self.answers[stream_id] = Answer()
        self.conn.send_headers(stream_id, [*pseudo, *headers], end_stream=end)
        self.flush()
        return stream_id

    async def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send content, as the server's window allows."""
        view = memoryview(data)
        while view:
            await self.until(lambda: self.room(stream_id) > 0)
            size = min(self.room(stream_id), self.conn.max_outbound_frame_size, len(view))
            self.conn.send_data(stream_id, bytes(view[:size]))
            view = view[size:]
            self.flush()
        if end:
            self.conn.end_stream(stream_id)
            self.flush()

    def room(self, stream_id: int) -> int:
        """Bytes that the server lets us send on a stream."""
        return int(self.conn.local_flow_control_window(stream_id))

    def reset(self, stream_id: int, code: int = 8) -> None:
        self.conn.reset_stream(stream_id, code)
        self.flush()

    async def get(self, path: str = "/", method: str = "GET", headers: Pairs = ()) -> Answer:
        """A request without content, and its whole answer."""
        return await self.over(self.open(path, method, headers))

    async def post(self, path: str, body: bytes, headers: Pairs = ()) -> Answer:
        """A request with content, and its whole answer."""
        stream_id = self.open(path, "POST", headers, end=False)
        await self.send(stream_id, body, end=True)
        return await self.over(stream_id)

    # -- waiting

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something that comes from the server makes `is_true` so."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: is_true() or self.closed), LIMIT_S)
        assert is_true(), f"the connection was closed before; GOAWAY: {self.goaways}"

    async def over(self, stream_id: int) -> Answer:
        """The answer on a stream, once it has ended or was reset."""
        answer = self.answers[stream_id]
        await self.until(lambda: answer.is_over)
        return answer

    async def started(self, stream_id: int) -> Answer:
        """The answer on a stream, once its headers are there."""
        answer = self.answers[stream_id]
        await self.until(lambda: answer.status is not None or answer.is_over)
        return answer

    async def ping(self) -> None:
        """A round trip: what the server wrote before it has arrived when this returns."""
        pongs = self._pongs
        self.conn.ping(b"testtest")
        self.flush()
        await self.until(lambda: self._pongs > pongs)

    async def until_closed(self) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self.closed), LIMIT_S)

    # -- reading

    _pongs = 0

    async def _read(self) -> None:
        try:
            buffer = b""
            while data := await self.reader.read(65_536):
                buffer += data
                # Frame by frame: h2 takes nothing after GOAWAY, unless its state is put right before the next frame.
                while len(buffer) >= 9 and len(buffer) >= (size := 9 + int.from_bytes(buffer[:3])):
                    for event in self.conn.receive_data(buffer[:size]):
                        self._take(event)
                    buffer = buffer[size:]
                self.flush()
                async with self._changed:
                    self._changed.notify_all()
        except (OSError, EOFError):
            pass
        finally:
            self.closed = True
            async with self._changed:
                self._changed.notify_all()

    def _take(self, event: Any) -> None:
        answer = self.answers.get(getattr(event, "stream_id", None) or 0, Answer())
        if isinstance(event, h2.events.ResponseReceived):
            answer.status = int(dict(event.headers)[b":status"])
            answer.headers = [(bytes(n), bytes(v)) for n, v in event.headers if not n.startswith(b":")]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.informational.append({bytes(n): bytes(v) for n, v in event.headers})
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.gives_credit and event.flow_controlled_length:
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
        elif isinstance(event, h2.events.PingAckReceived):
            self._pongs += 1
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(event)
            # h2 would refuse to speak at all from here on; a drain lets running streams finish (RFC 9113 §6.8).
            self.conn.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
