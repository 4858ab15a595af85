"""parts/frame_reader.py alone. The oracle is the list of frames that were written, by the layout of RFC 9113 §4.1."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault
from headrace.engine.h2.frames import PREFACE
from headrace.engine.h2.parts.frame_reader import NO_FRAME, FrameReader

from tests.properties.profile import tries

Frame = tuple[int, int, int, bytes]
FRAMES = st.lists(
    st.tuples(
        st.integers(0, 255),
        st.integers(0, 255),
        st.integers(0, 2**32 - 1),
        st.one_of(st.binary(max_size=30), st.integers(0, 16_384).map(bytes)),
    ),
    max_size=12,
)


def written(frame: Frame) -> bytes:
    kind, flags, stream_id, payload = frame
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload


def expected(frames: list[Frame]) -> list[Frame]:
    return [(kind, flags, stream_id & 0x7FFFFFFF, payload) for kind, flags, stream_id, payload in frames]


def read(reader: FrameReader) -> list[Frame]:
    found = []
    while (kind := reader.next()) != NO_FRAME:
        found.append((kind, reader.flags, reader.stream_id, reader.data[reader.start : reader.end]))
    return found


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 60_000), max_size=8), turn=st.integers(0, 5))
@tries(400)
def test_any_cut_and_any_turn_give_the_same_frames(frames: list[Frame], cuts: list[int], turn: int) -> None:
    data = b"".join(map(written, frames))
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = FrameReader(False)
    found: list[Frame] = []
    for start, end in pairwise(places):
        reader.receive(data[start:end], turn)
        now = read(reader)
        assert turn == 0 or len(now) <= turn
        assert reader.work() == (len(now) if turn else 0)
        found += now
    while reader.is_stopped():
        reader.receive(b"", turn)
        found += read(reader)
    assert found == expected(frames)
    assert reader.frames == len(frames)


@given(frames=st.lists(st.integers(0, 16_384).map(bytes), min_size=4, max_size=8), size=st.integers(16_384, 65_536))
@tries(100)
def test_large_reads_are_left_where_they_are(frames: list[bytes], size: int) -> None:
    raw = b"".join(written((0, 0, 1, each)) for each in frames)
    reader = FrameReader(False)
    found: list[Frame] = []
    for at in range(0, len(raw), size):
        reader.receive(raw[at : at + size], 0)
        found += read(reader)
        assert len(reader.data) < 16_384 + 9, "only the frame that is torn is kept"
    assert [payload for *_, payload in found] == frames


def test_a_large_read_behind_a_torn_frame_is_not_copied() -> None:
    raw = written((0, 0, 1, bytes(1_000))) * 30
    reader, large = FrameReader(False), raw[500:]
    reader.receive(raw[:500], 0)
    assert reader.next() == NO_FRAME
    reader.receive(large, 0)
    assert reader.next() == 0 and len(reader.data) == 1_009, "the torn frame, alone"
    assert reader.next() == 0 and reader.data is large
    assert len(read(reader)) == 28


def test_a_frame_too_large_is_refused_on_its_header() -> None:
    reader = FrameReader(False)
    reader.receive(b"\x00\x40\x01" + bytes(6), 0)
    with pytest.raises(ConnectionFault) as caught:
        reader.next()
    assert caught.value.code == errors.FRAME_SIZE_ERROR
    reader.clear()
    reader.set_largest(16_385)
    reader.receive(b"\x00\x40\x01" + bytes(6), 0)
    assert reader.next() == NO_FRAME


def test_field_blocks_cost_a_turn_more() -> None:
    reader = FrameReader(False)
    reader.receive(written((1, 0, 1, bytes(640))) * 9, 12)
    assert reader.next() == 1
    reader.charge(640)
    assert reader.work() == 11
    assert reader.next() == 1 and reader.next() == NO_FRAME and reader.is_stopped()
    reader.add_work(30)
    assert reader.work() == 42
    reader.receive(b"", 0)
    assert reader.work() == 0 and len(read(reader)) == 7


def test_cleared_input_is_gone() -> None:
    reader = FrameReader(False)
    reader.receive(written((6, 0, 0, bytes(8))) * 2, 1)
    assert reader.next() == 6 and reader.is_stopped()
    reader.clear()
    assert not reader.is_stopped() and reader.next() == NO_FRAME


@given(cuts=st.lists(st.integers(1, 32), max_size=5))
@tries(100)
def test_the_preface_may_come_in_any_pieces(cuts: list[int]) -> None:
    data = PREFACE + written((4, 0, 0, b""))
    places = sorted({0, len(data), *cuts})
    reader = FrameReader(True)
    found: list[Frame] = []
    for start, end in pairwise(places):
        reader.receive(data[start:end], 0)
        if reader.awaits_preface():
            reader.take_preface()
        if not reader.awaits_preface():
            found += read(reader)
    assert found == [(4, 0, 0, b"")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP/1.1"),
        (b"\x16\x03\x01", "TLS handshake"),
        (b"PRI * HTTP/2.0\r\n\r\nXX", "preface is wrong"),
    ],
)
def test_another_beginning_is_named(data: bytes, reason: str) -> None:
    reader = FrameReader(True)
    reader.receive(data, 0)
    with pytest.raises(ConnectionFault, match=reason):
        reader.take_preface()


def test_a_large_read_may_not_be_enough_for_the_frame_that_it_goes_on_with() -> None:
    frame = (0, 1, 3, bytes(range(256)) * 256)
    data = written(frame)
    reader = FrameReader(False)
    reader.set_largest(len(data))
    found: list[Frame] = []
    for start, end in ((0, 20), (20, 40_000), (40_000, len(data))):
        reader.receive(data[start:end], 0)
        found += read(reader)
    assert found == expected([frame])
