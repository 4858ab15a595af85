"""RFC 7541 §5.1 and Appendix C.1: integers, and the limits that a decoder has to set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.hpack.field import HPACKError
from headrace.engine.hpack.integer import decode_integer, encode_integer
from headrace.engine.hpack.pure_writer import BytesWriter as PureBytesWriter
from headrace.engine.hpack.writer import BytesWriter

from tests.properties.profile import tries


def encoded(value: int, prefix_bits: int, flags: int = 0) -> bytes:
    out = BytesWriter()
    encode_integer(out, value, prefix_bits, flags)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "prefix_bits", "data"),
    [
        pytest.param(10, 5, "0a", id="C.1.1"),
        pytest.param(1337, 5, "1f9a0a", id="C.1.2"),
        pytest.param(42, 8, "2a", id="C.1.3"),
        pytest.param(30, 5, "1e", id="one below the prefix's end"),
        pytest.param(31, 5, "1f00", id="exactly the prefix's end"),
        pytest.param(2**32 - 1, 7, "7f80ffffff0f", id="largest"),
    ],
)
def test_examples_both_ways(value: int, prefix_bits: int, data: str) -> None:
    assert encoded(value, prefix_bits).hex() == data
    assert decode_integer(bytes.fromhex(data), 0, prefix_bits) == (value, len(data) // 2)


def test_flags_above_the_prefix_are_kept_apart() -> None:
    assert encoded(3, 6, 0x40) == b"\x43"
    assert decode_integer(b"\x43", 0, 6) == (3, 1)


@given(st.integers(0, 2**32 - 1), st.integers(4, 7), st.binary(max_size=3))
@tries(100)
def test_any_32_bit_integer_survives(value: int, prefix_bits: int, behind: bytes) -> None:
    data = encoded(value, prefix_bits)
    assert decode_integer(data + behind, 0, prefix_bits) == (value, len(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "should start"),
        (b"\x1f", "ends inside"),
        (b"\x1f\x80\x80", "ends inside"),
        (b"\x1f\x80\x80\x80\x80\x80\x00", "longer than six bytes"),
        (b"\x1f\xff\xff\xff\xff\x0f", "larger than"),
        (b"\x1f\xff\xff\xff\xff\x7f", "larger than"),
    ],
)
def test_an_integer_out_of_bounds_is_an_error(data: bytes, reason: str) -> None:
    with pytest.raises(HPACKError, match=reason) as caught:
        decode_integer(data, 0, 5)
    assert caught.value.section == "RFC 7541 §5.1"


def test_zeros_in_front_are_allowed_up_to_the_limit() -> None:
    assert decode_integer(b"\x1f\x80\x80\x80\x80\x00", 0, 5) == (31, 6)


def test_the_stand_in_for_librt_s_writer_collects_the_same() -> None:
    ours, librt = PureBytesWriter(), BytesWriter()
    for value in (0, 127, 255):
        ours.append(value)
        librt.append(value)
    ours.write(b"octets")
    librt.write(b"octets")
    assert ours.getvalue() == librt.getvalue() == b"\x00\x7f\xffoctets"
