"""A client for tests, on h11: HTTP/1.1 with the same calls as `tests.support.h2_peer.H2Peer`, one request at a time.

A response that is cut off counts as `reset`. When the server has closed the connection between two requests, or is
bound to, the next request opens a new one, as a user's client would.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import h11

from tests.support.h2_peer import LIMIT_S, Answer, Pairs

CUT_OFF = -1


class H1Peer:
    """One client. Use `H1Peer.connected(...)`."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self.answers: dict[int, Answer] = {}
        self.connections = 0
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.conn: h11.Connection
        self._changed = asyncio.Condition()
        self._pump: asyncio.Task[None] | None = None
        self._answer: Answer | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(
        cls, port: int | None = None, *, path: str | None = None, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator[H1Peer]:
        async def connect() -> Any:
            if path is not None:
                return await asyncio.open_unix_connection(path)
            return await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname="localhost" if tls else None
            )

        peer = cls(connect)
        await peer._reconnect()
        try:
            yield peer
        finally:
            await peer.close()

    async def _reconnect(self) -> None:
        if self._pump is not None:
            await self.close()
        self.reader, self.writer = await self._connect()
        self.connections += 1
        self.closed = False
        self.conn = h11.Connection(h11.CLIENT)
        self._pump = asyncio.create_task(self._read())

    async def close(self) -> None:
        assert self._pump is not None
        self._pump.cancel()
        await asyncio.wait((self._pump,))
        self.writer.close()
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            await asyncio.wait_for(self.writer.wait_closed(), LIMIT_S)

    # -- asking

    async def open(self, path: str = "/", method: str = "GET", headers: Pairs = (), *, end: bool = True) -> int:
        """Send a request's headers; `end` without content. Returns a number for `over` and the like."""
        if self.conn.our_state is not h11.IDLE:
            if self.conn.our_state is h11.DONE and self.conn.their_state is h11.DONE and not self.closed:
                self.conn.start_next_cycle()
            else:
                await self._reconnect()
        fields = [("host", "localhost"), *headers]
        if not end and not any(name == "content-length" for name, _ in headers):
            fields.append(("transfer-encoding", "chunked"))
        self._answer = Answer()
        number = len(self.answers)
        self.answers[number] = self._answer
        self._write(self.conn.send(h11.Request(method=method, target=path, headers=fields)))
        if end:
            self._write(self.conn.send(h11.EndOfMessage()))
        return number

    async def send(self, number: int, data: bytes, *, end: bool = False, trailers: Pairs = ()) -> None:
        """Send content, as fast as the server takes it."""
        if data:
            self._write(self.conn.send(h11.Data(data=data)))
            await self.writer.drain()
        if end:
            self._write(self.conn.send(h11.EndOfMessage(headers=list(trailers))))

    def reset(self, number: int) -> None:
        """Go away in the middle, which is all that HTTP/1.1 has."""
        self.writer.transport.abort()

    async def get(self, path: str = "/", method: str = "GET", headers: Pairs = ()) -> Answer:
        """A request without content, and its whole answer."""
        return await self.over(await self.open(path, method, headers))

    async def post(self, path: str, body: bytes, headers: Pairs = ()) -> Answer:
        """A request with content, and its whole answer."""
        number = await self.open(path, "POST", [*headers, ("content-length", str(len(body)))], end=False)
        with contextlib.suppress(OSError):
            await self.send(number, body, end=True)
        return await self.over(number)

    def _write(self, data: bytes | None) -> None:
        if data and not self.writer.is_closing():
            self.writer.write(data)

    # -- waiting

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something that comes from the server makes `is_true` so."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: is_true() or self.closed), LIMIT_S)
        assert is_true(), "the connection was closed before"

    async def over(self, number: int) -> Answer:
        """An answer, once it has ended or was cut off."""
        answer = self.answers[number]
        await self.until(lambda: answer.is_over)
        return answer

    async def started(self, number: int) -> Answer:
        """An answer, once its headers are there."""
        answer = self.answers[number]
        await self.until(lambda: answer.status is not None or answer.is_over)
        return answer

    async def until_closed(self) -> None:
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self.closed), LIMIT_S)

    # -- reading

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(65_536):
                await self._take(data)
        except OSError:
            pass
        finally:
            self.closed = True
            with contextlib.suppress(h11.RemoteProtocolError):
                await self._take(b"")  # the end of a body that only the end of the connection ends
            if self._answer is not None and not self._answer.is_over:
                self._answer.reset = CUT_OFF
            async with self._changed:
                self._changed.notify_all()

    async def _take(self, raw: bytes) -> None:
        self.conn.receive_data(raw)
        answer = self._answer
        while True:
            event = self.conn.next_event()
            if isinstance(event, h11.InformationalResponse) and answer is not None:
                answer.informational.append({b":status": b"%d" % event.status_code, **dict(event.headers)})
            elif isinstance(event, h11.Response) and answer is not None:
                answer.headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                answer.status = event.status_code
            elif isinstance(event, h11.Data) and answer is not None:
                answer.body += event.data
            elif isinstance(event, h11.EndOfMessage) and answer is not None:
                if event.headers:
                    answer.trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
                answer.ended = True
            else:
                break
        async with self._changed:
            self._changed.notify_all()
