"""What is wrong with one message, record or figure is not its receivers' fault: they go on, and get the next one."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bus import LocalBus
from headrace.engine.text import utf8
from headrace.engine.ws.connection import WebSocketConnection
from headrace.server.errors import HTTPError
from headrace.server.handlers import events as events_module
from headrace.server.handlers.events import Event, EventStream, as_event
from headrace.server.handlers.loop import LoopResponse
from headrace.server.handlers.mailbox import Mailbox
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.telemetry.interface import Telemetry
from headrace.transport.log import Seldom, get_logger

from tests.properties.profile import tries
from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, run, serving, settled

__all__ = ["run"]

LONE = json.loads('"a\\ud83d b"')
REPLACED = "a\ufffd b"

# -- text


@given(st.text(st.characters() | st.characters(categories=["Cs"])))
@tries(100)
def test_text_becomes_scalar_values_as_in_browsers(text: str) -> None:
    joined = re.sub(
        "[\ud800-\udbff][\udc00-\udfff]",
        lambda pair: chr(0x10000 + ((ord(pair[0][0]) - 0xD800) << 10) + ord(pair[0][1]) - 0xDC00),
        text,
    )
    assert utf8(text) == re.sub("[\ud800-\udfff]", "\ufffd", joined).encode()


def test_lone_surrogates_everywhere() -> None:
    assert Event(LONE, LONE, LONE).encode().decode().count(REPLACED) == 3
    assert REPLACED in Event.json({"text": LONE}).encode().decode()
    assert as_event(LONE).encode() == b"data: " + REPLACED.encode() + b"\n\n"
    for response in (Response.text(LONE), Response.html(LONE), Response(200, (), LONE)):
        assert response.body == REPLACED.encode()
    assert json.loads(Response.json({LONE: LONE}).body) == {REPLACED: REPLACED}


@pytest.mark.parametrize("is_client", [True, False])
def test_a_websocket_sends_what_it_is_given(is_client: bool) -> None:
    ours, theirs = WebSocketConnection(is_client=is_client), WebSocketConnection(is_client=not is_client)
    ours.send_text(LONE)
    ours.send_text("good")
    ours.send_close(1000, LONE)
    events: list[Any] = theirs.receive_data(ours.take_output())
    assert [event.data for event in events[:2]] == [REPLACED, "good"]
    assert events[2].reason == REPLACED


def test_an_answer_with_any_text_in_it_is_an_answer(run: Run) -> None:
    async def app(request: Request) -> Response:
        raise HTTPError(400, f"what is {LONE}?")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/")
            assert answer.status == 400
            assert answer.body == f"what is {REPLACED}?\n".encode()

    run(main())


@pytest.mark.parametrize("data", [1, b"octets", object()])
def test_an_event_that_is_no_text_is_refused_where_it_is_made(data: Any) -> None:
    with pytest.raises(TypeError, match="the data of an event is text"):
        Event(data)


# -- messages


class Hostile:
    """An object that raises at whatever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__


class HostileText(str):
    """Text whose methods raise."""

    def __contains__(self, key: object) -> bool:
        raise RuntimeError("contains")

    def split(self, *_: Any) -> Any:
        raise RuntimeError("split")


class HostileEvent(Event):
    def encode(self) -> bytes:
        raise RuntimeError("encode")


class WrongEvent(Event):
    def encode(self) -> Any:
        return "text"


MAKERS: list[Callable[[], Any]] = [
    Hostile,
    lambda: Hostile,
    lambda: HostileText("text"),
    lambda: HostileEvent("a"),
    lambda: WrongEvent("a"),
    lambda: RuntimeError("x"),
    lambda: Event,
    object,
]
ANYTHING = st.one_of(
    st.text(st.characters() | st.characters(categories=["Cs"])),
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(),
    st.lists(st.integers(), max_size=2) | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.integers(0, len(MAKERS) - 1).map(lambda number: MAKERS[number]()),
)


@given(st.lists(ANYTHING, max_size=5))
@tries(50)
def test_every_subscriber_gets_the_next_good_message(messages: list[Any]) -> None:
    async def main() -> None:
        bus = LocalBus()
        opened = 0

        async def app(request: Request) -> Any:
            nonlocal opened
            opened += 1
            if request.path == "/loop":

                async def on_message(message: Any, push: Any, state: Any) -> None:
                    if type(message) is Event:
                        await push(message.encode())

                return LoopResponse(200, (), on_message, topics=["news"], bus=bus)
            return EventStream(topics=["news"], bus=bus)

        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            streams = [peer.open("/events"), peer.open("/events"), peer.open("/loop")]
            for stream_id in streams:
                await peer.started(stream_id)
            reader = bus.subscribe("news")
            await settled(lambda: opened == 3)
            for message in messages:
                assert bus.publish("news", message) == 4
            bus.publish("news", Event("the good one"))
            for stream_id in streams:
                body = peer.answers[stream_id].body
                await peer.until(lambda body=body: b"the good one" in body)  # type: ignore[misc]
                assert peer.answers[stream_id].reset is None
            got = [await reader.mailbox.get() for _ in range(len(messages) + 1)]
            assert all(one is other for one, other in zip(got, messages, strict=False))
            reader.close()

    logging.disable(logging.CRITICAL)
    try:
        asyncio.run(main())
    finally:
        logging.disable(logging.NOTSET)


def test_a_message_that_is_left_out_is_told_of_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    bus = LocalBus()
    events_module._left_out = Seldom()  # type: ignore[misc]

    async def app(request: Request) -> EventStream:
        return EventStream(topics=["news"], bus=bus)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            streams = [peer.open("/") for _ in range(20)]
            for stream_id in streams:
                await peer.started(stream_id)
            for message in (1, 2, "good"):
                bus.publish("news", message)
            for stream_id in streams:
                body = peer.answers[stream_id].body
                await peer.until(lambda body=body: body == b"data: good\n\n")  # type: ignore[misc]
            await bus.stop()

    run(main())
    (record,) = caplog.records
    assert "an int" in record.getMessage() or "a int" in record.getMessage()


def test_a_mailbox_whose_overflow_fails_stops_no_publisher(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bus = LocalBus()

        def overflow() -> None:
            raise RuntimeError("boom")

        mailbox = Mailbox(1, "disconnect")
        mailbox.on_overflow = overflow
        bus.subscribe("a", mailbox=mailbox)
        other = bus.subscribe("a")
        assert bus.publish("a", 1) == 2
        assert bus.publish("a", 2) == 1
        assert [await other.mailbox.get(), await other.mailbox.get()] == [1, 2]
        other.close()

    asyncio.run(main())
    assert "boom" in caplog.text


# -- those who are told: sinks and handlers of logs


class Broken(Telemetry):
    """A sink that raises whenever it is called."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def request_started(self, request: Any) -> None:
        raise self.error

    connection_opened = connection_closed = request_failed = request_stopped = request_started  # type: ignore[assignment]
    request_refused = stream_reset = server_started = drain_began = request_started  # type: ignore[assignment]


class Plain(Telemetry):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def request_started(self, request: Any) -> None:
        self.seen.append("started")

    def request_stopped(self, request: Any, duration_s: float) -> None:
        self.seen.append("stopped")


class Static(Telemetry):
    """A sink whose method is bound to nothing."""

    request_started = staticmethod(lambda request: 1 / 0)  # type: ignore[assignment]


@pytest.mark.parametrize("error", [RuntimeError("boom"), asyncio.CancelledError()])
def test_a_sink_that_raises_harms_nobody(run: Run, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    plain = Plain()

    async def app(request: Request) -> Response:
        if request.path == "/fail":
            raise RuntimeError("the handler")
        return Response.text("fine")

    async def main() -> None:
        sinks = [Broken(error), Static(), plain]
        async with serving(app, telemetry=sinks) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).body == b"fine"
            assert (await peer.get("/fail")).status == 500
            assert (await peer.get("/")).body == b"fine"
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert plain.seen == ["started", "stopped"] * 3
    assert "request_started of Static failed" in caplog.text


class BrokenHandler(logging.Handler):
    """A handler that raises, as one whose disk is full and which does not keep to `handleError`."""

    def handle(self, record: logging.LogRecord) -> bool:
        raise OSError("no space for a log")


def failing_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("boom")
    start_response("200 OK", [])
    return [b"fine"]


async def failing_handler(request: Request) -> Response:
    if request.path == "/fail":
        raise RuntimeError("boom")
    return Response.text("fine")


async def failing_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    if scope["path"] == "/fail":
        raise RuntimeError("boom")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


@pytest.mark.parametrize("app", [failing_app, failing_handler, failing_asgi])
@pytest.mark.parametrize("peer_type", [H1Peer, H2Peer])
def test_a_handler_of_logs_that_raises_costs_no_answer(run: Run, app: Callable[..., Any], peer_type: Any) -> None:
    async def main() -> None:
        handler = BrokenHandler()
        loggers = [logging.getLogger(name) for name in ("headrace", "headrace.error", "headrace.access")]
        for logger in loggers:
            logger.addHandler(handler)
        try:
            async with serving(app, access_log=True) as server, peer_type.connected(port(server)) as peer:
                assert (await peer.get("/fail")).status == 500
                assert (await peer.get("/")).body == b"fine"
                await settled(lambda: live_handlers(server) == 0)
        finally:
            for logger in loggers:
                logger.removeHandler(handler)

    run(main())


def test_what_a_handler_of_logs_raises_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    logger = get_logger("headrace.of_this_test")
    assert get_logger("headrace.of_this_test") is logger
    handler = BrokenHandler()
    logger.addHandler(handler)
    logger.error("one")
    logger.removeHandler(handler)
    assert capsys.readouterr().err.count("OSError: no space for a log") == 1


def test_figures_of_a_route_with_any_name_are_given_out() -> None:
    pytest.importorskip("prometheus_client")
    from prometheus_client import generate_latest

    from headrace.server.telemetry.prometheus import Prometheus

    class Stopped:
        route_path = "/" + LONE
        status = 200
        sent = received = 0

    prometheus = Prometheus()
    stopped: Any = Stopped()
    prometheus.request_stopped(stopped, 0.1)
    assert f"/{REPLACED}".encode() in generate_latest(prometheus.registry)
