"""Server-sent events: streams as they come, and events as we write them.

Property: the client's parser raises nothing but RemoteProtocolError, for an event beyond the limit. Any cut of a stream
gives the same events, ids and retries. Events that the server writes come out as they went in, also behind noise that
ends with an empty line.
"""

from __future__ import annotations

from headrace.client.calls.sse import EventParser, ServerSentEvent
from headrace.client.errors import RemoteProtocolError
from headrace.server.handlers.events import Event

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source, pieces

WORDS = (
    b"data: ", b"data", b"data:", b"event: x\n", b"id: 7\n", b"id\n", b"retry: 100\n", b"retry: x\n", b":\n", b"\n",
    b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xff", b"\xe2\x82", b"id: a\x00b\n", b"x" * 100, b"\xe2\x80\xa8",
    b": ", b"data:y\n\n", b"event\n",
)  # fmt: skip
TEXTS = ("", "a", "a\nb", "a\r\nb\rc", "é\u2028", "\n", " lead", "x" * 300, ":", "\ufeff")
LINES = ("message", "update", "é", " a", "x:y", "")


def target(data: bytes) -> None:
    """Parse a stream in two cuts; then write events, and parse them."""
    source = Source(data)
    most = source.pick((1_000_000, 200))
    size = 1 + source.below(9)
    stream = b""
    while source.more and len(stream) < 3_000:
        kind = source.byte()
        stream += WORDS[kind % len(WORDS)] if kind < 200 else source.take(kind - 200)
    whole = parse([stream], most, data)
    assert whole == parse(pieces(stream, size), most, b"\0"), f"cut into {size}"
    round_trip(Source(data), stream)


def parse(parts: list[bytes], most: int, data: bytes) -> tuple[list[ServerSentEvent], str, float | None, bool]:
    """Return events, the last id, the retry, and whether the limit was passed."""
    parser = EventParser(max_event_size=most)
    meter = Meter(data, calls_a_byte=20, bytes_a_byte=100)
    events: list[ServerSentEvent] = []
    for part in parts:
        try:
            events += meter.run(parser.feed, part, size=len(part))
        except RemoteProtocolError:
            return [], "", None, True
    assert all(len(event.data) <= most for event in events)
    return events, parser.last_event_id, parser.retry_s, False


def round_trip(source: Source, noise: bytes) -> None:
    """Events arrive as they were written."""
    sent = []
    for _ in range(source.below(6)):
        name = source.pick((None, *LINES))
        number = source.pick((None, "1", "", "é", "a b"))
        sent.append(Event(source.pick((None, *TEXTS)), name, number, source.pick((None, 0, 1_500))))
    parser = EventParser()
    parser.feed(noise + b"\n\n\n")
    last = parser.last_event_id
    got = parser.feed(b"".join(event.encode() for event in sent))
    expected = []
    for event in sent:
        last = last if event.id is None else event.id
        if event.data is not None:
            text = event.data.replace("\r\n", "\n").replace("\r", "\n")
            expected.append(ServerSentEvent(text, event.event or "message", last))
    assert got == expected and parser.last_event_id == last
    if sent and sent[-1].retry is not None:
        assert parser.retry_s == sent[-1].retry / 1_000


def seeds() -> list[bytes]:
    """Return streams of each word."""
    words = [bytes((n % 2, n % 9, n, 9, n, 0, n, 12, (n * 5) % 22, 9, 9, 20)) for n in range(24)]
    return [*words, bytes((0, 3, 3, 0, 6, 9, 5, 0, 14, 11, 230, *b"data: hello\n\nid: 3\ndata: x\n\n"))]
