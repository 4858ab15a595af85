"""The Huffman code for the interpreter: as few steps an byte as possible.

Decoding walks the code's tree eight bits at a time: a row for a place in the tree tells for each byte which symbols end
in it and where it leads. A row takes some 22 kB and is made when it is first needed; places deeper than text leads, two
thirds of the tree, get none, so that all rows take 2 MB in a process at most. Encoding goes over a string of "0" and
"1", which CPython turns into bytes in linear time.
"""

from __future__ import annotations

from typing import Final

from headrace.engine.hpack.huffman_table import CODE_LENGTHS, CODES, EOS, EOS_LENGTH

_FAILED: Final = 0  # a place without way out
_ROOT: Final = 1
_SYMBOL: Final = 1000  # places from here on are symbols
_DEEPEST_ROW: Final = 14  # bits from the root: no code of printable ASCII is longer than 15, but for the backslash's 19


def _tree() -> tuple[list[int], list[int], list[int], list[int]]:
    zero, one = [_FAILED, _FAILED], [_FAILED, _FAILED]
    depths = [EOS_LENGTH, 0]
    padding = [_ROOT]
    for symbol in range(257):
        length = EOS_LENGTH if symbol == EOS else CODE_LENGTHS[symbol]
        place = _ROOT
        for bit in range(length - 1, 0, -1):
            branch = one if CODES[symbol] >> bit & 1 else zero
            if branch[place] == _FAILED:
                branch[place] = len(zero)
                zero.append(_FAILED)
                one.append(_FAILED)
                depths.append(length - bit)
            place = branch[place]
            if symbol == EOS and bit >= EOS_LENGTH - 7:
                padding.append(place)
        if symbol != EOS:
            (one if CODES[symbol] & 1 else zero)[place] = _SYMBOL + symbol
    return zero, one, padding, depths


_TREE: Final = _tree()
_ZERO: Final = _TREE[0]
_ONE: Final = _TREE[1]
_MAY_END: Final = frozenset(_TREE[2])  # the root, and up to seven ones below it: padding (RFC 7541 §5.2)
_DEPTHS: Final = _TREE[3]

_Row = list[tuple[bytes, int]]
_ROWS: Final[list[_Row | None]] = [None] * len(_ZERO)
_BYTES: Final = [bytes((byte,)) for byte in range(256)]


def _make_row(start: int) -> _Row:
    row: _Row = []
    for byte in range(256):
        symbols = b""
        place = start
        for bit in range(7, -1, -1):
            place = _ONE[place] if byte >> bit & 1 else _ZERO[place]
            if place >= _SYMBOL:
                symbols += _BYTES[place - _SYMBOL]
                place = _ROOT
        if len(symbols) == 1:
            symbols = _BYTES[symbols[0]]
        row.append((symbols, place))
    _ROWS[start] = row
    return row


def decode(data: bytes) -> bytes | None:
    """Decode `data`, or return None when it is not well-formed or has symbols that no text has."""
    chunks: list[bytes] = []
    place = _ROOT
    for byte in data:
        row = _ROWS[place]
        if row is None:
            if _DEPTHS[place] > _DEEPEST_ROW:
                return None
            row = _make_row(place)
        symbols, place = row[byte]
        chunks.append(symbols)
    return b"".join(chunks) if place in _MAY_END else None


_BITS: Final = [format(CODES[symbol], f"0{CODE_LENGTHS[symbol]}b") for symbol in range(256)]


def encoded_length(data: bytes) -> int:
    """Return the number of bytes that `data` takes in Huffman code."""
    return (sum(data.translate(CODE_LENGTHS)) + 7) >> 3


def encode(data: bytes) -> bytes:
    """Encode `data`, padded with ones to a whole byte."""
    if not data:
        return b""
    bits = "".join([_BITS[byte] for byte in data])
    bits += "1" * (-len(bits) & 7)
    return int(bits, 2).to_bytes(len(bits) >> 3, "big")
