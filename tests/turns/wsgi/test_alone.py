"""WSGI: slow clients on one connection, and on twenty, hold no thread for which others wait (issue: six slow uploads,
or six streams with a window of 0, had everybody else wait for 60 s)."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from tests.security.support.harness import victim
from tests.support import wire
from tests.turns import Flood, Siege, besieged, steady

pytestmark = [pytest.mark.slow, pytest.mark.alone]

UPLOAD = 1_000_000
WINDOW = 4  # SETTINGS_INITIAL_WINDOW_SIZE
WAYS = pytest.mark.parametrize("alpn", ["", "h2"], ids=["cleartext", "TLS"])
RESPONSES = pytest.mark.parametrize("path", [b"/pieces", b"/list", b"/file"])


def uploads(count: int) -> Flood:
    """Requests on one connection whose content begins, and does not go on."""

    def batches() -> Iterable[bytes]:
        yield wire.client_preface() + wire.settings_ack()
        for each in range(count):
            fields = [(b"content-length", b"%d" % UPLOAD)]
            yield wire.request(1 + 2 * each, b"/read", method=b"POST", extra=fields, end_stream=False)
            yield wire.data(1 + 2 * each, bytes(1_000))

    return batches


def unread(path: bytes, count: int, let_go_s: float = 0.0) -> Flood:
    """Requests on one connection with windows of 0; after `let_go_s`, unless that is 0, all of them are reset."""

    def batches() -> Iterable[bytes]:
        yield wire.client_preface({WINDOW: 0}) + wire.settings_ack()
        yield b"".join(wire.request(1 + 2 * each, path) for each in range(count))
        end = time.monotonic() + let_go_s
        while time.monotonic() < end:
            yield b""
        if let_go_s:
            yield b"".join(wire.rst_stream(1 + 2 * each, 8) for each in range(count))

    return batches


def upload_of_http_1() -> Iterable[bytes]:
    """A request whose content begins, and does not go on."""
    yield b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % UPLOAD + bytes(1_000)


def unread_of_http_1(path: bytes) -> Flood:
    """A request whose response is not read."""
    return lambda: [b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path]


@WAYS
@pytest.mark.parametrize("count", [1, 20])
def test_slow_uploads(count: int, alpn: str) -> None:
    def reading() -> Siege:
        with victim("wsgi", tls=bool(alpn), uvloop=1, drain_timeout_s=0.2) as server:
            return besieged(server, uploads(6 if count == 1 else 1), count=count, alpn=alpn, reads=False)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


@RESPONSES
@pytest.mark.parametrize("streams", [6, 100])
def test_responses_that_one_connection_does_not_read(streams: int, path: bytes) -> None:
    def reading() -> Siege:
        with victim("wsgi", drain_timeout_s=0.2) as server:
            return besieged(server, unread(path, streams), reads=False)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


@WAYS
@RESPONSES
def test_responses_that_twenty_connections_do_not_read(path: bytes, alpn: str) -> None:
    def reading() -> Siege:
        with victim("wsgi", tls=bool(alpn), uvloop=1, drain_timeout_s=0.2) as server:
            return besieged(server, unread(path, 1), count=20, alpn=alpn, reads=False)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


@WAYS
@pytest.mark.parametrize("path", [b"/pieces", b"/list"])
def test_responses_that_twenty_connections_of_a_hundred_streams_do_not_read(path: bytes, alpn: str) -> None:
    """Far more than an address has files for; long enough for `wsgi_stall_s` to end some, and others to begin."""

    def reading() -> Siege:
        with victim("wsgi", tls=bool(alpn), uvloop=1, drain_timeout_s=0.2) as server:
            return besieged(server, unread(path, 100), count=20, alpn=alpn, reads=False, longest_s=3.5)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("path", [b"/pieces", b"/list", b"/file", b"/read"])
def test_slow_clients_of_http_1(path: bytes, count: int) -> None:
    make = upload_of_http_1 if path == b"/read" else unread_of_http_1(path)

    def reading() -> Siege:
        with victim("wsgi", uvloop=1, drain_timeout_s=0.2) as server:
            return besieged(server, make, count=count, reads=False)

    siege = steady(reading, Siege.holds)
    assert siege.holds() and siege.closed == 0, siege


OLD = {"wsgi_spool_memory": 0, "wsgi_spool_size": 0, "wsgi_spare_threads": 0, "drain_timeout_s": 0.2}
"""Threads wait for clients, and there are no others."""


def test_control_without_spools() -> None:
    """Then a hundred streams with a window of 0 hold all threads, until they are reset."""
    with victim("wsgi", {**OLD, "wsgi_stall_s": 0}) as server:
        siege = besieged(server, unread(b"/pieces", 100, let_go_s=1.0), reads=False, longest_s=1.5)
    assert not siege.is_quick() and siege.seen.worst > 500, siege


@pytest.mark.parametrize("path", [b"/pieces", b"/list", b"/read"])
def test_control_without_spools_over_http_1(path: bytes) -> None:
    """So do twenty connections, until `wsgi_stall_s` ends some."""
    make = upload_of_http_1 if path == b"/read" else unread_of_http_1(path)
    with victim("wsgi", {**OLD, "wsgi_stall_s": 0.6}) as server:
        siege = besieged(server, make, count=20, reads=False)
    assert not siege.is_quick() and siege.seen.worst > 500, siege
