"""RFC 9113 §4.3 and §6.10: field blocks, CONTINUATION, and the compression state behind them."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import OK, ServerRig

PROTOCOL = ("connection", wire.PROTOCOL_ERROR)
COMPRESSION = ("connection", wire.COMPRESSION_ERROR)
BLOCK = wire.literals(wire.request_fields(b"/block", extra=[(b"a", b"b"), (b"c", b"d" * 50)]))


@pytest.mark.parametrize("cuts", [1, 2, 3, 7])
def test_a_block_in_pieces_is_one_block(cuts: int) -> None:
    """§4.3 A receiving endpoint reassembles the field block by concatenating its fragments."""
    rig = ServerRig()
    size = -(-len(BLOCK) // (cuts + 1))
    parts = [BLOCK[at : at + size] for at in range(0, len(BLOCK), size)]
    rig.feed(wire.headers(1, parts[0], end_headers=False, end_stream=True))
    for part in parts[1:-1]:
        assert rig.feed(wire.continuation(1, part)) == []
    (event,) = rig.feed(wire.continuation(1, parts[-1], end_headers=True))
    assert isinstance(event, ev.RequestReceived)
    assert (event.path, event.headers, event.end_stream) == (b"/block", [(b"a", b"b"), (b"c", b"d" * 50)], True)


def test_empty_fragments_are_legal() -> None:
    """§6.10 Any number of CONTINUATION frames can be sent; a fragment may be empty, also the one with END_HEADERS."""
    rig = ServerRig()
    rig.feed(wire.headers(1, b"", end_headers=False, end_stream=True), wire.continuation(1, BLOCK))
    assert rig.of(ev.RequestReceived) == []
    rig.feed(wire.continuation(1, b"", end_headers=True))
    assert len(rig.of(ev.RequestReceived)) == 1


INTRUDERS = {
    "data": wire.data(1, b"x"),
    "data-other": wire.data(3, b"x"),
    "headers": wire.headers(1, BLOCK),
    "headers-other": wire.headers(3, BLOCK),
    "priority": wire.priority(1),
    "rst": wire.rst_stream(1),
    "settings": wire.settings(),
    "push": wire.push_promise(1, 2, BLOCK),
    "ping": wire.ping(),
    "goaway": wire.goaway(),
    "window-update": wire.window_update(0, 1),
    "window-update-stream": wire.window_update(1, 1),
    "continuation-other": wire.continuation(3, BLOCK, end_headers=True),
    "continuation-zero": wire.continuation(0, BLOCK, end_headers=True),
    "unknown": wire.frame(0xFA, 0, 0, b""),
    "unknown-stream": wire.frame(0xFA, 0, 1, b""),
    "priority-update": wire.priority_update(1, b"u=1"),
}


@pytest.mark.parametrize("intruder", INTRUDERS)
@pytest.mark.parametrize("continued", [False, True], ids=["after-headers", "after-continuation"])
def test_nothing_may_interrupt_a_block(intruder: str, continued: bool) -> None:
    """§4.3 Field blocks MUST be a contiguous sequence; §6.2, §6.10, §5.5: anything between is PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.feed(wire.headers(1, BLOCK[:10], end_headers=False))
    if continued:
        rig.feed(wire.continuation(1, BLOCK[10:20]))
    rig.feed(INTRUDERS[intruder])
    assert rig.outcome(1) == PROTOCOL
    rig.assert_fault("connection", wire.PROTOCOL_ERROR)


@pytest.mark.parametrize("before", ["nothing", "headers", "continuation", "data", "reset"])
def test_continuation_out_of_place(before: str) -> None:
    """§6.10 CONTINUATION MUST be preceded by HEADERS, PUSH_PROMISE or CONTINUATION without END_HEADERS."""
    rig = ServerRig()
    if before != "nothing":
        rig.request(1, end_stream=False)
    if before == "continuation":
        rig.feed(wire.headers(3, BLOCK[:9], end_headers=False), wire.continuation(3, BLOCK[9:], end_headers=True))
    if before == "data":
        rig.feed(wire.data(1, b"x"))
    if before == "reset":
        rig.feed(wire.rst_stream(1))
    rig.feed(wire.continuation(3 if before == "continuation" else 1, BLOCK, end_headers=True))
    assert rig.outcome(1) == PROTOCOL


def test_continuation_on_stream_0() -> None:
    """§6.10 A CONTINUATION frame with stream identifier 0 is a connection error of type PROTOCOL_ERROR."""
    rig = ServerRig()
    rig.feed(wire.continuation(0, BLOCK, end_headers=True))
    assert rig.outcome(0) == PROTOCOL


BROKEN_BLOCKS = {
    "index 0": b"\x80",
    "index beyond both tables": wire.indexed(62),
    "index far beyond": wire.indexed(100_000),
    "name index beyond both tables": b"\x0f\x7f\x01v",
    "truncated integer": b"\xff",
    "truncated string": b"\x00\x05ab",
    "truncated value": b"\x00\x01a\x05b",
    "integer without end": b"\xff" + b"\x80" * 20,
    "integer above 2^32": b"\xff" + b"\xff" * 5 + b"\x7f",
    "string longer than the block": b"\x00\x7f\xff\xff\xff\x07",
    "EOS in Huffman": b"\x00\x01a\x84\xff\xff\xff\xff",
    "Huffman padding of 8 bits": b"\x00\x01a\x82\x1f\xff",
    "Huffman padding of zeros": b"\x00\x01a\x81\x18",
    "table size update above the limit": wire.table_size(4097),
    "table size update in the middle": wire.literal(b":method", b"GET") + wire.table_size(100),
    "table size update at the end": BLOCK + wire.table_size(0),
}


@pytest.mark.parametrize("name", BROKEN_BLOCKS)
@pytest.mark.parametrize("where", ["request", "trailers", "refused", "reset"])
def test_a_decoding_error_is_a_connection_error(name: str, where: str) -> None:
    """§4.3 A decoding error in a field block MUST be treated as a connection error of type COMPRESSION_ERROR."""
    limits = Limits(max_concurrent_streams=1)
    rig = ServerRig(limits)
    if where == "trailers":
        rig.request(1, end_stream=False)
        raw = wire.headers(1, BROKEN_BLOCKS[name], end_stream=True)
    elif where == "refused":
        rig.request(1, end_stream=False)
        raw = wire.headers(3, BROKEN_BLOCKS[name], end_stream=True)
    elif where == "reset":
        rig.request(1, end_stream=False)
        rig.conn.reset_stream(1, wire.CANCEL)
        rig.take()
        rig.sent.clear()
        raw = wire.headers(1, BROKEN_BLOCKS[name], end_stream=True)
    else:
        raw = wire.headers(1, BROKEN_BLOCKS[name], end_stream=True)
    rig.feed(raw)
    assert rig.outcome(1) == COMPRESSION
    rig.assert_fault("connection", wire.COMPRESSION_ERROR)


def test_two_table_size_updates_at_the_start_are_fine() -> None:
    """RFC 7541 §4.2 Two size updates may open a block: the smallest and the final size."""
    rig = ServerRig()
    rig.feed(wire.headers(1, wire.table_size(0) + wire.table_size(4096) + BLOCK, end_stream=True))
    assert rig.outcome(1) == OK
    assert len(rig.of(ev.RequestReceived)) == 1


def test_size_update_to_zero_empties_the_table() -> None:
    """RFC 7541 §4.3 A size update evicts entries; the index then names nothing: COMPRESSION_ERROR."""
    rig = ServerRig()
    rig.feed(wire.headers(1, BLOCK + wire.literal(b"k", b"v", index=True), end_stream=True))
    rig.feed(wire.headers(3, BLOCK + wire.indexed(62), end_stream=True))
    assert rig.of(ev.RequestReceived, 3)[0].headers[-1] == (b"k", b"v")
    rig.feed(wire.headers(5, wire.table_size(0) + wire.table_size(4096) + BLOCK + wire.indexed(62), end_stream=True))
    assert rig.outcome(5) == COMPRESSION


@pytest.mark.parametrize("ours", [0, 100, 4096])
def test_our_table_size_binds_the_peer_after_its_ack(ours: int) -> None:
    """§4.3.1 After the acknowledgement the block MUST start with a conformant size update: else COMPRESSION_ERROR."""
    rig = ServerRig(Limits(header_table_size=ours), start=False)
    rig.take()
    if ours != 4096:
        assert dict(rig.sent[0].settings)[wire.HEADER_TABLE_SIZE] == ours
    rig.feed(wire.client_preface(), wire.settings_ack())
    rig.feed(wire.headers(1, BLOCK, end_stream=True))
    assert rig.outcome(1) == (OK if ours == 4096 else COMPRESSION)


def test_our_smaller_table_with_the_update_is_fine() -> None:
    """§4.3.1 A block that starts with a Dynamic Table Size Update within our limit is taken."""
    rig = ServerRig(Limits(header_table_size=100), start=False)
    rig.feed(wire.client_preface(), wire.settings_ack())
    rig.feed(wire.headers(1, wire.table_size(100) + BLOCK, end_stream=True))
    assert rig.outcome(1) == OK
    rig.feed(wire.headers(3, wire.table_size(101) + BLOCK, end_stream=True))
    assert rig.outcome(3) == COMPRESSION


def test_before_its_ack_the_peer_may_use_4096() -> None:
    """§4.3.1 A change to SETTINGS_HEADER_TABLE_SIZE takes effect when the peer acknowledges the settings."""
    rig = ServerRig(Limits(header_table_size=0), start=False)
    rig.feed(wire.client_preface(), wire.headers(1, BLOCK + wire.literal(b"k", b"v", index=True), end_stream=True))
    rig.feed(wire.headers(3, BLOCK + wire.indexed(62), end_stream=True))
    assert rig.outcome(3) == OK
    assert rig.of(ev.RequestReceived, 3)[0].headers[-1] == (b"k", b"v")


def test_too_large_a_section_is_431_and_keeps_the_table() -> None:
    """§10.5.1 A section above our limit gets 431; its entries still went into the table, siblings decode rightly."""
    rig = ServerRig(Limits(max_field_section_size=1024))
    block = BLOCK + wire.literal(b"kept", b"yes", index=True) + wire.literal(b"big", b"x" * 1500)
    rig.feed(wire.headers(1, block, end_stream=True))
    rig.take()
    assert rig.of(ev.RequestReceived) == []
    assert rig.fields[1][0][0] == (b":status", b"431")
    assert rig.goaway_code() is None
    rig.feed(wire.headers(3, BLOCK + wire.indexed(62), end_stream=True))
    assert rig.of(ev.RequestReceived, 3)[0].headers[-1] == (b"kept", b"yes")


def test_too_many_fields_is_431() -> None:
    """max_fields: more than 256 fields get 431, although their bytes are few."""
    rig = ServerRig()
    rig.feed(wire.headers(1, wire.request_fields(extra=[(b"a", b"")] * 252), end_stream=True))
    assert len(rig.of(ev.RequestReceived)) == 1
    rig.feed(wire.headers(3, wire.request_fields(extra=[(b"a", b"")] * 253), end_stream=True))
    rig.take()
    assert len(rig.of(ev.RequestReceived)) == 1
    assert rig.fields[3][0][0] == (b":status", b"431")
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("crumbs", [253, 1_000])
def test_cookie_crumbs_are_counted_one_by_one(crumbs: int) -> None:
    """CVE-2026-49975: fields are counted before crumbs are joined."""
    rig = ServerRig()
    rig.feed(wire.headers(1, wire.request_fields(extra=[(b"cookie", b"")] * crumbs), end_stream=True))
    rig.take()
    assert rig.of(ev.RequestReceived) == []
    assert rig.fields[1][0][0] == (b":status", b"431")


def test_oversized_trailers_reset_the_stream() -> None:
    """Limits count trailers as well; a 431 can come too late, then the stream is reset."""
    rig = ServerRig()
    rig.request(1, method=b"POST", end_stream=False)
    rig.conn.send_headers(1, 200, [])
    rig.feed(wire.headers(1, [(b"t", b"v")] * 300, end_stream=True))
    rig.take()
    assert rig.of(ev.TrailersReceived) == []
    assert rig.reset_code(1) is not None
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("frames", [32, 33])
def test_number_of_continuations(frames: int) -> None:
    """VU#421644: at most 32 CONTINUATION frames to a block, then ENHANCE_YOUR_CALM."""
    rig = ServerRig()
    rig.feed(wire.headers(1, b"", end_headers=False, end_stream=True))
    for n in range(frames):
        last = n == frames - 1
        rig.feed(wire.continuation(1, BLOCK if last else b"", end_headers=last))
    assert rig.outcome(1) == (OK if frames == 32 else ("connection", wire.ENHANCE_YOUR_CALM))


def test_size_of_a_compressed_block() -> None:
    """VU#421644: at most 256 KiB compressed bytes to a block, then ENHANCE_YOUR_CALM."""
    rig = ServerRig()
    rig.feed(wire.headers(1, BLOCK, end_headers=False))
    for _ in range(17):
        assert rig.goaway_code() is None
        rig.exchange(wire.continuation(1, wire.literal(b"a", b"x" * 16000)))
    assert rig.outcome(1) == ("connection", wire.ENHANCE_YOUR_CALM)


def test_deadline_of_an_unfinished_block() -> None:
    """`request_header_timeout_s`: a block that is begun and not ended is given up after 30 s."""
    rig = ServerRig()
    rig.feed(wire.headers(1, BLOCK, end_headers=False))
    rig.advance(29)
    assert not rig.conn.closed
    rig.advance(2)
    rig.take()
    assert rig.conn.closed
