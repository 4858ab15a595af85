"""Listening sockets: several addresses, one bound on connections, and no failure when the process runs out of file
descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from typing import Final

from headrace.transport.log import get_logger
from headrace.transport.proxy_protocol import Network, ProxiedProtocol
from headrace.transport.tls_transport import TLSTransport

BACKLOG: Final = 4_096  # connections that the kernel keeps until we take them; it may keep fewer
ACCEPTS_A_TURN: Final = 8  # a storm of new ones must not hold up those that are there; each may bring a TLS handshake
MAX_HANDSHAKES: Final = 1_000  # under way at once on a listener; the oldest makes room: a flood does not finish
GONE: Final = {errno.ECONNABORTED, errno.ECONNRESET, errno.EPROTO, errno.EPERM}  # before we took it: only its loss
EXHAUSTED_PAUSE_S: Final = 0.5  # after anything else, such as EMFILE, which trying at once would not mend

logger: Final = get_logger("headrace")
protocol_log: Final = get_logger("headrace.protocol")

ProtocolFactory = Callable[[], asyncio.Protocol]


class ListenError(OSError):
    """Raised for an address that the server cannot listen on. Its text is one sentence that names the address."""


class Gate:
    """Counts connections against `limit`, over all listeners. At the limit, accepting waits and the kernel queues."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._room: asyncio.Event = asyncio.Event()
        self._room.set()

    @property
    def count(self) -> int:
        """Connections that are open."""
        return self._count

    def enter(self) -> None:
        """Count a new connection."""
        self._count += 1
        if self._count >= self._limit:
            if self._room.is_set():
                logger.warning("%d connections are open (limit max_connections); new ones wait", self._count)
            self._room.clear()

    def leave(self) -> None:
        """Count the end of a connection."""
        self._count -= 1
        if self._count < self._limit:
            self._room.set()

    async def room(self) -> None:
        """Wait until there is room for one more."""
        await self._room.wait()


class Listener:
    """Accepts connections on one socket and gives each a protocol of `factory`.

    `factory`'s protocols call `gate.leave()` when their connection is lost; a connection that fails before it has a
    protocol (in the TLS handshake, or before that in the PROXY header) leaves the gate here.
    """

    def __init__(
        self,
        sock: socket.socket,
        factory: ProtocolFactory,
        gate: Gate,
        *,
        ssl_context: ssl.SSLContext | None = None,
        alpn: Sequence[str] | None = None,
        handshake_timeout_s: float = 10.0,
        path: str | None = None,
        proxy_protocol: str = "off",
        proxies: Sequence[Network] = (),
    ) -> None:
        """`path` is removed when the listener closes, if it is still the socket that it is now. `alpn` lists the
        protocols that are served under TLS, by their names in ALPN: a client that offers only others is refused. None
        accepts every client.

        `proxy_protocol` is `off`, or the versions of the PROXY header that must come before everything else; then only
        peers in the networks of `proxies` are served.
        """
        self.sock = sock
        self._factory = factory
        self._gate = gate
        self._ssl = ssl_context
        self._alpn = alpn
        self._handshake_timeout_s = handshake_timeout_s
        self._task: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._proxy_protocol = proxy_protocol
        self._proxies = proxies
        self._handshakes: dict[TLSTransport | ProxiedProtocol, None] = {}  # under way, oldest first
        self._path = path
        self._inode = _inode(path)
        self._is_closed = False

    def start(self) -> None:
        """Begin to accept."""
        self._task = asyncio.get_running_loop().create_task(self._accept())

    def close(self) -> None:
        """Stop accepting: close the socket, remove a unix socket's path, abort handshakes under way."""
        self._is_closed = True
        if self._task is not None:
            self._task.cancel()
            # The event loop has to let go of the socket first, which it does before the task hears of its end.
            self._task.add_done_callback(lambda _: self.sock.close())
        else:
            self.sock.close()
        for transport in list(self._handshakes):
            transport.break_off("the server ends")
        if self._path is not None and self._inode == _inode(self._path):
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    async def opened(self) -> None:
        """Wait, after `close`, until each connection that was accepted before has its protocol, or is gone. This takes
        a turn of the loop or two. Do not cancel it: uvloop would not call `connection_lost` of a protocol that it has
        just connected."""
        if self._opening:
            await asyncio.wait(self._opening)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        accepted = 0
        while True:
            await self._gate.room()
            try:
                sock, _ = await loop.sock_accept(self.sock)
            except OSError as error:
                if error.errno in GONE:
                    await asyncio.sleep(0)
                else:
                    logger.warning("no connection can be accepted: %s; trying again", error.strerror)
                    await asyncio.sleep(EXHAUSTED_PAUSE_S)
                continue
            self._gate.enter()
            task = loop.create_task(self._open(sock))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
            accepted += 1
            if accepted % ACCEPTS_A_TURN == 0:
                await asyncio.sleep(0)

    async def _open(self, sock: socket.socket) -> None:
        if self._is_closed:
            self._gate.leave()
            sock.close()
            return
        protocol = self._proxied() if self._proxy_protocol != "off" else self._served()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)
        except BaseException as error:
            if isinstance(protocol, (TLSTransport, ProxiedProtocol)):
                protocol.break_off(str(error))
            else:
                self._gate.leave()
            with contextlib.suppress(OSError):
                sock.close()
            if not isinstance(error, OSError):
                raise
            if protocol_log.isEnabledFor(logging.DEBUG):
                protocol_log.debug("a connection was not opened: %s", error)

    def _served(self) -> asyncio.Protocol:
        """Return the protocol that serves a connection, with TLS before it if this listener speaks TLS."""
        protocol = self._factory()
        if self._ssl is None:
            return protocol
        timeout_s = self._handshake_timeout_s
        handshake = TLSTransport(
            protocol,
            self._ssl,
            handshake_timeout_s=timeout_s,
            protocols=self._alpn,
            on_handshake=self._on_handshake,
        )
        self._begin(handshake)
        return handshake

    def _proxied(self) -> asyncio.Protocol:
        """Return a protocol that reads a PROXY header before that."""
        header = ProxiedProtocol(
            self._served,
            self._proxy_protocol,
            self._proxies,
            timeout_s=self._handshake_timeout_s,
            on_end=self._on_handshake,
        )
        self._begin(header)
        return header

    def _begin(self, handshake: TLSTransport | ProxiedProtocol) -> None:
        self._handshakes[handshake] = None
        if len(self._handshakes) > MAX_HANDSHAKES:
            next(iter(self._handshakes)).break_off("too many others came after it")

    def _on_handshake(self, handshake: TLSTransport | ProxiedProtocol, failure: str | None) -> None:
        self._handshakes.pop(handshake, None)
        if failure is not None:
            self._gate.leave()
            if protocol_log.isEnabledFor(logging.DEBUG):
                protocol_log.debug("a connection was not opened: %s", failure)


def bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets for all addresses of `host`; for port 0 the system chooses one port for all of them.

    Raises ListenError.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise _cannot_listen(where, error) from None
    sockets: list[socket.socket] = []
    try:
        for family, kind, number, _, found_address in dict.fromkeys(found):
            address = found_address
            sock = socket.socket(family, kind, number)
            sockets.append(sock)
            if os.name == "posix":  # pragma: no branch: else on Windows
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
            sock.setblocking(False)
            if port == 0 and len(sockets) > 1:
                address = (address[0], sockets[0].getsockname()[1], *address[2:])
            sock.bind(address)
            sock.listen(BACKLOG)
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise _cannot_listen(where, error) from None
    return sockets


def bind_unix(path: str) -> socket.socket:
    """Return a listening unix socket; a socket file of a dead process is replaced. Raises ListenError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            os.unlink(path)
        sock.setblocking(False)
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise _cannot_listen(f"unix:{path}", error) from None
    return sock


def bind_fd(number: int) -> socket.socket:
    """Return the listening socket with descriptor `number`, inherited from the parent process. Raises ListenError."""
    try:
        sock = socket.socket(fileno=os.dup(number))
        try:
            sock.setblocking(False)
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise _cannot_listen(f"fd:{number}", error) from None
    return sock


def _is_abandoned(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(path) == errno.ECONNREFUSED


def _inode(path: str | None) -> int | None:
    try:
        return os.stat(path).st_ino if path is not None else None
    except OSError:
        return None


def _cannot_listen(where: str, error: OSError) -> ListenError:
    reason = error.strerror or str(error)
    return ListenError(error.errno, f"cannot listen on {where}: {reason[:1].lower()}{reason[1:]}")


def addresses(sockets: Sequence[socket.socket]) -> list[str]:
    """Return the sockets' addresses as text, with port 0 resolved."""
    found = []
    for sock in sockets:
        name = sock.getsockname()
        if isinstance(name, tuple):
            found.append(f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}")
        else:
            found.append(f"unix:{name if isinstance(name, str) else name.decode('utf-8', 'replace')}")
    return found
