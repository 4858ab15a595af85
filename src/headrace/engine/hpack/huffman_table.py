"""The Huffman code of RFC 7541 Appendix B.

It is canonical: symbols in the order of (length, value) have consecutive codes. The lengths alone therefore define it,
and the codes are computed from them.
"""

from __future__ import annotations

from typing import Final

EOS: Final = 256
EOS_LENGTH: Final = 30
SHORTEST: Final = 5

CODE_LENGTHS: Final = bytes.fromhex(
    "0d171c1c1c1c1c1c1c181e1c1c1e1c1c1c1c1c1c1c1c1e1c1c1c1c1c1c1c1c1c"
    "060a0a0c0d06080b0a0a080b080606060505050606060606060607080f060c0a"
    "0d06070707070707070707070707070707070707070707070807080d130d0e06"
    "0f05060506050606060507070606060506070605050607070707070f0b0e0d1c"
    "1416141416161617161717171717181718181617181717171715161716171718"
    "1615141616171715171616181516171715151615171617171416161617161617"
    "1a1a1413161716191a1a1a1b1b1a181913151a1b1b1a1b1815151a1a1c1b1b1b"
    "14181415161515171616191918181a171a1b1a1a1b1b1b1b1b1c1b1b1b1b1b1a"
)
"""Bits in the code of each byte."""


def _in_code_order() -> list[int]:
    by_length: list[list[int]] = [[] for _ in range(EOS_LENGTH + 1)]
    for symbol in range(256):
        by_length[CODE_LENGTHS[symbol]].append(symbol)
    by_length[EOS_LENGTH].append(EOS)
    return [symbol for symbols in by_length for symbol in symbols]


SYMBOLS: Final[list[int]] = _in_code_order()
"""All 257 symbols, EOS the last, in the order of their codes."""


def _codes() -> list[int]:
    codes = [0] * 257
    code = 0
    length = SHORTEST
    for symbol in SYMBOLS:
        wanted = EOS_LENGTH if symbol == EOS else CODE_LENGTHS[symbol]
        code <<= wanted - length
        length = wanted
        codes[symbol] = code
        code += 1
    return codes


CODES: Final[list[int]] = _codes()
"""The code of each symbol, aligned to the least significant bit."""
