"""Attacks on resources and on HPACK, one a row, and what a live server has to show under each.

L: a probe on connections of its own is answered within 100 ms, and never refused. G(code, t): GOAWAY with that code,
and TCP closes within t s of it. H: handlers of a connection never exceed max_concurrent_streams, and are gone 1 s after
the end. M(x): memory grows by at most x MB. N: no traceback, no task, no handle is left, and the log stays short.

L, and the times of G and H, are measured on machines that are shared: a spike of somebody else's work looks like ours.
So the bystander does not count the time in which there was no core for the server (probe.py); and a reading above its
bound is taken again, twice at most: what the attack causes comes back every time, noise does not.

Many attackers get as many turns of the loop as they have connections, 100 frames each: twenty of them that send the
dearest frames there are keep a bystander waiting for some 50 ms with the compiled engine and 150 ms with the pure one,
which is granted three times the bound for that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from tests.conftest import engine_is_compiled
from tests.security.support import attacks
from tests.security.support.harness import LATENCY_MS, Bystander, Server
from tests.security.support.peer import Report
from tests.support import wire

MB = 1_000_000
CALM = wire.ENHANCE_YOUR_CALM
READINGS = 3
SOON_S = 1.0

T = TypeVar("T")
Row = tuple[Callable[[], Iterable[bytes]], set[int]]

ROWS: dict[str, Row] = {
    "CVE-2019-9512 ping flood": (lambda: attacks.ping_flood(60_000), {CALM}),
    "CVE-2019-9513 resource loop": (lambda: attacks.priority_flood(60_000), {CALM}),
    "CVE-2019-9514 reset flood": (attacks.invalid_requests, {CALM}),
    "CVE-2019-9515 settings flood": (lambda: attacks.settings_flood(60_000), {CALM}),
    "CVE-2020-11080 giant SETTINGS": (attacks.giant_settings, {CALM}),
    "CVE-2019-9516 zero-length headers": (attacks.zero_length_headers, {CALM, wire.PROTOCOL_ERROR}),
    "CVE-2019-9518 empty DATA": (lambda: attacks.empty_data(60_000), {CALM}),
    "CVE-2019-9518 empty CONTINUATION": (lambda: attacks.empty_continuation(60_000), {CALM}),
    "CVE-2019-9518 empty HEADERS": (lambda: attacks.empty_headers(60_000), {CALM}),
    "CVE-2019-9518 PUSH_PROMISE": (lambda: attacks.empty_push_promise(60_000), {wire.PROTOCOL_ERROR}),
    "RUSTSEC-2026-0258 one-byte DATA": (lambda: attacks.one_byte_data(60_000), {CALM}),
    "WINDOW_UPDATE of 1": (lambda: attacks.window_update_crumbs(60_000), {CALM}),
    "unknown frames": (lambda: attacks.unknown_frames(60_000), {CALM}),
    "SETTINGS ACK flood": (lambda: attacks.settings_acks(60_000), {CALM}),
    "HEADERS on a reset stream": (lambda: attacks.on_a_reset_stream(wire.headers(1, [(b"t", b"v")])), {CALM}),
    "CVE-2023-44487 rapid reset": (lambda: attacks.rapid_reset(20_000), {CALM}),
    "CVE-2026-47244 unfinished streams": (lambda: attacks.unfinished_streams(2_500), {CALM}),
    "VU#421644 CONTINUATION flood": (attacks.continuation_flood, {CALM}),
    "CVE-2026-78669 window flips": (attacks.window_flips, {CALM}),
    "CVE-2016-6581 HPACK bomb": (attacks.fat_bomb, {CALM, wire.COMPRESSION_ERROR}),
    "CVE-2026-49975 thin bomb": (attacks.thin_bomb, {CALM}),
    "CVE-2026-49975 empty-cookie bomb": (lambda: attacks.thin_bomb(b"cookie"), {CALM}),
    "CVE-2026-59980 endless integer": (attacks.endless_integer, {CALM, wire.COMPRESSION_ERROR}),
    **{
        f"CVE-2025-8671 MadeYouReset {name}": (made, {CALM, wire.STREAM_CLOSED, wire.PROTOCOL_ERROR})
        for name, made in attacks.MADE_YOU_RESET.items()
    },
}


def bound_ms(count: int) -> float:
    """L for that many attackers."""
    return LATENCY_MS if count == 1 or engine_is_compiled() else 3 * LATENCY_MS


def hold(
    server: Server, bystander: Bystander, attack: Row, *, count: int = 1, tls: bool = False, growth: float = 4 * MB
) -> list[Report]:
    """One row: `count` attackers side by side; L, G(code, 1), H, N and M(`growth`), at the peak and afterwards."""
    make, codes = attack
    before = server.mark()
    log_before = len(server.log)
    for reading in range(READINGS):
        with bystander.watching() as seen:
            reports = server.attack_all([make() for _ in range(count)], tls=tls)
        for report in reports:
            assert report.goaway in codes, report
            assert report.closed_at is not None, report
        ended = time.monotonic()
        after = server.settled(live=0)
        assert after["live"] == 0, after
        assert seen[0].failed == 0, seen
        late = [report for report in reports if report.lingered_s > SOON_S]
        if seen[0].is_fine(bound_ms(count)) and not late and time.monotonic() - ended <= SOON_S:
            break
        assert reading < READINGS - 1, f"late or slow, {READINGS} times in a row: {seen[0]}, {late}"
    assert after["most"] <= 100, after
    after = server.settled(handles=before["handles"], connections=before["connections"], tasks=before["tasks"])
    assert after["handles"] <= before["handles"], (before, after)
    assert after["connections"] <= before["connections"] and after["tasks"] <= before["tasks"], (before, after)
    assert after["peak"] - before["rss"] <= growth, (before, after)
    written = server.log[log_before:]
    assert "Traceback" not in written, written
    assert len(written) <= 1_000 * READINGS * count, written
    return reports


def watched(bystander: Bystander, run: Callable[[], T], *, count: int = 1) -> T:
    """Run an attack of `count` connections that is no row of the table under L."""
    for reading in range(READINGS):
        with bystander.watching() as seen:
            result = run()
        assert seen[0].failed == 0, f"{seen[0]}, {result!r:.300}"
        if seen[0].is_fine(bound_ms(count)):
            break
        assert reading < READINGS - 1, f"slow, {READINGS} times in a row: {seen[0]}, {result!r:.300}"
    return result
