"""A mixture of requests to a live server, in which every request carries its user everywhere, and nothing may cross.

    python -m tests.isolation.mixture --requests 50000 --seed 1

starts `headrace serve` for each interface and event loop, and sends requests over HTTP/1.1 and HTTP/2, in cleartext
and over TLS, by clients that are not ours: pipelined, put off behind a hundred others, reset in between, uploaded
slowly, read through a small window, refused, in tunnels. A request's user stands in its fields, its content and its
trailers. The oracle is simple: no part of a response may name another user, and the parts that must name the request's
own do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import ssl
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import h2.events
import h2.exceptions
import h2.settings

from headrace.transport.tls import local_certificate

from tests.isolation.mixture_apps import TOKEN
from tests.support.h2_peer import Answer, H2Peer
from tests.support.process import serving
from tests.support.ws_peer import open_websocket

Outcome = tuple[Counter[str], list[str]]
LIMIT_S = 60.0
WHATS = ("plain",) * 5 + ("kept", "changed", "refused", "hints", "trailers", "unread")
SIZES = (1, 1, 1, 30, 3_000, 90_000)
TIMES = (1, 1, 1, 1, 10, 3_000)
SERVERS = (("asgi", "uvloop"), ("asgi", "asyncio"), ("native", "uvloop"), ("native", "asyncio"), ("wsgi", "uvloop"))


class Request:
    """One request of the mixture, drawn by lot."""

    def __init__(self, lot: random.Random, number: int) -> None:
        self.user = f"u{lot.randrange(40):03d}"
        self.what = lot.choice(WHATS)
        self.times = lot.choice(TIMES)
        self.path = f"/{self.user}/{self.what}/{lot.randrange(4)}/{self.times}"
        self.fields = [("x-user", self.user), ("cookie", f"session={self.user}"), ("x-api-key", f"key-{self.user}")]
        if lot.random() < 0.3:
            self.fields.append(("x-number", str(number)))
        size = lot.choice(SIZES) if lot.random() < 0.5 else 0
        self.content = f"{self.user} ".encode() * max(1, size // 5) if size else b""
        self.has_trailers = bool(self.content) and lot.random() < 0.4
        # h2 knows no interim response on a stream that it has reset.
        self.is_reset = lot.random() < 0.05 and self.what != "hints"

    def check(self, interface: str, answer: Answer) -> list[str]:
        """What is wrong with the answer: sentences, none where all is well."""
        mark = self.user.encode()
        parts = {
            "informational": repr(answer.informational).encode(),
            "fields": repr(answer.headers).encode(),
            "content": bytes(answer.body),
            "trailers": repr(answer.trailers).encode(),
        }
        wrong = []
        for name, seen in parts.items():
            for other in set(TOKEN.findall(seen)) - {mark}:
                wrong.append(f"{self.path}: {name} of {self.user}'s response name {other.decode()}")
        if answer.reset is not None:
            return wrong
        if self.what == "refused":
            if answer.status != 500:
                wrong.append(f"{self.path}: a field that must not be sent gave {answer.status}, not 500")
            return wrong
        if answer.status != 200 or dict(answer.headers).get(b"x-user") != mark:
            wrong.append(f"{self.path}: status {answer.status}, fields {answer.headers}")
        # Trailers that came before a handler looked may name the user even where it does not read.
        possible = {mark if self.content else b""} if self.what != "unread" else {b"", mark if self.content else b""}
        lines = [b"|%s|%s|%s\n" % (mark, content, mark) for content in possible]
        if bytes(answer.body) not in [line * self.times + mark for line in lines]:
            wrong.append(f"{self.path}: the content is {bytes(answer.body[:80])!r}, not {lines} {self.times} times")
        is_streamed = interface == "asgi" and self.what == "trailers"
        is_streamed |= interface == "native" and self.what in ("trailers", "changed")
        if is_streamed and dict(answer.trailers or ()).get(b"x-end") != mark:
            wrong.append(f"{self.path}: the trailers are {answer.trailers}")
        return wrong


class Peer(H2Peer):
    """A connection of HTTP/2 whose streams are waited for one by one."""

    fault = ""

    def wait_for(self, stream_id: int) -> asyncio.Future[None]:
        """What is done when the stream is over."""
        if not hasattr(self, "_waiters"):
            self._waiters: dict[int, asyncio.Future[None]] = {}
        return self._waiters.setdefault(stream_id, asyncio.get_running_loop().create_future())

    async def _read(self) -> None:
        try:
            await super()._read()
        except Exception as error:  # what the server wrote is no HTTP/2, or no HPACK: everybody who waits is told
            self.fault = repr(error)
        for waiter in getattr(self, "_waiters", {}).values():
            if not waiter.done():
                waiter.set_result(None)

    def _take(self, event: Any) -> None:
        super()._take(event)
        if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id is not None:
            waiter = self.wait_for(event.stream_id)
            if not waiter.done():
                waiter.set_result(None)


class Mixture:
    """One server, and what was seen of it. `served` counts by kind, `wrong` are sentences."""

    def __init__(self, interface: str, port: int, tls_port: int, lot: random.Random) -> None:
        self.interface = interface
        self.ports = {None: port, "tls": tls_port}
        self.lot = lot
        self.served: Counter[str] = Counter()
        self.wrong: list[str] = []

    @staticmethod
    def _tls(is_tls: bool, protocol: str) -> ssl.SSLContext | None:
        if not is_tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        return context

    def _count(self, kind: str, request: Request, answer: Answer) -> None:
        self.served[kind] += 1
        self.wrong += request.check(self.interface, answer)

    async def over_h2(self, count: int, is_tls: bool) -> None:
        """`count` requests on one connection, up to ninety at once, some of them reset: then others are put off."""
        lot = self.lot
        places = asyncio.Semaphore(lot.choice((1, 5, 90)))
        settings: dict[Any, int] = {}
        if lot.random() < 0.4:
            settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = lot.choice((5_000, 20_000))
        if lot.random() < 0.4:
            settings[h2.settings.SettingCodes.HEADER_TABLE_SIZE] = lot.choice((0, 200, 1_000))
        port = self.ports["tls" if is_tls else None]
        async with (
            Peer.connected(port, tls=self._tls(is_tls, "h2"), settings=settings) as peer,
            asyncio.TaskGroup() as group,
        ):
            assert isinstance(peer, Peer)
            for number in range(count):
                await places.acquire()
                if peer.closed:
                    break
                task = group.create_task(self._unless_ended(peer, self._one(peer, Request(lot, number))))
                task.add_done_callback(lambda _: places.release())
                if lot.random() < 0.01 and self.interface != "wsgi":
                    group.create_task(self._unless_ended(peer, self._tunnel("h2", peer, is_tls)))

    async def _unless_ended(self, peer: Peer, work: Coroutine[Any, Any, None]) -> None:
        sentence = ""
        try:
            await work
        except (h2.exceptions.ProtocolError, AssertionError) as error:
            sentence = repr(error)
        if sentence or peer.closed:
            sentence = (
                f"a connection of HTTP/2 ended before its answers were whole: {peer.fault or peer.goaways or sentence}"
            )
            if sentence not in self.wrong:
                self.wrong.append(sentence)

    async def _one(self, peer: Peer, request: Request) -> None:
        stream_id = peer.open(
            request.path, "POST" if request.content else "GET", request.fields, end=not request.content
        )
        waiter = peer.wait_for(stream_id)
        answer = peer.answers[stream_id]
        if request.is_reset and self.lot.random() < 0.5:
            await asyncio.sleep(0)
            self._reset(peer, stream_id, request, answer)
            return
        try:
            if request.content:
                await self._upload(peer, stream_id, request, answer)
            if request.is_reset and not answer.is_over:
                self._reset(peer, stream_id, request, answer)
                return
        except h2.exceptions.ProtocolError:  # the answer came, and a reset, before the content had gone
            if not answer.is_over:
                raise
        async with asyncio.timeout(LIMIT_S):
            await waiter
        if not answer.is_over:
            return
        del peer.answers[stream_id]
        self._count("h2 tls" if peer._scheme == "https" else "h2", request, answer)

    def _reset(self, peer: Peer, stream_id: int, request: Request, answer: Answer) -> None:
        if not answer.is_over:
            peer.reset(stream_id)
            answer.reset = 8
        self._count("h2 reset", request, answer)

    async def _upload(self, peer: Peer, stream_id: int, request: Request, answer: Answer) -> None:
        view = memoryview(request.content)
        while view and not answer.is_over and not peer.closed:
            room = peer.room(stream_id)
            if room <= 0:
                # Whoever wakes first takes the connection's window: there may be none left for the others.
                with contextlib.suppress(AssertionError) if not peer.closed else contextlib.nullcontext():
                    await peer.until(lambda: peer.room(stream_id) > 0 or answer.is_over)
                continue
            size = min(room, 16_384, len(view))
            peer.conn.send_data(
                stream_id, bytes(view[:size]), end_stream=size == len(view) and not request.has_trailers
            )
            view = view[size:]
            peer.flush()
            await asyncio.sleep(0)
        if request.has_trailers and not answer.is_over:
            peer.conn.send_headers(stream_id, [("x-trailer", request.user)], end_stream=True)
            peer.flush()

    async def _tunnel(self, over: str, peer: Peer | None, is_tls: bool) -> None:
        lot = self.lot
        user = f"u{lot.randrange(40):03d}"
        path = f"/{user}/websocket/0/1"
        port = self.ports["tls" if is_tls else None]
        tls = self._tls(is_tls, "http/1.1") if over == "h1" else None
        async with open_websocket(over, port, path, headers=[("x-user", user)], on=peer, tls=tls) as ws:
            for _ in range(3):
                ws.send(user)
                said = str(await ws.message())
                if said != f"|{user}|{user}|{user}":
                    self.wrong.append(f"{path}: the WebSocket of {user} said {said}")
                await asyncio.sleep(0)
            ws.say_close()
            await ws.close_frame()
        self.served[f"websocket {over}"] += 1

    async def over_h1(self, count: int, is_tls: bool) -> None:
        """`count` requests on one connection, up to eight of them pipelined."""
        while count > 0:
            count = await self._one_connection(count, is_tls)
        if self.lot.random() < 0.5 and self.interface != "wsgi":
            await self._tunnel("h1", None, is_tls)

    async def _one_connection(self, count: int, is_tls: bool) -> int:
        """Send until there are none left, or the server has said that it closes; returns how many are left."""
        lot = self.lot
        tls = self._tls(is_tls, "http/1.1")
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.ports["tls" if is_tls else None], ssl=tls, server_hostname="localhost" if tls else None
        )
        writing: asyncio.Task[None] | None = None
        try:
            while count > 0:
                bundle = [Request(lot, count + each) for each in range(min(count, lot.choice((1, 1, 3, 8))))]
                for each in bundle:  # an application that does not read large content ends the connection behind it
                    if each.what == "unread":
                        each.content = b""
                        each.has_trailers = False
                writing = asyncio.create_task(self._write(writer, b"".join(map(self._bytes, bundle))))
                async with asyncio.timeout(LIMIT_S):
                    for request in bundle:
                        answer = await _read_response(reader)
                        self._count("h1 tls" if is_tls else "h1", request, answer)
                        count -= 1
                        if dict(answer.headers).get(b"connection") == b"close":
                            return count
                    await writing
            return 0
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.wait((writing,))
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            size = self.lot.choice((100, 5_000, 70_000))
            writer.write(data[:size])
            data = data[size:]
            await writer.drain()
            await asyncio.sleep(0)

    def _bytes(self, request: Request) -> bytes:
        lines = [f"{'POST' if request.content else 'GET'} {request.path} HTTP/1.1", "host: localhost"]
        lines += [f"{name}: {value}" for name, value in request.fields]
        if not request.has_trailers:
            if request.content:
                lines.append(f"content-length: {len(request.content)}")
            return "\r\n".join([*lines, "", ""]).encode() + request.content
        lines += ["transfer-encoding: chunked", "", ""]
        chunk = b"%x\r\n%s\r\n0\r\nx-trailer: %s\r\n\r\n" % (
            len(request.content),
            request.content,
            request.user.encode(),
        )
        return "\r\n".join(lines).encode() + chunk


async def _read_response(reader: asyncio.StreamReader) -> Answer:
    """A response of HTTP/1.1, read by the letter of RFC 9112 §6 as far as our servers need it."""
    answer = Answer()
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        status = int(head[0].split(b" ")[1])
        fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in head[1:])]
        if status >= 200:
            break
        answer.informational.append(dict(fields))
    answer.status = status
    answer.headers = fields
    if dict(fields).get(b"transfer-encoding") == b"chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            answer.body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        answer.trailers = []
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.partition(b":")
            answer.trailers.append((name.lower(), value.strip()))
    else:
        answer.body += await reader.readexactly(int(dict(fields)[b"content-length"]))
    answer.ended = True
    return answer


@contextlib.asynccontextmanager
async def mixing(interface: str, loop: str, lot: random.Random) -> AsyncIterator[Mixture]:
    """Serve the application of an interface on an event loop, for as long as the context is open."""
    local_certificate()
    target = f"tests.isolation.mixture_apps:{interface}"
    with serving(
        target,
        "--loop",
        loop,
        "--interface",
        interface,
        "--websockets",
        "auto" if interface == "wsgi" else "on",
        tls=True,
    ) as served:
        yield Mixture(interface, served.ports["http"], served.ports["https"], lot)


async def run(count: int, seed: int, servers: tuple[tuple[str, str], ...] = SERVERS) -> tuple[Counter[str], list[str]]:
    """Send about `count` requests in all; return how many of which kind were answered, and what was wrong."""
    served: Counter[str] = Counter()
    wrong: list[str] = []
    for place, (interface, loop) in enumerate(servers):
        lot = random.Random(seed * 1_000 + place)
        share = count // len(servers)
        async with mixing(interface, loop, lot) as mixture:
            while share > 0:
                sizes = [min(share, lot.choice((20, 100, 400))) for _ in range(4)]
                async with asyncio.TaskGroup() as group:
                    for size, way in zip(
                        sizes, (mixture.over_h2, mixture.over_h1, mixture.over_h2, mixture.over_h1), strict=True
                    ):
                        group.create_task(way(size, lot.random() < 0.4))
                share -= sum(sizes)
        served += mixture.served
        wrong += mixture.wrong
    return served, wrong


def main(description: str | None, count: int, mix: Callable[[int, int], Coroutine[Any, Any, Outcome]]) -> int:
    """Run a mixture as a command; returns 1 when anything was wrong."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=count)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    begin = time.monotonic()
    served, wrong = asyncio.run(mix(chosen.requests, chosen.seed))
    for sentence in wrong[:20]:
        print(sentence)
    print(f"{served.total()} answers in {time.monotonic() - begin:.0f} s, {dict(served)}; {len(wrong)} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(__doc__, 50_000, run))
