"""What handlers give and ask wrongly: each mistake has a sentence, and costs its own request alone."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.server.handlers.loop import LoopResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse, Response, StreamResponse
from headrace.server.handlers.websocket import _Watch
from headrace.server.interface import detect

from tests.support.h2_peer import Answer, H2Peer
from tests.support.serving import Run, port, serving, settled


def test_a_body_is_text_or_bytes() -> None:
    bodies: list[Any] = ["ä", bytearray(b"b"), memoryview(b"c")]
    assert [Response(200, (), body).body for body in bodies] == ["ä".encode(), b"b", b"c"]
    with pytest.raises(TypeError, match="the body of a Response is bytes or text, not int"):
        Response(200, (), 5)  # type: ignore[arg-type] # that is the test


def test_a_stream_has_a_producer() -> None:
    with pytest.raises(TypeError, match="needs a producer"):
        StreamResponse(200)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [str(each.exc_info[1]) for each in caplog.records if each.name == "headrace.error" and each.exc_info]


async def _trailers_too_early(send: Any) -> None:
    await send(b"data", trailers=[("x-sum", "1")])


class _HalfWritten(AnyResponse):
    """A class of responses whose author forgot `send_on`."""

    headers = ()


async def _pause_of_nothing(request: Request) -> Response:
    request.allow_pauses(0.0)
    return Response.text("unreachable")


@pytest.mark.parametrize(
    ("handler", "sentence"),
    [
        (
            lambda request: StreamResponse(200, (), _trailers_too_early),
            "trailers come with the end: send(..., end=True",
        ),
        (
            lambda request: cast(Any, _HalfWritten)(),
            "_HalfWritten has no `send_on`: a class of responses says how they are sent",
        ),
        (_pause_of_nothing, "a pause of 0.0 seconds: it must be more than 0, or None for any"),
    ],
)
def test_a_mistake_is_logged_with_its_sentence(
    run: Run, handler: Any, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(request: Request) -> Any:
        if request.path == "/fine":
            return Response.text("fine")
        found = handler(request)
        return await found if asyncio.iscoroutine(found) else found

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert answer.status == 500 or answer.reset is not None
            assert (await peer.get("/fine")).body == b"fine"

    run(main())
    assert len(errors(caplog)) == 1
    assert errors(caplog)[0].startswith(sentence)


def test_a_producer_without_aclose_is_fine_and_trailers_may_come_without_data(run: Run) -> None:
    class Pieces:
        left = 2

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return b"x"

    async def with_trailers(send: Any) -> None:
        await send(b"data")
        await send(end=True, trailers=[("x-sum", "1")])

    async def app(request: Request) -> StreamResponse:
        return StreamResponse(200, (), Pieces() if request.path == "/pieces" else with_trailers)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/pieces")).body == b"xx"
            assert (await peer.get("/")).body == b"data"

    run(main())


@pytest.mark.parametrize("data", [bytearray(b"pushed"), memoryview(b"pushed"), "text"])
def test_a_loop_pushes_bytes(run: Run, data: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def on_message(message: Any, push: Any, state: Any) -> None:
        await push(data)

    responses: list[LoopResponse] = []

    async def app(request: Request) -> LoopResponse:
        responses.append(LoopResponse(200, (), on_message, None))
        return responses[0]

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await settled(lambda: bool(responses))
            responses[0].mailbox.put("go")
            if isinstance(data, str):
                await peer.over(stream_id)
            else:
                await peer.until(lambda: bytes(peer.answers[stream_id].body) == b"pushed")

    run(main())
    assert errors(caplog) == (["push takes bytes, not str"] if isinstance(data, str) else [])


def test_what_is_no_application_is_told_apart() -> None:
    class Uncallable:
        """Its signature cannot be read."""

        __signature__ = "no"

        def __call__(self, *arguments: Any) -> None: ...

    assert detect(Uncallable()) == "asgi"  # as frameworks written in C


# -- WebSockets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["takes no more", "is done", "has noticed", "never waited"])
def test_a_handler_that_reads_earlier_messages_is_left_alone_one_that_does_not_is_cancelled(end: str) -> None:
    """`looks` are the timers of the grace that a handler has after the end of its WebSocket."""
    looks: list[Any] = []

    async def main() -> None:
        task = asyncio.ensure_future(asyncio.Event().wait())
        loop = SimpleNamespace(call_later=lambda grace_s, look, context: looks.append(look))
        driver = SimpleNamespace(loop=loop, context=contextvars.copy_context())
        exchange = SimpleNamespace(driver=driver, task=None if end == "never waited" else task)
        socket = SimpleNamespace(taken=0, closing=SimpleNamespace(is_noticed=end == "has noticed"))
        _Watch(cast(Any, exchange), cast(Any, socket), 1.0).begin()
        if end == "is done":
            task.cancel()
            await asyncio.wait((task,))
        if end == "takes no more":
            for _ in range(3):
                socket.taken += 1
                looks.pop()()
                assert len(looks) == 1  # it will look again
        looks.pop()()
        await asyncio.sleep(0)
        assert looks == []
        assert task.cancelled() == (end in ("takes no more", "is done"))
        task.cancel()

    asyncio.run(main())


def test_a_tunnel_for_something_else_is_not_implemented(run: Run) -> None:
    """RFC 9110 §15.6.2; extended CONNECT carries a WebSocket and nothing else here."""

    async def app(request: Request) -> Response:
        return Response.text("unreachable")

    async def main() -> None:
        async with serving(app, websockets="on") as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.conn.get_next_available_stream_id()
            fields = [(":method", "CONNECT"), (":protocol", "connect-udp"), (":scheme", "http"), (":path", "/"),
                      (":authority", "a.example")]  # fmt: skip
            await peer.until(lambda: peer.conn.remote_settings.enable_connect_protocol == 1)
            peer.answers[stream_id] = Answer()
            peer.conn.send_headers(stream_id, fields)
            peer.flush()
            assert (await peer.started(stream_id)).status == 501

    run(main())
