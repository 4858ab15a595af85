"""What holds for every input: round trips, agreement with an independent implementation, and no other exception."""

from __future__ import annotations

import hpack
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.hpack import Decoder, Encoder, HPACKError

from tests.properties.profile import tries

NAMES = st.sampled_from(
    [b":path", b":status", b"server", b"cookie", b"authorization", b"x-a", b"x-b", b"accept", b"date", b"set-cookie"]
) | st.binary(max_size=12)
VALUES = st.sampled_from([b"", b"200", b"/", b"headrace", b"a" * 30, b"v" * 1500]) | st.binary(max_size=40)
SECTIONS = st.lists(st.lists(st.tuples(NAMES, VALUES), max_size=12), max_size=12)
SIZES = st.none() | st.integers(0, 5000)


@given(SECTIONS, st.lists(SIZES, max_size=12))
@tries(100)
def test_any_fields_survive(sections: list[list[tuple[bytes, bytes]]], sizes: list[int | None]) -> None:
    encoder, decoder, oracle = Encoder(), Decoder(max_section_size=10**6), hpack.Decoder(max_header_list_size=10**6)
    for number, section in enumerate(sections * 2):
        size = sizes[number] if number < len(sizes) else None
        if size is not None:
            encoder.set_max_table_size(size)
            decoder.set_max_table_size(size)
            oracle.max_allowed_table_size = size
        block = encoder.encode(section)
        assert [field.pair for field in decoder.decode(block).fields] == section
        assert [(bytes(name), bytes(value)) for name, value in oracle.decode(block, raw=True)] == section
        assert encoder.table_size == decoder.table_size == oracle.header_table._current_size
        assert [field.pair for field in encoder.table_fields()] == [field.pair for field in decoder.table_fields()]


@given(SECTIONS, st.booleans())
@tries(100)
def test_what_an_independent_encoder_writes_decodes(sections: list[list[tuple[bytes, bytes]]], huffman: bool) -> None:
    encoder, decoder = hpack.Encoder(), Decoder(max_section_size=10**6)
    for section in sections * 2:
        block = encoder.encode(section, huffman=huffman)
        assert [field.pair for field in decoder.decode(block).fields] == section


@given(st.lists(st.binary(max_size=80), max_size=8))
@tries(500)
def test_random_bytes_raise_nothing_but_hpack_errors(blocks: list[bytes]) -> None:
    decoder, oracle = Decoder(), hpack.Decoder()
    for block in blocks:
        try:
            section = decoder.decode(block)
        except HPACKError:
            return
        assert section.count >= len(section.fields)
        assert decoder.table_size <= 4096
        # What we accept, another decoder accepts too, and sees the same.
        assert [(bytes(name), bytes(value)) for name, value in oracle.decode(block, raw=True)] == [
            field.pair for field in section.fields
        ]


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
@tries(100)
def test_a_damaged_block_raises_nothing_else(seed: bytes, place: int, byte: int) -> None:
    block = bytearray(Encoder().encode([(b":path", seed), (b"server", seed[:20]), (b"x-y", b"z"), (b"cookie", seed)]))
    block[place % len(block)] = byte
    decoder = Decoder()
    try:
        decoder.decode(bytes(block))
        decoder.decode(b"\xbe\xbf")
    except HPACKError:
        pass
    assert decoder.table_size <= 4096
