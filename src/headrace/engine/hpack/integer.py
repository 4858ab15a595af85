"""Integers with a prefix of N bits (RFC 7541 §5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.hpack.field import HPACKError
from headrace.engine.hpack.writer import BytesWriter

if TYPE_CHECKING:
    from mypy_extensions import i64

# Five continuation bytes carry 35 bits, enough for every 32-bit number. RFC 7541 §5.1 asks for such a limit: an
# endless run of 0x80 would otherwise keep the decoder busy, and with unbounded integers in quadratic time.
MAX_CONTINUATION_BYTES: Final = 5
MAX_INTEGER: Final = 2**32 - 1


def decode_integer(data: bytes, position: i64, prefix_bits: i64) -> tuple[i64, i64]:
    """Read the integer whose prefix is in the byte at `position`; return it and the position after it.

    Raises HPACKError when it does not end within `data`, takes more than five further bytes, or exceeds 2^32 - 1.
    """
    if position >= len(data):
        raise HPACKError("the block ends where an integer should start", "RFC 7541 §5.1")
    byte: i64 = data[position]
    largest: i64 = (1 << prefix_bits) - 1
    value: i64 = byte & largest
    if value < largest:
        return value, position + 1
    return decode_continuation(data, position + 1, largest)


def decode_continuation(data: bytes, position: i64, value: i64) -> tuple[i64, i64]:
    """Continue with an integer whose prefix was all ones; `value` is the value of the prefix."""
    shift: i64 = 0
    end: i64 = len(data)
    while position < end:
        byte: i64 = data[position]
        position += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            if value > MAX_INTEGER:
                raise HPACKError("an integer is larger than 2^32 - 1", "RFC 7541 §5.1")
            return value, position
        shift += 7
        if shift >= 7 * MAX_CONTINUATION_BYTES:
            raise HPACKError("an integer is longer than six bytes", "RFC 7541 §5.1")
    raise HPACKError("the block ends inside an integer", "RFC 7541 §5.1")


def encode_integer(out: BytesWriter, value: i64, prefix_bits: i64, flags: i64) -> None:
    """Append `value`; `flags` are the bits of the first byte above the prefix."""
    largest: i64 = (1 << prefix_bits) - 1
    byte: int = 0  # not i64, from which mypyc has no way to the u8 that `append` takes
    if value < largest:
        byte = flags | value
        out.append(byte)
        return
    byte = flags | largest
    out.append(byte)
    value -= largest
    while value >= 0x80:
        byte = 0x80 | (value & 0x7F)
        out.append(byte)
        value >>= 7
    byte = value
    out.append(byte)
