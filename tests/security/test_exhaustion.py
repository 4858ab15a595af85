"""Resource exhaustion on HTTP/2, one attack after the other, against the engine in memory.

Each row has its attack, its criterion, and a negative control: the same attack with the limits off must fail the
criterion, or the test would say nothing. What needs a process (latency of others, RSS, handlers as tasks) is in
test_live.py. G(0xb) is GOAWAY(ENHANCE_YOUR_CALM) and the end; M(x) is growth of memory by at most x MB; H: handlers
never exceed max_concurrent_streams.
"""

from __future__ import annotations

import functools
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.security.support import attacks
from tests.security.support.memory import OFF, ON, Outcome, attack, calmed, check, only_off
from tests.support import wire
from tests.support.rig import ClientRig, ServerRig

pytestmark = pytest.mark.slow

MB = 1_000_000


def test_data_dribble() -> None:
    """CVE-2019-9511 Data Dribble: at most one DATA frame to 10 WINDOW_UPDATE of 1, or ENHANCE_YOUR_CALM; M(8)."""

    def criterion(result: Outcome) -> bool:
        return calmed(result) or result.frames.get(wire.DATA, 0) * 10 <= 60_000

    result = attack(attacks.data_dribble(), app="answer", body=60_000, memory=True)
    check(criterion(result), result)
    check(result.peak < 8 * MB and result.left < 2 * MB, result)
    check(result.batches < 60_000 / 200, result)
    control = attack(attacks.data_dribble(20_000), app="answer", body=60_000, limits=OFF)
    check(control.frames.get(wire.DATA, 0) * 10 > 20_000 and not control.closed, control)


@pytest.mark.parametrize("read", [True, False], ids=["acks-read", "acks-unread"])
def test_ping_flood(read: bool) -> None:
    """CVE-2019-9512 Ping Flood: 100,000 PING, ACKs read or not: G(0xb) or reading stops; M(2)."""
    result = attack(attacks.ping_flood(), read=read, memory=True)
    check(calmed(result) or result.paused, result)
    check(result.peak < 2 * MB, result)
    check(result.frames.get(wire.PING, 0) <= 1_300, result)
    control = attack(attacks.ping_flood(20_000), read=read, limits=OFF)
    check(not control.closed and not control.paused and control.frames[wire.PING] == 20_000, control)


def test_resource_loop() -> None:
    """CVE-2019-9513 Resource Loop: 60,000 PRIORITY frames: G(0xb); none builds a tree."""
    result = attack(attacks.priority_flood())
    check(calmed(result), result)
    control = attack(attacks.priority_flood(20_000), limits=OFF)
    check(not control.closed, control)


@pytest.mark.parametrize("read", [True, False])
def test_reset_flood(read: bool) -> None:
    """CVE-2019-9514 Reset Flood: 3,000 invalid requests that each provoke RST_STREAM, not read: G(0xb), M(2)."""
    result = attack(attacks.invalid_requests(), read=read, memory=True)
    check(calmed(result), result)
    check(result.peak < 2 * MB, result)
    check(result.frames.get(wire.RST_STREAM, 0) <= 30, result)
    control = attack(attacks.invalid_requests(), read=read, limits=OFF)
    check(not control.closed and control.frames[wire.RST_STREAM] == 3_000, control)


@pytest.mark.parametrize("read", [True, False])
def test_settings_flood(read: bool) -> None:
    """CVE-2019-9515, CVE-2018-11763 Settings Flood: 60,000 SETTINGS: G(0xb), or reading stops."""
    result = attack(attacks.settings_flood(), read=read, memory=True)
    check(calmed(result) or (not read and result.paused), result)
    check(result.peak < 2 * MB, result)
    control = attack(attacks.settings_flood(10_000), read=read, limits=OFF)
    check(not control.closed, control)


def test_giant_settings() -> None:
    """CVE-2020-11080 Giant SETTINGS: a frame of 33 entries: ENHANCE_YOUR_CALM."""
    check(calmed(attack(attacks.giant_settings(33))), attack(attacks.giant_settings(33)))
    assert not attack(attacks.giant_settings(32)).closed
    assert not attack(attacks.giant_settings(2_400), limits=OFF).closed


def test_zero_length_headers() -> None:
    """CVE-2019-9516 0-length headers: PROTOCOL_ERROR; no handler runs; M(2)."""
    result = attack(attacks.zero_length_headers(), memory=True)
    check(result.requests == 0 and result.closed, result)
    check(result.peak < 2 * MB, result)
    control = attack(attacks.zero_length_headers(), limits=OFF)
    check(control.requests == 0 and not control.closed, control)


FLOODS: dict[str, tuple[Callable[[int], Iterator[bytes]], int]] = {
    "data": (attacks.empty_data, wire.ENHANCE_YOUR_CALM),
    "padded-data": (attacks.empty_padded_data, wire.ENHANCE_YOUR_CALM),
    "continuation": (attacks.empty_continuation, wire.ENHANCE_YOUR_CALM),
    "headers": (attacks.empty_headers, wire.ENHANCE_YOUR_CALM),
    "push-promise": (attacks.empty_push_promise, wire.PROTOCOL_ERROR),
    "unknown": (attacks.unknown_frames, wire.ENHANCE_YOUR_CALM),
    "window-update": (attacks.window_update_crumbs, wire.ENHANCE_YOUR_CALM),
    "settings-ack": (attacks.settings_acks, wire.ENHANCE_YOUR_CALM),
    "ping-ack": (attacks.ping_acks, wire.ENHANCE_YOUR_CALM),
    "goaway": (attacks.goaways, wire.ENHANCE_YOUR_CALM),
    "priority-update": (attacks.priority_updates, wire.ENHANCE_YOUR_CALM),
    **{
        f"{name} on a reset stream": (functools.partial(attacks.on_a_reset_stream, frame), wire.ENHANCE_YOUR_CALM)
        for name, frame in {
            "empty DATA": wire.data(1),
            "DATA of one byte": wire.data(1, b"x"),
            "HEADERS": wire.headers(1, [(b"t", b"v")]),
            "RST_STREAM": wire.rst_stream(1),
            "WINDOW_UPDATE": wire.window_update(1, 300),
        }.items()
    },
}


@pytest.mark.parametrize("kind", FLOODS)
def test_empty_frames(kind: str) -> None:
    """CVE-2019-9518 Empty Frames, and other frames that do no work: 60,000 of each: G(0xb); a push PROTOCOL_ERROR."""
    flood, code = FLOODS[kind]
    result = attack(flood(60_000), memory=True)
    check(result.closed and result.goaway == code, result)
    check(result.peak < 2 * MB, result)
    if kind not in ("push-promise",):
        control = attack(flood(10_000), limits=OFF)
        check(not control.closed, control)


def test_small_data() -> None:
    """RUSTSEC-2026-0258 Small DATA: DATA of one byte to a handler that sleeps: its stream is reset, and who goes on
    gets ENHANCE_YOUR_CALM, all before M(1)."""
    result = attack(attacks.one_byte_data(), memory=True)
    check(calmed(result), result)
    check(result.peak < 1 * MB, result)
    check(result.frames.get(wire.RST_STREAM, 0) == 1, result)
    check(result.debug == b"odd_frames", result)
    control = attack(attacks.one_byte_data(20_000), limits=OFF)
    check(not control.closed, control)


def test_rapid_reset() -> None:
    """CVE-2023-44487 Rapid Reset: 20,000 pairs of HEADERS and RST_STREAM: G(0xb); H."""
    result = attack(attacks.rapid_reset(), memory=True)
    check(calmed(result), result)
    check(result.debug == b"early_resets" and result.requests <= 400, result)
    check(result.most_handlers <= 100 and result.peak < 2 * MB, result)
    control = attack(attacks.rapid_reset(), limits=OFF)
    check(not control.closed and control.requests == 20_000, control)


@pytest.mark.parametrize("primitive", attacks.MADE_YOU_RESET)
def test_made_you_reset(primitive: str) -> None:
    """CVE-2025-8671 MadeYouReset, six primitives of 3,000: G(any); few streams are given to handlers (H)."""
    result = attack(attacks.MADE_YOU_RESET[primitive](3_000))
    check(result.closed and result.goaway is not None, result)
    check(result.requests <= 300 and result.most_handlers <= 100, result)
    control = attack(attacks.MADE_YOU_RESET[primitive](3_000), limits=OFF)
    check(not control.closed and control.requests == 3_000, control)


def test_impossible_reply() -> None:
    """Netty CVE-2026-50560: MAX_HEADER_LIST_SIZE of 1 is advice: 1,000 GETs get their answers; H."""
    result = attack(attacks.impossible_reply(), app="answer", body=3)
    check(not result.closed and result.requests == 1_000, result)
    check(result.frames.get(wire.DATA, 0) == 1_000 and result.most_handlers <= 100, result)
    assert result.frames.get(wire.RST_STREAM, 0) == 0


def test_unenforced_streams() -> None:
    """Netty CVE-2026-47244: 1,000 HEADERS without END_STREAM: 900 REFUSED_STREAM, then ENHANCE_YOUR_CALM."""
    result = attack(attacks.unfinished_streams(1_000))
    check(result.requests == 100 and result.most_handlers == 100, result)
    check(result.frames[wire.RST_STREAM] == 900 and not result.closed, result)
    check(calmed(attack(attacks.unfinished_streams(2_000))), result)
    control = attack(attacks.unfinished_streams(2_000), limits=OFF)
    check(control.most_handlers == 2_000, control)


def test_streams_before_our_settings_are_acknowledged() -> None:
    """Netty CVE-2026-47244: the limit of streams holds before the peer has acknowledged it."""

    def opened(limits: Limits) -> tuple[int, int]:
        rig = ServerRig(limits, start=False)
        rig.feed(wire.client_preface(), attacks.open_streams(250, end_stream=False))
        rig.take()
        return len(rig.of(ev.RequestReceived)), len(rig.frames(wire.RST_STREAM))

    assert opened(ON) == (100, 150)
    assert opened(OFF) == (250, 0)


@pytest.mark.parametrize("size", [16_000, 0], ids=["16kB", "0-byte"])
def test_continuation_flood(size: int) -> None:
    """VU#421644, CVE-2024-27983 and kin CONTINUATION flood, full and empty frames: G(0xb), M(1)."""
    flood = attacks.continuation_flood() if size else attacks.empty_continuation(10_000)
    result = attack(flood, memory=True)
    check(calmed(result), result)
    check(result.peak < 1 * MB and result.batches <= 5, result)
    limits = OFF
    control = attack(
        attacks.continuation_flood(100) if size else attacks.empty_continuation(5_000), limits=limits, memory=True
    )
    check(not control.closed and (control.peak > 1 * MB or not size), control)


def flip_cost(streams: int, *, blocked: bool) -> float:
    """CPU seconds for 2,000 pairs of INITIAL_WINDOW_SIZE up and down with that many streams, best of three."""
    best = 1e9
    for _ in range(3):
        rig = ServerRig(OFF, settings={wire.INITIAL_WINDOW_SIZE: 0})
        rig.feed(attacks.open_streams(streams))
        if blocked:
            for n in range(streams):
                rig.conn.send_headers(1 + 2 * n, 200, [])
        flips = b"".join(wire.settings({wire.INITIAL_WINDOW_SIZE: n % 2}) for n in range(4_000))
        rig.take()
        start = time.process_time()
        rig.feed(flips)
        best = min(best, time.process_time() - start)
    return best


def test_initial_window_flips() -> None:
    """Go CVE-2026-78669: 100 streams, 30,000 flips of INITIAL_WINDOW_SIZE: ENHANCE_YOUR_CALM."""
    result = attack(attacks.window_flips(), app="answer", body=60_000)
    check(calmed(result), result)
    control = attack(attacks.window_flips(3_000), app="answer", body=60_000, limits=OFF)
    check(not control.closed, control)


def test_initial_window_flips_do_not_cost_by_the_stream() -> None:
    """Go CVE-2026-78669, rule 8: a SETTINGS frame costs the same with 1,000 open streams as with one.

    A ratio of CPU time within one process and one run, with a wide margin: work by the stream would be 100 times more.
    """
    assert flip_cost(1_000, blocked=True) < 5 * flip_cost(1, blocked=True)


@pytest.mark.parametrize("drip", [None, 0, 1], ids=["silent", "connection", "stream"])
def test_window_stall(drip: int | None) -> None:
    """CVE-2016-1546 and kin, slow read: 100 stalled streams, one WINDOW_UPDATE of 1 a second: all reset at the cap.

    The clock is turned by hand; drips of WINDOW_UPDATE do not extend the deadline (Bandit CVE-2026-105659).
    """

    def stall(limits: Limits) -> ServerRig:
        rig = ServerRig(limits, settings={wire.INITIAL_WINDOW_SIZE: 0})
        rig.feed(attacks.open_streams(100))
        for event in rig.of(ev.RequestReceived):
            rig.respond(event.stream_id, b"x" * 60_000)
        for second in range(70):
            rig.advance(1.0)
            if drip is not None:
                rig.feed(wire.window_update(0 if drip == 0 else 1 + 2 * (second % 100), 1))
            rig.take()
        return rig

    rig = stall(ON)
    assert rig.conn.open_streams == 0
    assert len(rig.of(ev.StreamReset)) == 100
    assert rig.conn.stats()["send_queued"] == 0
    assert not rig.conn.closed
    control = stall(OFF)
    assert control.conn.open_streams == 100


def test_slow_read_with_real_progress_goes_on() -> None:
    """Legitimate control to the stall: a slow reader that takes 8 KiB every 20 s is not cut."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.respond(1, b"x" * 60_000)
    rig.take()
    for _ in range(8):
        rig.advance(20)
        rig.feed(wire.window_update(1, 8_192))
        rig.take()
    assert bytes(rig.content[1]) == b"x" * 60_000
    assert rig.reset_code(1) is None


@pytest.mark.parametrize("rate", [0, 10, 99])
def test_slow_upload(rate: int) -> None:
    """min_upload_rate: a body of a known length that comes at under 100 bytes/s is given up; OFF: never.

    Bodies without one: `tests/lawful/test_pauses.py`.
    """

    def upload(limits: Limits) -> ServerRig:
        rig = ServerRig(limits)
        rig.request(1, method=b"POST", end_stream=False, extra=[(b"content-length", b"1000000")])
        for _ in range(60):
            rig.advance(1.0)
            if rate:
                rig.feed(wire.data(1, b"x" * rate))
            for event in rig.of(ev.DataReceived):
                if not rig.of(ev.StreamReset):
                    rig.conn.acknowledge_data(1, event.flow_length)
            rig.events = [e for e in rig.events if not isinstance(e, ev.DataReceived)]
            rig.take()
        return rig

    assert upload(ON).of(ev.StreamReset)
    assert not upload(only_off(min_upload_rate=0.0)).of(ev.StreamReset)


ERRORS = [
    wire.ping(b"short"),
    wire.data(0, b"x"),
    wire.headers(1, b"\x80"),
    wire.settings({wire.MAX_FRAME_SIZE: 1}),
    wire.window_update(0, 2**31 - 1),
    wire.headers(1, attacks.POST, end_headers=False) + wire.ping(),
    wire.frame(wire.DATA, 0, 1, b"", length=2**24 - 1),
    b"\xff" * 30,
    b"",
]


@pytest.mark.parametrize("connections", [1_250])
def test_teardown_leaks_nothing(connections: int) -> None:
    """GOAWAY/abort leaks, Node CVE-2025-23085, nghttp2 CVE-2023-35945, Tomcat CVE-2024-34750: 5,000 connections, each
    killed by another error with streams, queued answers and uploads on them: memory is back where it began."""

    def one(n: int) -> None:
        rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 10})
        rig.feed(attacks.open_streams(3, end_stream=n % 2 == 0))
        rig.respond(1, b"x" * 5_000)
        rig.feed(wire.data(3, b"x" * 1_000))
        rig.feed(ERRORS[n % len(ERRORS)])
        if n % 3:
            rig.take()
        rig.eof()
        assert rig.conn.open_streams == 0

    # A leak grows in every round; one alone may grow by a block, when CPython moves its table of interned strings.
    growth = []
    for _ in range(4):
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for n in range(connections):
                one(n)
            gc.collect()
            growth.append(tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
    assert min(growth) < 50_000, growth


@pytest.mark.parametrize("kind", ["origin", "altsvc", "push", "interim", "trailers", "settings", "ping"])
def test_floods_at_a_client(kind: str) -> None:
    """Node CVE-2026-56846, 2026-48619 and push floods: 100,000 frames at our client: an error, and M(2)."""

    def is_over(rig: ClientRig, frame: bytes, hundreds: int) -> bool:
        for _ in range(hundreds):
            rig.feed(frame * 100)
            rig.events.clear()
            rig.take()
            rig.sent.clear()
            if rig.conn.closed or rig.conn.open_streams == 0:
                return True
        return False

    rig, control = ClientRig(), ClientRig(OFF)
    stream_id = rig.send()
    assert control.send() == stream_id
    frame = {
        "origin": wire.frame(wire.ORIGIN, 0, 0, b"\0\x14https://example.com."),
        "altsvc": wire.frame(wire.ALTSVC, 0, 0, b"\0\x0bexample.comh2=':1'"),
        "push": wire.push_promise(stream_id, 2, attacks.GET),
        "interim": wire.response(stream_id, b"103", extra=[(b"link", b"</a>" * 20)]),
        "trailers": wire.headers(stream_id, [(b"t", b"v" * 200)]),
        "settings": wire.settings({3: 100}),
        "ping": wire.ping(),
    }[kind]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        assert is_over(rig, frame, 1_000)
        assert tracemalloc.get_traced_memory()[1] - before < 2 * MB
    finally:
        tracemalloc.stop()
    if kind not in ("push", "trailers"):  # which are faults, whatever the limits
        assert not is_over(control, frame, 50)


def test_graceful_shutdown_abuse() -> None:
    """Go CVE-2022-27664: a peer that never finishes its streams holds a drain no longer than its deadline."""

    def shut_down(limits: Limits, seconds: float) -> ServerRig:
        rig = ServerRig(limits, settings={wire.INITIAL_WINDOW_SIZE: 0})
        rig.feed(attacks.open_streams(10, end_stream=False))
        rig.conn.begin_drain(rig.now, rig.now + seconds)
        for _ in range(40):
            rig.advance(1)
            rig.feed(wire.window_update(0, 300), wire.ping())
            rig.take()
        return rig

    assert shut_down(ON, 30).conn.closed
    assert not shut_down(OFF, 3_600).conn.closed, "without a deadline it would last"
