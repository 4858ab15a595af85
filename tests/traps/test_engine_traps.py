"""Bugs that good HTTP/2 code has shipped, as regression tests of the engine (see README.md)."""

from __future__ import annotations

import hpack
import pytest

from headrace.engine import errors
from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import ClientRig, ServerRig

GET = wire.literals(wire.request_fields())
POST = wire.literals(wire.request_fields(method=b"POST"))


def test_a_refused_streams_fields_are_decoded() -> None:
    """A stream refused by the limit or by a drain is HPACK-decoded, its id remembered, its DATA discarded."""
    for how in ("limit", "drain", "owner"):
        rig = ServerRig(Limits(max_concurrent_streams=1 if how == "limit" else 10))
        rig.request(1, method=b"POST", end_stream=False)
        if how == "drain":
            rig.conn.begin_drain(rig.now, rig.now + 60)
            rig.advance(2)
        rig.feed(wire.headers(3, POST + wire.literal(b"k", b"v", index=True)))
        if how == "owner":
            rig.conn.refuse_stream(3)
        rig.feed(wire.data(3, b"x" * 100), wire.data(3, b"y"))
        rig.feed(wire.headers(3, wire.literal(b"k2", b"v2", index=True)[:6], end_headers=False, end_stream=True))
        rig.feed(wire.continuation(3, wire.literal(b"k2", b"v2", index=True)[6:], end_headers=True))
        rig.take()
        assert rig.reset_code(3) == wire.REFUSED_STREAM, how
        assert not rig.conn.closed, how
        rig.feed(wire.headers(1, wire.indexed(62) + wire.indexed(63), end_stream=True))
        assert rig.of(ev.TrailersReceived)[0].headers == [(b"k2", b"v2"), (b"k", b"v")], how


def test_a_stream_error_rolls_nothing_back() -> None:
    """HPACK updates, new streams and buffered bytes of a batch survive a stream error in its middle."""
    rig = ServerRig()
    rig.feed(
        wire.headers(1, GET + wire.literal(b"a", b"1", index=True), end_stream=True)
        + wire.headers(3, GET + wire.literal(b"a", b"2", index=True) + wire.literal(b"BAD", b""), end_stream=True)
        + wire.window_update(1, 0)
        + wire.headers(5, GET + wire.indexed(62) + wire.indexed(63), end_stream=True)
        + wire.headers(7, POST)
        + wire.data(7, b"half")[:11]
    )
    rig.feed(wire.data(7, b"half")[11:])
    assert [e.stream_id for e in rig.of(ev.RequestReceived)] == [1, 5, 7]
    assert rig.of(ev.RequestReceived, 5)[0].headers == [(b"a", b"2"), (b"a", b"1")]
    assert [e.data for e in rig.of(ev.DataReceived)] == [b"half"]
    assert rig.outcome(3) == ("stream", wire.PROTOCOL_ERROR)


def test_the_idle_timer_does_not_touch_open_streams() -> None:
    """A handler that is silent for longer than the idle timeout lives on, before and in its response."""
    rig = ServerRig(Limits(idle_timeout_s=75))
    rig.request(1)
    rig.advance(1_000)
    rig.conn.send_headers(1, 200, [])
    rig.advance(1_000)
    rig.conn.send_data(1, b"late", end_stream=True)
    rig.take()
    assert bytes(rig.content[1]) == b"late"
    assert rig.goaway_code() is None


@pytest.mark.parametrize(
    ("raw", "scope", "code"),
    [
        (wire.ping(b"x"), "connection", wire.FRAME_SIZE_ERROR),
        (wire.headers(1, b"\x80", end_stream=True), "connection", wire.COMPRESSION_ERROR),
        (wire.settings({wire.INITIAL_WINDOW_SIZE: 2**31}), "connection", wire.FLOW_CONTROL_ERROR),
        (wire.window_update(0, 2**31 - 1), "connection", wire.FLOW_CONTROL_ERROR),
        (wire.headers(1, GET, end_stream=True) + wire.data(1, b"x"), "stream", wire.STREAM_CLOSED),
        (wire.headers(1, GET, end_stream=True) + wire.window_update(1, 2**31 - 1), "stream", wire.FLOW_CONTROL_ERROR),
        (wire.data(0, b"x"), "connection", wire.PROTOCOL_ERROR),
    ],
)
def test_each_fault_has_its_own_code(raw: bytes, scope: str, code: int) -> None:
    """Not every fault is PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.feed(raw)
    assert rig.outcome(1) == (scope, code)


def test_the_clients_goaway_drops_nothing() -> None:
    """Running streams go on after the client's GOAWAY; the connection ends with the last of them."""
    rig = ServerRig()
    rig.request(1)
    rig.request(3, method=b"POST", end_stream=False)
    rig.feed(wire.goaway(0))
    rig.respond(1, b"one")
    rig.feed(wire.data(3, b"body", end_stream=True))
    rig.take()
    assert not rig.conn.closed
    rig.respond(3, b"three")
    rig.take()
    assert (bytes(rig.content[1]), bytes(rig.content[3])) == (b"one", b"three")
    assert rig.conn.closed


def test_large_downloads_share_with_small_answers() -> None:
    """Eight large downloads and a small answer that comes last: it is not last on the wire."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**20})
    for n in range(8):
        rig.request(1 + 2 * n)
        rig.respond(1 + 2 * n, b"x" * 500_000)
    rig.take()
    rig.request(99)
    rig.respond(99, b"small")
    rig.feed(wire.window_update(0, 2_000_000))
    order = [f.stream_id for f in rig.take() if f.type == wire.DATA]
    assert order.index(99) <= 20, order[:40]
    first = order[:60]
    assert max(first.count(1 + 2 * n) for n in range(8)) <= 3 * min(first.count(1 + 2 * n) for n in range(8))


def test_an_unread_upload_is_bounded_by_its_window() -> None:
    """Credit of a stream comes back on consumption only, so unread bytes never exceed its window."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    sent = 0
    while sent + 16_000 <= 262_144:
        rig.feed(wire.data(1, b"x" * 16_000))
        sent += 16_000
    rig.take()
    assert [f for f in rig.frames(wire.WINDOW_UPDATE) if f.stream_id == 1] == []
    rig.feed(wire.data(1, b"x" * 16_000))
    assert rig.outcome(1)[1] == wire.FLOW_CONTROL_ERROR


@pytest.mark.parametrize("end", ["peer", "eof", "error", "deadline"])
def test_a_blocked_writer_learns_of_the_end(end: str) -> None:
    """RST_STREAM, loss, a connection error or a deadline while a write waits: an event, and no later send."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    assert not rig.conn.send_data(1, b"x" * 100_000)
    rig.take()
    if end == "peer":
        rig.feed(wire.rst_stream(1))
    elif end == "eof":
        rig.eof()
    elif end == "error":
        rig.feed(wire.data(0, b""))
    else:
        rig.advance(61)
    assert len(rig.of(ev.StreamReset, 1)) == 1
    with pytest.raises(errors.StreamClosedError):
        rig.conn.send_data(1, b"more")
    before = len(rig.frames(wire.DATA))
    rig.feed(wire.window_update(1, 100_000))
    rig.take()
    assert len(rig.frames(wire.DATA)) == before


def test_settings_merge_and_flush() -> None:
    """A partial SETTINGS keeps the rest; the preface's counts; a raised window flushes; streams are adjusted;
    the connection window is untouched."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 100, wire.MAX_FRAME_SIZE: 30_000})
    rig.request(1)
    rig.respond(1, b"x" * 65_535)
    rig.take()
    assert len(rig.content[1]) == 100, "the preface's SETTINGS count"
    rig.feed(wire.settings({wire.MAX_CONCURRENT_STREAMS: 5}))
    rig.take()
    assert len(rig.content[1]) == 100, "a partial SETTINGS resets nothing"
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 65_000}))
    rig.take()
    assert len(rig.content[1]) == 65_000, "a raise flushes what waits"
    assert max(len(f.payload) for f in rig.frames(wire.DATA)) == 30_000, "the preface's MAX_FRAME_SIZE still counts"
    rig.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 200_000}))
    rig.request(3)
    rig.respond(3, b"y" * 100)
    rig.take()
    assert (len(rig.content[1]), len(rig.content.get(3, b""))) == (65_535, 0), "the connection window is its own"


@pytest.mark.parametrize("keep_alive", [wire.ping(b"12345678"), wire.window_update(0, 1), wire.settings()])
def test_a_stalled_connection_window_pins_nothing(keep_alive: bytes) -> None:
    """The connection window stays shut, PINGs keep coming: the stream is given up all the same.

    The first bytes went out at once, so the first period of stalled_send_timeout_s saw progress; the second does not.
    """
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**20})
    rig.request(1)
    rig.respond(1, b"x" * 100_000)
    rig.take()
    for _ in range(121):
        rig.advance(1)
        rig.feed(keep_alive)
        rig.take()
    assert rig.of(ev.StreamReset, 1)
    assert rig.conn.open_streams == 0


def test_the_slot_is_free_with_end_stream() -> None:
    """Under load the next request comes with the answer to the last one: no spurious REFUSED_STREAM."""
    rig = ServerRig(Limits(max_concurrent_streams=10))
    stream_id = 1
    open_ids: list[int] = []
    for _ in range(50):
        while len(open_ids) < 10:
            rig.request(stream_id)
            open_ids.append(stream_id)
            stream_id += 2
        for each in open_ids:
            rig.respond(each, b"ok")
        open_ids.clear()
    rig.take()
    assert rig.frames(wire.RST_STREAM) == []
    assert len(rig.of(ev.RequestReceived)) == 500


def test_an_early_answer_starves_nobody() -> None:
    """The rest of an upload that was answered early is no error, and its credit comes back."""
    rig = ServerRig()
    for n in range(20):
        stream_id = 1 + 2 * n
        rig.request(stream_id, method=b"POST", end_stream=False)
        rig.feed(wire.data(stream_id, b"x" * 10_000))
        rig.respond(stream_id, b"no", status=413)
        for _ in range(10):
            rig.feed(wire.data(stream_id, b"x" * 16_000))
        rig.feed(wire.data(stream_id, b"", end_stream=True))
        rig.take()
    assert rig.goaway_code() is None
    assert sum(f.increment for f in rig.frames(wire.WINDOW_UPDATE, 0)) >= 20 * 170_000 - 1_048_576


def test_too_many_streams_is_a_stream_error() -> None:
    """The 101st stream is refused; the connection and the other hundred go on."""
    rig = ServerRig()
    for n in range(101):
        rig.request(1 + 2 * n)
    assert rig.outcome(201) == ("stream", wire.REFUSED_STREAM)
    for n in range(100):
        rig.respond(1 + 2 * n, b"ok")
    rig.take()
    assert len([f for f in rig.frames(wire.DATA) if f.end_stream]) == 100


def test_no_lifetime_cap() -> None:
    """20,000 requests and 3,000 cancels over an hour on one connection of a proxy: never cut."""
    rig = ServerRig()
    stream_id = 1
    for n in range(20_000):
        rig.now += 0.18
        rig.request(stream_id)
        if n % 7 == 0:
            rig.feed(wire.rst_stream(stream_id))
        else:
            rig.respond(stream_id)
        rig.conn.take_output()
        rig.events.clear()
        stream_id += 2
    assert not rig.conn.closed


def test_one_cookie() -> None:
    """Crumbs become one `cookie`, joined with "; "."""
    rig = ServerRig()
    rig.request(1, extra=[(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")])
    assert rig.of(ev.RequestReceived)[0].headers == [(b"cookie", b"a=1; b=2; c=3")]


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x", b"a\r\nb: c")],
        [(b"x", b"a\n")],
        [(b"x", b"\0")],
        [(b"x y", b"")],
        [(b"content-length", b"1"), (b"content-length", b"1")],
        [(b"te", b"gzip")],
    ],
)
def test_bad_fields_of_the_app_stay_inside(fields: list[tuple[bytes, bytes]]) -> None:
    """What must not be sent is refused, nothing is written, and a 500 can still go out."""
    rig = ServerRig()
    rig.request(1)
    with pytest.raises(errors.InvalidFieldError):
        rig.respond(1, b"x", headers=fields)
    assert rig.take() == []
    rig.respond(1, b"oops", status=500)
    rig.take()
    assert rig.fields[1][0][0] == (b":status", b"500")


def test_uppercase_names_are_lowered() -> None:
    """An app's `Content-Type` goes out as `content-type`."""
    rig = ServerRig()
    rig.request(1)
    rig.respond(1, headers=[(b"Content-Type", b"Text/Plain")])
    rig.take()
    assert rig.fields[1][0][1] == (b"content-type", b"Text/Plain")


@pytest.mark.parametrize("size", [1, 16_384, 65_535, 131_070])
def test_end_stream_after_a_body_that_fills_the_window(size: int) -> None:
    """The last chunk fills the window exactly: END_STREAM still comes, in an empty DATA frame if need be."""
    for buffered in (True, False):
        rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: size})
        rig.feed(wire.window_update(0, 65_535))
        rig.request(1)
        if buffered:
            rig.respond(1, b"x" * size)
        else:
            rig.conn.send_headers(1, 200, [])
            rig.conn.send_data(1, b"x" * size)
            rig.take()
            rig.conn.send_data(1, b"", end_stream=True)
        rig.take()
        assert len(rig.content[1]) == size
        assert [f.end_stream for f in rig.sent if f.stream_id == 1].count(True) == 1
        assert rig.conn.open_streams == 0


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_no_content_where_there_is_none(method: bytes, status: int) -> None:
    """HEAD, 204 and 304 have no content on the wire."""
    rig = ServerRig()
    rig.request(1, method=method)
    rig.respond(1, b"content", status=status)
    rig.take()
    assert rig.frames(wire.DATA) == [] and rig.frames(wire.HEADERS)[0].end_stream


def test_lengths_that_do_not_match() -> None:
    """Too short: the stream is reset; too long: refused; neither passes for success."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [(b"content-length", b"10")])
    with pytest.raises(errors.LocalError):
        rig.conn.send_data(1, b"short", end_stream=True)
    rig.request(3)
    rig.conn.send_headers(3, 200, [(b"content-length", b"3")])
    with pytest.raises(errors.LocalError):
        rig.conn.send_data(3, b"too long")
    rig.take()
    assert rig.reset_code(1) == wire.INTERNAL_ERROR
    assert not any(f.end_stream for f in rig.sent)


def test_interim_is_not_final() -> None:
    """A 1xx is no final response, and none is sent after the final one."""
    client = ClientRig()
    stream_id = client.send()
    client.feed(wire.response(stream_id, b"100"))
    assert client.of(ev.ResponseReceived) == []
    rig = ServerRig()
    rig.request(1, method=b"POST", extra=[(b"expect", b"100-continue")], end_stream=False)
    rig.conn.send_headers(1, 200, [])
    with pytest.raises(errors.LocalError):
        rig.conn.send_informational(1, 100, [])
    with pytest.raises(errors.LocalError):
        rig.conn.send_response(1, 100, [], b"")


def test_padding_costs_window() -> None:
    """Padding is charged and given back; after 10 MB of padded DATA the connection has not drifted."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    window, seen = 1_048_576, 0
    for _ in range(40_000):
        assert window >= 266
        (event,) = rig.feed(wire.data(1, b"0123456789", pad=255))
        rig.conn.acknowledge_data(1, event.flow_length)
        window -= 266
        rig.take()
        window += sum(f.increment for f in rig.sent[seen:] if f.type == wire.WINDOW_UPDATE and f.stream_id == 0)
        seen = len(rig.sent)
        rig.events.clear()
    assert not rig.conn.closed


def test_priority_and_padding_are_not_hpack() -> None:
    """PRIORITY flag, padding, and both, on HEADERS and on trailers."""
    rig = ServerRig()
    for n, parts in enumerate([{"pad": 3}, {"priority": (True, 0, 9)}, {"pad": 200, "priority": (False, 0, 1)}]):
        stream_id = 1 + 2 * n
        rig.feed(wire.headers(stream_id, POST, **parts))  # type: ignore[arg-type]
        rig.feed(wire.headers(stream_id, [(b"t", b"v")], end_stream=True, **parts))  # type: ignore[arg-type]
    assert [e.headers for e in rig.of(ev.RequestReceived)] == [[], [], []]
    assert [e.headers for e in rig.of(ev.TrailersReceived)] == [[(b"t", b"v")]] * 3


def test_table_size_down_and_up() -> None:
    """HEADER_TABLE_SIZE lowered, then raised: both updates open the next block."""
    rig = ServerRig()
    rig.feed(wire.settings({wire.HEADER_TABLE_SIZE: 0}), wire.settings({wire.HEADER_TABLE_SIZE: 2_000}))
    rig.request(1)
    rig.respond(1)
    block = next(f for f in rig.take() if f.type == wire.HEADERS).block
    first, used = hpack.hpack.decode_integer(block, 5)
    second, _ = hpack.hpack.decode_integer(block[used:], 5)
    assert (block[0] & 0xE0, block[used] & 0xE0) == (0x20, 0x20)
    assert (first, second) == (0, 2_000)


def test_a_size_update_in_the_middle_is_an_error() -> None:
    """A size update that is not at the start of a block: COMPRESSION_ERROR."""
    rig = ServerRig()
    rig.feed(wire.headers(1, GET + wire.table_size(10) + wire.literal(b"a", b"b"), end_stream=True))
    assert rig.outcome(1) == ("connection", wire.COMPRESSION_ERROR)


def test_goaway_of_a_drain_has_the_true_last_id() -> None:
    """Never last id 0 while streams run."""
    rig = ServerRig()
    rig.request(7)
    rig.conn.begin_drain(rig.now, rig.now + 30)
    rig.take()
    rig.advance(2)
    rig.take()
    assert [f.last_stream_id for f in rig.frames(wire.GOAWAY)] == [2**31 - 1, 7]
