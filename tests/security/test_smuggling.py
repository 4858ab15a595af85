"""Message semantics and smuggling, for the server; the full tables: rfc9113/test_s08_*."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace.engine import events as ev

from tests.security.support import attacks
from tests.support import wire
from tests.support.rig import OK, ServerRig

MALFORMED = ("stream", wire.PROTOCOL_ERROR)

# content-length, DATA frames, trailers: is it sound?
LENGTHS = [
    (b"5", [b"hello"], False, True),
    (b"5", [b"hello"], True, True),
    (b"5", [b"he", b"llo"], False, True),
    (b"0", [], False, True),
    (b"5", [], False, False),
    (b"5", [], True, False),
    (b"5", [b"hell"], False, False),
    (b"5", [b"hell"], True, False),
    (b"5", [b"hello!"], False, False),
    (b"5", [b"hello!"], True, False),
    (b"0", [b"x"], False, False),
    (b"4", [b"hello"], True, False),
]


@pytest.mark.parametrize(("declared", "parts", "trailers", "sound"), LENGTHS)
def test_content_length_against_data(declared: bytes, parts: list[bytes], trailers: bool, sound: bool) -> None:
    """Netty CVE-2021-21295, CVE-2021-21409, HAProxy d12edebe: 12 combinations: RST PROTOCOL_ERROR."""
    rig = ServerRig()
    raw = wire.request(1, method=b"POST", extra=[(b"content-length", declared)], end_stream=not parts and not trailers)
    for n, part in enumerate(parts):
        raw += wire.data(1, part, end_stream=n == len(parts) - 1 and not trailers)
    if trailers:
        raw += wire.headers(1, [(b"t", b"v")], end_stream=True)
    rig.feed(raw)
    assert rig.outcome(1) == (OK if sound else MALFORMED)
    if not sound and rig.of(ev.RequestReceived):
        assert [e.initiator for e in rig.of(ev.StreamReset)] == ["local"], "the app must see an error"


def test_declared_length_is_not_believed_before_bytes_come() -> None:
    """Netty CVE-2021-21409: a declared length of 10^17 reserves nothing."""
    import tracemalloc

    rig = ServerRig()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        rig.request(1, method=b"POST", extra=[(b"content-length", b"9" * 17)], end_stream=False)
        assert tracemalloc.get_traced_memory()[1] - before < 100_000
    finally:
        tracemalloc.stop()


LINE_BYTES = [0x00, 0x0A, 0x0D]
PLACES = ["name", "value", ":path", ":method", ":scheme", ":authority", "cookie", "host"]


@pytest.mark.parametrize("byte", LINE_BYTES)
@pytest.mark.parametrize("where", PLACES)
def test_cr_lf_nul(byte: int, where: str) -> None:
    """CVE-2025-57804, Bandit GHSA-x3gh-xhj4-3vq8, nginx CVE-2026-42926: CR, LF, NUL anywhere: malformed."""
    c = b"a" + bytes((byte,)) + b"b"
    parts: dict[str, Any] = {}
    extra: list[tuple[bytes, bytes]] = []
    if where.startswith(":"):
        parts[where[1:]] = (b"/" if where == ":path" else b"") + c
    elif where == "name":
        extra = [(c, b"v")]
    elif where == "value":
        extra = [(b"x", c)]
    else:
        extra = [(where.encode(), c)]
        parts["authority"] = None
    rig = ServerRig()
    rig.feed(wire.request(1, extra=extra, **parts))
    assert rig.outcome(1) == MALFORMED
    assert rig.of(ev.RequestReceived) == []


# A few of each kind, for the control's sake; all of them: rfc9113/test_s08_3_pseudo_headers.py.
PSEUDO = {
    "twice": [*wire.request_fields(), (b":path", b"/b")],
    "late": [*wire.request_fields(path=None), (b"x", b"y"), (b":path", b"/")],
    "unknown": [*wire.request_fields(), (b":status", b"200")],
    "uppercase": [*wire.request_fields(), (b":Path", b"/b")],
    "missing": wire.request_fields(path=None),
    "empty path": wire.request_fields(b""),
    "path with space": wire.request_fields(b"/a b"),
    "path with fragment": wire.request_fields(b"/a#b"),
    "absolute path": wire.request_fields(b"https://internal/"),
    "userinfo": wire.request_fields(authority=b"user@example.com"),
    "authority with path": wire.request_fields(authority=b"example.com/x"),
    "scheme with slashes": wire.request_fields(scheme=b"http://internal/"),
    "method with space": wire.request_fields(method=b"GET / HTTP/1.1"),
}


@pytest.mark.parametrize("row", PSEUDO)
def test_pseudo_header_abuse(row: str) -> None:
    """Pseudo-header abuse: duplicate, unknown, late, empty, with what would split a line further on: malformed."""
    rig = ServerRig()
    rig.feed(wire.headers(1, PSEUDO[row], end_stream=True))
    assert rig.outcome(1) == MALFORMED
    assert rig.of(ev.RequestReceived) == []
    rig.assert_siblings_go_on()


SMUGGLED: dict[str, list[tuple[bytes, bytes]]] = {
    "TE": [(b"transfer-encoding", b"chunked")],
    "TE and CL": [(b"transfer-encoding", b"chunked"), (b"content-length", b"5")],
    "connection": [(b"connection", b"transfer-encoding")],
    "h2c upgrade": [(b"upgrade", b"h2c"), (b"http2-settings", b"AAMAAABk")],
    "te: x": [(b"te", b"x")],
    "two lengths": [(b"content-length", b"5"), (b"content-length", b"6")],
    "two hosts": [(b"host", b"a"), (b"host", b"b")],
    "another host": [(b"host", b"internal")],
}


@pytest.mark.parametrize("extra", SMUGGLED.values(), ids=SMUGGLED)
def test_smuggling_fields(extra: list[tuple[bytes, bytes]]) -> None:
    """CL.TE by downgrade, h2c smuggling, Netty CVE-2026-59900: malformed, RST_STREAM, nothing reaches the app."""
    rig = ServerRig()
    rig.request(1, method=b"POST", extra=extra, end_stream=False)
    assert rig.outcome(1) == MALFORMED
    assert rig.of(ev.RequestReceived) == []
    rig.assert_siblings_go_on()


def test_cookie_crumbs_join_in_linear_work() -> None:
    """Cookie crumbs: joined once, equal to the whole; 100 crumbs of 500 bytes each stay one pass."""
    rig = ServerRig()
    crumbs = [b"c%d=" % n + b"v" * 480 for n in range(100)]
    block = wire.literals(wire.request_fields(extra=[(b"cookie", crumb) for crumb in crumbs]))
    rig.feed(attacks.split_block(1, block))
    assert rig.of(ev.RequestReceived)[0].headers == [(b"cookie", b"; ".join(crumbs))]


CONNECT = [
    ([(b":method", b"CONNECT"), (b":authority", b"127.0.0.1:22")], True),
    ([(b":method", b"CONNECT"), (b":authority", b"169.254.169.254:80"), (b":path", b"/")], False),
    ([(b":method", b"CONNECT"), (b":authority", b"h:1"), (b":scheme", b"https"), (b":path", b"/"),
      (b":protocol", b"websocket")], False),
    ([(b":method", b"CONNECT"), (b":authority", b"h:1"), (b":protocol", b"websocket")], False),
    ([(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"h"), (b":path", b"/"),
      (b":protocol", b"websocket")], False),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "reaches_the_app"), CONNECT)
def test_connect_abuse(fields: list[tuple[bytes, bytes]], reaches_the_app: bool) -> None:
    """Envoy CVE-2025-64763, Go CVE-2026-94439: CONNECT forms not served are malformed."""
    rig = ServerRig()
    rig.feed(wire.headers(1, fields), wire.data(1, b"early" * 100))
    assert bool(rig.of(ev.RequestReceived)) == reaches_the_app
    if reaches_the_app:
        rig.respond(1, status=405)
        rig.take()
        assert rig.fields[1][0][0] == (b":status", b"405")
    else:
        assert rig.outcome(1) == MALFORMED
    rig.assert_siblings_go_on()


def test_fuzzed_fields_of_the_app() -> None:
    """Granian CVE-2026-42545: whatever fields an app gives, the answer is an error or sound bytes."""
    rnd = random.Random(7)
    rig = ServerRig()
    stream_id = 1
    refused = 0
    for _ in range(2_000):
        rig.request(stream_id)
        fields = [(rnd.randbytes(rnd.randrange(6)), rnd.randbytes(rnd.randrange(6))) for _ in range(rnd.randrange(3))]
        try:
            rig.respond(stream_id, b"x", headers=fields)
        except ValueError:
            refused += 1
            rig.respond(stream_id, b"error", status=500)
        rig.take()
        for name, value in rig.fields[stream_id][0][1:]:
            assert not set(value) & {0, 10, 13} and name == name.lower()
        stream_id += 2
        rig.sent.clear()
        rig.events.clear()
    assert refused > 100 and not rig.conn.closed


KNOWN_FIELDS = [b"sec-websocket-protocol", b"cookie", b"user-agent", b"priority", b"expect", b"range"]


@pytest.mark.parametrize("name", KNOWN_FIELDS)
def test_odd_bytes_in_well_known_fields(name: bytes) -> None:
    """Granian CVE-2026-42544: every byte in fields that servers look into: delivered or malformed, never a crash."""
    for byte in range(256):
        rig = ServerRig()
        rig.request(1, extra=[(name, b"a" + bytes((byte,)) + b"b")])
        assert rig.outcome(1) in (OK, MALFORMED)
