"""Fields that came as never-indexed literals go on as such (RFC 7541 §6.2.3), in heads and trailers, both ways.

Both ends are written by hand: the bytes in front of the proxy and behind it are what is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import hpack

from headrace.client.connect.config import NetworkConfig
from headrace.client.pool.network import NetworkTransport
from headrace.proxy import ReverseProxy

from tests.support import wire
from tests.support.serving import Run, port, serving

SECRET = (b"x-tenant", b"7")
PLAIN = (b"x-plain", b"7")
GRPC = (b"grpc-message", b"no")


class Side:
    """A connection of hand-written frames: sections of fields are read with their representations."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_server: bool) -> None:
        self.reader = reader
        self.writer = writer
        self.frames = wire.FrameReader(expect_preface=is_server)
        self.seen: list[wire.Frame] = []

    def write(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))

    async def sections(self, count: int) -> list[list[Any]]:
        """So many further field sections, of whichever streams, as python-hyper's tuples."""
        found: list[list[Any]] = []
        while True:
            while self.seen:
                one = self.seen.pop(0)
                if one.type == wire.SETTINGS and not one.ack:
                    self.write(wire.settings_ack())
                if one.type == wire.HEADERS:
                    found.append(list(self.frames.decoder.decode(one.block, raw=True)))
                    if len(found) == count:
                        return found
            data = await asyncio.wait_for(self.reader.read(65_536), 10)
            assert data, "the connection ended"
            self.seen += self.frames.feed(data)


def represented(section: list[Any], pair: tuple[bytes, bytes]) -> bool:
    """Whether a field, which has to be there, is a never-indexed literal."""
    (found,) = [each for each in section if (bytes(each[0]), bytes(each[1])) == pair]
    return isinstance(found, hpack.NeverIndexedHeaderTuple)


def literals(*fields: tuple[bytes, bytes]) -> bytes:
    """A block in which SECRET and GRPC alone are never-indexed."""
    return b"".join(
        wire.literal(*pair, index=pair not in (SECRET, GRPC), never=pair in (SECRET, GRPC)) for pair in fields
    )


def test_never_indexed_fields_go_on_as_such(run: Run) -> None:
    """Three visitors share the upstream's connection. The second one sends the same fields, and they are indexed; the
    third one's must not be, although the value stands in the table now."""

    async def main() -> None:
        behind: asyncio.Future[Side] = asyncio.get_running_loop().create_future()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            behind.set_result(Side(reader, writer, is_server=True))

        upstream = await asyncio.start_server(accept, "127.0.0.1", 0)
        transport = NetworkTransport(NetworkConfig(http1=False, http2=True))
        number = upstream.sockets[0].getsockname()[1]
        async with (
            contextlib.AsyncExitStack() as stack,
            ReverseProxy(f"http://127.0.0.1:{number}", transport=transport) as proxy,
            serving(proxy) as server,
        ):
            stack.callback(upstream.close)
            front = Side(*await asyncio.open_connection("127.0.0.1", port(server)), is_server=False)
            stack.callback(front.writer.close)
            front.write(wire.client_preface())
            back: Side | None = None
            for turn, is_secret in enumerate((True, False, False, True, True)):
                stream_id = 2 * turn + 1
                request = wire.request_fields(scheme=b"http", method=b"POST")
                extra = [SECRET, PLAIN]
                fields = literals(*request, *extra) if is_secret else wire.literals([*request, *extra])
                trailers = literals(GRPC, PLAIN) if is_secret else wire.literals([GRPC, PLAIN])
                front.write(
                    wire.headers(stream_id, fields),
                    wire.data(stream_id, b"x"),
                    wire.headers(stream_id, trailers, end_stream=True),
                )
                if back is None:
                    back = await asyncio.wait_for(behind, 10)
                    stack.callback(back.writer.close)
                    back.write(wire.settings())
                head, end = await back.sections(2)
                assert represented(head, SECRET) == is_secret, turn
                assert not represented(head, PLAIN)
                assert represented(end, GRPC) == is_secret, turn
                assert not represented(end, PLAIN)
                interim, final = [(b":status", b"103")], [(b":status", b"200")]
                back.write(
                    wire.headers(
                        stream_id, literals(*interim, SECRET) if is_secret else wire.literals([*interim, SECRET])
                    ),
                    wire.headers(
                        stream_id, literals(*final, SECRET, PLAIN) if is_secret else wire.literals([*final, *extra])
                    ),
                    wire.data(stream_id, b"y"),
                    wire.headers(stream_id, trailers, end_stream=True),
                )
                early, head, end = await front.sections(3)
                assert represented(early, SECRET) == is_secret, turn
                assert represented(head, SECRET) == is_secret, turn
                assert not represented(head, PLAIN)
                assert represented(end, GRPC) == is_secret, turn

    run(main())
