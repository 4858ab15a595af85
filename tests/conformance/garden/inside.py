"""Servers of the garden that run without a socket: our engine, h11, httptools, and uvicorn with both of them."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any, NamedTuple

import h11
import httptools

from headrace.engine import events as ev

from tests.conformance.garden.app import report
from tests.support.h1_rig import H1Rig

ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3})|x-report: (\S*) /(\S*) \.(\S*)\r?\n", re.I)


class Message(NamedTuple):
    """A request that a server took for whole."""

    method: str
    target: str
    content: bytes


class Reading(NamedTuple):
    """What a server made of bytes: whole requests, and `end`: open, closed, or refused with or without a status."""

    messages: tuple[Message, ...]
    end: str


def target_of(data: bytes) -> str:
    """A target as servers can be compared by it: of the absolute form what stands behind the authority."""
    if not data.startswith(b"/") and b"://" in data:
        rest = data.partition(b"://")[2]
        at = min((position for mark in (b"/", b"?") if (position := rest.find(mark)) >= 0), default=len(rest))
        data = rest[at:] or b"/"
        if data.startswith(b"?"):
            data = b"/" + data
    return data.decode("latin-1")


def by_headrace(raw: bytes) -> Reading:
    rig = H1Rig(auto=True)
    rig.feed(raw)
    rig.take()
    begun: list[tuple[bytes, bytes]] = []
    found: list[Message] = []
    content = b""
    for event in rig.events:
        if event.kind == ev.REQUEST:
            begun.append((event.method, event.path))
            content = b""
        elif event.kind == ev.DATA:
            content += event.data
        if event.kind == ev.TRAILERS or (event.kind in (ev.REQUEST, ev.DATA) and event.end_stream):
            method, path = begun[-1]
            found.append(Message(method.decode("latin-1"), path.decode("latin-1"), content))
    if rig.of(ev.PeerFault):
        statuses = [int(line[9:12]) for line in rig.output.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        return Reading(tuple(found), f"refused {statuses[-1] if statuses and statuses[-1] >= 400 else 'silently'}")
    return Reading(tuple(found), "closed" if rig.conn.closed else "open")


def by_h11(raw: bytes) -> Reading:
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    conn.receive_data(raw)
    found: list[Message] = []
    method, target, content = "", "", b""
    while True:
        try:
            event = conn.next_event()
        except h11.RemoteProtocolError as error:
            return Reading(tuple(found), f"refused {error.error_status_hint}")
        if isinstance(event, h11.Request):
            method, target, content = event.method.decode(), target_of(event.target), b""
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            found.append(Message(method, target, content))
            conn.send(h11.Response(status_code=404, headers=[("content-length", "0")]))  # 200 would open a tunnel
            conn.send(h11.EndOfMessage())
            if conn.our_state is not h11.DONE:
                return Reading(tuple(found), "closed")
            conn.start_next_cycle()
        else:
            return Reading(tuple(found), "open")


class _Requests:
    """What httptools calls."""

    def __init__(self) -> None:
        self.found: list[Message] = []
        self.parser: Any = httptools.HttpRequestParser(self)
        self.target = b""
        self.content = b""
        self.goes_on = True

    def on_message_begin(self) -> None:
        self.target = self.content = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_body(self, content: bytes) -> None:
        self.content += content

    def on_message_complete(self) -> None:
        if self.goes_on:  # what follows a message that ends the connection is not read
            method = self.parser.get_method().decode()
            self.found.append(Message(method, target_of(self.target), self.content))
            self.goes_on = self.parser.should_keep_alive()


def by_httptools(data: bytes) -> Reading:
    """httptools as it comes: it hands over what it has read, and leaves targets, hosts and the rest to the server."""
    requests = _Requests()
    end = "open"
    try:
        requests.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        end = "closed"
    except httptools.HttpParserError:
        end = "refused"
    return Reading(tuple(requests.found), end if requests.goes_on else "closed")


class _Wire(asyncio.Transport):
    """A transport that remembers what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.output = b""
        self.ended = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.output += bytes(data)

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...


def by_uvicorn(kind: str, data: bytes) -> Reading:
    """uvicorn's protocol `kind`, "h11" or "httptools", in an event loop of its own."""
    from uvicorn import Config
    from uvicorn.protocols.http.h11_impl import H11Protocol
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    from uvicorn.server import ServerState

    logging.getLogger("uvicorn.error").disabled = True  # it has much to say about this corpus

    async def main() -> _Wire:
        config = Config(report, http="h11", log_config=None, lifespan="off", access_log=False, ws="none")
        config.load()
        protocol_class: Any = H11Protocol if kind == "h11" else HttpToolsProtocol
        protocol = protocol_class(config=config, server_state=ServerState(), app_state={})
        wire = _Wire()
        protocol.connection_made(wire)
        protocol.data_received(data)
        for _ in range(100):  # turns of the loop: more than its handlers have awaits
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return wire

    wire = asyncio.run(main())
    return read_reports(wire.output, wire.ended)


def read_reports(data: bytes, ended: bool) -> Reading:
    """What a server that runs `report`, or the same in its own words, has read, by its answers."""
    found: list[Message] = []
    refusal = 0
    for status, method, target, content in ANSWER.findall(data):
        if status:
            refusal = int(status) if int(status) >= 400 else 0
        else:
            refusal = 0
            found.append(
                Message(
                    method.decode("latin-1"), target_of(bytes.fromhex(target.decode())), bytes.fromhex(content.decode())
                )
            )
    if refusal:
        return Reading(tuple(found), f"refused {refusal}")
    return Reading(tuple(found), "closed" if ended else "open")
