"""Sessions that keep the rules: every server has to serve them, and go on."""

from __future__ import annotations

import hpack

from tests.differential.servers.session import SYNC, Began, Session, get, head, over, post, session
from tests.support import wire
from tests.support.wire import continuation, data, headers, priority, settings, window_update

WINDOW, TABLE, FRAME = wire.INITIAL_WINDOW_SIZE, wire.HEADER_TABLE_SIZE, wire.MAX_FRAME_SIZE
ABC = data(1, b"abc", end_stream=True)
BLOCK = wire.literals(head())
LENGTH_3 = (b"content-length", b"3")
TRAILER = (b"trailer", b"x-t")


def huffman() -> bytes:
    """A request as another encoder writes it: Huffman, and the table."""
    encoder = hpack.Encoder()
    return bytes(encoder.encode(head(b"/index.html", (b"x", b"www.example.com")), huffman=True))


def indexed_again() -> bytes:
    """Two requests, the second one from the table."""
    first = wire.literals(head(), index=True)
    names = len(head())
    second = b"".join(wire.indexed(61 + names - at) for at in range(names))
    return headers(1, first, end_stream=True) + headers(3, second, end_stream=True)


REQUESTS = (
    session("GET", get()),
    session("GET with a query", get(1, b"/?a=b&c")),
    session("GET with an empty query", get(1, b"/?")),
    session("GET with content", post(1, b"/", method=b"GET"), ABC),
    session("HEAD", get(method=b"HEAD")),
    session("HEAD of something big", get(1, b"/big", method=b"HEAD")),
    session("DELETE", get(method=b"DELETE")),
    session("OPTIONS *", get(1, b"*", method=b"OPTIONS"), app=True),
    session("OPTIONS /", get(method=b"OPTIONS")),
    session("TRACE", get(method=b"TRACE")),
    session("unknown method", get(method=b"FROB")),
    session("method in lower case", get(method=b"get")),
    session("CONNECT", headers(1, [(b":method", b"CONNECT"), (b":authority", b"a.example:443")], end_stream=True),
            app=True),
    session("POST with content-length", post(1, b"/", LENGTH_3), ABC),
    session("POST without content-length", post(), ABC),
    session("POST in pieces", post(), data(1, b"ab"), SYNC, data(1, b"c"), SYNC, data(1, end_stream=True)),
    session("POST, an empty DATA frame ends it", post(), data(1, end_stream=True)),
    session("POST, content-length 0", get(1, b"/", (b"content-length", b"0"), method=b"POST")),
    session("POST, content-length 0 and an empty DATA", post(1, b"/", (b"content-length", b"0")),
            data(1, end_stream=True)),
    session("POST, empty DATA frames in between", post() + data(1) + data(1, b"a") + data(1)
            + data(1, b"b", end_stream=True)),
    session("POST, answered early", post(1, b"/early"), over(1), data(1, b"abc", end_stream=True), app=True),
    session("POST, answered early and never ended", post(1, b"/early"), over(1), app=True),
    session("a second length that is the same", post(1, b"/", LENGTH_3, LENGTH_3), ABC),
    session("expect 100-continue", post(1, b"/", (b"expect", b"100-continue"), LENGTH_3), Began(1), ABC),
    session("expect 100-continue, and not waited for", post(1, b"/early", (b"expect", b"100-continue"), LENGTH_3)
            + ABC),
    session("expect what nobody knows", post(1, b"/", (b"expect", b"tea"), LENGTH_3) + ABC),
    session("trailers", post(1, b"/", TRAILER), data(1, b"abc"), headers(1, [(b"x-t", b"v")], end_stream=True)),
    session("trailers without DATA", post(1, b"/", TRAILER), headers(1, [(b"x-t", b"v")], end_stream=True)),
    session("trailers without a field", post(), data(1, b"abc"), headers(1, b"", end_stream=True)),
    session("trailers in CONTINUATION", post(1, b"/", TRAILER), data(1, b"abc"),
            headers(1, b"", end_stream=True, end_headers=False)
            + continuation(1, wire.literal(b"x-t", b"v"), end_headers=True)),
    session("trailers in the answer", get(1, b"/trailers", (b"te", b"trailers"))),
    session("early hints", get(1, b"/hints"), app=True),
    session("204", get(1, b"/204"), app=True),
    session("304", get(1, b"/304"), app=True),
    session("https on a cleartext connection", get(scheme=b"https")),
    session("te: trailers", get(1, b"/", (b"te", b"trailers"))),
    session("cookie crumbs", get(1, b"/", (b"cookie", b"a=b"), (b"cookie", b"c=d"))),
    session("a field twice", get(1, b"/", (b"x", b"a"), (b"x", b"b"))),
    session("an empty value", get(1, b"/", (b"x", b""))),
    session("bytes above 127 in a value", get(1, b"/", (b"x", b"\xe9\xff"))),
    session("a tab in a value", get(1, b"/", (b"x", b"a\tb"))),
    session("never indexed", headers(1, BLOCK + wire.literal(b"x", b"s", never=True), end_stream=True)),
    session("Huffman and the tables", headers(1, huffman(), end_stream=True)),
    session("from the dynamic table", indexed_again()),
    session("host instead of :authority", get(1, b"/", (b"host", b"b.example"), authority=None)),
    session("host and :authority, the same", get(1, b"/", (b"host", b"a.example"))),
    session("a name with all marks", get(1, b"/", (b"!#$%&'*+-.^_`|~09az", b"v"))),
    session("a path of 10,000 bytes", get(1, b"/?" + b"p" * 10_000)),
    session("100 fields", get(1, b"/", *((b"f%d" % n, b"v") for n in range(100)))),
)  # fmt: skip

FRAMING = (
    session("padded HEADERS and DATA", headers(1, head(method=b"POST"), pad=9),
            data(1, b"abc", pad=255, end_stream=True)),
    session("DATA of padding alone", post(), data(1, b"", pad=20), data(1, b"abc", end_stream=True)),
    session("padding of no bytes", headers(1, head(), pad=0, end_stream=True)),
    session("padding that is not zero", headers(1, head(), pad=3, pad_byte=b"p", end_stream=True)),
    session("CONTINUATION", headers(1, BLOCK[:5], end_stream=True, end_headers=False) + continuation(1, BLOCK[5:20])
            + continuation(1, BLOCK[20:], end_headers=True)),
    session("CONTINUATION without bytes", headers(1, b"", end_stream=True, end_headers=False) + continuation(1)
            + continuation(1, BLOCK) + continuation(1, end_headers=True)),
    session("HEADERS with a priority", headers(1, head(), priority=(True, 0, 200), end_stream=True)),
    session("PRIORITY, idle, open and closed", priority(3), post(), priority(1, 3), ABC, over(1), priority(1)),
    session("PRIORITY_UPDATE", wire.priority_update(1, b"u=0, i"), get(), over(1), wire.priority_update(1, b"u=7")),
    session("a frame of unknown type", wire.frame(0xFA, 0xFF, 0, b"x"), get(), over(1), wire.frame(0xFA, 0, 1, b"y")),
    session("flags that mean nothing", headers(1, head(), flags=0xD2, end_stream=True)),
    session("the reserved bit", headers(1, head(), reserved=1, end_stream=True)),
    session("stream ids that are skipped", get(7), over(7), get(101), over(101), get(2**31 - 1)),
    session("ten requests at once", b"".join(get(n, b"/?%d" % n) for n in range(1, 21, 2))),
    session("two uploads, mixed", post() + post(3) + data(1, b"a") + data(3, b"bc") + data(1, b"d", end_stream=True)
            + data(3, b"e", end_stream=True)),
    session("PING", wire.ping(b"12345678"), get()),
    session("PING with ACK that nobody asked for", wire.ping(b"12345678", ack=True), get()),
    session("SETTINGS with ACK that nobody asked for", wire.settings_ack(), get()),
    session("RST_STREAM while its answer waits", settings({WINDOW: 0}) + get(1, b"/big"), Began(1), wire.rst_stream(1),
            get(3, method=b"HEAD"), untold=(1,)),
    session("RST_STREAM within an upload", post(), data(1, b"ab"), SYNC, wire.rst_stream(1), get(3), untold=(1,)),
    session("RST_STREAM behind the answer", get(), over(1), wire.rst_stream(1), get(3)),
    session("RST_STREAM twice", post(), wire.rst_stream(1), wire.rst_stream(1), get(3), untold=(1,)),
    session("WINDOW_UPDATE behind the answer", get(), over(1), window_update(1, 5), get(3)),
    session("WINDOW_UPDATE behind RST_STREAM", post(), wire.rst_stream(1), window_update(1, 5), get(3), untold=(1,)),
    session("GOAWAY of the client, and its upload ends", post(), wire.goaway(0), SYNC, ABC),
    session("GOAWAY of the client with an error", get(), over(1), wire.goaway(0, wire.INTERNAL_ERROR, b"debug")),
    session("a request behind one's own GOAWAY", wire.goaway(0), SYNC, get()),
)  # fmt: skip

ROOM = window_update(0, 200_000)
SETTINGS = (
    session("SETTINGS without entries", settings(), get()),
    session("SETTINGS with an unknown entry", settings([(0xF0F0, 7)]), get()),
    session("SETTINGS, an entry twice", settings([(WINDOW, 0), (WINDOW, 65_535)]), get()),
    session("SETTINGS, ENABLE_PUSH 0", settings({wire.ENABLE_PUSH: 0}), get()),
    session("SETTINGS, MAX_CONCURRENT_STREAMS 0", settings({wire.MAX_CONCURRENT_STREAMS: 0}), get()),
    session("SETTINGS, MAX_HEADER_LIST_SIZE 0", settings({wire.MAX_HEADER_LIST_SIZE: 0}), get()),
    session("SETTINGS, NO_RFC7540_PRIORITIES changes", settings([(9, 1)]), SYNC, settings([(9, 0)]), get()),
    session("window 0, raised by SETTINGS", ROOM, get(1, b"/big"), Began(1), settings({WINDOW: 200_000}),
            settings={WINDOW: 0}),
    session("window 0, raised by WINDOW_UPDATE", ROOM, get(1, b"/big"), Began(1), window_update(1, 200_000),
            settings={WINDOW: 0}),
    session("window of 10, given ten thousand at a time", ROOM, get(1, b"/big"), Began(1),
            *(window_update(1, 10_000) for _ in range(10)), settings={WINDOW: 10}),
    session("a window that becomes negative", ROOM, get(1, b"/big"), Began(1), settings({WINDOW: 0}), SYNC,
            settings({WINDOW: 50_000}), SYNC, window_update(1, 100_000)),
    session("an empty answer needs no window", get(1, b"/204"), settings={WINDOW: 0}, app=True),
    session("the connection's window alone", settings({WINDOW: 1 << 20}), get(1, b"/big"), Began(1), SYNC, ROOM),
    session("windows at their largest", window_update(0, 2**31 - 1 - 65_535), get(1, b"/big"),
            settings={WINDOW: 2**31 - 1}),
    session("HEADER_TABLE_SIZE 0", get(), over(1), get(3), settings={TABLE: 0}),
    session("HEADER_TABLE_SIZE 65,536", get(), over(1), get(3), settings={TABLE: 65_536}),
    session("HEADER_TABLE_SIZE down and up", get(), over(1), settings([(TABLE, 0), (TABLE, 4_096)]), SYNC, get(3)),
    session("a table size update of the client", headers(1, wire.table_size(0) + wire.table_size(4_096) + BLOCK,
            end_stream=True)),
    session("MAX_FRAME_SIZE at its largest", ROOM, get(1, b"/big"), settings={FRAME: 2**24 - 1, WINDOW: 200_000}),
    session("MAX_FRAME_SIZE up in between", ROOM, get(1, b"/big"), over(1), settings({FRAME: 16_384}), get(3),
            settings={WINDOW: 200_000}),
)  # fmt: skip

SOUND: tuple[Session, ...] = (*REQUESTS, *FRAMING, *SETTINGS)
