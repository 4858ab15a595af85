"""HPACK: field sections are encoded and decoded, those of one connection in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from headrace.engine.hpack import Decoder, Encoder

from benchmarks.micro.case import Case, Work
from benchmarks.micro.cases.messages import REQUESTS, SAME, VARIED, Fields, section


def blocks(sections: Iterable[Fields]) -> list[bytes]:
    """Return the field blocks of a connection's first sections."""
    encoder = Encoder()
    return [encoder.encode(each) for each in sections]


def decoding(encoded: list[bytes]) -> Callable[[], Work]:
    def make() -> Work:
        decoder = Decoder()

        def work() -> None:
            for block in encoded:
                decoder.decode(block)

        return work

    return make


def encoding(sections: list[Fields]) -> Callable[[], Work]:
    def make() -> Work:
        encoder = Encoder()

        def work() -> None:
            for each in sections:
                encoder.encode(each)

        return work

    return make


def first_sections() -> Work:
    """The first section of each of many connections: nothing is in the dynamic table, all is Huffman-coded."""
    block = Encoder().encode(section(b"/"))
    decoders = [Decoder() for _ in range(REQUESTS)]

    def work() -> None:
        for decoder in decoders:
            decoder.decode(block)

    return work


CASES: Final = (
    Case("hpack: decode a repeated section", decoding(blocks(SAME)), REQUESTS),
    Case("hpack: decode a section with a new path", decoding(blocks(VARIED)), REQUESTS),
    Case("hpack: decode a connection's first section", first_sections, REQUESTS),
    Case("hpack: encode a repeated section", encoding(SAME), REQUESTS),
    Case("hpack: encode a section with a new path", encoding(VARIED), REQUESTS),
)
