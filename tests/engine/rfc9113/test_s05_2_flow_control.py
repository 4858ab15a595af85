"""RFC 9113 §5.2 and §6.9: flow control, as sender and as receiver."""

from __future__ import annotations

import contextlib

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import LocalError
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import OK, ClientRig, Rig, ServerRig

FLOW = wire.FLOW_CONTROL_ERROR
MAX = 2**31 - 1


def sent(rig: Rig, stream_id: int) -> int:
    """Bytes of DATA payload the engine wrote on a stream."""
    rig.take()
    return sum(len(f.payload) for f in rig.frames(wire.DATA, stream_id))


# --- as sender ------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [0, 1, 10, 16384, 65535, 100_000])
def test_stream_window_is_kept(window: int) -> None:
    """§6.9.1 The sender MUST NOT send a frame that exceeds the space in either window: the stream's."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: window})
    rig.feed(wire.window_update(0, 2**20))
    rig.request(1)
    rig.respond(1, b"x" * 200_000)
    assert sent(rig, 1) == window
    rig.feed(wire.window_update(1, 5))
    assert sent(rig, 1) == window + 5
    rig.feed(wire.window_update(1, 200_000))
    assert sent(rig, 1) == 200_000
    assert rig.frames(wire.DATA, 1)[-1].end_stream


def test_connection_window_is_kept() -> None:
    """§6.9.1 The sender MUST NOT send a frame that exceeds the space in either window: the connection's 65,535."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**20})
    rig.request(1)
    rig.request(3)
    rig.respond(1, b"x" * 50_000)
    rig.respond(3, b"y" * 50_000)
    assert sent(rig, 1) + sent(rig, 3) == 65_535
    rig.feed(wire.window_update(0, 1000))
    assert sent(rig, 1) + sent(rig, 3) == 66_535
    rig.feed(wire.window_update(0, 100_000))
    assert (sent(rig, 1), sent(rig, 3)) == (50_000, 50_000)


def test_zero_length_data_passes_a_closed_window() -> None:
    """§6.9.1 Empty DATA frames with END_STREAM MAY be sent if there is no available space in either window."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 4})
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    rig.conn.send_data(1, b"four")
    rig.take()
    rig.conn.send_data(1, b"", end_stream=True)
    rig.take()
    assert [(len(f.payload), f.end_stream) for f in rig.frames(wire.DATA, 1)][-1] == (0, True)


def test_headers_and_trailers_are_not_flow_controlled() -> None:
    """§5.2.1 Only DATA frames are subject to flow control."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    rig.conn.send_trailers(1, [(b"t", b"v")])
    rig.take()
    assert [f.end_stream for f in rig.frames(wire.HEADERS, 1)] == [False, True]


def test_settings_shift_open_streams() -> None:
    """§6.9.2 A change of INITIAL_WINDOW_SIZE MUST adjust all stream windows by the difference; it may go below zero."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 1000})
    rig.request(1)
    rig.respond(1, b"x" * 5000)
    assert sent(rig, 1) == 1000
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 400}))  # window: -600
    rig.feed(wire.window_update(1, 600))
    assert sent(rig, 1) == 1000
    rig.feed(wire.window_update(1, 1))
    assert sent(rig, 1) == 1001
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 500}))
    assert sent(rig, 1) == 1101
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 5000}))
    assert sent(rig, 1) == 5000


def test_settings_shift_streams_that_have_not_begun_to_send() -> None:
    """§6.9.2 Also a stream whose response has not begun is shifted, once and not twice."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 1000})
    rig.request(1)
    rig.feed(wire.window_update(1, 50))
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 10}), wire.settings({wire.INITIAL_WINDOW_SIZE: 20}))
    rig.request(3)
    rig.respond(1, b"x" * 5000)
    rig.respond(3, b"x" * 5000)
    assert (sent(rig, 1), sent(rig, 3)) == (70, 20)


def test_settings_never_touch_the_connection_window() -> None:
    """§6.9.2 A SETTINGS frame cannot alter the connection flow-control window."""
    rig = ServerRig()
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 10}))
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 2**20}))
    rig.request(1)
    rig.respond(1, b"x" * 100_000)
    assert sent(rig, 1) == 65_535


def test_last_value_in_one_settings_frame_wins() -> None:
    """§6.5.3 Values MUST be processed in order; §6.9.2 the shift is the difference between old and new."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(
        wire.settings([(wire.INITIAL_WINDOW_SIZE, 5), (wire.INITIAL_WINDOW_SIZE, 100), (wire.INITIAL_WINDOW_SIZE, 7)])
    )
    rig.respond(1, b"x" * 50)
    assert sent(rig, 1) == 7


def test_increment_0_on_a_stream() -> None:
    """§6.9 An increment of 0 on a stream MUST be treated as a stream error of type PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(wire.window_update(1, 0))
    assert rig.outcome(1) == ("stream", wire.PROTOCOL_ERROR)
    assert [e.initiator for e in rig.of(ev.StreamReset, 1)] == ["local"]
    rig.assert_siblings_go_on()


def test_increment_0_on_the_connection() -> None:
    """§6.9 Errors on the connection flow-control window MUST be treated as a connection error."""
    rig = ServerRig()
    rig.feed(wire.window_update(0, 0))
    assert rig.outcome(0) == ("connection", wire.PROTOCOL_ERROR)


@pytest.mark.parametrize("role", [ServerRig, ClientRig])
def test_connection_window_overflow(role: type) -> None:
    """§6.9.1 A connection window above 2^31-1: GOAWAY with FLOW_CONTROL_ERROR; exactly 2^31-1 is fine."""
    rig = role()
    rig.feed(wire.window_update(0, MAX - 65_535))
    assert rig.outcome(0) == OK
    rig.feed(wire.window_update(0, 1))
    assert rig.outcome(0) == ("connection", FLOW)


def test_stream_window_overflow() -> None:
    """§6.9.1 A stream window above 2^31-1: RST_STREAM with FLOW_CONTROL_ERROR; exactly 2^31-1 is fine."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(wire.window_update(1, MAX - 65_535))
    assert rig.outcome(1) == OK
    rig.feed(wire.window_update(1, 1))
    assert rig.outcome(1) == ("stream", FLOW)
    rig.assert_siblings_go_on()


def test_settings_overflow_a_stream_window() -> None:
    """§6.9.2 A change of INITIAL_WINDOW_SIZE that lifts any window above the maximum: connection FLOW_CONTROL_ERROR."""
    rig = ServerRig()
    rig.request(1)
    rig.feed(wire.window_update(1, MAX - 65_535))
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 65_536}))
    assert rig.outcome(0) == ("connection", FLOW)


def test_window_overflow_after_data_went_out() -> None:
    """§6.9.1 Bytes sent make room: the sum counts, not the increments."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    rig.conn.send_data(1, b"x" * 1000)
    rig.take()
    rig.feed(wire.window_update(1, MAX - 65_535 + 1000), wire.window_update(0, MAX - 65_535 + 1000))
    assert rig.outcome(1) == OK
    rig.feed(wire.window_update(1, 1))
    assert rig.outcome(1) == ("stream", FLOW)


def test_initial_window_above_the_maximum() -> None:
    """§6.5.2 INITIAL_WINDOW_SIZE above 2^31-1 MUST be treated as a connection error of type FLOW_CONTROL_ERROR."""
    rig = ServerRig()
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 2**31}))
    assert rig.outcome(0) == ("connection", FLOW)


def test_window_update_wakes_a_blocked_send() -> None:
    """A write returns when it is accepted; SendAccepted follows once the window lets the buffer drain."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    sent_bytes = 0
    while rig.conn.send_data(1, b"x" * 10_000):
        sent_bytes += 10_000
        assert sent_bytes <= 65_536, "at window 0 an app blocks within 64 KiB"
    assert rig.of(ev.SendAccepted) == []
    rig.feed(wire.window_update(1, 100_000), wire.window_update(0, 100_000))
    rig.take()
    assert len(rig.of(ev.SendAccepted, 1)) == 1


# --- as receiver ----------------------------------------------------------------------------------


def test_every_byte_of_the_payload_counts() -> None:
    """§6.1: the entire DATA payload is flow controlled, Pad Length and padding included."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    (event,) = rig.feed(wire.data(1, b"abc", pad=100))
    assert (event.data, event.flow_length) == (b"abc", 104)


def credit_of(rig: Rig) -> dict[int, int]:
    """Sum of WINDOW_UPDATE increments the engine wrote, by stream."""
    rig.take()
    total: dict[int, int] = {}
    for f in rig.frames(wire.WINDOW_UPDATE):
        total[f.stream_id] = total.get(f.stream_id, 0) + f.increment
    return total


@pytest.mark.parametrize("pad", [None, 0, 200])
def test_windows_never_drift(pad: int | None) -> None:
    """40 MB of padded uploads over one connection never stall, when the app consumes what it gets."""
    rig = ServerRig(start=False)
    first = rig.take()
    stream_window = dict(first[0].settings)[wire.INITIAL_WINDOW_SIZE]
    conn_window = 65_535 + sum(f.increment for f in first if f.type == wire.WINDOW_UPDATE)
    rig.feed(wire.client_preface(), wire.settings_ack())
    spent = 0
    for n in range(10):
        stream_id = 1 + 2 * n
        rig.request(stream_id, method=b"POST", end_stream=False)
        on_stream = 0
        for _ in range(250):
            raw = wire.data(stream_id, b"x" * 16_000, pad=pad)
            length = len(raw) - 9
            credit = credit_of(rig)
            assert on_stream + length <= stream_window + credit.get(stream_id, 0), "the stream has stalled"
            assert spent + length <= conn_window + credit.get(0, 0), "the connection has stalled"
            on_stream += length
            spent += length
            for event in rig.feed(raw):
                rig.conn.acknowledge_data(stream_id, event.flow_length)
        rig.feed(wire.data(stream_id, b"", end_stream=True))
        rig.respond(stream_id)
    assert rig.goaway_code() is None
    credit = credit_of(rig)
    assert conn_window + credit.get(0, 0) - spent <= MAX


def test_stream_window_exceeded() -> None:
    """§6.9.1 A peer that exceeds the stream window: FLOW_CONTROL_ERROR on the stream (or the connection)."""
    rig = ServerRig(Limits(initial_stream_window=20_000))
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x" * 16_000), wire.data(1, b"x" * 4_000))
    assert rig.outcome(1) == OK
    rig.feed(wire.data(1, b"x"))
    assert rig.outcome(1) in [("stream", FLOW), ("connection", FLOW)]


def test_padding_alone_exceeds_the_window() -> None:
    """§6.1 Padding is flow controlled: a frame whose padding does not fit is an error like any other."""
    rig = ServerRig(Limits(initial_stream_window=100))
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"", pad=100))
    assert rig.outcome(1) in [("stream", FLOW), ("connection", FLOW)]


def test_connection_window_exceeded() -> None:
    """§6.9.1 A peer that exceeds the connection window: a connection error of type FLOW_CONTROL_ERROR."""
    rig = ServerRig(Limits(initial_connection_window=65_535, max_unread=1, initial_stream_window=60_000))
    for stream_id in (1, 3):
        rig.request(stream_id, method=b"POST", end_stream=False)
    for _ in range(3):
        rig.feed(wire.data(1, b"x" * 15_000), wire.data(3, b"x" * 15_000))
        rig.take()
    assert rig.outcome(1) == ("connection", FLOW)


def test_before_the_ack_the_default_window_binds() -> None:
    """§6.9.2 Prior to our SETTINGS the peer may use 65,535 bytes a stream, although we announced less (§6.9.3)."""
    rig = ServerRig(Limits(initial_stream_window=1000), start=False)
    rig.feed(wire.client_preface(), wire.request(1, method=b"POST", end_stream=False))
    rig.feed(*[wire.data(1, b"x" * 13_107)] * 5)
    assert rig.outcome(1) == OK
    assert sum(len(e.data) for e in rig.of(ev.DataReceived)) == 65_535


def test_stream_credit_waits_for_the_app() -> None:
    """Stream credit is given back as the handler consumes, never on receipt."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    for _ in range(16):
        rig.feed(wire.data(1, b"x" * 16_000))
    assert credit_of(rig).get(1, 0) == 0
    rig.conn.acknowledge_data(1, 256_000)
    assert credit_of(rig).get(1, 0) == 256_000


def test_one_slow_reader_does_not_starve_its_siblings() -> None:
    """One app never reads its upload; siblings on that connection go on, for many windows' worth."""
    rig = ServerRig(start=False)
    first = rig.take()
    stream_window = dict(first[0].settings)[wire.INITIAL_WINDOW_SIZE]
    conn_window = 65_535 + sum(f.increment for f in first if f.type == wire.WINDOW_UPDATE)
    rig.feed(wire.client_preface(), wire.settings_ack())
    rig.request(1, method=b"POST", end_stream=False)
    spent = 0
    while spent < stream_window:
        rig.feed(wire.data(1, b"x" * min(16_384, stream_window - spent)))
        spent += min(16_384, stream_window - spent)
    rig.request(3, method=b"POST", end_stream=False)
    for _ in range(200):
        assert spent + 16_000 <= conn_window + credit_of(rig).get(0, 0)
        for event in rig.feed(wire.data(3, b"y" * 16_000)):
            rig.conn.acknowledge_data(3, event.flow_length)
        spent += 16_000
    rig.feed(wire.data(3, b"", end_stream=True))
    rig.respond(3, b"ok")
    rig.take()
    assert rig.goaway_code() is None and bytes(rig.content[3]) == b"ok"


def test_no_stream_credit_after_its_end() -> None:
    """No WINDOW_UPDATE for a stream that has ended; the connection's credit still goes back."""
    rig = ServerRig()
    for n in range(100):
        stream_id = 1 + 2 * n
        rig.request(stream_id, method=b"POST", end_stream=False)
        rig.feed(wire.data(stream_id, b"x" * 16_000, end_stream=True))
        rig.conn.acknowledge_data(stream_id, 16_000)
        rig.respond(stream_id)
        rig.conn.acknowledge_data(stream_id, 16_000)
    credit = credit_of(rig)
    assert set(credit) == {0}
    assert credit[0] <= 100 * 16_000, "credit was given twice for the same bytes"
    assert credit[0] >= 100 * 16_000 - 1_048_576


def test_data_of_a_reset_stream_is_credited() -> None:
    """§5.1 closed: DATA on a stream we reset counts toward the connection window; its credit goes back (§6.9)."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.conn.reset_stream(1, wire.CANCEL)
    for _ in range(200):
        rig.feed(wire.data(1, b"x" * 16_000, pad=50))
        rig.take()
    assert rig.goaway_code() is None
    assert credit_of(rig)[0] >= 200 * 16_051 - 1_048_576


def test_unread_data_of_a_cancelled_stream_is_credited() -> None:
    """Double refund: bytes the app never read come back once when the stream is reset, not twice."""
    rig = ServerRig(Limits(max_unread=1))
    for n in range(60):
        stream_id = 1 + 2 * n
        rig.request(stream_id, method=b"POST", end_stream=False)
        for _ in range(4):
            rig.feed(wire.data(stream_id, b"x" * 16_000))
        rig.conn.acknowledge_data(stream_id, 16_000)
        rig.feed(wire.rst_stream(stream_id, wire.CANCEL))
        rig.conn.acknowledge_data(stream_id, 48_000)
        rig.conn.acknowledge_data(stream_id, 48_000)
        rig.take()
        assert rig.goaway_code() is None
    credit = credit_of(rig)[0]
    assert 60 * 64_000 - 1_048_576 <= credit <= 60 * 64_000


def test_credit_comes_in_big_steps() -> None:
    """§6.9.1 Receivers are advised to avoid sending WINDOW_UPDATE frames with very small increments."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    for _ in range(1000):
        for event in rig.feed(wire.data(1, b"x" * 1000)):
            rig.conn.acknowledge_data(1, event.flow_length)
        rig.take()
    assert len(rig.frames(wire.WINDOW_UPDATE)) <= 40


def test_credit_comes_back_when_unread_streams_are_reset() -> None:
    """The connection is full of unread bytes, then those streams are reset: it must not starve."""
    for how in ("peer", "app"):
        rig = ServerRig(Limits(max_unread=100_000, initial_connection_window=200_000))
        spent = 0
        for stream_id in (1, 3):
            rig.request(stream_id, method=b"POST", end_stream=False)
        while spent < 200_000 + credit_of(rig).get(0, 0):
            size = min(10_000, 200_000 + credit_of(rig).get(0, 0) - spent)
            rig.feed(wire.data(1 if spent % 20_000 else 3, b"x" * size))
            spent += size
        assert rig.goaway_code() is None
        for stream_id in (1, 3):
            if how == "peer":
                rig.feed(wire.rst_stream(stream_id, wire.CANCEL))
            else:
                rig.conn.reset_stream(stream_id, wire.INTERNAL_ERROR)
        left = 200_000 + credit_of(rig).get(0, 0) - spent
        assert left >= 16_384, f"the {how} reset all streams, and the peer may send {left} bytes for ever after"


def test_acknowledging_nothing_writes_nothing() -> None:
    """§6.9 The legal range of an increment is 1 to 2^31-1: an acknowledgement of 0 bytes writes no frame."""
    for window in (0, 1, 262_144):
        rig = ServerRig(Limits(initial_stream_window=window))
        rig.request(1, method=b"POST", end_stream=False)
        rig.conn.acknowledge_data(1, 0)
        assert rig.take() == []


def test_acknowledging_more_than_came_is_harmless() -> None:
    """§6.9.1 A window must never exceed what was promised: too large an acknowledgement is refused or ignored."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.feed(wire.data(1, b"x" * 1000))
    with contextlib.suppress(LocalError):
        rig.conn.acknowledge_data(1, 10_000_000)
    credit = credit_of(rig)
    assert credit.get(1, 0) <= 1000


@pytest.mark.parametrize("pieces", [(16_355, 29), (700,) * 23 + (284,), (9_000, 7_000, 200, 184)])
def test_a_reader_that_gives_credit_as_it_reads_is_no_flood(pieces: tuple[int, ...]) -> None:
    """§6.9: HAProxy sends two WINDOW_UPDATEs for each piece that it reads, whose sizes its server's pace decides, while
    its windows are all but closed: 32 MiB within one moment."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, ())
    rig.take()
    for _ in range(2_000):
        rig.conn.send_data(1, b"x" * sum(pieces))
        rig.take()
        rig.feed(b"".join(wire.window_update(0, size) + wire.window_update(1, size) for size in pieces))
    assert rig.goaway_code() is None
    assert not rig.conn.closed


def test_credit_by_the_byte_is_a_flood_also_behind_a_large_piece() -> None:
    """CVE-2019-9511: what is given at once pays for some crumbs behind it, and not for any number of them."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, b"x" * 120_000)
    rig.take()
    rig.feed(wire.window_update(0, 10_000) + wire.window_update(1, 10_000))
    for _ in range(3_000):
        rig.take()
        if rig.conn.closed:
            break
        rig.feed(wire.window_update(1, 1))
    assert rig.conn.closed
