"""RFC 9113 §8.2: field names and values, every byte, both directions; connection-specific fields; cookies."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import InvalidFieldError

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

MALFORMED = ("stream", wire.PROTOCOL_ERROR)

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"  # RFC 9110 §5.6.2, without the uppercase letters
FORBIDDEN_IN_VALUES = {0x00, 0x0A, 0x0D}
CONTROLS = {c for c in range(0x20) if c != 0x09} | {0x7F}


def names(byte: int) -> list[bytes]:
    """A field name with the byte at its start, in it and at its end."""
    c = bytes((byte,))
    return [c + b"ab", b"a" + c + b"b", b"ab" + c, c]


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_received_name(byte: int) -> None:
    """§8.2.1 A field name MUST NOT contain 0x00-0x20, 0x41-0x5a, 0x7f-0xff, nor a colon; and must be a token."""
    for name in names(byte):
        rig = ServerRig()
        rig.request(1, extra=[(name, b"v")])
        good = byte in TOKEN
        assert rig.outcome(1) == (OK if good else MALFORMED), name
        assert [e.headers for e in rig.of(ev.RequestReceived)] == ([[(name, b"v")]] if good else [])


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_received_value(byte: int) -> None:
    """§8.2.1 A value MUST NOT contain NUL, LF, CR, nor start or end with SP or HTAB; others pass as they are."""
    c = bytes((byte,))
    for value, edge in [(c + b"ab", True), (b"a" + c + b"b", False), (b"ab" + c, True), (c, True)]:
        rig = ServerRig()
        rig.request(1, extra=[(b"x", value)])
        outcome = rig.outcome(1)
        if byte in FORBIDDEN_IN_VALUES or (edge and byte in (0x20, 0x09)):
            assert outcome == MALFORMED, value
        elif byte in CONTROLS:  # RFC 9110 §5.5: invalid, though a recipient MAY retain them
            assert outcome in (OK, MALFORMED)
        else:
            assert outcome == OK, value
            assert rig.of(ev.RequestReceived)[0].headers == [(b"x", value)]


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_trailer(byte: int) -> None:
    """§8.2.1 The same rules hold in trailers: a violation there resets the stream."""
    c = bytes((byte,))
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.headers(1, [(b"a" + c, b"v")], end_stream=True))
    assert rig.outcome(1) == (OK if byte in TOKEN else MALFORMED)
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.headers(1, [(b"a", b"v" + c + b"v")], end_stream=True))
    if byte in FORBIDDEN_IN_VALUES:
        assert rig.outcome(1) == MALFORMED
    elif byte not in CONTROLS:
        assert rig.outcome(1) == OK


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_at_the_client(byte: int) -> None:
    """§8.2.1 Clients MUST NOT accept a malformed response: names and values of responses."""
    c = bytes((byte,))
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, extra=[(b"a" + c + b"b", b"v")], end_stream=True))
    assert rig.outcome(stream_id) == (OK if byte in TOKEN else MALFORMED)
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, extra=[(b"a", b"v" + c + b"v")], end_stream=True))
    if byte in FORBIDDEN_IN_VALUES:
        assert rig.outcome(stream_id) == MALFORMED
    elif byte not in CONTROLS:
        assert rig.outcome(stream_id) == OK
        assert rig.of(ev.ResponseReceived)[0].headers == [(b"a", b"v" + c + b"v")]


def test_an_empty_name() -> None:
    """CVE-2019-9516: a field with an empty name is malformed."""
    rig = ServerRig()
    rig.request(1, extra=[(b"", b"v")])
    assert rig.outcome(1) == MALFORMED


def test_an_empty_value() -> None:
    """RFC 9110 §5.5 An empty field value is legal."""
    rig = ServerRig()
    rig.request(1, extra=[(b"x", b"")])
    assert rig.of(ev.RequestReceived)[0].headers == [(b"x", b"")]


# --- what the app sends -----------------------------------------------------------------


def try_to_send(rig: ServerRig, name: bytes, value: bytes, how: str) -> list[tuple[bytes, bytes]] | None:
    """Give the engine a field of the app's; None when it was refused, else the fields on the wire."""
    rig.request(1)
    send: dict[str, Callable[[], object]] = {
        "buffered": lambda: rig.conn.send_response(1, 200, [(name, value)], b"x"),
        "streamed": lambda: rig.conn.send_headers(1, 200, [(name, value)]),
        "informational": lambda: rig.conn.send_informational(1, 103, [(name, value)]),
        "trailers": lambda: (rig.conn.send_headers(1, 200, []), rig.conn.send_trailers(1, [(name, value)])),
    }
    try:
        send[how]()
    except InvalidFieldError:
        return None
    rig.take()
    return [pair for pair in rig.fields[1][-1] if not pair[0].startswith(b":")]


@pytest.mark.parametrize("how", ["buffered", "streamed", "informational", "trailers"])
@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_sent_name(byte: int, how: str) -> None:
    """§8.2: field names MUST be lowercase when constructing a message; a bad one never reaches the wire."""
    name = b"a" + bytes((byte,)) + b"b"
    rig = ServerRig()
    got = try_to_send(rig, name, b"v", how)
    if byte in TOKEN or 0x41 <= byte <= 0x5A:
        assert got is not None and (name.lower(), b"v") in got
    else:
        assert got is None
        assert [f for f in rig.take() if f.stream_id == 1 and how != "trailers"] == []


@pytest.mark.parametrize("how", ["buffered", "streamed", "informational", "trailers"])
@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_sent_value(byte: int, how: str) -> None:
    """§8.2.1, CVE-2025-57804: CR, LF and NUL in a value of the app never reach the wire; edge spaces neither."""
    c = bytes((byte,))
    for value in (b"v" + c + b"v", c + b"v", b"v" + c):
        rig = ServerRig()
        got = try_to_send(rig, b"x", value, how)
        if byte in FORBIDDEN_IN_VALUES:
            assert got is None
        elif byte in CONTROLS:
            assert got is None or (b"x", value) in got
        else:
            assert got is not None and (b"x", value.strip(b" \t")) in got


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"", b"v"),
        (b":status", b"404"),
        (b":x", b"v"),
        (b"te", b"gzip"),
        (b"content-length", b"12, 12"),
        (b"content-length", b"x"),
        (b"content-length", b"-1"),
    ],
)
@pytest.mark.parametrize("how", ["buffered", "streamed"])
def test_fields_that_must_not_be_sent(name: bytes, value: bytes, how: str) -> None:
    """§8.2.2, §8.3: pseudo-header fields of the app's own, te, broken lengths: InvalidFieldError."""
    rig = ServerRig()
    got = try_to_send(rig, name, value, how)
    assert got is None or (name == b"te" and got == []), got


@pytest.mark.parametrize("how", ["buffered", "streamed"])
@pytest.mark.parametrize(
    "name", [b"connection", b"Connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"]
)
def test_connection_specific_fields_are_never_sent(name: bytes, how: str) -> None:
    """§8.2.2 An endpoint MUST NOT generate connection-specific fields: refused or left out, never written."""
    rig = ServerRig()
    got = try_to_send(rig, name, b"keep-alive" if b"n" in name else b"chunked", how)
    assert not got, got


def test_a_second_content_length_is_refused() -> None:
    """Two content-length fields of the app never reach the wire."""
    rig = ServerRig()
    rig.request(1)
    with pytest.raises(ValueError, match="content-length"):
        rig.conn.send_headers(1, 200, [(b"content-length", b"1"), (b"Content-Length", b"1")])
    assert rig.take() == []


@pytest.mark.parametrize("value", [b"x\r\ny: z", b"x\n", b"\0"])
def test_client_requests_are_checked_as_well(value: bytes) -> None:
    """At our client: bad fields, methods and paths raise and write nothing."""
    rig = ClientRig()
    requests: tuple[Callable[[], object], ...] = (
        lambda: rig.conn.send_request(b"GET", b"https", b"a", b"/", [(b"x", value)], end_stream=True),
        lambda: rig.conn.send_request(b"GET", b"https", b"a", b"/" + value, [], end_stream=True),
        lambda: rig.conn.send_request(b"G" + value, b"https", b"a", b"/", [], end_stream=True),
        lambda: rig.conn.send_request(b"GET", b"https", b"a" + value, b"/", [], end_stream=True),
        lambda: rig.conn.send_request(b"GET", b"ht" + value, b"a", b"/", [], end_stream=True),
    )
    for request in requests:
        with pytest.raises(InvalidFieldError):
            request()
    assert rig.take() == []
    assert rig.send() == 1, "a refused request uses up no stream id"


# --- connection-specific fields received (§8.2.2) ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"connection", b"keep-alive"),
        (b"connection", b"close"),
        (b"connection", b""),
        (b"proxy-connection", b"keep-alive"),
        (b"keep-alive", b"timeout=5"),
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"identity"),
        (b"transfer-encoding", b""),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
        (b"te", b"trailers, gzip"),
        (b"te", b"trailers;q=1"),
        (b"te", b""),
    ],
)
def test_connection_specific_fields_are_malformed(name: bytes, value: bytes) -> None:
    """§8.2.2 Any message containing connection-specific header fields MUST be treated as malformed."""
    rig = ServerRig()
    rig.request(1, extra=[(name, value)])
    assert rig.outcome(1) == MALFORMED
    assert rig.of(ev.RequestReceived) == []
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("value", [b"trailers"])
def test_te_trailers(value: bytes) -> None:
    """§8.2.2 TE MAY be present in a request, with the value "trailers" alone."""
    rig = ServerRig()
    rig.request(1, extra=[(b"te", value)])
    assert rig.of(ev.RequestReceived)[0].headers == [(b"te", value)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"connection", b"close"),
        (b"keep-alive", b"timeout=5"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"websocket"),
        (b"proxy-connection", b"close"),
        (b"te", b"trailers"),
        (b"te", b"gzip"),
    ],
)
def test_connection_specific_fields_in_responses(name: bytes, value: bytes) -> None:
    """§8.2.2 The same in responses, where TE is not excepted."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, extra=[(name, value)], end_stream=True))
    assert rig.outcome(stream_id) == MALFORMED
    assert rig.of(ev.ResponseReceived) == []


# --- cookies (§8.2.3) -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crumbs", "joined"),
    [
        ([b"a=b"], b"a=b"),
        ([b"a=b", b"c=d"], b"a=b; c=d"),
        ([b"a=b", b"c=d", b"e=f"], b"a=b; c=d; e=f"),
        ([b"a=b; c=d", b"e=f"], b"a=b; c=d; e=f"),
        ([b"", b""], b"; "),
    ],
)
def test_cookie_crumbs_are_joined(crumbs: list[bytes], joined: bytes) -> None:
    """§8.2.3: crumbs MUST be concatenated with "; " before an application sees them."""
    rig = ServerRig()
    extra = [(b"x", b"1")]
    for crumb in crumbs:
        extra += [(b"cookie", crumb), (b"y", b"2")]
    rig.request(1, extra=extra)
    (event,) = rig.of(ev.RequestReceived)
    assert [value for name, value in event.headers if name == b"cookie"] == [joined]
    assert [pair for pair in event.headers if pair[0] != b"cookie"] == [(b"x", b"1")] + [(b"y", b"2")] * len(crumbs)


def test_other_fields_are_not_joined() -> None:
    """RFC 9110 §5.3 Other repeated fields keep their lines and their order."""
    rig = ServerRig()
    lines = [(b"accept", b"a"), (b"x", b"1"), (b"accept", b"b"), (b"x", b"2")]
    rig.request(1, extra=lines)
    assert rig.of(ev.RequestReceived)[0].headers == lines


def test_set_cookie_is_never_joined() -> None:
    """RFC 9110 §5.3 set-cookie lines of a response stay apart, in both roles."""
    rig = ClientRig()
    stream_id = rig.send()
    lines = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    rig.feed(wire.response(stream_id, extra=lines, end_stream=True))
    assert rig.of(ev.ResponseReceived)[0].headers == lines
    server = ServerRig()
    server.request(1)
    server.respond(1, headers=lines)
    server.take()
    assert [p for p in server.fields[1][0] if p[0] == b"set-cookie"] == lines


def test_equal_sections_do_not_share_what_an_app_changes() -> None:
    """Remembered sections may be shared; two different requests still never mix."""
    rig = ServerRig()
    for n in range(50):
        extra = [(b"x-n", b"%d" % (n % 3))]
        rig.request(1 + 2 * n, path=b"/%d" % (n % 2), extra=extra)
        event = rig.of(ev.RequestReceived)[-1]
        assert (event.path, event.headers) == (b"/%d" % (n % 2), extra)
        rig.respond(1 + 2 * n)
        rig.take()
