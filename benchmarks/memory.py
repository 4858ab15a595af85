"""What an idle connection costs a server: resident memory before and after, divided by the connections held open.

Each connection has done its handshake and one request, as a browser's would, and then waits. Sockets' buffers belong to
the kernel and are not counted.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.contenders import Contender, Course, Running, all_running

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, HEADERS, DATA, ACK, END_STREAM, END_HEADERS = 4, 1, 0, 1, 1, 4
# Indexed :method GET, :scheme http, :path /; then :authority as a literal (RFC 7541 §6.1 and §6.2.2).
REQUEST: Final = b"\x82\x86\x84\x01\x09127.0.0.1"
SETTLED_S: Final = 1.0


@dataclass(frozen=True)
class Idle:
    """The finding for one server."""

    name: str
    connections: int
    bytes_each: float
    fault: str = ""


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def measure(course: Course, contenders: list[Contender], connections: int) -> list[Idle]:
    """One server after the other, in cleartext."""
    raise_open_files(connections + 100)
    found = []
    for contender in contenders:
        if "h2" not in contender.protocols:
            continue
        with all_running(course, [contender], False, "h2") as up:
            for server in up:
                idle = measure_one(server, connections)
                found.append(idle)
                text = idle.fault or f"{idle.bytes_each / 1024:8.1f} KiB a connection, at {idle.connections}"
                print(f"{'idle memory':15} {idle.name:16} {text}", flush=True)
    return found


def measure_one(server: Running, connections: int) -> Idle:
    port = int(server.base.rpartition(":")[2])
    name = server.contender.name
    held: list[socket.socket] = []
    try:
        for _ in range(20):  # imports and caches that the first connections pay for
            connect(port).close()
        time.sleep(SETTLED_S)
        before = resident(server.process.pid)
        for _ in range(connections):
            held.append(connect(port))
        time.sleep(SETTLED_S)
        return Idle(name, connections, (resident(server.process.pid) - before) / connections)
    except (OSError, ValueError) as error:
        return Idle(name, connections, 0.0, f"at {len(held)} connections: {error}")
    finally:
        for peer in held:
            peer.close()


def connect(port: int) -> socket.socket:
    """A connection whose first request has been answered whole."""
    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
    peer.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_STREAM | END_HEADERS, 1, REQUEST))
    received = bytearray()
    while True:
        while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
            length, kind, flags = int.from_bytes(received[:3], "big"), received[3], received[4]
            del received[: 9 + length]
            if kind == SETTINGS and not flags & ACK:
                peer.sendall(frame(SETTINGS, ACK, 0))
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return peer
        more = peer.recv(65_536)
        if not more:
            raise ValueError("the server closed the connection")
        received += more


def resident(pid: int) -> int:
    """Resident bytes of a process and its children, as Linux tells them."""
    total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return total + sum(resident(int(child)) for child in children)


def raise_open_files(wanted: int) -> None:
    """Lets this process, and the servers it starts, open enough sockets, as far as the system allows it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted * 2:
        limit = wanted * 2 if hard == resource.RLIM_INFINITY else min(wanted * 2, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
