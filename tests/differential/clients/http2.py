"""Sessions over HTTP/2 for clients: responses and connections that are sound, odd or wrong."""

from __future__ import annotations

from tests.differential.clients.session import CLOSE, OK, SYNC, WHOLE, Session, body, h2, head
from tests.support import wire
from tests.support.wire import continuation, data, frame, headers, rst_stream, settings, window_update

BLOCK = wire.literals([OK])
LENGTH_5 = (b"content-length", b"5")
HELLO = head() + body()
LARGE = 1_000_000  # bytes of an upload that no window holds at its start
ROOM = window_update(0, LARGE) + window_update(1, LARGE)


def with_field(name: str, *fields: tuple[bytes, bytes]) -> Session:
    return h2(name, head(*fields) + body())


def with_status(name: str, *fields: tuple[bytes, bytes]) -> Session:
    return h2(name, headers(1, list(fields)) + body())


RESPONSES = (
    h2("200", HELLO),
    h2("200 with content-length", head(LENGTH_5) + body()),
    h2("200 without content", head(end=True)),
    h2("200, an empty DATA frame ends it", head() + data(1, end_stream=True)),
    h2("200 in pieces", head() + body(b"he", end=False), SYNC, body(b"", end=False) + body(b"llo")),
    h2("200, padded", headers(1, [OK], pad=5) + data(1, b"hello", pad=200, end_stream=True)),
    h2("200 in CONTINUATION", headers(1, BLOCK[:3], end_headers=False) + continuation(1, BLOCK[3:], end_headers=True)
       + body()),
    h2("200 to POST", WHOLE, HELLO, upload=5),
    h2("404", head(status=b"404") + body()),
    h2("299", head(status=b"299") + body()),
    h2("599", head(status=b"599") + body()),
    h2("trailers", head() + body(end=False) + headers(1, [(b"x-t", b"v")], end_stream=True)),
    h2("trailers without content", head() + headers(1, [(b"x-t", b"v")], end_stream=True)),
    h2("trailers without a field", head() + body(end=False) + headers(1, b"", end_stream=True)),
    h2("100 that nobody asked for", head(status=b"100") + HELLO),
    h2("103", head((b"link", b"</a>"), status=b"103") + HELLO),
    h2("several interim responses", head(status=b"103") + head(status=b"102") + head(status=b"199") + HELLO),
    h2("an interim response with content-length", head(LENGTH_5, status=b"103") + HELLO),
    h2("HEAD with content-length", head(LENGTH_5, end=True), method="HEAD"),
    h2("HEAD, an empty DATA frame ends it", head(LENGTH_5) + data(1, end_stream=True), method="HEAD"),
    h2("204", head(status=b"204", end=True)),
    h2("204 with content-length 0", head((b"content-length", b"0"), status=b"204", end=True)),
    h2("304 with content-length", head(LENGTH_5, status=b"304", end=True)),
    h2("205 without content", head(status=b"205", end=True)),
    h2("two content-lengths that are the same", head(LENGTH_5, LENGTH_5) + body()),
    h2("a name with an underscore", head((b"a_b", b"v")) + body()),
    h2("bytes above 127 in a value", head((b"x", b"\xe9")) + body()),
    h2("a header table of no bytes", HELLO, settings={wire.HEADER_TABLE_SIZE: 0}),
    h2("RST_STREAM(NO_ERROR) behind the response", HELLO + rst_stream(1, wire.NO_ERROR)),
    h2("an early response, and the upload is not wanted", HELLO + rst_stream(1, wire.NO_ERROR), upload=LARGE),
    h2("an early response, and the upload goes on", HELLO, SYNC, ROOM, WHOLE, upload=LARGE),
    h2("the beginning of an early response, and the upload goes on", head(), SYNC, ROOM, WHOLE, body(), upload=LARGE),
    h2("an early 413, and the upload goes on", head(status=b"413") + body(), SYNC, ROOM, WHOLE, upload=LARGE),
    h2("100 interim responses", head(status=b"103") * 100 + HELLO),
)  # fmt: skip

MALFORMED = (
    with_status("no :status", (b"x", b"y")),
    with_status(":status twice", OK, OK),
    with_status(":status empty", (b":status", b"")),
    with_status(":status of two digits", (b":status", b"20")),
    with_status(":status of four digits", (b":status", b"2000")),
    with_status(":status no number", (b":status", b"abc")),
    with_status(":status 099", (b":status", b"099")),
    with_status(":status 000", (b":status", b"000")),
    with_status(":status 600", (b":status", b"600")),
    with_status(":status 101", (b":status", b"101")),
    with_status(":status behind a field", (b"x", b"y"), OK),
    with_status(":path in a response", OK, (b":path", b"/")),
    with_status("an unknown pseudo-header field", OK, (b":x", b"y")),
    with_field("name: upper case", (b"X", b"v")),
    with_field("name: empty", (b"", b"v")),
    with_field("name: a space", (b"a b", b"v")),
    with_field("name: a colon", (b"a:b", b"v")),
    with_field("name: NUL", (b"a\x00", b"v")),
    with_field("value: NUL", (b"x", b"a\x00b")),
    with_field("value: LF", (b"x", b"a\nb")),
    with_field("value: CR LF and a field", (b"x", b"a\r\ny: z")),
    with_field("value: a space in front", (b"x", b" a")),
    with_field("value: a control character", (b"x", b"a\x01b")),
    with_field("connection", (b"connection", b"close")),
    with_field("keep-alive", (b"keep-alive", b"timeout=5")),
    with_field("transfer-encoding", (b"transfer-encoding", b"chunked")),
    with_field("upgrade", (b"upgrade", b"h2c")),
    h2("trailers: a pseudo-header field", head() + body(end=False) + headers(1, [OK], end_stream=True)),
    h2("trailers: upper case", head() + body(end=False) + headers(1, [(b"X-T", b"v")], end_stream=True)),
    h2("trailers: without END_STREAM", head() + body(end=False) + headers(1, [(b"x-t", b"v")])),
    h2("trailers: content-length", head() + body(end=False) + headers(1, [LENGTH_5], end_stream=True)),
    h2("content-length: more than comes", head((b"content-length", b"9")) + body()),
    h2("content-length: less than comes", head((b"content-length", b"3")) + body()),
    h2("content-length: no content comes", head(LENGTH_5, end=True)),
    h2("content-length: not a number", head((b"content-length", b"x")) + body()),
    h2("content-length: negative", head((b"content-length", b"-5")) + body()),
    h2("content-length: two that differ", head(LENGTH_5, (b"content-length", b"6")) + body()),
    h2("content-length: a list of the same", head((b"content-length", b"5, 5")) + body()),
    h2("HEAD with content", head() + body(), method="HEAD"),
    h2("204 with content", head(status=b"204") + body()),
    h2("304 with content", head(status=b"304") + body()),
    h2("an interim response ends the stream", head(status=b"103", end=True)),
    h2("DATA before the head", body()),
    h2("a second head", HELLO.replace(body(), b"") + head() + body()),
)  # fmt: skip

RESETS = (
    *(h2(f"RST_STREAM({name}) for a response", rst_stream(1, code)) for name, code in (
        ("NO_ERROR", 0), ("PROTOCOL_ERROR", 1), ("INTERNAL_ERROR", 2), ("REFUSED_STREAM", 7), ("CANCEL", 8),
        ("ENHANCE_YOUR_CALM", 11), ("HTTP_1_1_REQUIRED", 13), ("an unknown code", 99))),
    h2("RST_STREAM(REFUSED_STREAM) for an upload", WHOLE, rst_stream(1, 7), upload=5),
    h2("RST_STREAM within the content", head() + body(b"he", end=False), SYNC, rst_stream(1)),
    h2("RST_STREAM(NO_ERROR) within the content", head() + body(b"he", end=False), SYNC, rst_stream(1, 0)),
    h2("RST_STREAM within the content that has a length", head(LENGTH_5) + body(b"he", end=False), SYNC, rst_stream(1)),
    h2("GOAWAY above, then the response", wire.goaway(1) + HELLO),
    h2("GOAWAY of a drain, then the response", wire.goaway(2**31 - 1) + HELLO),
    h2("GOAWAY in two steps, then the response", wire.goaway(2**31 - 1) + wire.goaway(1) + HELLO),
    h2("GOAWAY below: not processed", wire.goaway(0)),
    h2("GOAWAY below, for an upload", WHOLE, wire.goaway(0), upload=5),
    h2("GOAWAY below, with an error", wire.goaway(0, wire.INTERNAL_ERROR)),
    h2("GOAWAY above, with an error, and the end", wire.goaway(1, wire.INTERNAL_ERROR), CLOSE),
    h2("GOAWAY above, and the end", wire.goaway(1), CLOSE),
    h2("GOAWAY behind the response", head() + wire.goaway(1) + body()),
    h2("GOAWAY whose last stream rises", wire.goaway(1) + wire.goaway(3) + HELLO),
    h2("the end instead of a response", CLOSE),
    h2("the end within the content", head() + body(b"he", end=False), CLOSE),
    h2("the end behind the response", HELLO, CLOSE),
)  # fmt: skip

WINDOW = wire.INITIAL_WINDOW_SIZE
CONNECTIONS = (
    h2("SETTINGS: one stream", HELLO, settings={wire.MAX_CONCURRENT_STREAMS: 1}),
    h2("SETTINGS: no further stream", settings({wire.MAX_CONCURRENT_STREAMS: 0}) + HELLO),
    h2("SETTINGS: unknown", HELLO, settings={0xF0F0: 1}),
    h2("SETTINGS: ENABLE_PUSH 0", HELLO, settings={wire.ENABLE_PUSH: 0}),
    h2("SETTINGS: ENABLE_PUSH 1", HELLO, settings={wire.ENABLE_PUSH: 1}),
    h2("SETTINGS: MAX_FRAME_SIZE 100", settings({wire.MAX_FRAME_SIZE: 100}) + HELLO),
    h2("SETTINGS: INITIAL_WINDOW_SIZE 2^31", settings({WINDOW: 2**31}) + HELLO),
    h2("SETTINGS: ENABLE_CONNECT_PROTOCOL 2", settings({wire.ENABLE_CONNECT_PROTOCOL: 2}) + HELLO),
    h2("SETTINGS: with ACK that nobody asked for", settings(ack=True) * 2 + HELLO),
    h2("SETTINGS: length 5", settings(payload=bytes(5)) + HELLO),
    h2("no SETTINGS first", HELLO, preface=b""),
    h2("HTTP/1.1 instead of HTTP/2", CLOSE, preface=b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"),
    h2("bytes that are nothing", CLOSE, preface=b"\xff" * 64),
    h2("a window of 0, raised by SETTINGS", settings({WINDOW: 10}), WHOLE, HELLO, upload=5, settings={WINDOW: 0}),
    h2("a window of 0, raised by WINDOW_UPDATE", window_update(1, 10), WHOLE, HELLO, upload=5, settings={WINDOW: 0}),
    h2("a window of 3 in steps", window_update(1, 1) + window_update(1, 1), WHOLE, HELLO, upload=5,
       settings={WINDOW: 3}),
    h2("a large upload", ROOM, WHOLE, HELLO, upload=LARGE),
    h2("PUSH_PROMISE", wire.push_promise(1, 2, wire.request_fields()) + HELLO),
    h2("PING ten times", wire.ping() * 10 + HELLO),
    h2("PING with ACK that nobody asked for", wire.ping(b"12345678", ack=True) + HELLO),
    h2("PING: length 7", wire.ping(b"1234567") + HELLO),
    h2("WINDOW_UPDATE of 0 on the connection", window_update(0, 0) + HELLO),
    h2("WINDOW_UPDATE of 0 on the stream", window_update(1, 0) + HELLO),
    h2("WINDOW_UPDATE, the connection's overflows", window_update(0, 2**31 - 1) + HELLO),
    h2("WINDOW_UPDATE, the stream's overflows", window_update(1, 2**31 - 1) + HELLO),
    h2("WINDOW_UPDATE on an idle stream", window_update(5, 1) + HELLO),
    h2("WINDOW_UPDATE behind the response", HELLO + window_update(1, 5)),
    h2("an unknown frame", frame(0xFA, 0xFF, 1, b"x") + frame(0xFA, 0, 0, b"x") + HELLO),
    h2("ALTSVC and ORIGIN", frame(wire.ALTSVC, 0, 0, b"\0\1ah2") + frame(wire.ORIGIN, 0, 0, b"\0\1a") + HELLO),
    h2("PRIORITY", wire.priority(1) + HELLO),
    h2("PRIORITY_UPDATE of a server", wire.priority_update(1, b"u=1") + HELLO),
    h2("HEADERS on a stream that nobody opened", headers(3, [OK], end_stream=True) + HELLO),
    h2("HEADERS on an even stream", headers(2, [OK], end_stream=True) + HELLO),
    h2("HEADERS on stream 0", headers(0, [OK], end_stream=True) + HELLO),
    h2("DATA on stream 0", data(0, b"x") + HELLO),
    h2("DATA on an idle stream", data(3, b"x") + HELLO),
    h2("DATA behind END_STREAM", HELLO + body()),
    h2("HEADERS behind END_STREAM", HELLO + head(end=True)),
    h2("RST_STREAM on an idle stream", rst_stream(3) + HELLO),
    h2("RST_STREAM: length 3", rst_stream(1, payload=bytes(3)) + HELLO),
    h2("GOAWAY on a stream", wire.goaway(1, stream_id=1) + HELLO),
    h2("CONTINUATION alone", continuation(1, BLOCK, end_headers=True) + HELLO),
    h2("DATA within a block", headers(1, BLOCK, end_headers=False) + body()),
    h2("more padding than content", head() + data(1, b"abc", pad=0, claim=9, end_stream=True)),
    h2("a frame of 16 MB", frame(wire.DATA, 0, 1, length=2**24 - 1)),
    h2("HPACK: an index that is not there", headers(1, BLOCK + wire.indexed(99)) + body()),
    h2("HPACK: cut off", headers(1, BLOCK + b"\x00\x05ab") + body()),
    h2("HPACK: a table above the limit", headers(1, wire.table_size(1 << 24) + BLOCK) + body()),
    h2("100 CONTINUATION frames", headers(1, BLOCK, end_headers=False) + continuation(1) * 100
       + continuation(1, end_headers=True) + body()),
    h2("500 fields", head(*((b"f%d" % n, b"v") for n in range(500))) + body()),
    h2("100 empty DATA frames", head() + body(b"", end=False) * 100 + body()),
)  # fmt: skip

HTTP2: tuple[Session, ...] = (*RESPONSES, *MALFORMED, *RESETS, *CONNECTIONS)
