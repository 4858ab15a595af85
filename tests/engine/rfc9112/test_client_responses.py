"""RFC 9112 §4 to §8 for a client: the responses that it reads, and those that it does not.

Where bytes could be read in two ways, a client that chooses one may be led to take what another party wrote for the
answer to its own request. So each such response is an error, and the connection ends.
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support.h1_rig import CUT, WHOLE, Answer, H1ClientRig, answer

pytestmark = pytest.mark.engine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def ok(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([status, *lines, b"", b""])


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200 OK", 200),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.1 200", 200),  # without the space that §4 asks for: common, and clear
        (b"HTTP/1.1 200 Fine, thank\tyou \xe2\x9c\x93", 200),
        (b"HTTP/1.1 999 No", 999),
        (b"HTTP/1.2 200 OK", 200),
        (b"HTTP/1.9 200 OK", 200),
        (b"HTTP/2.0 200 OK", 0),
        (b"HTTP/0.9 200 OK", 0),
        (b"HTTP/11 200 OK", 0),
        (b"HTTP/1.10 200 OK", 0),
        (b"http/1.1 200 OK", 0),
        (b"HTTP/1.1  200 OK", 0),
        (b"HTTP/1.1\t200 OK", 0),
        (b" HTTP/1.1 200 OK", 0),
        (b"\r\nHTTP/1.1 200 OK", 0),
        (b"HTTP/1.1 20 OK", 0),
        (b"HTTP/1.1 2000 OK", 0),
        (b"HTTP/1.1 099 OK", 0),
        (b"HTTP/1.1 +20 OK", 0),
        (b"HTTP/1.1 2x0 OK", 0),
        (b"HTTP/1.1 200OK", 0),
        (b"HTTP/1.1 200 O\x00K", 0),
        (b"HTTP/1.1 200 O\x7fK", 0),
        (b"HTTP/1.1", 0),
        (b"HTTP/1.", 0),
        (b"ICY 200 OK", 0),
        (b"SSH-2.0-OpenSSH_9.6", 0),
        (b"", 0),
    ],
)
@pytest.mark.parametrize("cut", [0, 1])
def test_status_lines(line: bytes, status: int, cut: int) -> None:
    """RFC 9112 §4, §2.3."""
    got = answer(ok(b"Content-Length: 2", status=line) + b"ok", cut=cut)
    if status:
        assert got == Answer(status, b"ok", WHOLE, True)
    else:
        assert got.status == 0 and got.end.startswith("RFC 9112") and not got.again


@pytest.mark.parametrize(
    "line",
    [
        b"a b: c",
        b"a : c",
        b": c",
        b"a",
        b"a\x00: c",
        b"\xe9: c",
        b"a: b\x00c",
        b"a: b\x7fc",
        b"a: b\rc: d",
        b"a: b\nc: d",
        b" a: b",
        b"a\r\n : b",
        b"a: b\r\n c\x00",
        b"Content-Length: +2",
        b"Content-Length: 0x2",
        b"Content-Length: 2 2",
        b"Content-Length: ",
        b"Content-Length: -1",
        b"Content-Length: 1_0",
        b"Content-Length: 99999999999999999999",
        b"Content-Length: 2, 2",
        b"Content-Length: 2\r\nContent-Length: 2",
        b"Content-Length: 2\r\nContent-Length: 3",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: ",
        b"Transfer-Encoding:",
    ],
)
@pytest.mark.parametrize("cut", [0, 1])
def test_field_lines_that_are_refused(line: bytes, cut: int) -> None:
    """Field lines that are malformed (RFC 9112 §5, RFC 9110 §5.5), or say two things of the framing (§6.3)."""
    got = answer(ok(line) + b"ok", cut=cut)
    assert got.status == 0 and got.content == b"" and not got.again
    assert got.end.startswith(("RFC 9112", "RFC 9110"))


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_value(byte: int) -> None:
    """RFC 9110 §5.5: HTAB, SP, visible ones, and 0x80 to 0xff."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(ok(b"X: a" + bytes((byte,)) + b"b", b"Content-Length: 0"))
    heads = rig.of(ev.ResponseReceived)
    if byte == 9 or (byte >= 0x20 and byte != 0x7F):
        assert heads[0].headers[0] == (b"x", b"a" + bytes((byte,)) + b"b")
    else:
        assert not heads and rig.conn.closed


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_name(byte: int) -> None:
    """RFC 9110 §5.6.2: a token, or no field."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(ok(b"x" + bytes((byte,)) + b"y: v", b"Content-Length: 0"))
    heads = rig.of(ev.ResponseReceived)
    token = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    if byte in token:
        assert heads[0].headers[0] == ((b"x" + bytes((byte,)) + b"y").lower(), b"v")
    elif byte == 0x3A:
        assert heads[0].headers[0] == (b"x", b"y: v")
    else:
        assert not heads and rig.conn.closed


def test_fields_as_they_stand() -> None:
    """Names are lowered, whitespace around values taken off, order and repetitions kept."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(ok(b"Set-Cookie: a=1", b"X-Y:\t b  c \t", b"set-cookie: b=2", b"Empty:", b"Content-Length: 0"))
    (head,) = rig.of(ev.ResponseReceived)
    assert head.headers == [
        (b"set-cookie", b"a=1"),
        (b"x-y", b"b  c"),
        (b"set-cookie", b"b=2"),
        (b"empty", b""),
        (b"content-length", b"0"),
    ]


@pytest.mark.parametrize(
    ("data", "request_", "expected"),
    [
        # content-length (§6.2)
        (OK, {}, Answer(200, b"ok", WHOLE, True)),
        (ok(b"Content-Length: 0"), {}, Answer(200, b"", WHOLE, True)),
        (ok(b"Content-Length: 00002") + b"ok", {}, Answer(200, b"ok", WHOLE, True)),
        (OK[:-1], {}, Answer(200, b"o", CUT, False)),
        (OK[:-2], {}, Answer(200, b"", CUT, False)),
        (ok(b"Content-Length: 999999999999999999") + b"ok", {}, Answer(200, b"ok", CUT, False)),
        # chunked (§7.1)
        (ok(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n\r\n", {}, Answer(200, b"ok", WHOLE, True)),
        (ok(b"Transfer-Encoding: Chunked ") + b"2;a=b\r\nok\r\n0\r\nT: v\r\n\r\n", {}, Answer(200, b"ok", WHOLE, True)),
        (ok(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", {}, Answer(200, b"", WHOLE, True)),
        (ok(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0\r\n", {}, Answer(200, b"ok", CUT, False)),
        (ok(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n0", {}, Answer(200, b"ok", CUT, False)),
        (ok(b"Transfer-Encoding: chunked") + b"2\r\nok\r\n", {}, Answer(200, b"ok", CUT, False)),
        (ok(b"Transfer-Encoding: chunked") + b"2\r\no", {}, Answer(200, b"o", CUT, False)),
        (ok(b"Transfer-Encoding: chunked"), {}, Answer(200, b"", CUT, False)),
        (ok(b"Transfer-Encoding: chunked") + b"2\r\nokk", {}, Answer(200, b"ok", "RFC 9112 §7.1", False)),
        (ok(b"Transfer-Encoding: chunked") + b"2\nok", {}, Answer(200, b"", "RFC 9112 §7.1", False)),
        (ok(b"Transfer-Encoding: chunked") + b"0x2\r\nok", {}, Answer(200, b"", "RFC 9112 §7.1", False)),
        (ok(b"Transfer-Encoding: chunked") + b"-2\r\nok", {}, Answer(200, b"", "RFC 9112 §7.1", False)),
        (ok(b"Transfer-Encoding: chunked") + b"0\r\na b: c\r\n\r\n", {}, Answer(200, b"", "RFC 9110 §6.5.1", False)),
        (
            ok(b"Transfer-Encoding: chunked") + b"0\r\nContent-Length: 3\r\n\r\n",
            {},
            Answer(200, b"", "RFC 9110 §6.5.1", False),
        ),
        # until the end of the connection (§6.3, item 8)
        (ok() + b"all that comes", {}, Answer(200, b"all that comes", WHOLE, False)),
        (ok(), {}, Answer(200, b"", WHOLE, False)),
        (ok(status=b"HTTP/1.0 200 OK") + b"old", {}, Answer(200, b"old", WHOLE, False)),
        (ok(b"Connection: keep-alive") + b"old", {}, Answer(200, b"old", WHOLE, False)),
        # no content, whatever the fields say (§6.3, item 1)
        (ok(b"Content-Length: 5"), {"method": b"HEAD"}, Answer(200, b"", WHOLE, True)),
        (ok(b"Transfer-Encoding: chunked"), {"method": b"HEAD"}, Answer(200, b"", WHOLE, True)),
        (ok(), {"method": b"HEAD"}, Answer(200, b"", WHOLE, True)),
        (ok(b"Content-Length: 5", status=b"HTTP/1.1 304 Not Modified"), {}, Answer(304, b"", WHOLE, True)),
        (ok(status=b"HTTP/1.1 304 Not Modified"), {}, Answer(304, b"", WHOLE, True)),
        (ok(status=b"HTTP/1.1 204 No Content"), {}, Answer(204, b"", WHOLE, True)),
        (ok(b"Content-Length: 5", status=b"HTTP/1.1 204 No Content"), {}, Answer(204, b"", WHOLE, True)),
        (ok(status=b"HTTP/1.1 205 Reset Content"), {}, Answer(205, b"", WHOLE, False)),
        # HTTP/1.0
        (ok(b"Content-Length: 2", status=b"HTTP/1.0 200 OK") + b"ok", {}, Answer(200, b"ok", WHOLE, False)),
        (
            ok(b"Transfer-Encoding: chunked", status=b"HTTP/1.0 200 OK") + b"0\r\n\r\n",
            {},
            Answer(0, b"", "RFC 9112 §6.1", False),
        ),
        # nothing, or a part of a head
        (b"", {}, Answer(0, b"", CUT, False)),
        (b"HTTP/1.1 200 OK\r\nContent-Le", {}, Answer(0, b"", CUT, False)),
        (ok(status=b"HTTP/1.1 100 Continue"), {}, Answer(0, b"", CUT, False)),
        # too much (§9.2)
        (OK + b"H", {}, Answer(200, b"ok", "RFC 9112 §9.2", False)),
        (OK + OK, {}, Answer(200, b"ok", "RFC 9112 §9.2", False)),
        (OK + b"\r\n", {}, Answer(200, b"ok", "RFC 9112 §9.2", False)),
        (ok(b"Content-Length: 2") + b"ok", {"method": b"HEAD"}, Answer(200, b"", "RFC 9112 §9.2", False)),
        (ok(status=b"HTTP/1.1 204 No Content") + b"x", {}, Answer(204, b"", "RFC 9112 §9.2", False)),
    ],
)
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_framing(data: bytes, request_: dict[str, Any], expected: Answer, cut: int) -> None:
    """RFC 9112 §6.3, item by item; what ends too early is never taken for whole (§8)."""
    assert answer(data, cut=cut, **request_) == expected


def test_a_failing_transport_completes_nothing() -> None:
    """Content that ends with the connection is whole after an orderly end only (RFC 9112 §8): a reset may come from
    anybody."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(ok() + b"half of i")
    rig.events += rig.conn.receive_failure(rig.now, "connection reset by peer")
    (reset,) = rig.of(ev.StreamReset)
    assert "connection reset" in reset.reason and reset.initiator == "remote"
    assert not rig.ended and rig.conn.closed


def test_trailers() -> None:
    """They come by themselves, after the content, and never among the headers (RFC 9110 §6.5)."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(ok(b"Transfer-Encoding: chunked", b"X: head") + b"2\r\nok\r\n0\r\nX: tail\r\nY:  z \r\n\r\n")
    assert [type(event) for event in rig.events] == [ev.ResponseReceived, ev.DataReceived, ev.TrailersReceived]
    assert rig.events[0].headers == [(b"transfer-encoding", b"chunked"), (b"x", b"head")]
    assert not rig.events[1].end_stream
    assert rig.events[2].headers == [(b"x", b"tail"), (b"y", b"z")]
    assert rig.conn.can_send_request


@pytest.mark.parametrize("cut", [0, 1])
def test_interim_responses(cut: int) -> None:
    """Any number may come before the final one (RFC 9110 §15.2), and none is it."""
    rig = H1ClientRig()
    stream_id = rig.send()
    rig.feed(
        ok(status=b"HTTP/1.1 100 Continue")
        + ok(b"Link: </a>", status=b"HTTP/1.1 103 Early Hints")
        + ok(b"Content-Length: 5", status=b"HTTP/1.1 102 Processing")
        + OK,
        cut,
    )
    found = [(e.status, e.headers, e.stream_id) for e in rig.of(ev.InformationalReceived)]
    assert found == [
        (100, [], stream_id),
        (103, [(b"link", b"</a>")], stream_id),
        (102, [(b"content-length", b"5")], stream_id),
    ]
    (head,) = rig.of(ev.ResponseReceived)
    assert head.status == 200 and rig.content == b"ok" and rig.conn.can_send_request


def test_http_version() -> None:
    """That of the response that came last."""
    rig = H1ClientRig()
    assert rig.conn.http_version == "1.1"
    rig.send()
    rig.feed(ok(b"Content-Length: 0", b"Connection: keep-alive", status=b"HTTP/1.0 200 OK"))
    assert rig.conn.http_version == "1.0"
    rig.send()
    rig.feed(OK)
    assert rig.conn.http_version == "1.1"


# -- tunnels ---------------------------------------------------------------------------------------------------


def upgrade(rig: H1ClientRig) -> int:
    return rig.send(b"/chat", method=b"CONNECT", protocol=b"websocket", headers=[(b"sec-websocket-key", KEY)])


SWITCHING = ok(
    b"Upgrade: WebSocket",
    b"Connection: keep-alive, Upgrade",
    b"Sec-WebSocket-Accept: " + ACCEPT,
    status=b"HTTP/1.1 101 Switching Protocols",
)


@pytest.mark.parametrize("cut", [0, 1])
def test_an_upgrade_that_is_granted(cut: int) -> None:
    """RFC 6455 §4.1: 101 with the right fields; then bytes, of which the first may stand right behind the head."""
    rig = H1ClientRig()
    stream_id = upgrade(rig)
    with pytest.raises(Exception, match="tunnel is not open"):
        rig.conn.send_data(stream_id, b"too early")
    rig.feed(SWITCHING + b"HTTP/1.1 is not spoken here", cut)
    (head,) = rig.of(ev.ResponseReceived)
    assert head.status == 101 and not head.end_stream
    assert rig.content == b"HTTP/1.1 is not spoken here"
    assert not rig.conn.can_send_request
    rig.output = b""
    rig.conn.send_data(stream_id, b"frame")
    rig.take()
    assert rig.output == b"frame"
    rig.eof()
    assert rig.of(ev.DataReceived)[-1].end_stream and rig.conn.closed


def test_a_tunnel_of_ours_that_ends() -> None:
    """`end_stream` of ours ends the connection, once everything is on its way: HTTP/1.1 has no other word for it."""
    rig = H1ClientRig(Limits(max_stream_send_buffer=10))
    stream_id = upgrade(rig)
    rig.feed(SWITCHING)
    assert not rig.conn.send_data(stream_id, b"last words, more than ten", True)
    assert not rig.conn.closed
    assert rig.take() == b"last words, more than ten"
    assert rig.conn.closed and not rig.conn.aborted and not rig.of(ev.StreamReset)


@pytest.mark.parametrize(
    "data",
    [
        SWITCHING.replace(ACCEPT, KEY),
        SWITCHING.replace(ACCEPT, ACCEPT.lower()),
        SWITCHING.replace(b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n", b""),
        SWITCHING.replace(
            b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\nSec-WebSocket-Accept: "
        ),
        SWITCHING.replace(b"Upgrade: WebSocket\r\n", b""),
        SWITCHING.replace(b"Upgrade: WebSocket", b"Upgrade: h2c"),
        SWITCHING.replace(b"keep-alive, Upgrade", b"keep-alive"),
        SWITCHING.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_an_upgrade_that_is_not_ours(data: bytes) -> None:
    """A 101 that does not prove that the server understood is a failure (RFC 6455 §4.1)."""
    rig = H1ClientRig()
    upgrade(rig)
    rig.feed(data + b"x")
    assert rig.fault.section == "RFC 6455 §4.1" and rig.conn.closed
    assert not rig.of(ev.ResponseReceived) and not rig.of(ev.DataReceived)


def test_101_that_nobody_asked_for() -> None:
    """RFC 9110 §15.2.2."""
    assert answer(SWITCHING) == Answer(0, b"", "RFC 9110 §15.2.2", False)


def test_an_upgrade_that_is_refused() -> None:
    """Any other final response: it is read like all, and the connection goes on."""
    rig = H1ClientRig()
    upgrade(rig)
    rig.feed(ok(b"Content-Length: 2", status=b"HTTP/1.1 403 Forbidden") + b"no")
    assert rig.ended and rig.content == b"no" and rig.conn.can_send_request
    rig.send()
    rig.feed(OK)
    assert rig.conn.can_send_request


@pytest.mark.parametrize("lines", [(), (b"Content-Length: 5",), (b"Transfer-Encoding: chunked",)])
def test_connect_that_is_granted(lines: tuple[bytes, ...]) -> None:
    """A 2xx begins the tunnel right behind its head, whatever its fields say (RFC 9112 §6.3, item 2)."""
    rig = H1ClientRig()
    stream_id = rig.send(b"", method=b"CONNECT", authority=b"b:443")
    rig.feed(ok(*lines, status=b"HTTP/1.1 200 Connected") + b"\x16\x03")
    assert rig.content == b"\x16\x03" and not rig.ended
    rig.output = b""
    rig.conn.send_data(stream_id, b"5\r\n")
    rig.take()
    assert rig.output == b"5\r\n"
    with pytest.raises(Exception, match="no trailers"):
        rig.conn.send_trailers(stream_id, [])


def test_connect_that_is_refused() -> None:
    """The proxy's answer is an ordinary response, after which it may be asked again (with credentials, say)."""
    rig = H1ClientRig()
    rig.send(b"", method=b"CONNECT", authority=b"b:443")
    rig.feed(ok(b"Content-Length: 2", status=b"HTTP/1.1 407 Proxy Authentication Required") + b"no")
    assert rig.ended and rig.content == b"no" and rig.conn.can_send_request


# -- memory ----------------------------------------------------------------------------------------------------


def test_a_head_that_repeats_is_not_parsed_again() -> None:
    """The same fields come for equal bytes, in lists of their own; another `date` is another head; nothing unique is
    kept."""
    rig = H1ClientRig()
    heads = []
    for n in range(6):
        rig.send()
        date = b"Date: Sat, 21 Nov 2026 10:00:0%d GMT" % (n // 3)
        rig.feed(ok(date, b"Content-Length: 0"))
        heads.append(rig.of(ev.ResponseReceived)[-1].headers)
    assert heads[0][0] is heads[1][0] is heads[2][0] and heads[3][0] is heads[4][0] is heads[5][0]
    assert heads[0] != heads[3] and heads[0][0] is not heads[3][0]
    assert heads[0] is not heads[1] and heads[1] is not heads[2]
    for n in range(1_000):
        rig.send()
        rig.feed(ok(b"X-Id: %d" % n, b"Content-Length: 0"))
    assert rig.conn.remembered_heads < 10


def test_remembered_heads_mean_what_the_request_makes_of_them() -> None:
    """The same bytes after HEAD and after GET: with content, and without."""
    rig = H1ClientRig()
    for _ in range(3):
        rig.send(method=b"HEAD")
        rig.feed(ok(b"Content-Length: 2"))
        assert rig.conn.can_send_request
        rig.send()
        rig.feed(OK)
        assert rig.conn.can_send_request
    assert rig.content == b"ok" * 3
