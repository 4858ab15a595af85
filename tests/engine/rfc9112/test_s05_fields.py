"""RFC 9112 §5: field lines, each byte of them; folding; limits."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support.h1_rig import OK, H1Rig, head, refusal

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_name(byte: int) -> None:
    """§5.1 field-name = token; no whitespace between it and the colon: 400. Names are lowered, as HTTP/2 has them."""
    c = bytes((byte,))
    for name in (c + b"ab", b"a" + c + b"b", b"ab" + c, c):
        rig = H1Rig()
        rig.feed(head(name + b": v", b"y: z"))
        colon = byte == 0x3A and name not in (c + b"ab", c)  # ends the name, and begins the value
        if byte in TOKEN:
            assert rig.requests[0].headers == [(b"host", b"a"), (name.lower(), b"v"), (b"y", b"z")]
        elif colon:
            assert len(rig.requests) == 1
        else:
            assert not rig.requests and rig.responses()[0].status == 400, name


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_value(byte: int) -> None:
    """RFC 9110 §5.5: no control bytes but HTAB; whitespace around a value is not part of it."""
    c = bytes((byte,))
    good = byte == 9 or (byte >= 0x20 and byte != 0x7F)
    for value in (c + b"ab", b"a" + c + b"b", b"ab" + c, c):
        rig = H1Rig()
        rig.feed(head(b"x: " + value, b"y: z"))
        if good:
            assert rig.requests[0].headers == [(b"host", b"a"), (b"x", value.strip(b" \t")), (b"y", b"z")]
        else:
            assert not rig.requests and rig.responses()[0].status == 400, value


@pytest.mark.parametrize(
    "lines",
    [
        [b"Host : a"],
        [b"X : y"],
        [b"X\t: y"],
        [b" X: y"],
        [b"\tX: y"],
        [b": y"],
        [b":"],
        [b"X"],
        [b"X y"],
        [b"X: y", b" folded"],
        [b"X: y", b"\tfolded"],
        [b"X:", b" folded"],
        [b"X: y", b" "],
        [b"X: y", b" Content-Length: 5"],
        [b"Content-Length: 5", b" 0"],
        [b"Transfer-Encoding:", b" chunked"],
        [b"X: y\x00"],
        [b"X\x00: y"],
        [b"X: y\x0b"],
        [b"X: \x7f"],
    ],
)
def test_malformed_field_lines(lines: list[bytes]) -> None:
    """§5.1 Whitespace before the colon MUST be rejected with 400; §5.2 so may folded lines be."""
    assert refusal(head(*lines)) == 400


def test_a_fold_behind_the_request_line() -> None:
    """§2.2 Whitespace between the start-line and the first field: reject, or every line of it is ignored."""
    assert refusal(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n") == 400
    assert refusal(b"GET / HTTP/1.1\r\n\r\n Host: a\r\n\r\n") == 400


def test_order_and_repetition_are_kept() -> None:
    """§5.3 (RFC 9110): the order of fields with one name is not changed; they are not joined."""
    rig = H1Rig()
    rig.feed(head(b"b: 1", b"a: 2", b"B: 3", b"cookie: x=y", b"cookie: z"))
    assert rig.requests[0].headers == [
        (b"host", b"a"),
        (b"b", b"1"),
        (b"a", b"2"),
        (b"b", b"3"),
        (b"cookie", b"x=y"),
        (b"cookie", b"z"),
    ]


def test_empty_values() -> None:
    """RFC 9110 §5.5 A value may be empty."""
    rig = H1Rig()
    rig.feed(head(b"a:", b"b: ", b"c:\t "))
    assert rig.requests[0].headers[1:] == [(b"a", b""), (b"b", b""), (b"c", b"")]


@pytest.mark.parametrize("count", [8, 9])
def test_the_number_of_fields(count: int) -> None:
    """RFC 6585 §5: 431. Counted line by line, before anything is put together (Cowboy CVE-2026-65624)."""
    limits = Limits(max_fields=8)
    assert refusal(head(*[b"a: b"] * (count - 1)), limits=limits) == (OK if count == 8 else 431)


@pytest.mark.parametrize("cut", [0, 100])
@pytest.mark.parametrize("more", [0, 1])
def test_the_size_of_a_field_section(more: int, cut: int) -> None:
    """RFC 6585 §5: 431, at the limit exactly, and not before."""
    limits = Limits(max_field_section_size=1_024)
    fill = 1_024 - len(b"Host: a\r\n") - len(b"X: \r\n") - len(b"\r\n") + more
    assert refusal(head(b"X: " + b"x" * fill), cut, limits) == (431 if more else OK)


def test_a_field_section_without_an_end_is_refused_at_its_limit() -> None:
    """No more than the limit is collected, however long a client goes on."""
    rig = H1Rig()
    rig.feed(b"GET / HTTP/1.1\r\nHost: a\r\n")
    sent = 0
    while not rig.conn.closed:
        rig.feed(b"x: " + b"y" * 1_000 + b"\r\n")
        sent += 1_005
    assert 65_536 - 1_005 <= sent <= 65_536 + 1_005
    assert rig.fault.budget == "max_field_section_size"
    assert rig.responses()[0].status == 431


def test_a_repeated_head_is_shared() -> None:
    """A head whose bytes have come before is the same object, so that owners may keep what they derive from it."""
    rig = H1Rig(auto=True)
    for _ in range(3):
        rig.feed(head(b"x: y"))
    first, second, third = (event.shared for event in rig.requests)
    assert first is second is third
    assert third.is_repeated


def test_alternating_heads_are_remembered_on_second_sight() -> None:
    """The same with other requests between them, within a bounded memory (docs/adr/0015)."""
    rig = H1Rig(auto=True)
    heads: dict[int, bytes] = {}
    for number in count():  # two whose hashes share one of the 64 places would keep each other out
        data = head(request=b"GET /%d HTTP/1.1" % number)
        heads.setdefault(hash(data) % 64, data)
        if len(heads) == 8:
            break
    for _ in range(4):
        for data in heads.values():
            rig.feed(data)
    shared: dict[bytes, list[Any]] = {}
    for event in rig.requests:
        shared.setdefault(event.path, []).append(event.shared)
    assert len(shared) == 8
    for first, second, third, fourth in shared.values():
        assert first is not third and second is third is fourth and fourth.is_repeated


def test_a_head_that_is_a_beginning_of_another_is_not_mistaken_for_it() -> None:
    """What is compared is the whole head, its empty line included."""
    rig = H1Rig(auto=True)
    rig.feed(head())
    rig.feed(head(b"x: y"))
    rig.feed(head() + head(b"x: y"))
    assert [len(event.headers) for event in rig.requests] == [1, 2, 1, 2]


def test_the_same_fields_behind_another_line() -> None:
    """Clients change the target and little else: the fields are taken as they were read, the rest is the line's."""
    rig = H1Rig()
    fields = [b"x: y", b"Content-Length: 0"]
    lines = [
        (b"GET /a HTTP/1.1", b"a", True),
        (b"POST /b HTTP/1.1", b"a", True),
        (b"HEAD /c HTTP/1.1", b"a", True),
        (b"GET http://b/d HTTP/1.1", b"b", True),
        (b"GET /e HTTP/1.1", b"a", True),
        (b"OPTIONS * HTTP/1.1", b"a", True),
        (b"GET /f HTTP/1.0", b"a", False),
    ]
    for n, (line, authority, kept) in enumerate(lines):
        rig.feed(head(*fields, request=line))
        event = rig.requests[-1]
        method, target, _ = line.split(b" ")
        assert (event.method, event.path) == (method, target.removeprefix(b"http://b"))
        assert event.authority == authority and event.headers[0] == (b"host", authority)
        assert event.headers[1:] == [(b"x", b"y"), (b"content-length", b"0")]
        assert event.content_length == 0 and event.end_stream and event.shared.has_host
        assert event.shared.http_version == ("1.1" if kept else "1.0")
        rig.conn.send_response(2 * n + 1, 200, (), b"body")
        assert rig.conn.closed != kept
    bodies = [response.body for response in rig.responses([line.split(b" ")[0] for line, _, _ in lines])]
    assert bodies == [b"body", b"body", b"", b"body", b"body", b"body", b"body"]


def test_the_same_fields_behind_a_line_that_is_wrong() -> None:
    """What was read before does not make a fault good."""
    for line, status in ((b"CONNECT a:1 HTTP/1.1", 501), (b"GET * HTTP/1.1", 400), (b"GET / HTTP/2.0", 505)):
        assert refusal(head(b"x: y") + head(b"x: y", request=line)) == status


@pytest.mark.parametrize("first", [b"POST / HTTP/1.1", b"GET / HTTP/1.0", b"GET /other HTTP/1.1"])
def test_the_fields_of_an_upgrade_are_read_each_time(first: bytes) -> None:
    """They mean something else with another method: an ordinary request before makes no difference."""
    upgrade = [
        b"Connection: upgrade, keep-alive",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    rig = H1Rig(auto=True, websockets=True)
    if first.startswith(b"GET /other"):
        rig.feed(head(b"x: y", request=first))
    else:
        rig.feed(head(*upgrade, request=first))
    rig.feed(head(*upgrade))
    assert [event.protocol for event in rig.of(ev.ConnectReceived)] == [b"websocket"]


def test_memory_of_heads_is_bounded() -> None:
    """A client with ever new heads, each sent twice, does not make a connection keep them all."""
    rig = H1Rig(auto=True)
    for n in range(2_000):
        data = head(b"x: %d" % n, b"fill: " + b"y" * 3_000)
        rig.feed(data)
        rig.feed(head())
        rig.feed(data)
        rig.take()
    remembered = rig.conn.remembered_heads
    assert 1 <= remembered <= 64
