"""Sockets of the rude part of the load: bytes as they are written, over TLS too, and every way to end a connection."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from types import TracebackType
from typing import Self

READ = 65_536


class Raw:
    """A connection to 127.0.0.1 that knows no protocol. It is closed at the end of its block, if not before."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, receive_buffer: int = 0) -> None:
        self._port = port
        self._context = tls
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        self._loop = asyncio.get_running_loop()

    async def __aenter__(self) -> Self:
        try:
            await self._loop.sock_connect(self._socket, ("127.0.0.1", self._port))
            if self._context is not None:
                self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
                while True:
                    try:
                        self._tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        await self._flush()
                        await self._fill()
                await self._flush()
        except BaseException:
            self._socket.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._socket.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._loop.sock_sendall(self._socket, self._outgoing.read())

    async def _fill(self) -> None:
        data = await self._loop.sock_recv(self._socket, READ)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def send(self, data: bytes) -> None:
        """Write all of the data."""
        if self._tls is None:
            await self._loop.sock_sendall(self._socket, data)
        else:
            self._tls.write(data)
            await self._flush()

    async def receive(self, most: int = READ) -> bytes:
        """Return what comes next, b"" at the end: of the connection, or of TLS within it."""
        if self._tls is None:
            return await self._loop.sock_recv(self._socket, most)
        while True:
            try:
                return self._tls.read(most)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def receive_all(self) -> bytes:
        """Return all that comes until the end."""
        parts = []
        while data := await self.receive():
            parts.append(data)
        return b"".join(parts)

    def half_close(self) -> None:
        """Say that nothing more will be sent, and go on reading. Not for TLS."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        """End the connection with a FIN, without a word of TLS; the kernel makes a reset of it if data is unread."""
        self._socket.close()
