"""A repeated block decodes to the same object while the table is unchanged; and what that may cost."""

from __future__ import annotations

import tracemalloc

from headrace.engine.hpack import Decoder, Encoder

INSERT = b"\x40\x01a\x01b"
BLOCK = b"\x82\x87\x84\x00\x01x\x01y"


def warmed(block: bytes = BLOCK) -> Decoder:
    decoder = Decoder()
    decoder.decode(block)
    decoder.decode(block)
    return decoder


def test_the_same_object_comes_back_from_the_third_time_on() -> None:
    decoder = Decoder()
    first, second, third = (decoder.decode(BLOCK) for _ in range(3))
    assert first is not second
    assert third is second
    assert [field.pair for field in first.fields] == [field.pair for field in third.fields]


def test_the_owner_s_memo_comes_back_with_it() -> None:
    decoder = warmed()
    section = decoder.decode(BLOCK)
    assert section.memo is None
    section.memo = ("classified",)
    assert decoder.decode(BLOCK).memo == ("classified",)


def test_an_insertion_ends_it() -> None:
    decoder = Decoder()
    decoder.decode(INSERT)
    decoder.decode(b"\x82\xbe")
    known = decoder.decode(b"\x82\xbe")
    assert decoder.decode(b"\x82\xbe") is known
    decoder.decode(b"\x40\x01c\x01d")
    fresh = decoder.decode(b"\x82\xbe")
    assert fresh is not known
    assert fresh.fields[1].pair == (b"c", b"d")  # the same index means another entry now


def test_a_size_update_ends_it() -> None:
    decoder = Decoder()
    decoder.decode(INSERT)
    decoder.decode(b"\x82")
    known = decoder.decode(b"\x82")
    decoder.decode(b"\x20")
    assert decoder.decode(b"\x82") is not known


def test_a_block_that_inserts_is_not_remembered() -> None:
    decoder = Decoder()
    sections = [decoder.decode(INSERT) for _ in range(4)]
    assert len({id(section) for section in sections}) == 4
    assert decoder.table_size == 4 * 34


def test_a_truncated_section_is_remembered_as_such() -> None:
    decoder = Decoder(max_fields=2)
    sections = [decoder.decode(b"\x82" * 5) for _ in range(3)]
    assert sections[1] is sections[2]
    assert (sections[2].truncated, sections[2].count) == (True, 5)


def test_long_blocks_are_not_remembered() -> None:
    decoder = Decoder()
    block = b"\x04\x7f\x81\x07" + b"/" * 1024
    sections = [decoder.decode(block) for _ in range(3)]
    assert sections[1] is not sections[2]


def test_unique_blocks_do_not_wash_out_repeated_ones() -> None:
    decoder = warmed()
    known = decoder.decode(BLOCK)
    encoder = Encoder()
    for number in range(500):
        decoder.decode(encoder.encode([(b":method", b"GET"), (b":path", b"/item/%d" % number)]))
        assert decoder.decode(BLOCK) is known


def test_sixty_four_at_most_and_then_it_starts_afresh() -> None:
    decoder = Decoder()
    blocks = [b"\x82\x04\x02/%c" % (48 + number) for number in range(70)]
    for block in blocks:
        decoder.decode(block)
        decoder.decode(block)
    assert decoder.decode(blocks[69]) is decoder.decode(blocks[69])
    assert [field.value for field in decoder.decode(blocks[0]).fields] == [b"GET", b"/0"]


def test_memory_is_bounded_whatever_repeats() -> None:
    """300 blocks of the costliest kind, small literals, each sent three times: each would hold some 25 kB."""
    literals = b"".join(b"\x00\x01%c\x03%03d" % (97 + number % 20, number) for number in range(120))
    blocks = [b"\x0f\x2e\x03%03d" % number + literals for number in range(300)]
    decoder = Decoder()
    decoder.decode(BLOCK)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for block in blocks:
            for _ in range(3):
                decoder.decode(block)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held < 100_000


def test_an_idle_pair_is_small() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        pairs = [(Decoder(), Encoder()) for _ in range(100)]
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held / len(pairs) < 1536
