"""Heads of HTTP/1.1 that are written and read again and again: memories change nothing, and forget what they must."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import InvalidFieldError, LocalProtocolError
from headrace.engine.server_names import ServerNames

from tests.support.h1_rig import GET, H1ClientRig, H1Rig, head

pytestmark = pytest.mark.engine

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")


def answered(rig: H1Rig, status: int, headers: Any, body: bytes) -> bytes:
    """What a server writes as its next response."""
    rig.feed(GET)
    rig.conn.send_response(rig.requests[-1].stream_id, status, headers, body)
    return rig.take()


def test_responses_with_the_same_fields_differ_in_status_and_length() -> None:
    rig = H1Rig()
    fields = [(b"x", b"1")]
    for status, body in [(200, b"a"), (200, b"a"), (200, b"bc"), (404, b"a"), (200, b"a"), (200, b"bc"), (200, b"")]:
        wanted = b"HTTP/1.1 %d " % status, b"x: 1\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        written = answered(rig, status, fields, body)
        assert written.startswith(wanted[0]) and written.endswith(wanted[1])


def test_a_setting_that_heads_depend_on_makes_them_anew() -> None:
    rig = H1Rig()
    fields = ((b"x", b"1"),)
    assert b"server" not in answered(rig, 200, fields, b"a")
    rig.conn.set_default_fields(((b"server", b"s"),))
    assert b"server: s\r\n" in answered(rig, 200, fields, b"a")
    assert b"server: own\r\n" in answered(rig, 200, ((b"server", b"own"),), b"a")


def test_a_length_that_was_declared_is_held_to_for_every_response() -> None:
    rig = H1Rig()
    fields = [(b"content-length", b"2")]
    assert answered(rig, 200, fields, b"ab").endswith(b"\r\n\r\nab")
    with pytest.raises(LocalProtocolError, match="content-length says 2, the content has 3"):
        answered(rig, 200, fields, b"abc")


def test_a_426_says_to_what_to_upgrade() -> None:
    """RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response"."""
    assert b"\r\nupgrade: websocket\r\n" in answered(H1Rig(), 426, (), b"").lower()


@pytest.mark.parametrize("pair", [(b"a",), (b"a", b"1", b"2"), ("a", b"1"), (b"a", "1"), (b"a", None)], ids=repr)
def test_a_field_is_a_pair_of_bytes(pair: Any) -> None:
    server, client = H1Rig(), H1ClientRig()
    server.feed(GET)
    with pytest.raises(InvalidFieldError):
        client.send(headers=[pair])
    with pytest.raises(InvalidFieldError):
        client.send(headers=[KEY, pair], protocol=b"websocket", method=b"CONNECT")
    assert client.output == b"" and client.conn.can_send_request
    with pytest.raises(InvalidFieldError):
        server.conn.send_response(1, 200, [pair], b"")
    server.conn.send_headers(1, 200, ())
    with pytest.raises(InvalidFieldError):
        server.conn.send_trailers(1, [pair])


def test_an_upgrade_may_say_its_version_itself() -> None:
    rig = H1ClientRig()
    version = (b"sec-websocket-version", b"13")
    rig.send(headers=[KEY, version], protocol=b"websocket", method=b"CONNECT")
    assert rig.output.count(b"sec-websocket-version: 13\r\n") == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_responses_that_take_turns_are_read_as_what_they_are(count: int) -> None:
    """Heads that came before are not parsed again, also where others came between."""
    rig = H1ClientRig()
    for turn in range(12):
        number = turn % count
        rig.send()
        rig.feed(b"HTTP/1.1 20%d OK\r\nContent-Length: %d\r\nX: %d\r\n\r\n" % (number, number, number) + b"x" * number)
        response = rig.of(ev.ResponseReceived)[-1]
        assert (response.status, response.headers[-1]) == (200 + number, (b"x", b"%d" % number))
        assert rig.ended and rig.conn.can_send_request
    assert rig.conn.remembered_heads == (0 if count == 1 else count)


@pytest.mark.parametrize(("second", "persists"), [(b"keep-alive", True), (b"y, Close", False)])
def test_all_connection_fields_of_a_response_count(second: bytes, persists: bool) -> None:
    """RFC 9110 §5.3: several field lines of a name are one list."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x\r\nConnection: %s\r\n\r\n" % second)
    assert rig.ended and rig.conn.can_send_request == persists


@pytest.mark.parametrize("end", [b"", b"Q=", b"===", b"QQQ", b"Q==="])
@pytest.mark.parametrize("start", [KEY[1][:21], KEY[1][:20] + b"!", KEY[1][:20] + b"\xc3"])
def test_a_key_is_sixteen_bytes_in_base64(start: bytes, end: bytes) -> None:
    """RFC 6455 §4.2.1."""
    rig = H1Rig(websockets=True)
    lines = [
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + start + end,
    ]
    rig.feed(head(*lines))
    assert "sec-websocket-key" in rig.fault.reason and rig.take().startswith(b"HTTP/1.1 400 ")


def test_a_request_for_another_host_is_misdirected() -> None:
    """RFC 9110 §7.4."""
    rig = H1Rig()
    rig.conn.server_names = ServerNames(["example.com"])
    rig.feed(head(host=b"other.example"))
    assert not rig.requests and rig.take().startswith(b"HTTP/1.1 421 ")


def test_fields_with_an_underscore_are_left_out() -> None:
    """A gateway to CGI reads `x_a` and `x-a` as the same name."""
    rig = H1Rig()
    rig.conn.drop_underscore_fields = True
    rig.feed(head(b"x_a: 1", b"x-a: 2"))
    assert rig.requests[0].headers == [(b"host", b"a"), (b"x-a", b"2")]
