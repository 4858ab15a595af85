"""grpcio against a native and an ASGI handler that speak gRPC's framing: deadlines, pauses, metadata, small messages.

One channel is one connection: who calls beside the calls that go wrong must not notice.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import StreamResponse

from tests.conftest import amount
from tests.support.serving import Run, port, run, serving

__all__ = ["run"]

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")

pytestmark = [pytest.mark.tool, pytest.mark.slow]

HEAD = [(b"content-type", b"application/grpc")]
OK = [(b"grpc-status", b"0")]


class Service:
    """`/t/Hang` never answers, `/t/Echo` answers all it got, `/t/Tell` streams as many messages as it is told."""

    def __init__(self) -> None:
        self.peers: set[Any] = set()
        self.hanging = 0
        self.most = 0

    async def _hang(self) -> None:
        self.hanging += 1
        self.most = max(self.most, self.hanging)
        try:
            await asyncio.Event().wait()
        finally:
            self.hanging -= 1

    async def native(self, request: Request) -> StreamResponse:
        self.peers.add(request.connection.peer)
        if request.path == "/t/Hang":
            await self._hang()
        content = b"".join([piece async for piece in request.stream()])

        async def answer(send: Any) -> None:
            for message in self._answers(request.path, content):
                await send(message)
            await send(end=True, trailers=OK)

        return StreamResponse(200, HEAD, answer)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.peers.add(scope["client"])
        if scope["path"] == "/t/Hang":
            await self._hang()
        content, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content += message["body"]
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": HEAD, "trailers": True})
        for each in self._answers(scope["path"], content):
            await send({"type": "http.response.body", "body": each, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await send({"type": "http.response.trailers", "headers": OK})

    @staticmethod
    def _answers(path: str, content: bytes) -> Iterator[bytes]:
        messages = []
        while content:
            size = 5 + int.from_bytes(content[1:5], "big")
            messages.append(content[5:size])
            content = content[size:]
        if path == "/t/Tell":
            for n in range(int(messages[0])):
                yield b"\0" + (20).to_bytes(4, "big") + b"%020d" % n
        else:
            whole = b"|".join(messages)
            yield b"\0" + len(whole).to_bytes(4, "big") + whole


def call_all(channel: Any, count: int, timeout_s: float) -> list[Any]:
    """So many calls of `/t/Hang`, 50 at a time; returns how they ended."""
    hang = channel.unary_unary("/t/Hang")

    def one(_: int) -> Any:
        try:
            return hang(b"x", timeout=timeout_s)
        except grpc.RpcError as error:
            return error.code()

    with ThreadPoolExecutor(50) as pool:
        return list(pool.map(one, range(count)))


async def with_channel(interface: str, use: Callable[[Any], Any], **limits: Any) -> tuple[Service, Any]:
    """Serve, and use a channel of grpcio in a thread."""
    service = Service()
    app = service.native if interface == "native" else service.asgi
    async with serving(app, interface=interface, lifespan="off", limits=limits) as server:

        def in_thread() -> Any:
            with grpc.insecure_channel(f"127.0.0.1:{port(server)}") as channel:
                return use(channel)

        return service, await asyncio.to_thread(in_thread)


interfaces = pytest.mark.parametrize("interface", ["native", "asgi"])


@interfaces
def test_deadlines_that_pass(run: Run, interface: str) -> None:
    """740 calls run into their deadlines; an unrelated stream on the same connection has all its messages."""

    def use(channel: Any) -> Any:
        told = channel.unary_stream("/t/Tell")(b"2000")
        first = next(told)
        codes = call_all(channel, 740, 0.15)
        return first, codes, list(told), channel.unary_unary("/t/Echo")(b"after")

    service, (first, codes, rest, after) = run(with_channel(interface, use))
    assert codes == [grpc.StatusCode.DEADLINE_EXCEEDED] * 740
    assert first == b"%020d" % 0 and len(rest) == 1_999 and after == b"after"
    assert len(service.peers) == 1, "one connection for all"
    assert 1 <= service.most <= 100


@interfaces
def test_a_client_stream_that_pauses(run: Run, interface: str) -> None:
    """Messages with pauses of several grace periods between: one answer to all."""

    def messages() -> Iterator[bytes]:
        for n in range(4):
            threading.Event().wait(0.3)
            yield b"message %d" % n

    def use(channel: Any) -> Any:
        return channel.stream_unary("/t/Echo")(messages())

    _, answer = run(with_channel(interface, use, upload_grace_s=0.05))
    assert answer == b"message 0|message 1|message 2|message 3"


@interfaces
def test_metadata(run: Run, interface: str) -> None:
    """120 fields are ordinary; 600 fail with RESOURCE_EXHAUSTED, and neither the connection nor other calls."""

    def use(channel: Any) -> Any:
        echo = channel.unary_unary("/t/Echo")
        told = channel.unary_stream("/t/Tell")(b"500")
        next(told)
        found = []
        for count in (120, 600, 120):
            try:
                found.append(echo(b"x", metadata=[(f"x-metadata-{n}", f"value {n}") for n in range(count)]))
            except grpc.RpcError as error:
                found.append(error.code())
        return found, len(list(told))

    service, (found, rest) = run(with_channel(interface, use))
    assert found == [b"x", grpc.StatusCode.RESOURCE_EXHAUSTED, b"x"] and rest == 499
    assert len(service.peers) == 1


@interfaces
def test_thousands_of_small_messages_each_way(run: Run, interface: str) -> None:
    """Messages of 20 bytes, as many as come: no budget is in their way."""
    count = amount(8_000, 20_000)

    def use(channel: Any) -> Any:
        echoed = channel.stream_unary("/t/Echo")(iter([b"%020d" % n for n in range(count)]))
        told = list(channel.unary_stream("/t/Tell")(b"%d" % count))
        return echoed, told

    service, (echoed, told) = run(with_channel(interface, use))
    assert len(echoed) == count * 21 - 1 and told[-1] == b"%020d" % (count - 1) and len(told) == count
    assert len(service.peers) == 1
