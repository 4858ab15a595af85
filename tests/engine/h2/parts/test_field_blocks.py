"""parts/field_blocks.py alone. The oracle is the block that was cut, and `hpack` of python-hyper as its encoder."""

from __future__ import annotations

from itertools import pairwise

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.h2.frames import END_HEADERS, END_STREAM, PADDED, PRIORITY_FLAG
from headrace.engine.h2.parts.field_blocks import FieldBlocks
from headrace.engine.limits import Limits
from headrace.engine.timed import NEVER

from tests.properties.profile import tries

HEAD = b"\x00\x00\x00\x01\x00\x00\x00\x00\x05"  # nine bytes stand before each payload


def begin(blocks: FieldBlocks, payload: bytes, flags: int = END_HEADERS, stream_id: int = 5) -> bool:
    return blocks.begin(flags, stream_id, HEAD + payload, 9, 9 + len(payload), 0.0)


def go_on(blocks: FieldBlocks, payload: bytes, flags: int = 0, stream_id: int = 5) -> bool:
    return blocks.go_on(flags, stream_id, HEAD + payload, 9, 9 + len(payload))


@given(
    block=st.binary(max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    padding=st.one_of(st.none(), st.integers(0, 255)),
    has_priority=st.booleans(),
    end_stream=st.booleans(),
)
@tries(300)
def test_a_block_is_its_fragments_joined(
    block: bytes, cuts: list[int], padding: int | None, has_priority: bool, end_stream: bool
) -> None:
    places = sorted([0, len(block), *(min(cut, len(block)) for cut in cuts)])
    first, *rest = [block[start:end] for start, end in pairwise(places)]
    flags = (END_STREAM if end_stream else 0) | (0 if rest else END_HEADERS)
    if has_priority:
        first, flags = b"\x00\x00\x00\x01\x10" + first, flags | PRIORITY_FLAG
    if padding is not None:
        first, flags = bytes([padding]) + first + bytes(padding), flags | PADDED
    blocks = FieldBlocks(Limits())
    is_whole = begin(blocks, first, flags)
    for number, fragment in enumerate(rest, 1):
        assert not is_whole and blocks.is_coming() and blocks.due == 30.0
        is_whole = go_on(blocks, fragment, END_HEADERS if number == len(rest) else 0)
    assert is_whole and not blocks.is_coming() and blocks.due == NEVER and blocks.work_due() == 0
    assert (blocks.stream_id, blocks.end_stream, blocks.take()) == (5, end_stream, block)
    assert blocks.take() == b"", "it is let go of"
    assert blocks.id_bytes(HEAD + first) == b"\x00\x00\x00\x05"


@pytest.mark.parametrize(
    ("payload", "flags", "code"),
    [
        (b"", PADDED, errors.FRAME_SIZE_ERROR),
        (b"\x02x", PADDED, errors.PROTOCOL_ERROR),
        (b"1234", PRIORITY_FLAG, errors.FRAME_SIZE_ERROR),
        (b"\x011234", PADDED | PRIORITY_FLAG, errors.PROTOCOL_ERROR),
    ],
)
def test_payloads_that_do_not_fit(payload: bytes, flags: int, code: int) -> None:
    with pytest.raises(ConnectionFault) as caught:
        begin(FieldBlocks(Limits()), payload, flags)
    assert caught.value.code == code


def test_frames_out_of_place() -> None:
    blocks = FieldBlocks(Limits())
    with pytest.raises(ConnectionFault, match="stream 0"):
        begin(blocks, b"", stream_id=0)
    with pytest.raises(ConnectionFault, match="without its HEADERS"):
        go_on(blocks, b"")
    begin(blocks, b"", 0)
    with pytest.raises(ConnectionFault, match="without its HEADERS"):
        go_on(blocks, b"", stream_id=7)


@pytest.mark.parametrize(
    ("limits", "size", "name"),
    [(Limits(max_continuations=3), 0, "max_continuations"), (Limits(max_block_size=1_024), 400, "max_block_size")],
)
def test_a_block_has_an_end(limits: Limits, size: int, name: str) -> None:
    blocks = FieldBlocks(limits)
    begin(blocks, bytes(100), 0)
    for _ in range(3 if size == 0 else 2):
        assert not go_on(blocks, bytes(size))
    with pytest.raises(ConnectionFault) as caught:
        go_on(blocks, bytes(size))
    assert caught.value.budget == name


def test_a_block_has_a_deadline() -> None:
    blocks = FieldBlocks(Limits(request_header_timeout_s=7))
    assert blocks.check(1e9) == NEVER
    begin(blocks, b"x", 0)
    assert blocks.check(6.9) == 7.0
    with pytest.raises(ConnectionFault):
        blocks.check(7.0)


def test_sections_are_decoded_with_one_table() -> None:
    blocks, encoder = FieldBlocks(Limits()), hpack.Encoder()
    for _ in range(2):
        section = blocks.decode(encoder.encode([("x-one", "1"), (":status", "200")]))
        assert [(field.name, field.value) for field in section.fields] == [(b"x-one", b"1"), (b":status", b"200")]
    with pytest.raises(ConnectionFault) as caught:
        blocks.decode(b"\xff\xff\xff\xff\xff\xff\xff\xff")
    assert caught.value.code == errors.COMPRESSION_ERROR


def test_blocks_beyond_a_section_cost_frames() -> None:
    blocks = FieldBlocks(Limits(max_field_section_size=1_024))
    assert [blocks.excess(bytes(size)) for size in (1_025, 1_024 + 255, 1_024 + 256)] == [1, 1, 2]


def test_a_stream_that_depends_on_itself() -> None:
    blocks = FieldBlocks(Limits())
    begin(blocks, b"\x80\x00\x00\x05\x10", END_HEADERS | PRIORITY_FLAG)
    with pytest.raises(StreamFault) as caught:
        blocks.check_dependency()
    assert caught.value.stream_id == 5
    begin(blocks, b"")
    blocks.check_dependency()


def test_the_reserved_bit_is_not_sent_back() -> None:
    blocks = FieldBlocks(Limits())
    data = b"\x00\x00\x00\x01\x04\x80\x00\x00\x05"
    blocks.begin(END_HEADERS, 5, data, 9, 9, 0.0)
    assert blocks.id_bytes(data) == b"\x00\x00\x00\x05"


def test_the_identifier_of_a_block_in_pieces_is_not_looked_for_in_the_last() -> None:
    blocks = FieldBlocks(Limits())
    begin(blocks, b"x", 0)
    assert go_on(blocks, b"y", END_HEADERS)
    assert blocks.id_bytes(bytes(20)) == b"\x00\x00\x00\x05"
