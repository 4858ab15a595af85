"""An application in memory is called as by a server; its faults are reported, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from headrace.client.errors import HeadersTimeout, ReadTimeout, RemoteProtocolError, StreamReset, TruncatedBody
from headrace.client.interface import Origin, Outgoing, Pairs
from headrace.client.testing.asgi import ASGITransport, LifespanError
from headrace.client.timeouts import Timeouts
from headrace.engine.ws.connection import WebSocketConnection
from headrace.websocket.connection import WebSocket
from headrace.websocket.tunnel import WebSocketClosed

from tests.support.serving import Run, settled

ORIGIN = Origin("https", "example.org", 443)


class Pieces:
    """Content in `pieces`, with trailers that no ASGI application can see."""

    is_replayable = False
    length = None

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        self.taken = 0
        self.is_closed = False
        self._pieces = pieces
        self._error = error

    async def open(self) -> AsyncIterator[bytes]:
        try:
            for piece in self._pieces:
                self.taken += 1
                yield piece
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True

    def trailers(self) -> Pairs:
        return []


def request(path: str = "/", method: str = "GET", content: Any = b"", **more: Any) -> Outgoing:
    return Outgoing(
        method.encode(), ORIGIN, b"example.org", path.encode(), [], content, url=f"https://example.org{path}", **more
    )


def messages(*given: dict[str, Any]) -> Any:
    """Return an application that sends just these messages."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in given:
            await send(message)

    return app


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def body(data: bytes, is_more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": is_more}


def transport(app: Any, **options: Any) -> ASGITransport:
    return ASGITransport(app, lifespan="off", **options)


@pytest.mark.parametrize("whole", [False, True])
def test_a_request_and_its_response(run: Run, whole: bool) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        seen.append(await receive())
        await send(start(201, (b"X-Name", b"value")))
        await send(body(b"one,", True))
        await send(body(b"two"))
        seen.append(await receive())

    async def main() -> None:
        outgoing = request("/a%20b?q=1", "POST", b"content")
        response = await transport(app, root_path="/under").send(outgoing, whole=whole)
        assert response.head == (201, [(b"x-name", b"value")], "2")
        assert await response.read() == b"one,two"
        assert await response.receive() == b""
        scope = seen[0]
        assert (scope["type"], scope["method"], scope["http_version"], scope["scheme"]) == (
            "http",
            "POST",
            "2",
            "https",
        )
        assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/under/a b", b"/under/a%20b", b"q=1")
        assert scope["headers"] == [(b"host", b"example.org"), (b"content-length", b"7")]
        assert scope["server"] == ("example.org", 443)
        assert seen[1:] == [
            {"type": "http.request", "body": b"content", "more_body": False},
            {"type": "http.disconnect"},
        ]

    run(main())


def test_both_directions_go_on_at_once(run: Run) -> None:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        is_more = True
        while is_more:
            message = await receive()
            is_more = message["more_body"]
            await send(body(message["body"], is_more))

    async def main() -> None:
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        content = Pieces()

        async def ask() -> AsyncIterator[bytes]:
            yield b"1"
            while (number := int(await answers.get())) < 5:
                yield b"%d" % (number + 1)

        content.open = ask  # type: ignore[method-assign]
        response = await transport(echo).send(request(method="POST", content=content))
        seen = []
        while data := await response.receive():
            seen.append(data)
            answers.put_nowait(data)
        assert seen == [b"1", b"2", b"3", b"4", b"5"]

    run(main())


def test_an_application_is_not_far_ahead_of_its_reader(run: Run) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(start())
        for _ in range(64):
            await send(body(bytes(16_384), True))
            sent += 16_384
        await send(body(b""))

    async def main() -> None:
        response = await transport(app).send(request())
        await settled(lambda: sent == 65_536)
        for _ in range(10):
            await asyncio.sleep(0)
        assert sent == 65_536
        size = 0
        while data := await response.receive():
            size += len(data)
            assert sent <= size + 65_536 + 16_384
        assert size == 1_048_576

    run(main())


def test_an_upload_is_taken_as_the_application_reads(run: Run) -> None:
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await go_on.wait()
        await send(start(413))
        await send(body(b""))

    async def main() -> None:
        content = Pieces(*[b"x"] * 100)
        sending = asyncio.ensure_future(transport(app).send(request(method="PUT", content=content)))
        await settled(lambda: content.taken == 1)
        go_on.set()
        response = await sending
        assert (response.head.status, await response.read(), content.taken) == (413, b"", 1)
        assert content.is_closed

    run(main())


def test_trailers_hints_and_progress(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
        while (await receive())["more_body"]:
            pass
        await send(start(200, (b"trailer", b"x-sum"), trailers=True))
        await send(body(b"data"))
        await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"1")], "more_trailers": True})
        await send({"type": "http.response.trailers", "headers": [(b"x-more", b"2")]})

    async def main() -> None:
        told: list[Any] = []
        outgoing = request(
            content=Pieces(b"abc", b"de"),
            on_informational=lambda status, headers: told.append((status, headers)),
            on_sent=told.append,
        )
        response = await transport(app).send(outgoing)
        assert await response.read() == b"data"
        assert response.trailers == [(b"x-sum", b"1"), (b"x-more", b"2")]
        assert told == [(103, [(b"link", b"</a.css>; rel=preload")]), 3, 2]

    run(main())


def test_a_response_without_content_has_none(run: Run) -> None:
    async def main() -> None:
        app = messages(start(200, (b"content-length", b"5")), body(b"hello"))
        response = await transport(app).send(request(method="HEAD"), whole=True)
        assert (await response.read(), response.head.headers) == (b"", [(b"content-length", b"5")])
        response = await transport(messages(start(204), body(b"none"))).send(request(), whole=True)
        assert await response.read() == b""

    run(main())


@pytest.mark.parametrize(
    ("length", "error"), [(b"9", TruncatedBody), (b"2", RemoteProtocolError), (b"nine", RemoteProtocolError)]
)
def test_a_length_that_is_not_kept_is_an_error(run: Run, length: bytes, error: type[Exception]) -> None:
    async def main() -> None:
        app = messages(start(200, (b"content-length", length)), body(b"short"))
        response = await transport(app, raise_app_exceptions=False).send(request())
        with pytest.raises(error, match="announced content of"):
            await response.read()

    run(main())


class Boom(Exception):
    pass


def failing(*before: dict[str, Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in before:
            await send(message)
        raise Boom

    return app


def test_an_exception_of_the_application_comes_out(run: Run) -> None:
    async def main() -> None:
        for before in ([], [start()]):
            with pytest.raises(Boom):
                await transport(failing(*before)).send(request())
        response = await transport(failing(start(), body(b"part", True))).send(request())
        with pytest.raises(Boom):
            await response.read()
        with pytest.raises(Boom):
            await transport(failing(start(), body(b"all"))).send(request(), whole=True)

    run(main())


def test_or_it_is_what_a_server_makes_of_it(run: Run) -> None:
    async def main() -> None:
        for before in ([], [start()]):
            response = await transport(failing(*before), raise_app_exceptions=False).send(request(), whole=True)
            assert (response.head.status, await response.read()) == (500, b"Internal Server Error\n")
        response = await transport(failing(start(), body(b"part", True)), raise_app_exceptions=False).send(request())
        with pytest.raises(StreamReset, match="Boom"):
            await response.read()
        response = await transport(failing(start(), body(b"all")), raise_app_exceptions=False).send(request())
        assert await response.read() == b"all"

    run(main())


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "returned without a response"),
        ([start(), body(b"", True)], "returned before its response was complete"),
        ([body(b"")], "'http.response.body' for the response: expected is 'http.response.start'"),
        ([start(), start()], "'http.response.start' for the response: expected is 'http.response.body'"),
        ([start(), body(b""), body(b"")], "it is complete"),
        ([start(trailers=True), body(b"")], "before its response was complete"),
    ],
)
def test_messages_out_of_order_raise_in_plain_words(run: Run, given: Any, text: str) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=text):
            await (await transport(messages(*given)).send(request(), whole=True)).read()

    run(main())


def test_a_response_that_is_given_up_is_a_disconnect(run: Run) -> None:
    seen: list[Any] = []

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(start())
        await send(body(b"x", True))
        seen.append(await receive())
        with pytest.raises(OSError, match="given up"):
            await send(body(b"y"))
        seen.append("done")

    async def writes(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                await send(body(bytes(16_384), True))
        except OSError:
            seen.append("told")

    async def sleeps(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x", True))
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def main() -> None:
        for app in (listens, writes, sleeps):
            carrier = transport(app)
            response = await carrier.send(request())
            await asyncio.sleep(0.01)
            response.close()
            await settled(lambda carrier=carrier: not carrier.running)  # type: ignore[misc]
        assert seen == [{"type": "http.disconnect"}, "done", "told", "cancelled"]

    run(main())


def test_a_request_that_is_cancelled_cancels_the_application(run: Run) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cancelled")

    async def main() -> None:
        carrier = transport(app)
        sending = asyncio.ensure_future(carrier.send(request()))
        await settled(lambda: bool(carrier.running))
        sending.cancel()
        await settled(lambda: not carrier.running)
        assert seen == ["cancelled"]

    run(main())


def test_an_upload_that_fails_is_the_callers_error(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send(start())

    async def main() -> None:
        content = Pieces(b"x", error=Boom())
        with pytest.raises(Boom):
            await transport(app, raise_app_exceptions=False).send(request(content=content))
        assert content.is_closed

    run(main())


def test_timeouts(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/begins":
            await send(start())
            await send(body(b"x", True))
        await asyncio.Event().wait()

    async def main() -> None:
        carrier = transport(app)
        with pytest.raises(HeadersTimeout, match=r"no response began within 0\.01 s \(https://example\.org/\)"):
            await carrier.send(request(timeouts=Timeouts(headers=0.01)))
        response = await carrier.send(request("/begins", timeouts=Timeouts(read=0.01)))
        assert await response.receive() == b"x"
        with pytest.raises(ReadTimeout):
            await response.receive()
        response.close()
        await carrier.aclose()
        assert not carrier.running

    run(main())


def lifespan_app(log: list[str], **failures: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for phase in ("startup", "shutdown"):
                await receive()
                log.append(phase)
                if phase in failures:
                    await send({"type": f"lifespan.{phase}.failed", "message": failures[phase]})
                else:
                    scope["state"]["name"] = "of the app"
                    await send({"type": f"lifespan.{phase}.complete"})
            return
        await send(start())
        await send(body(scope.get("state", {}).get("name", "").encode()))

    return app


def test_a_lifespan_starts_with_the_first_request_and_ends_with_aclose(run: Run) -> None:
    log: list[str] = []

    async def main() -> None:
        carrier = ASGITransport(lifespan_app(log))
        responses = await asyncio.gather(*[carrier.send(request(), whole=True) for _ in range(3)])
        assert [await response.read() for response in responses] == [b"of the app"] * 3
        assert log == ["startup"]
        await carrier.aclose()
        await carrier.aclose()
        assert log == ["startup", "shutdown"]

    run(main())


def test_a_lifespan_that_fails_says_so(run: Run) -> None:
    async def raises(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise Boom("no")
        await send(start())
        await send(body(b"ok"))

    async def main() -> None:
        async with ASGITransport(raises) as carrier:
            assert await (await carrier.send(request())).read() == b"ok"
        carrier = ASGITransport(raises, lifespan="on")
        with pytest.raises(LifespanError, match="start failed: Boom: no"):
            await carrier.send(request())
        await carrier.aclose()
        carrier = ASGITransport(lifespan_app([], startup="no database"))
        with pytest.raises(LifespanError, match="no database"):
            await carrier.send(request())
        await carrier.aclose()
        carrier = ASGITransport(lifespan_app([], shutdown="it hangs"))
        await carrier.start()
        with pytest.raises(LifespanError, match="it hangs"):
            await carrier.aclose()
        with pytest.raises(ValueError, match="lifespan must be auto, on or off"):
            ASGITransport(raises, lifespan="maybe")  # type: ignore[arg-type]

    run(main())


# -- WebSocket ---------------------------------------------------------------------------------------------------------


def handshake(path: str = "/", *headers: tuple[bytes, bytes]) -> Outgoing:
    return Outgoing(
        b"CONNECT",
        ORIGIN,
        b"example.org",
        path.encode(),
        list(headers),
        protocol=b"websocket",
        url="wss://example.org/",
    )


def opened(answer: Any) -> WebSocket:
    tunnel = answer.tunnel(None)
    ws = WebSocket(tunnel, WebSocketConnection(is_client=True), asyncio.get_running_loop(), ping_interval_s=None)
    answer.tunnel(ws)
    return ws


def test_a_websocket_echoes_and_closes(run: Run) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"X-A", b"1")]})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        seen.append(message)

    async def main() -> None:
        carrier = transport(app)
        answer = await carrier.tunnel(handshake("/chat", (b"sec-websocket-protocol", b"chat, other")))
        assert answer.head == (200, [(b"x-a", b"1"), (b"sec-websocket-protocol", b"chat")], "2")
        ws = opened(answer)
        for message in ("text", b"octets", "x" * 200_000):
            await ws.send(message)
            assert await ws.receive() == message
        await ws.close(1001, "bye")
        assert ws.close_code == 1001
        await settled(lambda: not carrier.running)
        assert (seen[0]["type"], seen[0]["scheme"], seen[0]["subprotocols"]) == ("websocket", "wss", ["chat", "other"])
        assert seen[1] == {"type": "websocket.disconnect", "code": 1001, "reason": "bye"}

    run(main())


def test_a_websocket_is_refused_with_a_response(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/plain":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-a", b"1")]})
            await send({"type": "websocket.http.response.body", "body": b"who?"})

    async def main() -> None:
        answer = await transport(app).tunnel(handshake("/plain"))
        assert (answer.head.status, await answer.read()) == (403, b"")
        answer = await transport(app).tunnel(handshake())
        assert (answer.head.status, answer.head.headers, await answer.read()) == (401, [(b"x-a", b"1")], b"who?")

    run(main())


def test_an_application_that_fails_in_a_websocket_closes_it_with_1011(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        raise Boom

    async def main() -> None:
        ws = opened(await transport(app).tunnel(handshake()))
        with pytest.raises(WebSocketClosed) as raised:
            await ws.receive()
        assert raised.value.code == 1011

    run(main())
    assert "failed in a WebSocket" in caplog.text


def test_a_websocket_whose_client_does_not_read_stops_the_application(run: Run) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "bytes": bytes(10_000)})
            sent += 1

    async def main() -> None:
        carrier = transport(app)
        answer = await carrier.tunnel(handshake())
        ws = opened(answer)
        await settled(lambda: ws.waiting > 1)  # of 16 at most, and those within the tunnel's window
        await asyncio.sleep(0.01)
        before = sent
        await asyncio.sleep(0.01)
        assert sent == before < 16 + 20
        answer.close()
        await settled(lambda: not carrier.running)

    run(main())
