"""String literals in the static Huffman code (RFC 7541 §5.2, Appendix B)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.hpack import huffman_rows
from headrace.engine.hpack.field import HPACKError
from headrace.engine.hpack.huffman_table import CODE_LENGTHS, CODES, EOS, EOS_LENGTH, SYMBOLS
from headrace.engine.hpack.writer import BytesWriter

if TYPE_CHECKING:
    from mypy_extensions import i64

# A compiler is good at the loops over bits below; the interpreter, which pays by the bytecode and not by the
# memory access, does the same in a quarter of the time with the tables of huffman_rows.
COMPILED: Final = not __file__.endswith(".py")

_PEEK_BITS: Final = 12  # two letters or digits, or one of all printable ASCII but six rare signs
_PEEK_MASK: Final = 0xFFF
_ALL_ONES: Final = 0x3FFFFFFF  # as long as EOS


def _peek_tables() -> tuple[bytes, bytes, bytes]:
    lengths = bytearray(1 << _PEEK_BITS)
    firsts = bytearray(1 << _PEEK_BITS)
    seconds = bytearray(1 << _PEEK_BITS)
    short = [symbol for symbol in range(256) if CODE_LENGTHS[symbol] <= _PEEK_BITS]
    for first in short:
        spare = _PEEK_BITS - CODE_LENGTHS[first]
        start = CODES[first] << spare
        for code in range(start, start + (1 << spare)):
            lengths[code] = CODE_LENGTHS[first]
            firsts[code] = first
        for second in short:
            spare_behind = spare - CODE_LENGTHS[second]
            if spare_behind >= 0:
                start_behind = start + (CODES[second] << spare_behind)
                for code in range(start_behind, start_behind + (1 << spare_behind)):
                    lengths[code] |= CODE_LENGTHS[second] << 4
                    seconds[code] = second
    return bytes(lengths), bytes(firsts), bytes(seconds)


# By the next twelve bits: the length of the code they start with (0: longer than twelve) and, in the upper half of the
# byte, that of a second one which they hold whole (0: none); and the symbols of both.
_PEEKED: Final = _peek_tables()
_PEEK_LENGTHS: Final = _PEEKED[0]
_PEEK_FIRST: Final = _PEEKED[1]
_PEEK_SECOND: Final = _PEEKED[2]


def _long_tables() -> tuple[list[int], list[int]]:
    limits = [0] * (EOS_LENGTH + 1)
    offsets = [0] * (EOS_LENGTH + 1)
    for place, symbol in enumerate(SYMBOLS):
        length = EOS_LENGTH if symbol == EOS else CODE_LENGTHS[symbol]
        code = CODES[symbol]
        limits[length] = (code + 1) << (EOS_LENGTH - length)
        offsets[length] = place - code
    return limits, offsets


_LONG: Final = _long_tables()
_LIMITS: Final[list[int]] = _LONG[0]  # by length: the codes of it, aligned to 30 bits, are all below
_OFFSETS: Final[list[int]] = _LONG[1]  # by length: code + offset = place in SYMBOLS


def decode(data: bytes, start: i64, end: i64) -> bytes:
    """Decode `data[start:end]`.

    Raises HPACKError for EOS inside the string, padding of more than seven bits, or padding that is not all ones.
    """
    if not COMPILED:  # pragma: no branch: coverage is measured on the pure build
        decoded = huffman_rows.decode(data[start:end])
        if decoded is not None:
            return decoded
    return decode_by_window(data, start, end)


def decode_by_window(data: bytes, start: i64, end: i64) -> bytes:
    """Decode symbol by symbol from a window of up to 60 bits: the compiled way of `decode`, which also names faults."""
    out = BytesWriter()
    position: i64 = start
    remaining: i64 = (end - start) * 8  # bits of the string that are still to be decoded
    window: i64 = 0
    bits: i64 = 0  # in the window
    while remaining > 0:
        if bits < EOS_LENGTH:
            window &= (1 << bits) - 1
            while bits < 52 and position < end:
                byte: i64 = data[position]
                window = (window << 8) | byte
                bits += 8
                position += 1
            if bits < EOS_LENGTH:  # the end: ones behind it look like the padding that must follow
                window = (window << EOS_LENGTH) | _ALL_ONES
                bits += EOS_LENGTH
        peeked: i64 = (window >> (bits - _PEEK_BITS)) & _PEEK_MASK
        lengths: i64 = _PEEK_LENGTHS[peeked]
        length: i64 = lengths & 0x0F
        if length != 0:
            if length > remaining:
                raise HPACKError("Huffman padding is not all ones", "RFC 7541 §5.2")
            out.append(_PEEK_FIRST[peeked])
            if lengths >= 0x10:
                both: i64 = length + (lengths >> 4)
                if both <= remaining:
                    out.append(_PEEK_SECOND[peeked])
                    length = both
        else:
            if peeked == _PEEK_MASK and remaining < 8:
                break
            aligned: i64 = (window >> (bits - EOS_LENGTH)) & _ALL_ONES
            length = _PEEK_BITS + 1
            limit: i64 = _LIMITS[length]
            while aligned >= limit:
                length += 1
                limit = _LIMITS[length]
            if length > remaining:
                if aligned == _ALL_ONES:
                    raise HPACKError("Huffman padding is longer than seven bits", "RFC 7541 §5.2")
                raise HPACKError("a Huffman code is cut off", "RFC 7541 §5.2")
            place: i64 = _OFFSETS[length] + (aligned >> (EOS_LENGTH - length))
            symbol = SYMBOLS[place]
            if symbol == EOS:
                raise HPACKError("EOS inside a Huffman-coded string", "RFC 7541 §5.2")
            out.append(symbol)
        bits -= length
        remaining -= length
    return out.getvalue()


def encoded_length(data: bytes) -> i64:
    """Return the number of bytes that `data` takes in Huffman code."""
    if COMPILED:  # pragma: no cover: coverage is measured on the pure build
        bits: i64 = 7
        position: i64 = 0
        end: i64 = len(data)
        while position < end:
            byte: i64 = data[position]
            bits += CODE_LENGTHS[byte]
            position += 1
        return bits >> 3
    return huffman_rows.encoded_length(data)


def encode_into(out: BytesWriter, data: bytes) -> None:
    """Append `data` in Huffman code, padded with ones to a whole byte."""
    if COMPILED:  # pragma: no cover: coverage is measured on the pure build
        encode_by_window(out, data)
    else:
        out.write(huffman_rows.encode(data))


def encode_by_window(out: BytesWriter, data: bytes) -> None:
    """Do as `encode_into`: the compiled way."""
    window: i64 = 0
    bits: i64 = 0
    position: i64 = 0
    end: i64 = len(data)
    coded: int = 0  # not i64, from which mypyc has no way to the u8 that `append` takes
    while position < end:
        byte: i64 = data[position]
        position += 1
        length: i64 = CODE_LENGTHS[byte]
        code: i64 = CODES[byte]
        window = ((window & 0xFF) << length) | code  # fewer than 8 bits are ever left over
        bits += length
        while bits >= 8:
            bits -= 8
            coded = (window >> bits) & 0xFF
            out.append(coded)
    if bits > 0:
        coded = ((window << (8 - bits)) | (0xFF >> bits)) & 0xFF
        out.append(coded)
