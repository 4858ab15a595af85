"""Sessions that break the rules of frames, streams, windows and HPACK (RFC 9113 §3 to §6, RFC 7541); and large ones."""

from __future__ import annotations

from tests.differential.servers.session import SYNC, Flood, Session, get, head, over, post, session
from tests.support import wire
from tests.support.wire import continuation, data, frame, headers, priority, settings, window_update

WINDOW, TABLE, FRAME = wire.INITIAL_WINDOW_SIZE, wire.HEADER_TABLE_SIZE, wire.MAX_FRAME_SIZE
BLOCK = wire.literals(head())
ABC = data(1, b"abc", end_stream=True)
MOST = 2**24 - 1
DONE = (get(), over(1))
OPEN = (post(), SYNC)
PART = headers(1, BLOCK, end_headers=False)


def block(name: str, octets: bytes) -> Session:
    """A field block, which is a request up to its last octets."""
    return session(f"HPACK: {name}", headers(1, octets, end_stream=True))


PREFACES = (
    session("preface: HTTP/1.1 that asks for h2c", b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, "
            b"HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", raw=True),
    session("preface: HTTP/1.1", b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", raw=True),
    session("preface: cut off and wrong", wire.PREFACE[:20] + b"XXXX" + settings() + get(), raw=True),
    session("preface: without SETTINGS", wire.PREFACE + get(), raw=True),
    session("preface: PING before SETTINGS", wire.PREFACE + wire.ping() + settings(), raw=True),
    session("preface: SETTINGS with ACK first", wire.PREFACE + settings(ack=True) + get(), raw=True),
    session("preface: twice", wire.PREFACE),
)  # fmt: skip
LENGTHS = (
    session("length: SETTINGS of 5", settings(payload=b"\0\3\0\0\0")),
    session("length: SETTINGS with ACK and an entry", settings({3: 1}, ack=True)),
    session("length: PING of 7", wire.ping(b"1234567")),
    session("length: PING of 9", wire.ping(b"123456789")),
    session("length: GOAWAY of 7", frame(wire.GOAWAY, 0, 0, bytes(7))),
    session("length: WINDOW_UPDATE of 3", window_update(0, 0, payload=bytes(3))),
    session("length: WINDOW_UPDATE of 5", window_update(0, 0, payload=b"\0\0\0\1\0")),
    session("length: PRIORITY of 4", *OPEN, priority(1, payload=bytes(4))),
    session("length: PRIORITY of 4, idle", priority(1, payload=bytes(4)), get(3)),
    session("length: RST_STREAM of 3", *OPEN, wire.rst_stream(1, payload=bytes(3)), untold=(1,)),
    session("length: RST_STREAM of 5", *OPEN, wire.rst_stream(1, payload=bytes(5)), untold=(1,)),
    session("length: HEADERS without its priority", frame(wire.HEADERS, 0x25, 1, b"\0\0")),
    session("length: HEADERS without its padding", frame(wire.HEADERS, 0x0D, 1, b"")),
    session("length: DATA without its padding", *OPEN, frame(wire.DATA, 0x08, 1, b""), untold=(1,)),
    session("length: DATA, more padding than content", *OPEN, data(1, b"abc", pad=0, claim=4), untold=(1,)),
    session("length: DATA, nothing but padding", *OPEN, data(1, b"", pad=4, claim=5), untold=(1,)),
    session("length: HEADERS, more padding than content", headers(1, head(), pad=0, claim=255, end_stream=True)),
    # More than anybody allows (Go allows a megabyte); the frame's header is enough to know.
    session("length: DATA of 16 MB", *OPEN, data(1, length=MOST), untold=(1,)),
    session("length: HEADERS of 16 MB", headers(1, b"", length=MOST)),
    session("length: SETTINGS of 16 MB", frame(wire.SETTINGS, 0, 0, length=MOST - 3)),
    session("length: PING of 16 MB", frame(wire.PING, 0, 0, length=MOST)),
    session("length: an unknown frame of 16 MB", frame(0xFA, 0, 0, length=MOST)),
)  # fmt: skip
STREAMS = (
    session("stream 0: DATA", data(0, b"abc")),
    session("stream 0: HEADERS", headers(0, head(), end_stream=True)),
    session("stream 0: PRIORITY", priority(0)),
    session("stream 0: RST_STREAM", wire.rst_stream(0)),
    session("stream 0: CONTINUATION", continuation(0, end_headers=True)),
    session("stream 1: SETTINGS", settings(stream_id=1)),
    session("stream 1: PING", wire.ping(stream_id=1)),
    session("stream 1: GOAWAY", wire.goaway(stream_id=1)),
    session("stream 1: PRIORITY_UPDATE", wire.priority_update(1, b"u=1", stream_id=1)),
    session("PRIORITY_UPDATE of stream 0", wire.priority_update(0, b"u=1")),
    session("PRIORITY_UPDATE of 3 bytes", wire.priority_update(0, b"", payload=b"\0\0\1")),
    session("PRIORITY_UPDATE that is no structured field", wire.priority_update(1, b"\xff=?"), get()),
    session("an even stream", headers(2, head(), end_stream=True)),
    session("a lower stream", get(5), over(5), get(3), unwaited=(3,)),
    session("idle: DATA", data(1, b"abc")),
    session("idle: RST_STREAM", wire.rst_stream(1)),
    session("idle: WINDOW_UPDATE", window_update(1, 1)),
    session("idle: WINDOW_UPDATE of an even stream", window_update(2, 1)),
    session("half-closed: DATA", get(1, b"/hold"), SYNC, ABC, app=True),
    session("half-closed: HEADERS", get(1, b"/hold"), SYNC, get(), app=True),
    session("closed: DATA", *DONE, ABC),
    session("closed: HEADERS", *DONE, get()),
    session("closed by RST_STREAM: DATA", *OPEN, wire.rst_stream(1), SYNC, ABC, unwaited=(1,)),
    session("closed by RST_STREAM: HEADERS", *OPEN, wire.rst_stream(1), SYNC, get(), unwaited=(1,)),
    session("a request behind RST_STREAM on its stream", wire.rst_stream(1), get()),
    session("PUSH_PROMISE", *OPEN, wire.push_promise(1, 2, BLOCK), untold=(1,)),
    session("PRIORITY on itself", priority(1, 1), get(3)),
    session("HEADERS on itself", headers(1, head(), priority=(False, 1, 0), end_stream=True)),
)
BLOCKS = (
    session("block: CONTINUATION alone", continuation(1, BLOCK, end_headers=True)),
    session("block: CONTINUATION behind its end", *OPEN, continuation(1, b"", end_headers=True), untold=(1,)),
    session(
        "block: CONTINUATION of another stream",
        PART + continuation(3, end_headers=True),
    ),
    session("block: DATA within", PART + data(1, b"abc")),
    session("block: PING within", PART + wire.ping()),
    session("block: an unknown frame within", PART + frame(0xFA, 0, 1)),
    session("block: HEADERS within", PART + get(3)),
    session("block: SETTINGS within", PART + settings()),
)
WINDOWS = (
    session("setting: ENABLE_PUSH 2", settings({wire.ENABLE_PUSH: 2})),
    session("setting: INITIAL_WINDOW_SIZE 2^31", settings({WINDOW: 2**31})),
    session("setting: MAX_FRAME_SIZE 16,383", settings({FRAME: 16_383})),
    session("setting: MAX_FRAME_SIZE 2^24", settings({FRAME: 2**24})),
    session("setting: ENABLE_CONNECT_PROTOCOL 2", settings({wire.ENABLE_CONNECT_PROTOCOL: 2})),
    session("window: increment 0 on the connection", window_update(0, 0)),
    session("window: increment 0 on a stream", *OPEN, window_update(1, 0)),
    session("window: the connection's overflows", window_update(0, 2**31 - 1)),
    session("window: a stream's overflows", *OPEN, window_update(1, 2**31 - 1)),
    session("window: a stream's overflows by SETTINGS", *OPEN, window_update(1, 2**31 - 1 - 65_535), SYNC,
            settings({WINDOW: 65_536})),
    session("window: more DATA than it has room for", post(1, b"/hold"), SYNC, Flood(1), app=True),
)  # fmt: skip
HPACK = (
    block("index 0", BLOCK + b"\x80"),
    block("an index that is not there", BLOCK + wire.indexed(62)),
    block("a name that is not there", BLOCK + wire.integer(62, 4) + wire.string(b"v")),
    block("cut off in a value", BLOCK + b"\x00\x01x\x05ab"),
    block("cut off in an integer", BLOCK + b"\xff"),
    block("an integer without end", BLOCK + b"\xff" + b"\xff" * 12 + b"\x01"),
    block("a string longer than the block", BLOCK + b"\x00\x7f\xe0\x07x"),
    block("a table above the limit", wire.table_size(1 << 20) + BLOCK),
    block("a table size update at the end", BLOCK + wire.table_size(0)),
    block("Huffman: EOS", BLOCK + b"\x00\x01x\x84\xff\xff\xff\xff"),
    block("Huffman: padding of more than seven bits", BLOCK + b"\x00\x01x\x82\x1f\xff"),
    block("Huffman: padding of zeros", BLOCK + b"\x00\x01x\x81\x18"),
    block("nothing at all", b""),
    session("HPACK: wrong in trailers", post(), data(1, b"abc"), headers(1, b"\x80", end_stream=True)),
    session(
        "HPACK: wrong on a stream that was reset", *OPEN, wire.rst_stream(1), SYNC, headers(1, b"\x80"), untold=(1,)
    ),
    session("HPACK: no size update after HEADER_TABLE_SIZE 0", headers(1, BLOCK, end_stream=True), settings={TABLE: 0}),
)
LARGE = wire.literal(b"large", b"v" * 16_000)
LONG = wire.literals(head(b"/?" + b"p" * 40_000))
LIMITS = (
    session("limit: 70,000 bytes of fields", headers(1, BLOCK, end_stream=True, end_headers=False)
            + continuation(1, LARGE) * 4 + continuation(1, LARGE, end_headers=True)),
    session("limit: 1,000 fields", get(1, b"/", *((b"f%d" % n, b"v") for n in range(1_000)))),
    session("limit: 100 CONTINUATION frames", headers(1, BLOCK, end_stream=True, end_headers=False)
            + continuation(1) * 100 + continuation(1, end_headers=True)),
    session("limit: 400 requests that wait", b"".join(get(n, b"/hold") for n in range(1, 800, 2)), SYNC,
            untold=tuple(range(1, 800, 2)), app=True),
    session("limit: 100 entries of SETTINGS", settings([(0xF0F0, 0)] * 100), get()),
    session("limit: 100 PINGs", wire.ping() * 100, get()),
    session("limit: 100 empty DATA frames", post(), data(1) * 100, ABC),
    session("limit: a path of 40,000 bytes", headers(1, LONG[:14_000], end_stream=True, end_headers=False)
            + continuation(1, LONG[14_000:28_000]) + continuation(1, LONG[28_000:], end_headers=True)),
)  # fmt: skip

BROKEN: tuple[Session, ...] = (*PREFACES, *LENGTHS, *STREAMS, *BLOCKS, *WINDOWS, *HPACK, *LIMITS)
