"""The reader of content, the input that it reads from, and the account of unread bytes, each alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h1.content import ContentReader, Unread
from headrace.engine.h1.input import Input
from headrace.engine.limits import CHUNKS_A_FRAME, Limits

from tests.properties.profile import tries


def read(reader: ContentReader, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """What a reader makes of bytes that come in pieces, and what it leaves."""
    source = Input()
    content = b""
    begin = 0
    for end in [*sorted(cuts), len(data)]:
        source.add(data[begin:end], 0)
        begin = end
        if source.left() and not reader.is_complete:
            content += reader.read(source)
    return content, source.take(10**9)


cuttings = st.lists(st.integers(0, 60), max_size=5)


@given(content=st.binary(min_size=1, max_size=50), rest=st.binary(max_size=9), cuts=cuttings)
@tries(100)
def test_content_with_a_length(content: bytes, rest: bytes, cuts: list[int]) -> None:
    """RFC 9112 §6.2: so many bytes and not one more, however they come."""
    reader = ContentReader(Limits(), True)
    reader.begin(len(content), False)
    data = content + rest
    assert read(reader, data, [min(cut, len(data)) for cut in cuts]) == (content, rest)
    assert reader.is_complete and reader.left == 0 and not reader.ends_with_connection


@given(chunks=st.lists(st.binary(min_size=1, max_size=9), max_size=5), cuts=cuttings, has_trailer=st.booleans())
@tries(100)
def test_content_in_chunks(chunks: list[bytes], cuts: list[int], has_trailer: bool) -> None:
    """RFC 9112 §7.1: the chunks' data, then the trailer section; what stands behind it is left."""
    reader = ContentReader(Limits(), True)
    reader.begin(-1, True)
    data = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks)
    data += b"0\r\n" + (b"a: b\r\n" if has_trailer else b"") + b"\r\nrest"
    assert read(reader, data, [min(cut, len(data)) for cut in cuts]) == (b"".join(chunks), b"rest")
    assert reader.is_complete and reader.trailers == ([(b"a", b"b")] if has_trailer else None)


def test_content_up_to_the_end_of_the_connection() -> None:
    """RFC 9112 §6.3: a response without a length; a tunnel."""
    reader = ContentReader(Limits(), True)
    reader.begin(-1, False)
    assert read(reader, b"abc", [1]) == (b"abc", b"")
    assert reader.ends_with_connection and not reader.is_complete and reader.left < 0


def test_content_before_a_fault_is_returned_with_it() -> None:
    reader = ContentReader(Limits(), True)
    reader.begin(-1, True)
    source = Input()
    source.add(b"3\r\nabc\r\nxyz", 0)
    assert reader.read(source) == b"abc"
    assert reader.fault is not None and reader.fault.section == "RFC 9112 §7.1"


def test_nothing_of_the_message_before_is_left() -> None:
    reader = ContentReader(Limits(), True)
    reader.begin(-1, True)
    read(reader, b"0\r\na: b\r\n\r\n", [])
    reader.begin(5, False)
    assert (reader.is_complete, reader.trailers, reader.is_chunked, reader.left) == (False, None, False, 5)


def test_what_a_client_owes() -> None:
    """Between chunks nothing; in a chunk, its rest; of a length, all of it."""
    reader: Any = ContentReader(Limits(), True)
    reader.begin(5, False)
    assert not reader.is_between_chunks
    reader.begin(-1, True)
    assert reader.is_between_chunks
    source = Input()
    source.add(b"3\r\na", 0)
    reader.read(source)
    assert not reader.is_between_chunks


@pytest.mark.parametrize(("turn", "chunks"), [(1, CHUNKS_A_FRAME), (0, 100)])
def test_a_turn_bounds_the_chunks_that_are_read(turn: int, chunks: int) -> None:
    """`frames_per_turn`: so many chunks are a frame's work; 0 is no limit."""
    reader = ContentReader(Limits(), True)
    reader.begin(-1, True)
    source = Input()
    source.add(b"1\r\nx\r\n" * 100, turn)
    assert len(reader.read(source)) == chunks
    assert source.has_turn() == (turn == 0) and source.turn_is_over == (turn > 0)
    source.add(b"", turn)
    assert source.has_turn() and not source.turn_is_over


def test_input_is_counted_and_its_work_too() -> None:
    source = Input()
    source.add(b"abcdef", 3)
    assert source.take(2) == b"ab" and source.left() == 4 and source.starts_with(b"cd")
    source.add(b"gh", 3)
    assert (source.data, source.position, source.received) == (b"cdefgh", 0, 8)
    source.spend(1)
    assert source.work == 1 and source.has_turn()
    source.spend(5)
    assert not source.has_turn()
    source.clear()
    assert source.left() == 0


def test_unread_bytes_stop_reading() -> None:
    unread = Unread(Limits(initial_stream_window=1_000))
    unread.add(999, False)
    assert not unread.is_too_much()
    unread.add(1, False)
    assert unread.is_too_much()
    assert not unread.consume(1_001) and not unread.consume(-1) and unread.consume(1)
    assert not unread.is_too_much()


def test_crumbs_stop_reading_until_all_are_consumed() -> None:
    """A piece of a byte costs an event and an object; a tunnel's pieces are joined, and cost their bytes."""
    unread = Unread(Limits())
    for _ in range(1_000):
        unread.add(1, True)
    assert not unread.is_too_much()
    for _ in range(300):
        unread.add(1, False)
    assert unread.is_too_much()
    unread.consume(1_299)
    assert unread.is_too_much()
    unread.consume(1)
    assert not unread.is_too_much()


def test_a_piece_that_is_not_small_costs_its_bytes() -> None:
    """`small_data_budget` is for pieces below 256 bytes, each charged as 256."""
    unread = Unread(Limits(small_data_budget=1_000, initial_stream_window=100_000))
    for _ in range(10):
        unread.add(256, False)
    assert not unread.is_too_much()
    for _ in range(3):
        unread.add(255, False)
    assert not unread.is_too_much()
    unread.add(255, False)
    assert unread.is_too_much()
