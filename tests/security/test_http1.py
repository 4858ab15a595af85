"""HTTP/1.1: request smuggling, and every other attack, at the level of the engine.

The tables by section, with every byte, are in tests/engine/rfc9112. Here stand the shapes of real attacks.
"""

from __future__ import annotations

import gc
import itertools
import tracemalloc

import pytest

from headrace.engine import events as ev
from headrace.engine.h1 import H1ServerConnection
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, OK, SILENT, H1Rig, chunked, head, post, read_responses, refusal

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /outer HTTP/1.1"
END = b"0\r\n\r\n"
TE = b"Transfer-Encoding: chunked"
CL = b"Content-Length: "


def te(value: bytes) -> bytes:
    return b"Transfer-Encoding:" + value


# What two servers in a row may read as one request and as two. Each must be refused with 400 or 501, the connection
# closed, and `SMUGGLED`, which stands somewhere in or behind it, must never be seen.
ATTACKS: dict[str, bytes] = {
    # CL.TE, TE.CL, CL.CL
    "CL.TE": head(CL + b"6", TE, request=POST) + END + b"G" + SMUGGLED,
    "CL.TE, whole": head(CL + b"%d" % (5 + len(SMUGGLED)), TE, request=POST) + END + SMUGGLED,
    "TE.CL": head(TE, CL + b"4", request=POST) + b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n" + END,
    "TE.CL, length 0": head(TE, CL + b"0", request=POST) + END + SMUGGLED,
    "CL.CL": head(CL + b"0", CL + b"%d" % len(SMUGGLED), request=POST) + SMUGGLED,
    "CL.CL the other way": head(CL + b"%d" % len(SMUGGLED), CL + b"0", request=POST) + SMUGGLED,
    "CL twice, equal": head(CL + b"5", CL + b"5", request=POST) + b"hello" + SMUGGLED,
    "CL in a list": head(CL + b"5, 5", request=POST) + b"hello" + SMUGGLED,
    "CL in a list, different": head(CL + b"0, 5", request=POST) + SMUGGLED,
    "CL in another case": head(CL + b"0", b"content-LENGTH: 5", request=POST) + SMUGGLED,
    "CL with TE of one space": head(b"Transfer-Encoding : chunked", CL + b"5", request=POST) + END + SMUGGLED,
    # TE.TE: a coding that one of them does not see
    "TE: xchunked": head(te(b" xchunked"), CL + b"4", request=POST) + END + SMUGGLED,
    "TE with a tab before the colon": head(b"Transfer-Encoding\t: chunked", request=POST) + END + SMUGGLED,
    "TE with a space before the colon": head(b"Transfer-Encoding : chunked", request=POST) + END + SMUGGLED,
    "TE behind a folded line": head(b"X: y", b" Transfer-Encoding: chunked", request=POST) + END + SMUGGLED,
    "TE folded": head(b"Transfer-Encoding:", b" chunked", request=POST) + END + SMUGGLED,
    "TE folded with a tab": head(b"Transfer-Encoding:", b"\tchunked", request=POST) + END + SMUGGLED,
    "TE with a vertical tab": head(te(b"\x0bchunked"), request=POST) + END + SMUGGLED,
    "TE with a form feed": head(te(b" \x0cchunked"), request=POST) + END + SMUGGLED,
    "TE with NUL": head(te(b" chunked\x00"), request=POST) + END + SMUGGLED,
    "TE with DEL": head(te(b" chunked\x7f"), request=POST) + END + SMUGGLED,
    "TE behind CR": head(b"X: y\rTransfer-Encoding: chunked", request=POST) + END + SMUGGLED,
    "TE behind LF": head(b"X: y\nTransfer-Encoding: chunked", request=POST) + END + SMUGGLED,
    "TE with CR inside": head(te(b" chu\rnked"), request=POST) + END + SMUGGLED,
    "TE quoted": head(te(b' "chunked"'), request=POST) + END + SMUGGLED,
    "TE in single quotes": head(te(b" 'chunked'"), request=POST) + END + SMUGGLED,
    "TE with a parameter": head(te(b" chunked;x=y"), request=POST) + END + SMUGGLED,
    "TE: identity": head(te(b" identity"), request=POST) + END + SMUGGLED,
    "TE: chunked, identity": head(te(b" chunked, identity"), request=POST) + END + SMUGGLED,
    "TE: identity, chunked": head(te(b" identity, chunked"), request=POST) + END + SMUGGLED,
    "TE: gzip, chunked": head(te(b" gzip, chunked"), request=POST) + END + SMUGGLED,
    "TE: chunked, chunked": head(te(b" chunked, chunked"), request=POST) + END + SMUGGLED,
    "TE: a comma first": head(te(b" ,chunked"), request=POST) + END + SMUGGLED,
    "TE: a comma last": head(te(b" chunked,"), request=POST) + END + SMUGGLED,
    "TE empty": head(te(b""), request=POST) + END + SMUGGLED,
    "TE empty and CL": head(te(b""), CL + b"5", request=POST) + END + SMUGGLED,
    "TE twice": head(TE, TE, request=POST) + END + SMUGGLED,
    "TE twice, one unknown": head(te(b" x"), TE, request=POST) + END + SMUGGLED,
    "TE twice, the unknown one last": head(TE, te(b" x"), request=POST) + END + SMUGGLED,
    "TE: chunk": head(te(b" chunk"), request=POST) + END + SMUGGLED,
    "TE with a byte above 127": head(te(b" chunked\xa0"), request=POST) + END + SMUGGLED,
    "TE in HTTP/1.0": head(TE, request=b"POST / HTTP/1.0") + END + SMUGGLED,
    "TE in HTTP/1.0, kept": head(TE, b"Connection: keep-alive", request=b"POST / HTTP/1.0") + END + SMUGGLED,
    "TE with an underscore": head(b"Transfer_Encoding: chunked", b"Transfer-Encoding: x", request=POST) + SMUGGLED,
    # lengths that one of them reads as a number
    "CL +5": head(CL + b"+5", request=POST) + b"hello" + SMUGGLED,
    "CL -1": head(CL + b"-1", request=POST) + SMUGGLED,
    "CL 0x5": head(CL + b"0x5", request=POST) + b"hello" + SMUGGLED,
    "CL 5e0": head(CL + b"5e0", request=POST) + b"hello" + SMUGGLED,
    "CL 5.0": head(CL + b"5.0", request=POST) + b"hello" + SMUGGLED,
    "CL 1_0": head(CL + b"1_0", request=POST) + SMUGGLED,
    "CL with a space inside": head(CL + b"1 0", request=POST) + SMUGGLED,
    "CL empty": head(CL, request=POST) + SMUGGLED,
    "CL beyond 64 bits": head(CL + b"18446744073709551621", request=POST) + b"hello" + SMUGGLED,
    "CL with NUL": head(CL + b"5\x00", request=POST) + b"hello" + SMUGGLED,
    "CL in Arabic digits": head(CL + "٥".encode(), request=POST) + b"hello" + SMUGGLED,
    "CL with a space before the colon": head(b"Content-Length : 5", request=POST) + b"hello" + SMUGGLED,
    "CL folded": head(b"Content-Length:", b" 5", request=POST) + b"hello" + SMUGGLED,
    # chunks
    "size 0x10": chunked(b"0x5\r\nhello\r\n" + END) + SMUGGLED,
    "size with a sign": chunked(b"+5\r\nhello\r\n" + END) + SMUGGLED,
    "size with an underscore": chunked(b"0_5\r\nhello\r\n" + END) + SMUGGLED,
    "size with a space": chunked(b"5 \r\nhello\r\n" + END) + SMUGGLED,
    "size with a space first": chunked(b" 5\r\nhello\r\n" + END) + SMUGGLED,
    "size with NUL": chunked(b"5\x00\r\nhello\r\n" + END) + SMUGGLED,
    "size negative": chunked(b"-5\r\nhello\r\n" + END) + SMUGGLED,
    "size empty": chunked(b"\r\nhello\r\n" + END) + SMUGGLED,
    "size beyond 64 bits": chunked(b"10000000000000005\r\nhello\r\n" + END) + SMUGGLED,
    "size with LF": chunked(b"5\nhello\r\n" + END) + SMUGGLED,
    "size with CR": chunked(b"5\rhello\r\n" + END) + SMUGGLED,
    "data with LF behind": chunked(b"5\r\nhello\n" + END) + SMUGGLED,
    "data with nothing behind": chunked(b"5\r\nhello" + END) + SMUGGLED,
    "data with two other bytes behind": chunked(b"5\r\nhelloXX" + END) + SMUGGLED,
    "data longer than its size": chunked(b"3\r\nhello\r\n" + END) + SMUGGLED,
    "LF in an extension (TERM.EXT)": chunked(b"5;\nxx\r\nhello\r\n" + END) + SMUGGLED,
    "CR in an extension (EXT.TERM)": chunked(b"5;a\rb\r\nhello\r\n" + END) + SMUGGLED,
    "extension without a name": chunked(b"5;\r\nhello\r\n" + END) + SMUGGLED,
    "last chunk with LF": chunked(b"0\n\n") + SMUGGLED,
    "trailers with LF": chunked(b"0\r\nx: y\n\r\n") + SMUGGLED,
    "the end with a bare CR": chunked(b"0\r\n\r" + b"X\r\n") + SMUGGLED,
    "TE among the trailers": chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n") + SMUGGLED,
    "CL among the trailers": chunked(b"0\r\nContent-Length: 100\r\n\r\n") + SMUGGLED,
    # lines and names
    "a bare LF between fields": head(b"X: y\nHost: b", request=POST) + SMUGGLED,
    "a bare CR between fields": head(b"X: y\rHost: b", request=POST) + SMUGGLED,
    "LF LF as the end of a head": b"POST / HTTP/1.1\r\nHost: a\n\n" + SMUGGLED,
    "CR LF LF as the end of a head": b"POST / HTTP/1.1\r\nHost: a\r\n\n" + SMUGGLED,
    "CR CR LF as the end of a head": b"POST / HTTP/1.1\r\nHost: a\r\r\n\r\n" + SMUGGLED,
    "an empty name (CVE-2023-25725)": head(b": x", CL + b"5", request=POST) + b"hello" + SMUGGLED,
    "a line without a colon": head(b"X", CL + b"5", request=POST) + b"hello" + SMUGGLED,
    "a name with a space": head(b"Content-Length x: 5", request=POST) + b"hello" + SMUGGLED,
    "a space before the first field": b"POST / HTTP/1.1\r\n Content-Length: 5\r\nHost: a\r\n\r\n" + SMUGGLED,
    "two hosts": head(b"Host: b", request=POST) + SMUGGLED,
    "no host": head(request=POST, host=None) + SMUGGLED,
    "host with a path": head(request=POST, host=b"a/b") + SMUGGLED,
    "a request line with a tab": head(request=b"POST\t/ HTTP/1.1") + SMUGGLED,
    "a request line with two versions": head(request=b"POST / HTTP/1.1 HTTP/1.1") + SMUGGLED,
    "HTTP/0.9": b"GET /\r\n\r\n" + SMUGGLED,
    "version in lower case": head(request=b"POST / http/1.1") + SMUGGLED,
    # upgrades and tunnels
    "WebSocket with content (CVE-2026-69243)": head(
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        CL + b"%d" % len(SMUGGLED),
    )
    + SMUGGLED,
    "CONNECT": head(request=b"CONNECT a:80 HTTP/1.1") + SMUGGLED,
    "CONNECT with content": head(CL + b"5", request=b"CONNECT a:80 HTTP/1.1") + b"hello" + SMUGGLED,
}


def test_there_are_at_least_60() -> None:
    """The list of attacks does not become shorter unnoticed."""
    assert len(ATTACKS) >= 60


@pytest.mark.parametrize("cut", [0, 1, 7])
@pytest.mark.parametrize("name", ATTACKS)
def test_smuggling(name: str, cut: int) -> None:
    """CL.TE, TE.CL, TE.TE and kin; gunicorn CVE-2024-1135, -6827, aiohttp CVE-2023-37276, 2026-111750, Kestrel
    2025-55315, h11 CVE-2025-43859: 400 or 501, the end, and no second request."""
    data = ATTACKS[name]
    rig = H1Rig(auto=True, websockets=True)
    rig.feed(data, cut)
    rig.feed(SMUGGLED)
    assert rig.conn.closed
    assert b"/smuggled" not in [event.path for event in rig.events if event.kind in (ev.REQUEST, ev.CONNECT)]
    statuses = [response.status for response in rig.responses()]
    assert statuses and statuses[-1] in (400, 501) and set(statuses[:-1]) <= {200}
    assert len(rig.of(ev.PeerFault)) == 1


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "HTTP/0.9"])
def test_smuggling_behind_a_request_that_is_well(name: str) -> None:
    """The same pipelined: the first request has its answer, the attack its refusal, and that is all."""
    rig = H1Rig(auto=True, websockets=True)
    rig.feed(GET + ATTACKS[name])
    assert rig.conn.closed
    assert b"/smuggled" not in [event.path for event in rig.requests]
    assert rig.responses()[0].status == 200


def test_content_that_looks_like_a_request_is_content() -> None:
    """The negative control: what is sound goes through, however it looks."""
    for data in (post(SMUGGLED), chunked(b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n" + END)):
        rig = H1Rig(auto=True)
        rig.feed(data + GET)
        assert [event.path for event in rig.requests] == [b"/", b"/"]
        assert rig.content == SMUGGLED


def test_every_combination_of_framing_fields() -> None:
    """aiohttp 2026-111750: all pairs and triples of framing fields: at most one way to read what is accepted."""
    fields = [CL + b"5", CL + b"0", CL + b"x", TE, te(b" gzip"), te(b" chunked, x"), b"Content_Length: 5", b"X: y"]
    accepted = set()
    for lines in itertools.chain(itertools.permutations(fields, 2), itertools.permutations(fields, 3)):
        outcome = refusal(head(*lines, request=POST) + b"5\r\nhello\r\n" + END)
        framing = [line for line in lines if line.lower().startswith((b"content-length", b"transfer-encoding"))]
        assert outcome in (OK, 400, 501), lines
        if len(framing) > 1:
            assert outcome == 400, lines
        elif framing:
            accepted.add((framing[0], outcome == OK))
    assert (TE, True) in accepted and (CL + b"x", False) in accepted


# -- the other rows --


def measured(feed: object) -> tuple[int, int]:
    """Growth of Python's memory at its peak, and after the connection is gone."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    feed()  # type: ignore[operator]
    peak = tracemalloc.get_traced_memory()[1] - before
    gc.collect()
    left = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return peak, left


def test_pipelining_memory() -> None:
    """Netty CVE-2026-93491: 100,000 pipelined GETs, answers never read: reading stops; M(1)."""
    data = GET * 1_000

    def attack() -> None:
        rig = H1Rig(auto=True)
        for _ in range(100):
            if rig.conn.read_paused:
                break
            rig.feed(data)
            rig.events.clear()
        assert rig.conn.read_paused
        assert len(rig.conn.take_output(10**9)) < 200_000

    peak, left = measured(attack)
    assert peak < 1_000_000 and left < 100_000, (peak, left)


def test_pipelining_memory_while_a_handler_sleeps() -> None:
    """The same with a handler that never answers: nothing but 64 KiB and one read wait."""

    def attack() -> None:
        rig = H1Rig()
        fed = 0
        while not rig.conn.read_paused:
            rig.feed(GET * 500)
            fed += 500
        assert fed * len(GET) < 100_000
        assert len(rig.requests) == 1

    peak, _ = measured(attack)
    assert peak < 1_000_000, peak


@pytest.mark.parametrize("finished", [True, False])
def test_connections_leave_nothing_behind(finished: bool) -> None:
    """After 500 aborted or refused connections memory is what it was; no cycle keeps one alive."""

    def one(n: int) -> None:
        conn = H1ServerConnection(now=0.0, websockets=True)
        conn.receive_data(head(b"x: %d" % n, b"fill: " + b"y" * 2_000) if finished else post(b"x" * 5_000)[:-10], 0.0)
        if n % 3 == 0:
            conn.receive_data(b"X : y\r\n\r\n", 0.0)
        conn.receive_eof(1.0)

    one(0)
    gc.collect()
    gc.disable()  # what only the collector could free counts as left
    try:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(500):
            one(n)
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < 50_000, left


@pytest.mark.parametrize("byte", range(256))
def test_bare_bytes(byte: int) -> None:
    """Bare CR and LF, NUL and other controls, each at five places: never accepted as part of a head."""
    c = bytes((byte,))
    allowed = byte == 9 or (byte >= 0x20 and byte != 0x7F)
    outcomes = {
        "value": refusal(head(b"x: a" + c + b"b")),
        "before the colon": refusal(head(b"x" + c + b": b")),
        "line start": refusal(head(c + b"x: y")),
        "target": refusal(head(request=b"GET /" + c + b" HTTP/1.1")),
        "end": refusal(b"GET / HTTP/1.1\r\nHost: a\r\n" + c + b"\r\n"),
    }
    assert outcomes["value"] == (OK if allowed else 400)
    assert outcomes["target"] == (OK if 0x20 < byte < 0x7F and byte != 0x23 else 400)
    if not allowed or byte in (9, 0x20):
        assert outcomes["before the colon"] == outcomes["line start"] == 400
    if byte != 13:
        assert outcomes["end"] in (400, OK)


def test_expect_desync() -> None:
    """Expect: 100-continue with an early answer and keep-alive (0.CL): the connection ends, whatever follows."""
    data = head(CL + b"%d" % len(SMUGGLED), b"Expect: 100-continue", request=POST)
    rig = H1Rig()
    rig.feed(data)
    rig.conn.send_response(1, 417, (), b"")
    rig.feed(SMUGGLED)
    assert rig.conn.closed and len(rig.requests) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /" + b"a" * 1_000_000, 414),
        (head(request=b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1"), 414),
        (b"A" * 1_000_000, 414),
        (head(b"x: " + b"y" * 1_000_000), 431),
        (head(*[b"a: b"] * 10_000), 431),
        (head(*[b"a:"] * 10_000), 431),
        (head(*[b"cookie: a"] * 257), 431),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"x" * 100_000, 431),
    ],
)
@pytest.mark.parametrize("cut", [0, 1_000])
def test_oversize(data: bytes, expected: int, cut: int) -> None:
    """1 MB of request line, 10,000 fields, duplicates (Cowboy CVE-2026-65624): 414 or 431, and the end."""
    assert refusal(data, cut) == expected


def test_a_connection_holds_no_more_than_its_limits() -> None:
    """The same counted: whatever is fed, what a connection keeps of it is bounded by line and section."""

    def attack() -> None:
        rig = H1Rig()
        rig.feed(b"GET / HTTP/1.1\r\n")
        for _ in range(5_000):
            rig.feed(b"x: y" * 50)
        assert rig.conn.closed

    peak, _ = measured(attack)
    assert peak < 500_000, peak


SLOW = Limits(preface_timeout_s=10, request_header_timeout_s=10, idle_timeout_s=10, upload_grace_s=10)


@pytest.mark.parametrize(
    ("phase", "data", "answer"),
    [
        ("nothing", b"", None),
        ("request line", b"GE", 408),
        ("fields", b"GET / HTTP/1.1\r\nHo", 408),
        ("content", post(b"x" * 10_000)[:-9_990], 408),
        ("chunks", chunked(b"ffff\r\nx"), 408),
        ("a chunk's size", chunked(b"f"), 408),
        ("trailers", chunked(b"0\r\nx"), 408),
        ("between requests", GET, None),
        ("response", b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ],
)
def test_slowloris(phase: str, data: bytes, answer: int | None) -> None:
    """One byte every 5 s in each phase: the connection ends at the phase's deadline, for each of 50 clients."""
    for _ in range(50):
        rig = H1Rig(SLOW)
        rig.feed(data)
        for event in rig.requests:
            if event.path == b"/large":
                rig.conn.send_response(1, 200, (), b"x" * 1_000_000)
            elif event.end_stream:
                rig.conn.send_response(1, 200, (), b"")
                rig.take()
                rig.output = b""
        seconds = 0
        while not rig.conn.closed:
            rig.advance(5)
            seconds += 5
            if phase == "response":
                rig.conn.take_output(1, rig.now)
            elif phase not in ("nothing", "between requests") and not rig.conn.closed:
                rig.feed(
                    b"1" if phase == "a chunk's size" and seconds < 50 else b"x" if phase != "a chunk's size" else b""
                )
            assert seconds <= 200
        written = rig.take() if phase != "response" else b""
        assert [each.status for each in read_responses(written)] == ([answer] if answer else [])


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", b"\x00" * 100, b"\r" * 100, b"\n" * 100, b"GET" * 1_000, b"0\r\n\r\n", b" " * 100, b":" * 9],
)
def test_nonsense_never_raises(data: bytes) -> None:
    """N: no bytes end in an exception, and what follows them neither."""
    rig = H1Rig(auto=True)
    for _ in range(3):
        rig.feed(data)
    rig.feed(GET)
    rig.take()
    if rig.of(ev.PeerFault):
        assert rig.conn.closed


def test_h2c_upgrade_is_off() -> None:
    """RFC 9113 §3.1: the upgrade token h2c is gone: an ordinary request, whose content is content."""
    rig = H1Rig(auto=True, websockets=True)
    rig.feed(
        head(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQAAP__",
            CL + b"%d" % len(SMUGGLED),
            request=POST,
        )
        + SMUGGLED
    )
    assert [event.path for event in rig.requests] == [b"/outer"]
    assert rig.content == SMUGGLED


def test_the_first_bytes_of_other_protocols() -> None:
    """As h2spec 3.5/2 asks: closed without an answer."""
    for data in (b"INVALID CONNECTION PREFACE\r\n\r\n", b"\x16\x03\x01\x00", b"\x80\x2e\x01"):
        assert refusal(data) == SILENT
