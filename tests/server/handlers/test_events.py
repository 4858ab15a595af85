"""Server-sent events (WHATWG HTML §9.2): the format, judged by a parser written from the standard, and the response."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.bus import LocalBus
from headrace.server.handlers.events import Event, EventStream, as_event, last_event_id
from headrace.server.handlers.mailbox import Dropped
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response

from tests.properties.profile import tries
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

INTERNAL_ERROR = 2


class Reader:
    """What a browser makes of a stream (§9.2.6, "interpreting an event stream")."""

    def __init__(self, raw: bytes) -> None:
        self.events: list[tuple[str, str, str]] = []
        self.retry: int | None = None
        self.comments: list[str] = []
        self.last_id = ""
        data, kind, last_id = "", "", ""
        text = raw.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
        for line in text.split("\n")[:-1]:
            if not line:
                self.last_id = last_id
                if data:
                    self.events.append((kind or "message", data.removesuffix("\n"), last_id))
                data = kind = ""
                continue
            if line.startswith(":"):
                self.comments.append(line[1:])
                continue
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data += value + "\n"
            elif name == "id" and "\0" not in value:
                last_id = value
            elif name == "retry" and value.isascii() and value.isdigit():
                self.retry = int(value)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (Event("x"), b"data: x\n\n"),
        (Event(""), b"data: \n\n"),
        (Event("two\nlines"), b"data: two\ndata: lines\n\n"),
        (Event("a\r\nb\rc\n"), b"data: a\ndata: b\ndata: c\ndata: \n\n"),
        (Event(" é"), "data:  é\n\n".encode()),
        (Event("x", "tick", "7", 100), b"event: tick\nid: 7\nretry: 100\ndata: x\n\n"),
        (Event(None, id=""), b"id: \n\n"),
        (Event.json({"a": [1, "é"]}, "j", "1"), 'event: j\nid: 1\ndata: {"a":[1,"é"]}\n\n'.encode()),
    ],
)
def test_how_an_event_is_written(event: Event, data: bytes) -> None:
    assert event.encode() == data


WORD = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\r\n: "))


@given(st.lists(st.tuples(TEXT, st.none() | WORD, st.none() | WORD), max_size=5))
@tries(100)
def test_a_browser_gets_what_was_said(said: list[tuple[str, str | None, str | None]]) -> None:
    read = Reader(b"".join(Event(data, kind, event_id).encode() for data, kind, event_id in said))
    last_id = ""
    expected = []
    for data, kind, event_id in said:
        last_id = last_id if event_id is None else event_id
        expected.append((kind or "message", data.replace("\r\n", "\n").replace("\r", "\n"), last_id))
    assert read.events == expected


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"event": "a\nb"}, "the event of an event"),
        ({"event": "a\rdata: x"}, "the event of an event"),
        ({"id": "a\nb"}, "the id of an event"),
        ({"id": "a\0"}, "the id of an event"),
        ({"retry": -1}, "milliseconds"),
        ({"retry": 1.5}, "milliseconds"),
    ],
)
def test_what_an_event_cannot_carry(fields: dict[str, Any], error: str) -> None:
    """A line break in an id would let whoever chose it write events of his own."""
    with pytest.raises(ValueError, match=error):
        Event("x", **fields)


def test_what_becomes_an_event_by_itself() -> None:
    event = Event("x")
    assert as_event(event) is event
    assert as_event("text") == Event("text")
    assert as_event(Dropped(3)) == Event("3", "dropped")
    with pytest.raises(TypeError, match="give it `encode`"):
        as_event({"a": 1})


def test_a_source_becomes_events(run: Run) -> None:
    async def count() -> AsyncIterator[Any]:
        yield "one"
        yield Event("two", id="2")

    async def main() -> None:
        async with (
            serving(lambda request: EventStream(count(), retry=500)) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            answer = await peer.get("/")
            assert answer.ended
            assert dict(answer.headers).items() >= {
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            }
            read = Reader(bytes(answer.body))
            assert (read.events, read.retry) == ([("message", "one", ""), ("message", "two", "2")], 500)

    run(main())


def test_own_headers_stand_instead_of_the_usual_ones(run: Run) -> None:
    async def none() -> AsyncIterator[Any]:
        return
        yield

    async def app(request: Request) -> EventStream:
        return EventStream(none(), headers={"Cache-Control": "no-cache", "X-Own": "1"})

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            headers = (await peer.get("/")).headers
            assert [value for name, value in headers if name == b"cache-control"] == [b"no-cache"]
            assert (b"x-own", b"1") in headers

    run(main())


def test_a_slow_client_slows_the_source(run: Run) -> None:
    asked: list[int] = []

    async def endless() -> AsyncIterator[str]:
        while True:
            asked.append(len(asked))
            yield "x" * 10_000

    async def main() -> None:
        async with (
            serving(lambda request: EventStream(endless())) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
        ):
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            await peer.until(lambda: len(answer.body) == 65_535)
            for _ in range(5):
                await peer.ping()
            assert 6 < len(asked) < 20  # the window, and a write buffer of 64 KiB
            peer.reset(stream_id)
            await settled(lambda: live_handlers(server) == 0)

    run(main())


@pytest.mark.parametrize("end", ["reset", "drain"])
def test_a_source_that_waits_is_closed_at_the_end(run: Run, end: str) -> None:
    ends: list[str] = []

    async def waiting() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # tidying up takes a while
            ends.append("closed")

    async def app(request: Request) -> EventStream:
        return EventStream(waiting(), on_end=lambda reason, state: ends.append(reason))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            await peer.until(lambda: answer.body == b"data: first\n\n")
            if end == "reset":
                peer.reset(stream_id)
            else:
                server.begin_drain()
                assert (await peer.over(stream_id)).ended
            await settled(lambda: live_handlers(server) == 0)
            assert ends == ["closed", "disconnected" if end == "reset" else "drained"]

    run(main())


def test_a_source_that_is_closed_while_its_item_waits_for_the_client(run: Run) -> None:
    closed = asyncio.Event()

    async def large() -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 100_000
        finally:
            closed.set()

    async def main() -> None:
        async with (
            serving(lambda request: EventStream(large())) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
        ):
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            await peer.until(lambda: len(answer.body) == 65_535)
            peer.reset(stream_id)
            await closed.wait()

    run(main())


@pytest.mark.parametrize("item", [1, asyncio.CancelledError(), OSError("the source broke")], ids=repr)
def test_a_source_that_fails_resets_the_stream(run: Run, item: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> AsyncIterator[Any]:
        yield "fine"
        if isinstance(item, BaseException):
            raise item
        yield item

    async def main() -> None:
        async with (
            serving(lambda request: EventStream(failing())) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            answer = await peer.get("/")
            assert (bytes(answer.body), answer.reset) == (b"data: fine\n\n", INTERNAL_ERROR)

    run(main())
    (line,) = [each for each in caplog.records if each.name == "headrace.error"]
    assert line.exc_info is not None
    assert any(
        part in str(line.exc_info[1])
        for part in ("carries Event or text, not int", "was cancelled", "the source broke")
    )


def test_a_comment_keeps_the_connection_alive(run: Run) -> None:
    go_on = asyncio.Event()

    async def quiet() -> AsyncIterator[str]:
        await go_on.wait()
        yield "at last"

    async def main() -> None:
        async with (
            serving(lambda request: EventStream(quiet(), heartbeat_s=0.001)) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            await peer.until(lambda: answer.body.startswith(b":\n\n:\n\n:\n\n"))
            go_on.set()
            await peer.over(stream_id)
            read = Reader(bytes(answer.body))
            assert read.events == [("message", "at last", "")]
            assert set(read.comments) == {""}

    run(main())


def test_events_of_a_bus(run: Run) -> None:
    bus = LocalBus()

    async def app(request: Request) -> EventStream:
        return EventStream(topics=["orders.*"], bus=bus, encode=lambda order: Event.json(order, "order"))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            ids = [peer.open("/") for _ in range(3)]
            for each in ids:
                await peer.started(each)
            assert bus.publish("orders.eu", {"id": 7}) == 3
            await peer.until(lambda: all(peer.answers[each].body for each in ids))
            assert {bytes(peer.answers[each].body) for each in ids} == {b'event: order\ndata: {"id":7}\n\n'}
            server.begin_drain()
            for each in ids:
                assert (await peer.over(each)).ended
            assert bus.publish("orders.eu", {"id": 8}) == 0

    run(main())


def test_a_subscription_is_a_source_too(run: Run) -> None:
    bus = LocalBus()

    async def main() -> None:
        async with (
            serving(lambda request: EventStream(bus.subscribe("a"))) as server,
            H2Peer.connected(port(server)) as peer,
        ):
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            assert bus.publish("a", "x") == 1
            await peer.until(lambda: answer.body == b"data: x\n\n")
            peer.reset(stream_id)
            await settled(lambda: live_handlers(server) == 0)
            assert bus.publish("a", "y") == 0

    run(main())


def test_a_slow_browser_is_told_what_it_missed(run: Run) -> None:
    streams: list[EventStream] = []

    async def app(request: Request) -> EventStream:
        streams.append(EventStream(mailbox_size=2))
        return streams[0]

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            for number in range(5):
                streams[0].mailbox.put(str(number))
            await peer.until(lambda: b"4" in answer.body)
            streams[0].mailbox.close()
            await peer.over(stream_id)
            events = [(kind, data) for kind, data, _ in Reader(bytes(answer.body)).events]
            assert events == [("dropped", "3"), ("message", "3"), ("message", "4")]

    run(main())


@pytest.mark.parametrize(("value", "found"), [(None, "None"), (b"7", "7"), ("é".encode(), "é"), (b"\xff", "\ufffd")])
def test_the_id_that_a_browser_comes_back_with(run: Run, value: bytes | None, found: str) -> None:
    async def app(request: Request) -> Response:
        return Response.text(str(last_event_id(request)))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            headers: Any = [] if value is None else [(b"last-event-id", value)]
            assert (await peer.get("/", headers=headers)).body.decode() == found

    run(main())


@pytest.mark.parametrize(
    "options", [{"source": [1]}, {"source": LocalBus, "topics": ["a"], "bus": LocalBus()}, {"topics": ["a"]}]
)
def test_what_makes_no_event_stream(options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError), match=r"async iterator, not list|not both|no bus"):
        EventStream(**options)
