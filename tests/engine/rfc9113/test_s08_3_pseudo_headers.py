"""RFC 9113 §8.3: pseudo-header fields of requests and responses; host against :authority."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

MALFORMED = ("stream", wire.PROTOCOL_ERROR)

M, S, A, P = (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.com"), (b":path", b"/")
POST, HTTP, OPTIONS = (b":method", b"POST"), (b":scheme", b"http"), (b":method", b"OPTIONS")
X = (b"x", b"y")


def path(value: bytes) -> list[tuple[bytes, bytes]]:
    """A request for this path."""
    return [M, S, A, (b":path", value)]


def authority(value: bytes) -> list[tuple[bytes, bytes]]:
    """A request to this authority."""
    return [M, S, (b":authority", value), P]


GOOD = {
    "all four": [M, S, A, P],
    "any order": [P, A, S, M],
    "no authority": [M, S, P],
    "host instead": [M, S, P, (b"host", b"example.com")],
    "http scheme": [M, HTTP, A, P],
    "asterisk": [OPTIONS, S, A, (b":path", b"*")],
    "query": path(b"/a?b=c&d=%20"),
    "double slash": path(b"//a"),
    "colon": path(b"/a:b@c"),
    "other method": [(b":method", b"PROPFIND"), S, A, P],
    "lowercase method": [(b":method", b"get"), S, A, P],
    "port": authority(b"example.com:8443"),
    "ipv6": authority(b"[::1]:443"),
    "largest port": authority(b"example.com:65535"),
    "empty port": authority(b"example.com:"),
}
REFUSED = {
    "other scheme": [M, (b":scheme", b"coap+tcp"), A, P],
    "javascript": [M, (b":scheme", b"javascript"), A, P],
    "websocket's scheme": [M, (b":scheme", b"wss"), A, P],
    "almost https": [M, (b":scheme", b"https2"), A, P],
    "path with UTF-8": path("/é".encode()),
    "path with 0x80": path(b"/\x80"),
    "query with 0xff": path(b"/?\xff"),
}
BAD = {
    "nothing at all": [],
    "only regular": [X],
    "no method": [S, A, P],
    "no scheme": [M, A, P],
    "no path": [M, S, A],
    "method twice": [M, M, S, A, P],
    "method twice, other": [M, POST, S, A, P],
    "scheme twice": [M, S, HTTP, A, P],
    "path twice": [M, S, A, P, (b":path", b"/b")],
    "authority twice": [M, S, A, A, P],
    "status in a request": [M, S, A, P, (b":status", b"200")],
    "unknown pseudo": [M, S, A, P, (b":foo", b"bar")],
    "unknown pseudo, empty": [M, S, A, P, (b":", b"bar")],
    "uppercase pseudo": [(b":Method", b"GET"), S, A, P],
    "late method": [S, A, P, X, M],
    "late path": [M, S, A, X, P],
    "late authority": [M, S, P, X, A],
    "late after cookie": [M, S, P, (b"cookie", b"a=b"), A],
    "empty method": [(b":method", b""), S, A, P],
    "method with space": [(b":method", b"GET /"), S, A, P],
    "method with CRLF": [(b":method", b"GET\r\nX"), S, A, P],
    "empty scheme": [M, (b":scheme", b""), A, P],
    "scheme with colon": [M, (b":scheme", b"https:"), A, P],
    "scheme with slash": [M, (b":scheme", b"http://x/"), A, P],
    "empty path": path(b""),
    "path without slash": path(b"index.html"),
    "absolute URI": path(b"https://example.com/"),
    "asterisk for GET": path(b"*"),
    "path with space": path(b"/a b"),
    "path with fragment": path(b"/a#b"),
    "path with CR": path(b"/a\rb"),
    "path with LF": path(b"/a\nb"),
    "path with NUL": path(b"/a\0b"),
    "path with HTAB": path(b"/a\tb"),
    "path with DEL": path(b"/a\x7fb"),
    "path with UTF-8 and a space": path("/é b".encode()),
    "port beyond 65535": authority(b"example.com:65536"),
    "port of 5,000 digits": authority(b"example.com:" + b"0" * 4_999 + b"1"),
    "port of letters": authority(b"example.com:http"),
    "two ports": authority(b"example.com:80:80"),
    "host with a port of 5,000 digits": [M, S, P, (b"host", b"example.com:" + b"8" * 5_000)],
    "userinfo": authority(b"user@example.com"),
    "userinfo with password": authority(b"user:pass@example.com"),
    "authority with slash": authority(b"example.com/"),
    "authority with space": authority(b"example .com"),
    "authority with query": authority(b"example.com?x"),
    "authority with fragment": authority(b"example.com#x"),
    "authority with CRLF": authority(b"example.com\r\nx"),
    "empty authority": authority(b""),
    "protocol without CONNECT": [M, S, A, P, (b":protocol", b"websocket")],
}


@pytest.mark.parametrize("row", GOOD)
def test_sound_requests(row: str) -> None:
    """§8.3.1 What is allowed is taken, as it came."""
    rig = ServerRig()
    rig.feed(wire.headers(1, GOOD[row], end_stream=True))
    assert rig.outcome(1) == OK
    (event,) = rig.of(ev.RequestReceived)
    wanted = dict(GOOD[row])
    assert (event.method, event.path) == (wanted[b":method"], wanted[b":path"])
    assert event.scheme == b"http"  # the connection's: see test_the_connection_decides_the_scheme
    if b":authority" in wanted:
        assert event.authority == wanted[b":authority"]


@pytest.mark.parametrize("own", [b"http", b"https"])
@pytest.mark.parametrize("claim", [b"http", b"https", b"HTTPS", b"Http"])
def test_the_connection_decides_the_scheme(own: bytes, claim: bytes) -> None:
    """RFC 9110 §7.4 A client in the clear cannot make its request one for https, remembered sections included."""
    rig = ServerRig(scheme=own, enable_connect_protocol=True)
    for stream_id in (1, 3, 5, 7):
        rig.feed(wire.headers(stream_id, [M, (b":scheme", claim), A, P], end_stream=True))
    tunnel = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", claim), A, P]
    rig.feed(wire.headers(9, tunnel))
    seen = rig.of(ev.RequestReceived)  # a ConnectReceived is one, too
    assert [(event.stream_id, event.scheme, event.shared.scheme) for event in seen] == [
        (stream_id, own, own) for stream_id in (1, 3, 5, 7, 9)
    ]


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("row", REFUSED)
def test_well_formed_requests_that_are_refused(row: str, ends: bool) -> None:
    """RFC 9110 §7.4, §15.5.1: 400, as over HTTP/1.1; the application is not asked and the connection goes on."""
    rig = ServerRig()
    for stream_id in (1, 3, 5, 7):
        rig.feed(wire.headers(stream_id, REFUSED[row], end_stream=ends))
        rig.take()
        assert rig.fields[stream_id][0][0] == (b":status", b"400")
    assert not rig.of(ev.RequestReceived)
    assert len(rig.of(ev.PeerFault)) == 4
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("row", BAD)
def test_malformed_requests(row: str) -> None:
    """§8.3, §8.3.1 Undefined, repeated, late, missing or invalid pseudo-header fields: stream error PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.feed(wire.headers(1, BAD[row], end_stream=True))
    outcome = rig.outcome(1)
    if row == "empty authority" and outcome == OK:
        assert rig.of(ev.RequestReceived)[0].authority == b""
        return
    assert outcome == MALFORMED
    assert rig.of(ev.RequestReceived) == []
    fault = rig.assert_fault("stream", wire.PROTOCOL_ERROR)
    assert fault.stream_id == 1
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("row", BAD)
def test_malformed_requests_from_a_remembered_block(row: str) -> None:
    """A block seen before is as malformed the second time."""
    rig = ServerRig()
    for stream_id in (1, 3, 5):
        rig.feed(wire.headers(stream_id, BAD[row], end_stream=True))
    assert len(rig.of(ev.RequestReceived)) in ((0, 3) if row == "empty authority" else (0,))


# --- host against :authority ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "hosts", "good"),
    [
        (b"example.com", [b"example.com"], True),
        (b"example.com", [b"EXAMPLE.com"], True),
        (b"example.com", [b"example.com:443"], True),
        (b"example.com:443", [b"example.com"], True),
        (b"example.com", [b"other.com"], False),
        (b"example.com", [b"example.com:80"], False),
        (b"example.com", [b"example.com:8443"], False),
        (b"example.com", [b"example.com.evil.org"], False),
        (b"example.com", [b""], False),
        (b"example.com", [b"example.com", b"example.com"], False),
        (b"example.com", [b"example.com", b"other.com"], False),
        (None, [b"example.com"], True),
        (None, [b"example.com", b"example.com"], False),
        (None, [b"a", b"b"], False),
        (None, [b"user@example.com"], False),
        (None, [b"example.com/path"], False),
        (None, [b"example.com, other.com"], False),
    ],
)
def test_host_and_authority(authority: bytes | None, hosts: list[bytes], good: bool) -> None:
    """§8.3.1, Netty CVE-2026-59900: host that differs from :authority, or stands twice, makes the request malformed."""
    rig = ServerRig(scheme=b"https")
    rig.request(1, authority=authority, extra=[(b"host", host) for host in hosts])
    assert rig.outcome(1) == (OK if good else MALFORMED)
    if good:
        assert rig.of(ev.RequestReceived)[0].authority == (hosts[0] if authority is None else authority)
    else:
        assert rig.of(ev.RequestReceived) == []


@pytest.mark.parametrize("claimed", [b"http", b"https"])
@pytest.mark.parametrize(("connection", "port", "other"), [(b"http", b":80", b":443"), (b"https", b":443", b":80")])
def test_the_default_port_is_that_of_the_connections_scheme(
    connection: bytes, port: bytes, other: bytes, claimed: bytes
) -> None:
    """§8.3.1, RFC 9110 §4.2: whatever `:scheme` the client claims, which gateways that end TLS hand on."""
    for one, two, is_good in (
        (b"h.test", b"h.test", True),
        (b"h.test", b"H.test", True),
        (b"h.test", b"h.test" + port, True),
        (b"h.test", b"h.test" + other, False),
    ):
        for said, host in ((one, two), (two, one)):
            rig = ServerRig(scheme=connection)
            fields = [M, (b":scheme", claimed), (b":authority", said), P, (b"host", host)]
            rig.feed(wire.headers(1, b"".join(wire.literal(*each) for each in fields), end_stream=True))
            assert rig.outcome(1) == (OK if is_good else MALFORMED), (said, host)


# --- responses (§8.3.2) -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [b"200", b"204", b"299", b"404", b"500", b"599"])
def test_sound_statuses(status: bytes) -> None:
    """§8.3.2 :status carries the status code."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, status, end_stream=True))
    assert [e.status for e in rig.of(ev.ResponseReceived)] == [int(status)]


BAD_RESPONSES = {
    "no status": [(b"server", b"x")],
    "nothing": [],
    "status twice": [(b":status", b"200"), (b":status", b"200")],
    "status late": [(b"server", b"x"), (b":status", b"200")],
    "request pseudo": [(b":status", b"200"), (b":path", b"/")],
    "method": [(b":status", b"200"), (b":method", b"GET")],
    "unknown pseudo": [(b":status", b"200"), (b":x", b"y")],
    "empty": [(b":status", b"")],
    "two digits": [(b":status", b"20")],
    "four digits": [(b":status", b"2000")],
    "letters": [(b":status", b"2xx")],
    "sign": [(b":status", b"+20")],
    "space": [(b":status", b"200 ")],
    "reason": [(b":status", b"200 OK")],
    "zero": [(b":status", b"000")],
    "below 100": [(b":status", b"099")],
    "superscript": [(b":status", b"20\xb2")],
    "uppercase name": [(b":status", b"200"), (b"Server", b"x")],
}


@pytest.mark.parametrize("row", BAD_RESPONSES)
@pytest.mark.parametrize("end_stream", [True, False])
def test_malformed_responses(row: str, end_stream: bool) -> None:
    """§8.3.2 A response without a sound :status is malformed: never 200. Clients MUST NOT accept it (§8.1.1)."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.headers(stream_id, BAD_RESPONSES[row], end_stream=end_stream))
    assert rig.outcome(stream_id) == MALFORMED
    assert rig.of(ev.ResponseReceived) == []
    assert [(e.initiator, e.code) for e in rig.of(ev.StreamReset, stream_id)] == [("local", wire.PROTOCOL_ERROR)]
    rig.assert_siblings_go_on()


# --- what we write ----------------------------------------------------------------------------------


def test_our_request_has_its_pseudo_headers_first() -> None:
    """§8.3 All pseudo-header fields MUST appear before all regular field lines."""
    rig = ClientRig()
    stream_id = rig.send(b"/x?y", headers=[(b"Accept", b"*/*")])
    assert rig.fields[stream_id][0][4:] == [(b"accept", b"*/*")]
    assert dict(rig.fields[stream_id][0][:4]) == {
        b":method": b"GET", b":scheme": b"https", b":authority": b"example.com", b":path": b"/x?y",
    }  # fmt: skip


def test_our_response_has_its_status_first() -> None:
    """§8.3.2 A single :status, in front."""
    rig = ServerRig()
    rig.request(1)
    rig.respond(1, b"", status=418, headers=[(b"a", b"b")])
    rig.take()
    assert rig.fields[1][0][0] == (b":status", b"418")
    assert (b"a", b"b") in rig.fields[1][0]
