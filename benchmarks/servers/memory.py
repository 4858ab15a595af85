"""What an idle connection costs a server: resident memory before and after, divided by the connections held open.

Each connection has done its handshake and one request, as a browser's would, and then waits. Sockets' buffers belong to
the kernel and are not counted.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import Final

from benchmarks.generators import wire
from benchmarks.results import Cell, Row
from benchmarks.servers.contenders import Contender, Course, Running, all_running
from benchmarks.servers.process import resident

SETTLED_S: Final = 1.0


def idle(course: Course, contenders: list[Contender], connections: int, row: Row) -> None:
    """Measure one server after the other, in cleartext."""
    raise_open_files(connections + 100)
    for contender in contenders:
        if "h2" in contender.protocols:
            with all_running(course, [contender], False, "h2", {}) as up:
                for server in up:
                    row.cells[contender.name] = cell = one(server, connections)
                    text = cell.fault or f"{cell.median('idle'):8.1f} KiB a connection"
                    print(f"{row.name:15} {contender.name:16} {text}", flush=True)


def one(server: Running, connections: int) -> Cell:
    cell = Cell()
    held: list[socket.socket] = []
    try:
        for _ in range(20):  # imports and caches that the first connections pay for
            connect(server.port).close()
        time.sleep(SETTLED_S)
        before = resident(server.process.pid)
        for _ in range(connections):
            held.append(connect(server.port))
        time.sleep(SETTLED_S)
        cell.add(idle=(resident(server.process.pid) - before) / connections / 1024)
    except (OSError, ValueError) as error:
        cell.fault = f"at {len(held)} connections: {error}"
    finally:
        for peer in held:
            peer.close()
    return cell


def connect(port: int) -> socket.socket:
    """Return a connection of HTTP/2 whose first request has been answered whole."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
    ask = wire.frame(wire.HEADERS, wire.END_STREAM | wire.END_HEADERS, 1, wire.REQUEST)
    peer.sendall(wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0) + ask)
    received = bytearray()
    while True:
        more = peer.recv(65_536)
        if not more:
            raise ValueError("the server closed the connection")
        received += more
        ended = False
        for kind, flags, _, _ in wire.frames(received):
            if kind == wire.SETTINGS and not flags & wire.ACK:
                peer.sendall(wire.frame(wire.SETTINGS, wire.ACK, 0))
            ended = ended or (kind in (wire.DATA, wire.HEADERS) and bool(flags & wire.END_STREAM))
        if ended:
            return peer


def raise_open_files(wanted: int) -> None:
    """Lets this process, and the servers it starts, open enough sockets, as far as the system allows it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted * 2:
        limit = wanted * 2 if hard == resource.RLIM_INFINITY else min(wanted * 2, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
