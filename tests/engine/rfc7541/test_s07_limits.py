"""RFC 7541 §7.3 and §7.4: what a hostile field block may cost, at the decoder. Each with its negative control."""

from __future__ import annotations

import tracemalloc

import pytest

from headrace.engine.hpack import Decoder, HPACKBombError, HPACKError

LARGE = 2**31


def unlimited() -> Decoder:
    return Decoder(max_section_size=LARGE, max_fields=LARGE)


def insert(name: bytes, value: bytes) -> bytes:
    length = bytes([len(value)]) if len(value) < 127 else b"\x7f" + varint(len(value) - 127)
    return b"\x40" + bytes([len(name)]) + name + length + value


def varint(value: int) -> bytes:
    data = bytearray()
    while value >= 128:
        data.append(0x80 | value & 0x7F)
        value >>= 7
    data.append(value)
    return bytes(data)


BOMBS = {
    "fat: 4 kB cookie, 11,000 references (CVE-2016-6581)": insert(b"cookie", b"x" * 4000) + b"\xbe" * 11_000,
    "thin: a near-empty field, 16,000 references": insert(b"a", b"") + b"\xbe" * 16_000,
    "empty cookie, 16,000 references (CVE-2026-49975)": insert(b"cookie", b"") + b"\xbe" * 16_000,
    "static entries only, 32,000 references": b"\x82" * 32_000,
    "literals without name or value": b"\x00\x00\x00" * 20_000,
}


@pytest.mark.parametrize("block", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_not_decoded_to_its_end(block: bytes) -> None:
    assert unlimited().decode(block).count > 4 * 128  # without limits it would go off
    tracemalloc.start()
    try:
        with pytest.raises(HPACKBombError) as caught:
            Decoder().decode(block)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert caught.value.section == "RFC 7541 §7.3"


def test_a_section_over_the_size_is_truncated_and_the_table_right() -> None:
    decoder = Decoder(max_section_size=100)
    section = decoder.decode(insert(b"a", b"1") + insert(b"b", b"2") + insert(b"c", b"3") + insert(b"d", b"4"))
    assert [field.name for field in section.fields] == [b"a", b"b"]
    assert (section.size, section.count, section.truncated) == (136, 4, True)
    assert [field.name for field in decoder.table_fields()] == [b"d", b"c", b"b", b"a"]
    assert decoder.decode(b"\xbe").fields[0].pair == (b"d", b"4")


def test_a_section_over_the_count_is_truncated() -> None:
    decoder = Decoder(max_fields=3)
    section = decoder.decode(b"\x82" * 12)
    assert (len(section.fields), section.count, section.truncated) == (3, 12, True)
    with pytest.raises(HPACKBombError):
        decoder.decode(b"\x82" * 13)


def test_limits_themselves_are_allowed() -> None:
    section = Decoder(max_section_size=84, max_fields=2).decode(b"\x82\x82")
    assert (section.size, section.count, section.truncated) == (84, 2, False)
    assert Decoder(max_section_size=83).decode(b"\x82\x82").truncated


def test_four_times_a_limit_is_not_yet_a_bomb() -> None:
    decoder = Decoder(max_section_size=42)
    assert decoder.decode(b"\x82" * 4).truncated
    with pytest.raises(HPACKBombError):
        decoder.decode(b"\x82" * 5)


def test_a_megabyte_of_continuation_bytes_costs_nothing() -> None:
    """Quadratic integers: CVE-2026-59980 and others. The sixth byte ends it."""
    for first in (b"\xff", b"\x7f", b"\x0f", b"\x3f", b"\x00\x7f"):
        with pytest.raises(HPACKError) as caught:
            Decoder().decode(first + b"\x80" * 1_000_000)
        assert caught.value.section == "RFC 7541 §5.1"


def test_a_fault_in_the_middle_leaves_what_came_before_in_the_table() -> None:
    """The connection ends with the fault, so nothing has to be undone; it must not be half-done either."""
    decoder = Decoder()
    with pytest.raises(HPACKError):
        decoder.decode(insert(b"a", b"1") + b"\x80")
    assert [field.pair for field in decoder.table_fields()] == [(b"a", b"1")]


def test_the_errors_say_what_and_where() -> None:
    error = HPACKError("a reason", "RFC 7541 §5.1")
    assert (error.reason, error.section, str(error)) == ("a reason", "RFC 7541 §5.1", "a reason (RFC 7541 §5.1)")
    assert issubclass(HPACKBombError, HPACKError)
