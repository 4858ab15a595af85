"""The ASGI adapter, message by message, through real sockets (ASGI HTTP 2.5)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.server.app import Server

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

OK: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}


def body(data: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def recorded_writes(server: Server) -> list[bytes]:
    """What the one connection of a server writes from now on, one element a transport write."""
    assert server.service is not None
    (driver,) = server.service.drivers
    transport: Any = driver.transport
    writes: list[bytes] = []

    class Recording:
        def __getattr__(self, name: str) -> Any:
            return getattr(transport, name)

        def write(self, data: bytes) -> None:
            writes.append(data)
            transport.write(data)

    driver.transport = Recording()  # type: ignore[assignment]
    return writes


async def _no_lifespan(scope: Any) -> None:
    if scope["type"] != "http":
        raise ValueError("no lifespan here")


def test_the_scope(run: Run) -> None:
    scopes: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        scopes.append(scope)
        await send(OK)
        await send(body())

    async def main() -> None:
        async with serving(app, root_path="/api") as server, H2Peer.connected(port(server)) as peer:
            number = port(server)
            client = peer.writer.get_extra_info("sockname")
            crumbs = [("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2")]
            await peer.get("/caf%C3%A9%2Fx/?q=%20&r", headers=crumbs)
            await peer.get("/", "POST", headers=[("host", "localhost")])
        scope, second = scopes
        assert {name: scope[name] for name in scope if name not in ("headers", "client", "server")} == {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "2",
            "scheme": "http",
            "method": "GET",
            "root_path": "/api",
            "path": "/api/café/x/",
            "raw_path": b"/api/caf%C3%A9%2Fx/",
            "query_string": b"q=%20&r",
            "extensions": {
                "http.response.trailers": {},
                "http.response.early_hint": {},
                "http.response.pathsend": {},
                "headrace.request.pause": {},
            },
        }
        # The port is a number, and there is one cookie.
        assert scope["server"] == ("127.0.0.1", number)
        assert scope["client"] == client
        assert scope["headers"][0] == (b"host", b"localhost")
        assert sorted(scope["headers"][1:]) == [(b"cookie", b"a=1; b=2"), (b"x-a", b"1")]
        assert [name for name, _ in second["headers"]].count(b"host") == 1
        assert second["method"] == "POST"

    run(main())


def test_a_scope_belongs_to_its_request(run: Run) -> None:
    """What an application changes in a scope is not seen by the next request, though fields are remembered."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        seen.append((list(scope["headers"]), dict(scope["extensions"])))
        scope["headers"].append((b"x-added", b"1"))
        scope["extensions"].pop("http.response.pathsend")
        await send(OK)
        await send(body())

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            for _ in range(3):
                await peer.get("/")
        assert seen[0] == seen[1] == seen[2]

    run(main())


def test_receive_gives_the_body_then_waits_for_the_end(run: Run) -> None:
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        content = b""
        while True:
            message = await receive()
            assert message["type"] == "http.request"
            content += message["body"]
            if not message["more_body"]:
                break
        last = asyncio.create_task(receive())
        await send(OK)
        await send(body(content, more=True))
        await asyncio.sleep(0)
        assert not last.done()
        await send(body())
        messages.append(await last)
        messages.append(await receive())

    async def main() -> None:
        content = bytes(range(256)) * 4000
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.post("/", content)).body == content
            assert (await peer.get("/")).body == b""
            await settled(lambda: len(messages) == 4)
        assert messages == [{"type": "http.disconnect"}] * 4

    run(main())


def test_a_response_in_one_piece_is_one_write(run: Run) -> None:
    """HEADERS and DATA with END_STREAM leave together."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        await send(OK)
        await send(body(b"hello"))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await peer.ping()
            writes = recorded_writes(server)
            ids = [peer.open("/") for _ in range(5)]
            for each in ids:
                await peer.over(each)
            (data,) = writes
            assert data.count(b"hello") == 5

    run(main())


def test_a_stream_of_small_pieces_leaves_in_one_write(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        if scope["path"] == "/later":
            await asyncio.sleep(0)
        await send(OK)
        for _ in range(50):
            await send(body(b"x" * 100, more=True))
        await send(body())

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await peer.ping()
            writes = recorded_writes(server)
            for path in ("/", "/later"):
                assert (await peer.get(path)).body == b"x" * 5000
            assert [data.count(b"x" * 100) for data in writes if b"x" in data] == [50, 50]

    run(main())


def test_at_window_0_send_blocks_within_64_kib(run: Run) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await _no_lifespan(scope)
        await send(OK)
        for _ in range(200):
            await send(body(bytes(10_000), more=True))
            sent += 10_000
        await send(body())

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            stream_id = peer.open("/")
            await peer.until(lambda: len(peer.answers[stream_id].body) == 65_535)
            await peer.ping()
            assert sent <= 65_535 + 65_536
            peer.conn.increment_flow_control_window(2_000_000, stream_id)
            peer.conn.increment_flow_control_window(2_000_000)
            peer.flush()
            assert len((await peer.over(stream_id)).body) == 2_000_000

    run(main())


def test_send_after_the_client_has_gone_raises_an_oserror(run: Run) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        await send(OK)
        await send(body(b"part", more=True))
        await receive()
        seen.append(await receive())
        for message in (body(b"x", more=True), body(), OK):
            try:
                await send(message)
            except OSError as error:
                seen.append(error)

    async def main() -> None:
        async with serving(app) as server:
            async with H2Peer.connected(port(server)) as peer:
                stream_id = peer.open("/")
                await peer.until(lambda: bool(peer.answers[stream_id].body))
                peer.reset(stream_id)
                await settled(lambda: len(seen) == 4)
                peer.open("/")
                await peer.ping()
            await settled(lambda: len(seen) == 8)
            await settled(lambda: live_handlers(server) == 0)
        for each in (seen[:4], seen[4:]):
            assert each[0] == {"type": "http.disconnect"}
            assert all(isinstance(error, OSError) for error in each[1:])

    run(main())


def test_an_application_that_only_waits_is_cancelled_when_the_client_goes(run: Run) -> None:
    ended: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        await send(OK)
        try:
            await send(body(b"data: 1\n\n", more=True))
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(scope["path"])
            raise

    async def main() -> None:
        async with serving(app) as server:
            async with H2Peer.connected(port(server)) as peer:
                for number in range(3):
                    await peer.started(peer.open(f"/{number}"))
            await settled(lambda: len(ended) == 3)

    run(main())


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([body(b"x")], "expected is 'http.response.start'"),
        ([OK, OK], "expected is 'http.response.body'"),
        ([OK, body(b"x", more=True), OK], "expected is 'http.response.body'"),
        ([OK, body(b"x"), body(b"y")], "the response is complete"),
        ([OK, body(b"x"), OK], "the response is complete"),
        ([{"type": "http.response.nonsense"}], "http.response.nonsense"),
        ([{"type": "websocket.accept"}], "websocket.accept"),
        ([{**OK, "trailers": True}, body(b"x"), body(b"y")], "expected is 'http.response.trailers'"),
        ([OK, body(b"x", more=True), {"type": "http.response.trailers", "headers": []}], "expected is"),
        ([OK, {"type": "http.response.early_hint", "links": []}], "expected is"),
    ],
)
def test_messages_out_of_order_raise_in_plain_words(messages: list[Any], words: str) -> None:
    seen: list[Exception] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        for message in messages[:-1]:
            await send(message)
        try:
            await send(messages[-1])
        except RuntimeError as error:
            seen.append(error)
            raise

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await peer.get("/")
        assert words in str(seen[0])

    asyncio.run(main())


@pytest.mark.parametrize(
    ("messages", "status", "reset"),
    [
        ([], 500, None),
        ([OK], 500, None),
        ([{**OK, "status": "200"}], 500, None),
        ([{**OK, "status": 99}, body()], 500, None),
        ([{**OK, "headers": [("x", "text")]}, body()], 500, None),
        ([{**OK, "headers": [(b"x", b"a\nb")]}, body()], 500, None),
        ([OK, {**body(), "body": "text"}], 500, None),
        ([OK, body(b"part", more=True)], 200, 2),
        ([{**OK, "headers": [(b"content-length", b"9")]}, body(b"short", more=True), body()], 200, 2),
        ([{**OK, "headers": [(b"content-length", b"1")]}, body(b"too long")], 500, None),
    ],
    ids=[
        "nothing",
        "start only",
        "status is text",
        "status 99",
        "headers are text",
        "LF",
        "body is text",
        "no end",
        "short of its content-length",
        "longer than its content-length",
    ],
)
def test_what_an_application_gets_wrong_is_seen_by_its_client(
    run: Run, messages: list[Any], status: int, reset: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        for message in messages if scope["path"] == "/" else [OK, body(b"fine")]:
            await send(message)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert (answer.status, answer.reset) == (status, reset)
            assert (await peer.get("/fine")).body == b"fine"

    run(main())
    assert len([each for each in caplog.records if each.name == "headrace.error"]) == 1


def test_forms_that_the_specification_allows(run: Run) -> None:
    """Pairs as lists, values left out, other byte types, a status that is an enum, fields that only HTTP/1 knows."""
    from http import HTTPStatus

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        headers = [[b"X-List", b"1"], [b"connection", b"keep-alive"], [b"transfer-encoding", b"chunked"]]
        await asyncio.create_task(
            send({"type": "http.response.start", "status": HTTPStatus.CREATED, "headers": headers})
        )
        await send({"type": "http.response.body", "body": bytearray(b"a"), "more_body": True})
        await send({"type": "http.response.body", "body": memoryview(b"b"), "more_body": True})
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            for _ in range(2):
                answer = await peer.get("/")
                assert (answer.status, bytes(answer.body), answer.header(b"x-list")) == (201, b"ab", b"1")
                assert {name for name, _ in answer.headers} == {b"x-list", b"date"}

    run(main())


def test_a_handler_that_was_told_may_tidy_up(run: Run) -> None:
    done: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        while (await receive())["type"] != "http.disconnect":
            pass
        await asyncio.sleep(0.01)
        done.append("tidied up")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.ping()
            peer.reset(stream_id)
            await settled(lambda: done == ["tidied up"])

    run(main())


def test_an_upload_that_is_never_read_does_not_stop_siblings(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        if scope["path"] == "/stuck":
            await asyncio.Event().wait()
        size = 0
        is_more = True
        while is_more:
            message = await receive()
            size += len(message["body"])
            is_more = message["more_body"]
        await send(OK)
        await send(body(str(size).encode()))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await peer.ping()
            stuck = peer.open("/stuck", "POST", end=False)
            await peer.send(stuck, bytes(262_144))
            assert peer.room(stuck) == 0
            assert (await peer.get("/")).body == b"0"
            assert (await peer.post("/", bytes(5_000_000))).body == b"5000000"

    run(main())


def test_an_early_answer_to_an_upload(run: Run) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await _no_lifespan(scope)
        await send({**OK, "status": 413})
        await send(body(b"too large"))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            for _ in range(20):
                stream_id = peer.open("/", "POST", end=False)
                peer.conn.send_data(stream_id, bytes(16_000))
                peer.conn.send_data(stream_id, bytes(16_000))
                peer.conn.send_data(stream_id, bytes(16_000))
                peer.conn.send_data(stream_id, bytes(16_000))
                peer.flush()
                answer = await peer.over(stream_id)
                assert (answer.status, bytes(answer.body)) == (413, b"too large")
            await peer.ping()
            assert not peer.goaways

    run(main())
