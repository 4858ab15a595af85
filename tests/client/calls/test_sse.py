"""Server-sent events as a browser parses them (WHATWG HTML §9.2.5-6), and streams that reconnect (§9.2.3-4)."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.client import (
    Client,
    ConnectionLost,
    HTTPStatusError,
    RemoteProtocolError,
    ServerSentEvent,
    TLSError,
)
from headrace.client.calls.sse import EventParser

from tests.client.support.fake import Answer, FakeTransport
from tests.support.serving import Run

HERE = "https://example.org/events"
TYPE = [("content-type", "text/event-stream; charset=utf-8")]


def parse(*pieces: bytes) -> list[ServerSentEvent]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


E = ServerSentEvent


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        # The examples of §9.2.6.
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [E("YHOO\n+2\n10")]),
        (b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
         [E("first event", id="1"), E("second event")]),
        (b"data\n\ndata\ndata\n\ndata:", [E(""), E("\n")]),
        (b"data:test\n\ndata: test\n\n", [E("test"), E("test")]),
        # Cases that they do not show.
        (b"event: add\ndata: 73857293\n\ndata: x\n\n", [E("73857293", "add"), E("x")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [E("a"), E("b"), E("c")]),
        (b"\xef\xbb\xbfdata: a\n\n", [E("a")]),
        (b"data: \xc3\xa4\xff\n\n", [E("ä\ufffd")]),
        (b"id: 7\n\ndata: a\n\n", [E("a", id="7")]),
        (b"id: 7\ndata: a\n\nid: x\0y\ndata: b\n\n", [E("a", id="7"), E("b", id="7")]),
        (b"event: only\n\ndata: a\n\n", [E("a")]),
        (b"unknown: x\ndata: a\nDATA: b\n\n", [E("a")]),
        (b"data: a", []),
        (b"data: a\n", []),
        (b"", []),
    ],
)  # fmt: skip
def test_streams_and_their_events(stream: bytes, events: list[ServerSentEvent]) -> None:
    assert parse(stream) == events
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))) == events, "byte by byte"


def test_an_event_is_told_as_soon_as_it_is_whole() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\n\r") == [E("a")]
    assert parser.feed(b"\ndata: b\n\n") == [E("b")]


def test_json() -> None:
    assert E('{"a": 1}').json() == {"a": 1}


def test_retry_is_a_number() -> None:
    parser = EventParser()
    parser.feed(b"retry: 1500\n")
    assert parser.retry_s == 1.5
    parser.feed(b"retry: 2s\nretry:\nretry: -1\n")
    assert parser.retry_s == 1.5


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: xx\n" * 60, b"event: x\n" * 60])
def test_an_event_without_end_is_an_error(stream: bytes) -> None:
    parser = EventParser(max_event_size=100)
    with pytest.raises(RemoteProtocolError, match="more than 100 characters"):
        parser.feed(stream)


def test_size_is_that_of_one_event() -> None:
    parser = EventParser(max_event_size=100)
    assert len(parser.feed(b"data: 123456\n\n" * 100)) == 100


def go(run: Run, transport: FakeTransport, **options: Any) -> Any:
    """Return the events and the waits between connections."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def main() -> Any:
        async with Client(transport=transport) as client, client.sse(HERE, sleep=sleep, **options) as events:
            return [event async for event in events], waits

    return run(main())


def test_it_comes_back_from_where_it_was(run: Run) -> None:
    transport = FakeTransport(
        Answer(200, TYPE, [b"retry: 500\nid: 1\ndata: a\n\nid: 2\ndata: b", ConnectionLost("gone")]),
        Answer(200, TYPE, b"id: 2\ndata: b\n\n"),
        Answer(204),
    )
    events, waits = go(run, transport)
    assert events == [E("a", id="1"), E("b", id="2")]
    assert waits == [0.5, 0.5]
    assert [sent.field("last-event-id") for sent in transport.sent] == [None, "1", "2"]
    assert {sent.field("accept") for sent in transport.sent} == {"text/event-stream"}
    assert {sent.field("cache-control") for sent in transport.sent} == {"no-store"}
    assert all(not sent.whole for sent in transport.sent)
    assert transport.sent[0].outgoing.timeouts.read is None, "a stream may be silent"


def test_it_waits_longer_while_nobody_answers(run: Run) -> None:
    lost = ConnectionLost("gone")
    transport = FakeTransport(Answer(200, TYPE), lost, lost, lost, lost, lost, lost, Answer(204))
    assert go(run, transport) == ([], [3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0])


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(404), HTTPStatusError, "404"),
        (Answer(201, TYPE), RemoteProtocolError, "201; an event stream has 200"),
        (Answer(200, [("content-type", "text/html")]), RemoteProtocolError, "text/html, not text/event-stream"),
        (Answer(200), RemoteProtocolError, "of no type"),
        (ConnectionLost("gone"), ConnectionLost, "gone"),
        (TLSError("bad certificate"), TLSError, "bad"),
    ],
)
def test_what_is_no_event_stream(run: Run, answer: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        go(run, FakeTransport(answer))


@pytest.mark.parametrize("answer", [Answer(500), TLSError("bad certificate"), Answer(200)])
def test_what_ends_a_stream_that_came_back(run: Run, answer: Any) -> None:
    with pytest.raises((HTTPStatusError, TLSError, RemoteProtocolError)):
        go(run, FakeTransport(Answer(200, TYPE), answer))


def test_without_coming_back(run: Run) -> None:
    assert go(run, FakeTransport(Answer(200, TYPE, b"data: a\n\n")), reconnect=False) == ([E("a")], [])
    transport = FakeTransport(Answer(200, TYPE, b"data: a\n\n"))
    assert go(run, transport, method="POST", json={"prompt": "x"}) == ([E("a")], [])
    assert transport.sent[0].method == "POST" and transport.sent[0].content == b'{"prompt":"x"}'
    with pytest.raises(ConnectionLost):
        go(run, FakeTransport(Answer(200, TYPE, [ConnectionLost("gone")])), reconnect=False)


def test_options_and_ids_of_the_caller(run: Run) -> None:
    transport = FakeTransport(Answer(204))
    go(run, transport, last_event_id="ä 5", headers={"accept": "text/x", "x": "y"}, timeout=7.0)
    sent = transport.sent[0]
    assert sent.field("last-event-id") == "ä 5" and sent.field("accept") == "text/x" and sent.field("x") == "y"
    assert sent.outgoing.timeouts.read == 7.0
    transport = FakeTransport(Answer(204))
    go(run, transport, last_event_id="a\x01b")
    assert transport.sent[0].field("last-event-id") is None, "no field can carry that"


def test_leaving_the_block_ends_it(run: Run) -> None:
    answer = Answer(200, TYPE, [b"data: a\n\n", b"data: b\n\n"])

    async def main() -> None:
        async with Client(transport=FakeTransport(answer)) as client:
            async with client.sse(HERE) as events:
                async for event in events:
                    assert event == E("a") and events.last_event_id == "" and events.response is not None
                    break
            assert answer.is_closed
            assert [event async for event in events] == []

    run(main())
