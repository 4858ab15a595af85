"""RFC 7541 §4 and §6.3: sizes, eviction, and changes of the maximum size, for decoder, encoder and the table itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.hpack import Decoder, Encoder, Field, HPACKError
from headrace.engine.hpack.dynamic_table import DynamicTable

from tests.properties.profile import tries

INSERT_A = b"\x40\x01a\x01b"  # 34 bytes in the table


def size_update(size: int) -> bytes:
    if size < 31:
        return bytes([0x20 | size])
    data = bytearray([0x3F])
    size -= 31
    while size >= 128:
        data.append(0x80 | size & 0x7F)
        size >>= 7
    data.append(size)
    return bytes(data)


def test_an_entry_costs_32_bytes_more_than_it_holds() -> None:
    """§4.1"""
    decoder = Decoder()
    section = decoder.decode(INSERT_A)
    assert decoder.table_size == section.size == 34


def test_an_entry_larger_than_the_table_empties_it() -> None:
    """§4.4: that is no error."""
    decoder = Decoder(max_table_size=100)
    decoder.decode(INSERT_A)
    section = decoder.decode(b"\x40\x01a\x7e" + b"x" * 126)
    assert section.fields[0].value == b"x" * 126
    assert (decoder.table_size, decoder.table_fields()) == (0, [])


def test_a_name_may_come_from_the_entry_that_its_insertion_evicts() -> None:
    """§4.4"""
    decoder = Decoder(max_table_size=60)
    decoder.decode(b"\x40\x04name\x01b")
    section = decoder.decode(b"\x7e\x05value")
    assert section.fields[0].pair == (b"name", b"value")
    assert [field.pair for field in decoder.table_fields()] == [(b"name", b"value")]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(-1, 300)), max_size=200))
@tries(100)
def test_the_table_keeps_the_newest_that_fit(steps: list[tuple[int, int]]) -> None:
    table = DynamicTable(200)
    model: list[Field] = []
    for length, resize in steps:
        if resize >= 0 and length < 10:
            table.resize(resize)
        else:
            field = Field(b"n", b"v" * length)
            table.add(field)
            model.insert(0, field)
            if field.size > table.max_size:
                model.clear()
        while sum(field.size for field in model) > table.max_size:
            model.pop()
        assert len(table) == len(model)
        assert [table.get(position) for position in range(len(table))] == model
        assert table.size == sum(field.size for field in model)
        assert len(table.entries) <= 2 * len(model) + 32
        with pytest.raises(IndexError):
            table.get(len(model))


# --- §4.2 and §6.3 at the decoder


def test_an_update_evicts_at_once() -> None:
    decoder = Decoder()
    decoder.decode(INSERT_A + INSERT_A)
    decoder.decode(size_update(40))
    assert decoder.table_size == 34
    decoder.decode(size_update(0))
    assert decoder.table_size == 0


def test_zero_and_back_clears_the_table() -> None:
    decoder = Decoder()
    decoder.decode(INSERT_A)
    section = decoder.decode(size_update(0) + size_update(4096) + b"\x82")
    assert [field.pair for field in section.fields] == [(b":method", b"GET")]
    assert decoder.table_size == 0
    decoder.decode(INSERT_A)
    assert decoder.table_size == 34


@pytest.mark.parametrize(
    ("block", "section"),
    [
        pytest.param(size_update(4097), "RFC 7541 §6.3", id="above the limit"),
        pytest.param(size_update(2**32 - 1), "RFC 7541 §6.3", id="far above the limit"),
        pytest.param(b"\x82" + size_update(100), "RFC 7541 §4.2", id="behind a field"),
        pytest.param(size_update(9) + size_update(8) + size_update(7), "RFC 7541 §4.2", id="three in a row"),
        pytest.param(b"\x3f\x80\x80\x80\x80\x80\x80\x00", "RFC 7541 §5.1", id="endless"),
    ],
)
def test_an_update_out_of_order_is_an_error(block: bytes, section: str) -> None:
    with pytest.raises(HPACKError) as caught:
        Decoder().decode(block)
    assert caught.value.section == section


def test_a_lowered_limit_demands_an_update() -> None:
    for block in (b"\x82", b"", size_update(300)):
        decoder = Decoder()
        decoder.set_max_table_size(200)
        with pytest.raises(HPACKError) as caught:
            decoder.decode(block)
        assert caught.value.section in ("RFC 7541 §4.2", "RFC 7541 §6.3")
    decoder = Decoder()
    decoder.set_max_table_size(200)
    decoder.decode(size_update(200) + b"\x82")
    decoder.decode(b"\x82")


def test_the_lowest_limit_in_between_must_be_signalled() -> None:
    decoder = Decoder()
    decoder.set_max_table_size(0)
    decoder.set_max_table_size(4096)
    with pytest.raises(HPACKError, match="skips the lowest limit"):
        decoder.decode(size_update(4096))
    decoder = Decoder()
    decoder.decode(INSERT_A)
    decoder.set_max_table_size(0)
    decoder.set_max_table_size(4096)
    decoder.decode(size_update(0) + size_update(4096))
    assert decoder.table_size == 0


def test_a_raised_limit_demands_nothing() -> None:
    decoder = Decoder()
    decoder.set_max_table_size(65_536)
    decoder.decode(INSERT_A)
    decoder.decode(size_update(65_536))


def test_a_limit_lowered_to_what_is_in_use_demands_nothing() -> None:
    decoder = Decoder()
    decoder.decode(size_update(100))
    decoder.set_max_table_size(100)
    decoder.decode(b"\x82")


def test_a_remembered_block_does_not_hide_a_missing_update() -> None:
    decoder = Decoder()
    for _ in range(3):
        decoder.decode(b"\x82\x84")
    decoder.set_max_table_size(0)
    with pytest.raises(HPACKError, match="missing"):
        decoder.decode(b"\x82\x84")


# --- §4.2 at the encoder


def test_the_encoder_announces_what_the_peer_asks() -> None:
    encoder = Encoder()
    assert encoder.encode([(b":method", b"GET")]) == b"\x82"
    encoder.set_max_table_size(1024)
    assert encoder.encode([(b":method", b"GET")]) == size_update(1024) + b"\x82"
    assert encoder.encode([(b":method", b"GET")]) == b"\x82"


def test_the_encoder_announces_the_lowest_then_the_last() -> None:
    encoder = Encoder()
    encoder.encode([(b"server", b"headrace")])
    for size in (512, 0, 300, 2048):
        encoder.set_max_table_size(size)
    assert encoder.table_size == 0
    assert encoder.encode([]) == size_update(0) + size_update(2048)
    encoder.set_max_table_size(100)
    encoder.set_max_table_size(2048)
    assert encoder.encode([]) == size_update(100) + size_update(2048)


def test_the_encoder_never_takes_more_than_4096() -> None:
    """A peer's 2^32 - 1 must not make our table grow (h2 0.4.17, Netty CVE-2026-93492)."""
    encoder = Encoder()
    encoder.set_max_table_size(2**32 - 1)
    assert encoder.encode([]) == b""  # 4,096 it was already
    encoder.set_max_table_size(100)
    encoder.set_max_table_size(2**32 - 1)
    assert encoder.encode([]) == size_update(100) + size_update(4096)
    for number in range(1000):
        for _ in range(2):
            encoder.encode([(b"x-%d" % number, b"v" * 50)])
    assert encoder.table_size <= 4096
    assert len(encoder.table_fields()) < 4096 // 32


def test_an_encoder_with_a_lower_cap_says_so_first() -> None:
    encoder = Encoder(256)
    encoder.set_max_table_size(65_536)
    assert encoder.encode([]) == size_update(256)
    assert Encoder(100_000).encode([]) == b""


def test_a_table_of_no_size_means_literals_only() -> None:
    encoder, decoder = Encoder(), Decoder()
    encoder.set_max_table_size(0)
    decoder.set_max_table_size(0)
    for _ in range(3):
        section = decoder.decode(encoder.encode([(b"server", b"headrace"), (b"x-a", b"b")]))
        assert [field.pair for field in section.fields] == [(b"server", b"headrace"), (b"x-a", b"b")]
    assert encoder.table_size == decoder.table_size == 0
