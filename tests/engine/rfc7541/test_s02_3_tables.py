"""RFC 7541 §2.3 and Appendix A: the static table, and one address space for both tables."""

from __future__ import annotations

import pytest
from hpack.table import HeaderTable

from headrace.engine.hpack import Decoder, HPACKError
from headrace.engine.hpack.static_table import STATIC_FIELDS, STATIC_LENGTH, STATIC_NAMES, STATIC_VALUES


def test_the_static_table_is_that_of_an_independent_implementation() -> None:
    assert [field.pair for field in STATIC_FIELDS[1:]] == list(HeaderTable.STATIC_TABLE)
    assert len(STATIC_FIELDS) == STATIC_LENGTH + 1


def test_names_and_values_lead_back_to_their_index() -> None:
    for index in range(STATIC_LENGTH, 0, -1):
        field = STATIC_FIELDS[index]
        assert STATIC_VALUES[field.name][field.value] == index
        assert STATIC_FIELDS[STATIC_NAMES[field.name]].name == field.name
    assert STATIC_NAMES[b":status"] == 8


def test_every_static_entry_decodes_to_one_object_per_process() -> None:
    block = bytes(0x80 | index for index in range(1, STATIC_LENGTH + 1))
    first, second = Decoder().decode(block), Decoder().decode(block)
    assert [field.pair for field in first.fields] == list(HeaderTable.STATIC_TABLE)
    assert all(one is other for one, other in zip(first.fields, second.fields, strict=True))


def test_a_dynamic_entry_is_one_object_as_long_as_it_lives() -> None:
    """§2.3.2: what the owner noted in `kind` is there when the field comes again."""
    decoder = Decoder()
    (field,) = decoder.decode(b"\x40\x01a\x01b").fields
    assert field.kind == -1
    field.kind = 7
    assert decoder.decode(b"\xbe\x82").fields[0] is field
    assert field.kind == 7


def test_the_newest_entry_has_index_62() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x011\x40\x01b\x012\x40\x01c\x013")
    assert [field.name for field in decoder.decode(b"\xbe\xbf\xc0").fields] == [b"c", b"b", b"a"]


@pytest.mark.parametrize(
    ("block", "section"),
    [
        (b"\x80", "RFC 7541 §6.1"),
        (b"\xbf", "RFC 7541 §2.3.3"),
        (b"\xff\x00", "RFC 7541 §2.3.3"),
        (b"\xff\x80\x80\x80\x80\x0f", "RFC 7541 §2.3.3"),
        (b"\x7f\x00\x01a", "RFC 7541 §2.3.3"),
        (b"\x0f\x30\x01a", "RFC 7541 §2.3.3"),
        (b"\x1f\xff\xff\xff\xff\x0e\x01a", "RFC 7541 §2.3.3"),
    ],
)
def test_an_index_beyond_both_tables_is_an_error(block: bytes, section: str) -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x01b")  # index 62, and there is no 63
    with pytest.raises(HPACKError) as caught:
        decoder.decode(block)
    assert caught.value.section == section


def test_an_evicted_entry_has_no_index_any_more() -> None:
    decoder = Decoder(max_table_size=34 * 40)
    for _ in range(4):  # through several compactions of the table's list
        decoder.decode(b"".join(b"\x40\x01%c\x01v" % (48 + number) for number in range(64)))
    assert len(decoder.table_fields()) == 40
    oldest = 61 + 40
    assert decoder.decode(bytes([0x80 | oldest])).fields[0].name == b"%c" % (48 + 24)
    with pytest.raises(HPACKError, match="beyond the dynamic table"):
        decoder.decode(bytes([0x80 | (oldest + 1)]))
