"""Operations that no library does, over HTTP/2, by the frame writer of tests/support."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tests.soak.apps import TOKEN, pattern, receipt
from tests.soak.operations.places import Operation, Place, Surroundings, expect
from tests.soak.operations.raw import Raw
from tests.soak.operations.rude_h1 import ws_frame
from tests.support import wire

LARGE = 2**31 - 1 - 65_535
MALFORMED = (
    (wire.ping(b"short"), wire.FRAME_SIZE_ERROR),
    (wire.data(0, b"x"), wire.PROTOCOL_ERROR),
    (wire.headers(9, b"\x80"), wire.COMPRESSION_ERROR),
    (wire.settings({wire.MAX_FRAME_SIZE: 1}), wire.PROTOCOL_ERROR),
    (wire.window_update(0, 2**31 - 1) * 2, wire.FLOW_CONTROL_ERROR),
    (b"\xff" * 30, wire.FRAME_SIZE_ERROR),
    (wire.continuation(1, b""), wire.PROTOCOL_ERROR),
    (wire.push_promise(1, 2, b""), wire.PROTOCOL_ERROR),
    (wire.headers(2, wire.request_fields()), wire.PROTOCOL_ERROR),
    (wire.settings(payload=b"12345"), wire.FRAME_SIZE_ERROR),
)


class Http2:
    """A connection with its preface, whose frames are written by hand and read by a reader that checks them."""

    def __init__(
        self, around: Surroundings, place: Place, settings: dict[int, int] | None = None, receive_buffer: int = 0
    ) -> None:
        self.is_tls = around.is_tls()
        self.raw = Raw(place.port(self.is_tls), around.tls["h2"] if self.is_tls else None, receive_buffer)
        self._settings = settings or {}
        self._reader = wire.FrameReader()
        self._frames: list[wire.Frame] = []

    async def __aenter__(self) -> Self:
        await self.raw.__aenter__()
        await self.raw.send(wire.client_preface(self._settings) + wire.settings_ack())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.raw.__aexit__(kind, error, at)

    async def frame(self) -> wire.Frame | None:
        """Return the next frame, None at the end."""
        while not self._frames:
            data = await self.raw.receive()
            if not data:
                return None
            self._frames = self._reader.feed(data)
        return self._frames.pop(0)

    async def ask(self, stream_id: int, path: str, token: str, method: str = "GET", *, end_stream: bool = True) -> None:
        """Write a request, or its beginning."""
        await self.raw.send(self.request(stream_id, path, token, method, end_stream=end_stream))

    def request(self, stream_id: int, path: str, token: str, method: str = "GET", *, end_stream: bool = True) -> bytes:
        """Return the frame of a request."""
        scheme = b"https" if self.is_tls else b"http"
        fields = wire.request_fields(
            path.encode(), method=method.encode(), scheme=scheme, authority=b"localhost",
            extra=[(TOKEN.encode(), token.encode())],
        )  # fmt: skip
        return wire.headers(stream_id, fields, end_stream=end_stream)

    async def answer(self, stream_id: int) -> tuple[bytes, bytes]:
        """Return status and content of the answer on a stream."""
        status, content = b"", b""
        while True:
            frame = await self.frame()
            if frame is None:
                expect(False, f"the end, after {status!r} on stream {stream_id}")
                return b"", b""
            fields = dict(self._reader.fields(frame)) if frame.type == wire.HEADERS else {}  # the table is one for all
            if frame.type == wire.GOAWAY:
                expect(False, f"GOAWAY({frame.code}): {frame.payload[8:]!r}")
            if frame.stream_id != stream_id:
                continue
            expect(frame.type != wire.RST_STREAM, "a reset")
            status = fields.get(b":status", status)
            if frame.type == wire.DATA:
                content += frame.content
            if frame.end_stream:
                return status, content


async def serves(connection: Http2, stream_id: int, token: str) -> None:
    """A request on this connection is answered."""
    await connection.ask(stream_id, "/echo", token)
    status, content = await connection.answer(stream_id)
    expect(status == b"200" and content == receipt(token, b""), f"{status!r} {content[:60]!r}")


async def reset(around: Surroundings) -> None:
    """RST_STREAM in the middle of a download, an upload, a wait; others on the connection do not notice."""
    token = around.token()
    async with Http2(around, around.place(), {wire.INITIAL_WINDOW_SIZE: 100_000}) as connection:
        await connection.raw.send(wire.window_update(0, LARGE))
        for number, path in enumerate(
            around.random.sample(("/bytes?n=90000", "/events?n=1000&gap=0.05", "/slow?s=0.3", "/file"), 3)
        ):
            await connection.ask(1 + 2 * number, path, token)
        await connection.ask(7, "/echo", token, "POST", end_stream=False)
        await connection.raw.send(wire.data(7, b"x" * 10_000))
        await asyncio.sleep(around.random.choice((0.0, 0.05)))
        await connection.raw.send(b"".join(wire.rst_stream(each, wire.CANCEL) for each in (1, 3, 5, 7)))
        await serves(connection, 9, around.token())


async def malformed(around: Surroundings) -> None:
    """A fault that ends the connection with GOAWAY, and the right code."""
    bad, code = around.random.choice(MALFORMED)
    async with Http2(around, around.place()) as connection:
        await serves(connection, 1, around.token())
        await connection.raw.send(bad)
        while (frame := await connection.frame()) is not None:
            if frame.type == wire.GOAWAY:
                expect(frame.code == code, f"GOAWAY({frame.code}) in answer to {bad[:20]!r}, and not {code}")
                return
    expect(False, f"no GOAWAY in answer to {bad[:20]!r}")


async def malformed_stream(around: Surroundings) -> None:
    """A fault that ends one stream, and not the connection."""
    token = around.token()
    bad = around.random.choice(
        (wire.window_update(1, 0), wire.window_update(1, 2**31 - 1), wire.priority(1, payload=b"xxxx"))
    )
    async with Http2(around, around.place()) as connection:
        await connection.ask(1, "/echo", token, "POST", end_stream=False)
        await connection.raw.send(bad)
        while (frame := await connection.frame()) is not None:
            if frame.type == wire.RST_STREAM and frame.stream_id == 1:
                break
        await serves(connection, 3, around.token())


async def cut(around: Surroundings) -> None:
    """A connection that is cut with streams in every state."""
    token = around.token()
    async with Http2(
        around, around.place(), {wire.INITIAL_WINDOW_SIZE: around.random.choice((0, 10, 100_000))}
    ) as connection:
        paths = around.random.sample(
            ("/bytes?n=1000000", "/file", "/events?n=1000&gap=0.05", "/slow?s=0.2", "/echo"), 3
        )
        await connection.raw.send(
            b"".join(connection.request(1 + 2 * number, path, token) for number, path in enumerate(paths))
        )
        if around.random.random() < 0.5:
            await connection.ask(7, "/echo", token, "POST", end_stream=False)
        if around.random.random() < 0.3:
            await connection.raw.send(connection.request(9, "/echo", token)[:20])
        await asyncio.sleep(around.random.choice((0.0, 0.01, 0.1)))
        connection.raw.reset() if around.random.random() < 0.5 else connection.raw.close()


async def slow_reader(around: Surroundings) -> None:
    """A reader that opens the window little by little gets all of it."""
    token, size = around.token(), 200_000
    async with Http2(around, around.place(), {wire.INITIAL_WINDOW_SIZE: 10_000}, 8_192) as connection:
        await connection.ask(1, f"/bytes?n={size}", token)
        content, is_over = b"", False
        while not is_over and (frame := await connection.frame()) is not None:
            if frame.type == wire.DATA:
                content += frame.content
                is_over = frame.end_stream
                if frame.payload:
                    await asyncio.sleep(0.03)
                    more = len(frame.payload)
                    await connection.raw.send(
                        wire.window_update(0, more) + (b"" if is_over else wire.window_update(1, more))
                    )
        expect(content == pattern(token, size), f"{len(content)} bytes, or others")


async def no_reader(around: Surroundings) -> None:
    """Streams whose windows stay shut; the connection leaves after a while."""
    token = around.token()
    async with Http2(
        around, around.place(), {wire.INITIAL_WINDOW_SIZE: around.random.choice((0, 2**31 - 1))}, 8_192
    ) as connection:
        for stream_id in (1, 3, 5):
            await connection.ask(stream_id, "/bytes?n=1000000", token)
        await asyncio.sleep(around.random.choice((0.5, 4.0, 8.0)))
        connection.raw.reset() if around.random.random() < 0.5 else connection.raw.close()


async def rude_websocket(around: Surroundings) -> None:
    """A WebSocket on a stream (RFC 8441) that is reset, ended, or breaks a rule; the connection goes on."""
    token = around.token()
    async with Http2(around, around.place(websockets=True)) as connection:
        fields = wire.request_fields(
            b"/ws", method=b"CONNECT", scheme=b"https" if connection.is_tls else b"http", authority=b"localhost",
            extra=[(TOKEN.encode(), token.encode()), (b"sec-websocket-version", b"13")],
        )  # fmt: skip
        fields.insert(1, (b":protocol", b"websocket"))
        await connection.raw.send(wire.headers(1, fields) + wire.data(1, ws_frame(1, b"hello")))
        seen, wanted = b"", f"{token} hello".encode()
        while wanted not in seen:
            frame = await connection.frame()
            if frame is None:
                expect(False, "the end")
                return
            if frame.type == wire.HEADERS:
                expect(dict(connection._reader.fields(frame))[b":status"] == b"200", "a refusal")
            seen += frame.content if frame.type == wire.DATA else b""
        ways = (
            wire.rst_stream(1, wire.CANCEL),
            wire.data(1, b"", end_stream=True),
            wire.data(1, ws_frame(1, b"unmasked", masked=False)),
            wire.data(1, ws_frame(8, b"\x03\xe8"), end_stream=True),
        )
        await connection.raw.send(around.random.choice(ways))
        await serves(connection, 3, around.token())


OPERATIONS: dict[Operation, float] = {
    reset: 0.8, malformed: 0.6, malformed_stream: 0.4, cut: 1.0, slow_reader: 0.15, no_reader: 0.15,
    rude_websocket: 0.5,
}  # fmt: skip
"""Operations a second."""
