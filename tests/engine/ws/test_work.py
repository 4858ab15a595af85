"""What one call does is bounded: frames, payload and what is inflated count, and the rest waits without a loss."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.ws import Failed, WebSocketConnection, WebSocketEvent
from headrace.engine.ws.assembly import LEAST_MESSAGE
from headrace.engine.ws.negotiation import accept_deflate

from tests.engine.ws.raw_frames import BINARY, CLOSE, CONT, PING, TEXT, close, frame, messages
from tests.properties.profile import tries
from tests.turns.websocket.floods import empty_blocks

MiB = 1_048_576
RSV1 = 0x40


def compressing(limit: int = MiB, offer: bytes = b"permessage-deflate") -> WebSocketConnection:
    _, extensions = accept_deflate([(b"sec-websocket-extensions", offer)])
    return WebSocketConnection(False, limit, extensions)


def deflated(data: bytes) -> bytes:
    """One message that refers to none before it (RFC 7692 §7.2.1)."""
    packer = zlib.compressobj(9, wbits=-12)
    return (packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH))[:-4]


def in_turns(ws: WebSocketConnection, data: bytes, work: int) -> tuple[list[WebSocketEvent], list[int]]:
    """Everything that happens, and the work of each call."""
    events = ws.receive_data(data, 0, work)
    done = [ws.work_done]
    while ws.input_pending:
        events += ws.receive_data(b"", 0, work)
        done.append(ws.work_done)
    return events, done


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 4_000 + frame(CONT, b""), id="empty fragments"
        ),
        pytest.param((frame(TEXT, b"xyz", fin=False) + frame(PING, b"p") + frame(CONT, b"")) * 1_300, id="and pings"),
        pytest.param(frame(BINARY, b"") * 4_000, id="empty messages"),
        pytest.param(frame(PING, b"") * 4_000, id="pings"),
        pytest.param(frame(BINARY, b"\x00", rsv=RSV1) * 4_000, id="deflated nothing"),
    ],
)
def test_a_call_takes_so_many_frames_and_the_rest_waits(data: bytes) -> None:
    events, done = in_turns(compressing(), data, 100)
    assert max(done) <= 120, "the last frame may go beyond"
    assert len(done) >= 39, "of about 4,000 frames, 100 a call"
    at_once = compressing().receive_data(data)
    assert [repr(each) for each in events] == [repr(each) for each in at_once]


def test_a_large_payload_counts_by_its_size() -> None:
    ws = WebSocketConnection(False)
    ws.receive_data(frame(BINARY, bytes(500_000)))
    assert ws.work_done == 3 + 500_000 // 4_096


def test_what_is_inflated_counts_and_a_bomb_takes_many_calls() -> None:
    ws = compressing()
    data = frame(BINARY, deflated(bytes(MiB)), rsv=RSV1)
    assert len(data) < 2_000
    kept = []
    events = ws.receive_data(data, 0, 100)
    while ws.input_pending:
        kept.append(ws.kept)
        events += ws.receive_data(b"", 0, 100)
    assert messages(events) == [bytes(MiB)]
    assert len(kept) >= 15
    assert all(later - earlier <= 66_000 for earlier, later in itertools.pairwise(kept))


def test_what_inflates_to_nothing_counts_by_its_input_and_takes_many_calls() -> None:
    """Each of these blocks is a Huffman code to build and no byte of output."""
    ws = compressing()
    data = frame(BINARY, empty_blocks(1_000_000) + b"\x00", rsv=RSV1) + frame(PING, b"p")
    kept = []
    events = ws.receive_data(data, 0, 100)
    done = [ws.work_done]
    while ws.input_pending:
        kept.append(ws.kept)
        events += ws.receive_data(b"", 0, 100)
        done.append(ws.work_done)
    assert messages(events) == [b""] and len(events) == 2
    assert all(earlier - later <= 12_000 for earlier, later in itertools.pairwise(kept)), "bytes of input of a call"
    assert sum(done) >= 990_000 // 16
    assert max(done[1:]) <= 300


def test_blocks_of_nothing_do_not_hide_among_bytes() -> None:
    """Each piece of input makes as many bytes as it has, by a few bytes that inflate well."""
    ws = compressing(4 * MiB)
    piece = empty_blocks(4_000) + deflated(bytes(5_000)) + b"\x00\x00\xff\xff"
    _, done = in_turns(ws, frame(BINARY, piece * 100 + b"\x00", rsv=RSV1), 100)
    assert sum(done) >= 400_000 // 64


def test_pieces_of_input_change_nothing_of_a_message() -> None:
    """Blocks of nothing, data that deflate cannot shrink, data that it shrinks, and ended streams, in one message."""
    noise = bytes(random.Random(8).randbytes(50_000))
    ended = zlib.compressobj(wbits=-12)
    end = ended.compress(b"the end") + ended.flush(zlib.Z_FINISH)
    sync = b"\x00\x00\xff\xff"
    packed = deflated(noise) + sync + empty_blocks(20_000) + deflated(bytes(300_000)) + sync + end * 2_000 + b"\x00"
    wanted = noise + bytes(300_000) + b"the end" * 2_000
    for work in (0, 1, 100):
        ws = compressing()
        events, _ = in_turns(ws, frame(BINARY, packed, rsv=RSV1) + frame(BINARY, deflated(b"next"), rsv=RSV1), work)
        assert messages(events) == [wanted, b"next"]
        assert ws.kept == 0


def test_a_deflated_message_stops_where_its_room_ends_and_goes_on_when_there_is_more() -> None:
    ws = compressing()
    data = bytes(200_000)
    assert ws.receive_data(frame(BINARY, deflated(data), rsv=RSV1) + frame(PING, b"p"), 0, 0, -1, 32_768) == []
    assert ws.wants_room and ws.input_pending and ws.kept <= 34_000
    assert ws.receive_data(b"", 0, 0, -1, 32_768) == [], "nor does asking again make more of it"
    assert ws.kept <= 34_000
    events = ws.receive_data(b"")
    assert messages(events) == [data] and len(events) == 2
    assert ws.kept == 0 and not ws.wants_room


def test_messages_of_one_call_have_their_room_together() -> None:
    ws = WebSocketConnection(False)
    data = frame(BINARY, bytes(1_000)) * 5
    assert len(ws.receive_data(data, 0, 0, 2_500)) == 2
    assert ws.wants_room
    assert len(ws.receive_data(b"", 0, 0, 2_500)) == 2
    assert len(ws.receive_data(b"", 0, 0, 2_500)) == 1
    assert not ws.wants_room


def test_a_message_of_nothing_takes_room_as_well() -> None:
    ws = WebSocketConnection(False)
    assert len(ws.receive_data(frame(BINARY, b"x") * 100, 0, 0, 10 * LEAST_MESSAGE)) == 10


def test_deflate_streams_that_end_count_and_keep_the_window() -> None:
    """RFC 7692 §7.2.3.4: a block may have BFINAL set. What follows refers to what came before all the same."""
    first = zlib.compressobj(wbits=-12)
    head = first.compress(b"the same words again") + first.flush(zlib.Z_FINISH)
    rest = zlib.compressobj(wbits=-12, zdict=b"the same words again")
    tail = rest.compress(b"the same words again") + rest.flush(zlib.Z_SYNC_FLUSH)
    ws = compressing()
    assert messages(ws.receive_data(frame(TEXT, head + tail[:-4], rsv=RSV1))) == ["the same words again" * 2]
    assert ws.work_done >= 24
    assert messages(ws.receive_data(frame(TEXT, head + b"\x00", rsv=RSV1))) == ["the same words again"]
    assert messages(ws.receive_data(frame(TEXT, deflated(b"on"), rsv=RSV1))) == ["on"]


def test_what_is_discarded_is_not_inflated() -> None:
    ws = compressing()
    ws.receive_data(frame(BINARY, deflated(bytes(MiB)), rsv=RSV1), 0, 0, -1, 1_000)
    ws.discards = True
    events = ws.receive_data(frame(BINARY, deflated(bytes(MiB)), rsv=RSV1) + frame(TEXT, b"\xff") + close(1000))
    assert [each.kind for each in events] == [4]
    assert ws.work_done < 60


@pytest.mark.parametrize(
    "header",
    [
        b"\x82\xfe\x00\x05", b"\x82\xfe\x00\x7d", b"\x82\xff" + (5).to_bytes(8, "big"),
        b"\x82\xff" + (65_535).to_bytes(8, "big"), b"\x02\xfe\x00\x01",
    ],
)  # fmt: skip
def test_a_length_in_more_bytes_than_it_needs_is_1002(header: bytes) -> None:
    """RFC 6455 §5.2: the minimal number of bytes MUST be used."""
    (event,) = WebSocketConnection(False).receive_data(header)
    assert isinstance(event, Failed)
    assert (event.code, event.reason) == (1002, "a length in more bytes than it needs (RFC 6455 §5.2)")


@pytest.mark.parametrize("size", [0, 125, 126, 127, 65_535, 65_536])
def test_lengths_at_the_borders_are_taken(size: int) -> None:
    assert messages(WebSocketConnection(False).receive_data(frame(BINARY, bytes(size)))) == [bytes(size)]


def test_two_faults_in_a_frame_have_one_text() -> None:
    """A reserved opcode with a 64-bit length that is none: the first bytes speak first."""
    data = b"\x83\xff\x80" + bytes(7)
    texts = set()
    for position in range(len(data) + 1):
        ws = WebSocketConnection(False)
        event = (ws.receive_data(data[:position]) + ws.receive_data(data[position:]))[-1]
        assert isinstance(event, Failed)
        texts.add((event.code, event.reason))
    assert texts == {(1002, "a reserved opcode")}


_PAYLOADS = st.binary(max_size=8) | st.sampled_from([b"\xff", "é€😀".encode(), "😀".encode()[:2], bytes(130)])
_FRAMES = st.builds(
    lambda opcode, payload, fin, rsv, is_masked: frame(
        opcode, payload, fin=fin, rsv=rsv, mask=b"mask" if is_masked else None
    ),
    st.sampled_from([CONT, TEXT, BINARY, PING, CLOSE, 3, 11]),
    _PAYLOADS | st.builds(deflated, _PAYLOADS),
    st.booleans(),
    st.sampled_from([0, 0, RSV1, 0x20]),
    st.sampled_from([True, True, True, False]),
)
_NOISE = st.binary(max_size=12) | st.sampled_from(
    [b"\x83\xff\x80" + bytes(7), b"\x81\xfe\x00\x01", b"\x82\xff" + b"\x00" * 8]
)


def outcome(events: list[WebSocketEvent]) -> list[str]:
    return [repr(each) for each in events]


@given(
    st.lists(_FRAMES | _NOISE, max_size=8).map(b"".join), st.lists(st.integers(0, 80), max_size=6), st.integers(1, 40),
    st.booleans(),
)  # fmt: skip
@tries(100)
def test_how_input_is_split_changes_nothing(data: bytes, cuts: list[int], work: int, is_bytewise: bool) -> None:
    """Events, codes and texts are the same, whole, split anywhere, byte by byte, and in turns of any length."""
    whole = outcome(compressing(200).receive_data(data))
    ws = compressing(200)
    places = list(range(1, len(data))) if is_bytewise else sorted(min(each, len(data)) for each in cuts)
    events: list[WebSocketEvent] = []
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        more, _ = in_turns(ws, data[start:end], work)
        events += more
    assert outcome(events) == whole


def test_nothing_is_kept_after_the_end() -> None:
    ws = compressing()
    ws.receive_data(frame(BINARY, deflated(bytes(MiB)), rsv=RSV1), 0, 0, -1, 50_000)
    assert ws.kept >= 50_000
    ws.fail(1001, "")
    assert ws.kept == 0
    ws = compressing()
    ws.receive_data(frame(BINARY, bytes(100_000), fin=False) + b"\x80\xff")
    ws.receive_eof()
    assert ws.kept == 0
