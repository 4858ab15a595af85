"""Attacks on resources and HPACK, against a server in a process of its own: latency, memory, handlers, remains.

Each row runs in cleartext, over TLS, and on 20 connections at once. What L, G, H, M and N are stands in rows.py.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from tests.security.support import attacks
from tests.security.support.harness import OFF, Bystander, Server, bystander_at, victim
from tests.security.support.probe import ask
from tests.security.support.rows import CALM, MB, ROWS, hold, watched
from tests.support import wire

pytestmark = [pytest.mark.slow, pytest.mark.alone]

# How an attack comes: over TLS or not, and on how many connections.
WAYS = {"cleartext": (False, 1), "TLS": (True, 1), "20 connections": (False, 20), "20 over TLS": (True, 20)}
EACH_WAY = pytest.mark.parametrize(("tls", "count"), WAYS.values(), ids=WAYS)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("way", ["cleartext", "TLS", "20 connections"])
def test_row(server: Server, bystander: Bystander, name: str, way: str) -> None:
    """Each row: L, G(code, 1), H, N and M, one attack after the other on the same server."""
    tls, count = WAYS[way]
    hold(server, bystander, ROWS[name], tls=tls, count=count, growth=(4 if count == 1 else 20) * MB)


def test_it_still_serves_and_has_not_grown(server: Server) -> None:
    """After all rows: M(2) against the first figures would need a soak; here it is a bound for the whole process."""
    stats = server.settled(live=0, connections=1)
    assert (stats["live"], stats["connections"]) == (0, 1), stats
    assert stats["rss"] < 80 * MB, stats
    assert "Traceback" not in server.log


@pytest.mark.parametrize("name", ["CVE-2019-9512 ping flood", "CVE-2019-9515 settings flood"])
@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "TLS"])
def test_acks_not_read(server: Server, bystander: Bystander, name: str, tls: bool) -> None:
    """CVE-2019-9512 and kin with answers that are never read: the server stops reading, or ends it; L and N hold."""
    before = server.mark()
    make, _ = ROWS[name]
    report = watched(bystander, lambda: server.attack(make(), reads=False, tls=tls))
    assert not report.finished or report.goaway is not None, report
    after = server.settled(live=0, connections=before["connections"])
    assert after["live"] == 0 and after["connections"] <= before["connections"], after
    assert after["peak"] - before["rss"] <= 4 * MB, (before, after)


def test_bombs_on_20_connections(server: Server, bystander: Bystander) -> None:
    """CVE-2026-49975, 20 attackers at once that stay within every limit: M(20) in total, and L.

    That is the 768 KiB of `max_connection_fields_size` each, and what a connection and its handlers cost besides; 6 MB
    each without that limit.
    """
    before = server.mark()
    with bystander.watching() as seen:
        server.attack_all([attacks.medium_bomb(varied=True) for _ in range(20)], wait_s=1.0)
    after = server.settled(live=0)
    assert after["peak"] - before["rss"] <= 20 * MB, (before, after)
    assert after["live"] == 0, after
    assert seen[0].failed == 0, seen


@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "TLS"])
def test_resets_of_places_that_were_held(server: Server, bystander: Bystander, tls: bool) -> None:
    """Rapid Reset that is slow enough for the budget of early resets, for two seconds: L, H and N hold (ADR 0027)."""
    before = server.mark()
    report = watched(bystander, lambda: server.attack(attacks.held_resets(), tls=tls, wait_s=0.1))
    assert report.goaway is None and report.finished, report
    after = server.settled(live=0, connections=before["connections"], tasks=before["tasks"])
    assert after["most"] <= 100 and after["live"] == 0, after
    assert after["tasks"] <= before["tasks"] and after["peak"] - before["rss"] <= 4 * MB, (before, after)
    assert "Traceback" not in server.log


def test_errors_on_600_connections(server: Server) -> None:
    """Node CVE-2025-23085, nghttp2 CVE-2023-35945: 600 connections, each killed by another error, half of them without
    reading: handles, tasks and memory come back."""
    faults = [
        wire.ping(b"short"), wire.data(0, b"x"), wire.headers(9, b"\x80"), wire.settings({wire.MAX_FRAME_SIZE: 1}),
        wire.window_update(0, 2**31 - 1), b"\xff" * 30, b"",
    ]  # fmt: skip

    def one(n: int) -> None:
        # The server may be through with it at any of these calls.
        with contextlib.suppress(OSError), server.connect({wire.INITIAL_WINDOW_SIZE: 10}) as sock:
            sock.sendall(attacks.open_streams(4) + faults[n % len(faults)])
            if n % 2:
                sock.shutdown(socket.SHUT_WR)
                sock.recv(100)

    for n in range(60):
        one(n)
    before = server.settled(live=0, connections=1)
    for n in range(600):
        one(n)
    after = server.settled(live=0, connections=1, handles=before["handles"])
    assert (after["live"], after["connections"]) == (0, 1), after
    assert after["handles"] <= before["handles"] and after["tasks"] <= before["tasks"], (before, after)
    assert after["rss"] - before["rss"] <= 3 * MB, (before, after)
    assert "Traceback" not in server.log


@contextlib.contextmanager
def asking(
    server: Server, tls: bool, count: int, settings: dict[int, int], streams: int
) -> Iterator[list[socket.socket]]:
    """That many connections, each with requests for 100 large answers, which are not read."""
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(count):
            sock = stack.enter_context(server.connect(settings, receive_buffer=65_536, tls=tls))
            sock.sendall(wire.window_update(0, 2**31 - 1 - 65_535) + attacks.open_streams(streams))
            socks.append(sock)
        yield socks


@EACH_WAY
def test_internal_data_buffering(tls: bool, count: int) -> None:
    """CVE-2019-9517 Internal Data Buffering: 100 x 10 MB asked for, TCP never read: M(2 + buffers), L, closed."""
    with (
        victim("big", tls=tls, stalled_send_timeout_s=1.0, idle_timeout_s=2.0) as server,
        bystander_at(server) as bystander,
    ):
        before = server.mark()
        with bystander.watching() as seen, asking(server, tls, count, {wire.INITIAL_WINDOW_SIZE: 2**31 - 1}, 100):
            server.until(lambda stats: stats["started"] == 100 * count)
            after = server.settled(live=0, connections=2)  # the bystander's may be the second
        # A connection has 768 KiB of send buffer, 256 KiB in the transport, and a hundred tasks with 16 KiB each
        assert after["peak"] - before["rss"] <= 4 * MB * count, (before, after)
        assert (after["started"], after["live"]) == (100 * count, 0), after
        assert after["most"] <= 100 and after["connections"] <= 2, after
        assert seen[0].failed == 0, seen
        assert "Traceback" not in server.log


def test_internal_data_buffering_negative_control() -> None:
    """Without the buffers' limits and deadlines the same request holds far more, and holds it."""
    with victim(
        "big", stalled_send_timeout_s=3_600, max_stream_send_buffer=2**31 - 1, max_connection_send_buffer=2**31 - 1
    ) as server:
        before = server.mark()
        with asking(server, False, 1, {}, 20):
            after = server.until(lambda stats: stats["peak"] - before["rss"] > 6 * MB)
        assert after["peak"] - before["rss"] > 6 * MB, "the app was never held back"


def drip(server: Server, socks: list[socket.socket], seconds: float) -> dict[str, int]:
    """One byte of window for every tenth stream of each connection, five times a second, while handlers live.

    At that pace, so that it is the stall that ends them and not the budget of odd frames.
    """
    crumbs = b"".join(wire.window_update(1 + 2 * n, 1) for n in range(0, 100, 10))
    end = time.monotonic() + seconds
    while (stats := server.stats())["live"] and time.monotonic() < end:
        for sock in socks:
            sock.sendall(crumbs)
        time.sleep(0.2)
    return stats


@EACH_WAY
def test_window_stall_holds_no_handler(tls: bool, count: int) -> None:
    """CVE-2016-1546, Jetty CVE-2026-12611: 100 handlers blocked in writes, drips of credit: all are let go, L."""
    with victim("big", tls=tls, stalled_send_timeout_s=1.5) as server, bystander_at(server) as bystander:
        with bystander.watching() as seen, asking(server, tls, count, {wire.INITIAL_WINDOW_SIZE: 1}, 100) as socks:
            during = server.until(lambda stats: stats["live"] == 100 * count)
            assert during["live"] == 100 * count, during
            after = drip(server, socks, 10.0)
        assert after["live"] == 0 and after["most"] <= 100, after
        assert seen[0].failed == 0, seen
        assert "Traceback" not in server.log and "odd_frames" not in server.log, server.log


def test_window_stall_negative_control() -> None:
    """Without the deadline the handlers stay for as long as one cares to look."""
    with victim("big") as server, asking(server, False, 1, {wire.INITIAL_WINDOW_SIZE: 1}, 100) as socks:
        server.until(lambda stats: stats["live"] == 100)
        assert drip(server, socks, 3.0)["live"] == 100


@EACH_WAY
def test_data_dribble(tls: bool, count: int) -> None:
    """CVE-2019-9511 Data Dribble: large answers, windows opened byte by byte: G(0xb, 1), L, few DATA frames."""
    with victim("big", tls=tls) as server, bystander_at(server) as bystander:
        row = (lambda: attacks.data_dribble(60_000), {CALM})
        for report in hold(server, bystander, row, tls=tls, count=count, growth=8 * MB * count):
            assert report.frames["DATA"] <= 2_000, report


def test_graceful_shutdown_abuse() -> None:
    """Go CVE-2022-27664: SIGTERM with 10 stalled streams: the process ends by its drain deadline, with code 0."""
    with victim("big", drain_timeout_s=1.0) as server, server.connect({wire.INITIAL_WINDOW_SIZE: 0}) as sock:
        sock.sendall(attacks.open_streams(10))
        assert server.until(lambda stats: stats["live"] == 10)["live"] == 10
        server.process.terminate()
        # Without a deadline it would be 60 s, when the streams have stalled, and the idle timeout on top.
        assert server.process.wait(15) == 0


def test_latency_negative_control(server: Server, bystander: Bystander) -> None:
    """A loop that is held up for a quarter of a second: L can fail, also on a machine that is busy."""
    with bystander.watching() as seen:
        for _ in range(3):
            ask(server.port, b"/burn")
    assert not seen[0].is_fine(), seen


def test_rapid_reset_negative_control() -> None:
    """With the limits off the same rapid reset is never stopped: the rows' criteria can fail."""
    with victim("sleep", OFF) as server:
        report = server.attack(attacks.rapid_reset(5_000), wait_s=0.3)
        assert report.goaway is None and report.finished, report
        if sys.version_info >= (3, 12):  # before, a worker that is reset in the same batch has not begun
            with server.connect() as sock:  # it stays: for a client that has gone nothing is started
                sock.sendall(b"".join(attacks.rapid_reset(5_000)))
                assert server.until(lambda stats: stats["started"] >= 4_000)["started"] >= 4_000


def test_unfinished_streams_negative_control() -> None:
    """With the limits off a thousand handlers run at once: H can fail."""
    with victim("sleep", OFF) as server:
        with server.connect() as sock:
            sock.sendall(b"".join(attacks.unfinished_streams(1_000)))
            during = server.until(lambda stats: stats["live"] == 1_000)
            assert (during["live"], during["most"]) == (1_000, 1_000), during
        after = server.settled(live=0)
        assert after["live"] == 0, after


@pytest.mark.parametrize(
    "name", ["CVE-2019-9512 ping flood", "VU#421644 CONTINUATION flood", "RUSTSEC-2026-0258 one-byte DATA"]
)
@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "TLS"])
def test_floods_negative_control(name: str, tls: bool) -> None:
    """With the limits off the same floods are not stopped within their 3 s or 8 MB: G can fail."""
    with victim("sleep", OFF, tls=tls) as server:
        report = server.attack(ROWS[name][0](), tls=tls, wait_s=0.2)
        assert report.goaway is None, report


def test_legitimate_cancels_are_not_cut(server: Server) -> None:
    """Legitimate control: a browser opens 200 images and cancels 100 of them, in waves; it is never cut."""
    reader = wire.FrameReader()
    answered: set[int] = set()

    def read_until(wanted: set[int]) -> None:
        while not wanted <= answered:
            data = sock.recv(65_536)
            assert data, "the connection was cut"
            for frame in reader.feed(data):
                assert frame.type not in (wire.GOAWAY, wire.RST_STREAM), frame
                if frame.end_stream:
                    answered.add(frame.stream_id)

    with server.connect() as sock:
        for wave in range(4):
            ids = range(1 + wave * 100, 101 + wave * 100, 2)
            kept, dropped = set(ids[::2]), set(ids[1::2])
            sock.sendall(b"".join(wire.request(n, b"/probe" if n in kept else b"/") for n in ids))
            read_until(kept)
            sock.sendall(b"".join(wire.rst_stream(n, wire.CANCEL) for n in sorted(dropped)))
        sock.sendall(wire.request(2001, b"/probe"))
        read_until({2001})
    assert server.settled(live=0)["live"] == 0
