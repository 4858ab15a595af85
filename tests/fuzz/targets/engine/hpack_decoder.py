"""HPACK, the decoder: field blocks by any representation, and bytes that are none.

Property: it raises nothing but HPACKError. Blocks that it decodes, python-hyper's decoder decodes to the same fields
with the same dynamic table; blocks that it refuses are refused there, too, but for the limits that we add. The table
keeps its size, entries stay and go as RFC 7541 §4 has it, to the byte, and a section that is truncated is one beyond
the limits.
"""

from __future__ import annotations

from typing import Any

import hpack
from hpack.exceptions import HPACKError as HyperError

from headrace.engine.hpack import Decoder, HPACKBombError, HPACKError

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source
from tests.support import wire

LONGEST = 2_000
STRICTER = "size update"  # after a lowered limit (RFC 7541 §4.2): we see more of these faults than python-hyper does
WAYS = ("beside the others", "in place of the oldest", "alone")
EDGES = tuple(f"{way} {beyond:+}" for way in WAYS for beyond in (0, 1))
"""Entries that fill the table to its last byte, and those with one byte more."""

Pairs = list[tuple[bytes, bytes]]


def story(data: bytes) -> str:
    """Return what became of each block."""
    return repr(play(Source(data))[0])


def target(data: bytes) -> None:
    """Decode blocks until one of them cannot be."""
    play(Source(data))


def play(source: Source) -> tuple[list[str], set[str]]:
    """Decode blocks; return what became of each, and the edges that were reached."""
    limit = source.pick((4_096, 0, 100, 4_096))
    lowered = limit < 4_096
    most, most_fields = source.pick((65_536, 500)), source.pick((256, 5))
    ours = Decoder(max_section_size=most, max_fields=most_fields)
    theirs: Any = hpack.Decoder(max_header_list_size=1 << 30)
    ours.set_max_table_size(limit)
    theirs.max_allowed_table_size = limit
    meter = Meter(source.data, calls_a_byte=20, bytes_a_byte=400)
    encoder = hpack.Encoder()
    seen: list[str] = []
    reached: set[str] = set()
    table: Pairs = []
    while source.more:
        if source.flag(16):
            before, limit = limit, source.pick((0, 50, 100, 4_096))
            lowered = lowered or limit < before
            ours.set_max_table_size(limit)
            theirs.max_allowed_table_size = limit
        edge = None
        if source.flag(4) and not lowered:
            edge = entry_to_the_byte(source, table, theirs.header_table.maxsize)
        block = edge[1] if edge else block_from(source, encoder)
        if lowered and not source.flag(4):
            block = wire.table_size(limit) + block
        lowered = False
        fault: HPACKError | None = None
        found: list[tuple[bytes, bytes]] = []
        truncated = False
        try:
            section = meter.run(ours.decode, block, size=len(block) + most)
        except HPACKError as error:
            fault = error
        else:
            found = [(field.name, field.value) for field in section.fields]
            truncated = section.truncated
            assert truncated == (section.size > most or section.count > most_fields)
            assert section.size >= sum(field.size for field in section.fields)
        seen.append(repr(fault) if fault else f"{found} {truncated}")
        refused: Exception | None = None
        expected: list[Any] = []
        try:
            expected = theirs.decode(block, raw=True)
        except (HyperError, IndexError) as error:
            refused = error
        if fault is not None:
            is_ours = isinstance(fault, HPACKBombError) or STRICTER in fault.reason
            assert refused is not None or is_ours, f"{fault}, and python-hyper decodes {expected}"
            break
        assert refused is None, f"python-hyper refuses with {refused!r} what we decode to {found}"
        pairs = [(bytes(name), bytes(value)) for name, value in expected]
        assert pairs == found or (truncated and pairs[: len(found)] == found), f"{pairs} by python-hyper, {found} by us"
        table = [(bytes(name), bytes(value)) for name, value in theirs.header_table.dynamic_entries]
        kept = [(field.name, field.value) for field in ours.table_fields()]
        if edge:
            reached.add(edge[0])
            assert kept == edge[2], f"{edge[0]}: {len(kept)} entries, and not {len(edge[2])}"
        assert kept == table
        assert ours.table_size == sum(map(size_of, kept)) <= theirs.header_table.maxsize
    return seen, reached


def size_of(pair: tuple[bytes, bytes]) -> int:
    """Return the size of an entry (RFC 7541 §4.1)."""
    return len(pair[0]) + len(pair[1]) + 32


def entry_to_the_byte(source: Source, table: Pairs, most: int) -> tuple[str, bytes, Pairs] | None:
    """Return an edge, a block whose entry comes to it, and the table after it (RFC 7541 §4.4); None where the table
    has no room for such an entry."""
    way, beyond = source.pick(WAYS), source.pick((0, 1))
    keeps = {WAYS[0]: table, WAYS[1]: table[:-1], WAYS[2]: []}[way]
    size = most - sum(map(size_of, keeps)) + beyond
    new = (b"f", b"v" * (size - 33))
    if size < 33 or (way != WAYS[2] and not table):
        return None
    block = wire.integer(0, 6, 0x40) + b"".join(wire.integer(len(part), 7) + part for part in new)
    after = [new, *table]
    while after and sum(map(size_of, after)) > most:
        after.pop()
    return f"{way} {beyond:+}", block, after


def block_from(source: Source, encoder: Any) -> bytes:
    """Return a field block: representations of all kinds, and now and then other bytes."""
    block = b""
    for _ in range(1 + source.below(8)):
        kind = source.byte() % 12
        if kind < 4:
            block += wire.indexed(source.pick((2, 4, 61, 62, 63, 64, 70, 0, 100, 10**6)))
        elif kind < 8:
            first, bits = ((0x40, 6), (0x00, 4), (0x10, 4), (0x40, 6))[kind % 4]
            index = source.pick((0, 0, 1, 4, 23, 61, 62, 63, 90))
            name = text(source, encoder) if index == 0 else b""
            block += wire.integer(index, bits, first) + name + text(source, encoder)
        elif kind == 8:
            block += wire.table_size(source.pick((0, 30, 100, 4_096, 5_000)))
        elif kind == 9:
            block += source.take(source.below(16))
        elif kind == 10:
            block += encoder.encode([(b"x-%d" % source.below(9), source.take(source.below(20)))])[: source.byte()]
        else:
            block += wire.integer(source.number(3) << source.below(60), 7, 0x80)
    return block


def text(source: Source, encoder: Any) -> bytes:
    """Return a string literal, with Huffman's code or without (RFC 7541 §5.2)."""
    data = source.take(source.below(20)) * source.pick((1, 1, 1, 30))
    if source.flag():
        coded: bytes = encoder.huffman_coder.encode(data)
        if source.flag(8):
            coded += source.pick((b"\xff", b"\xff\xff\xff\xff", b"\x00"))
        return wire.integer(len(coded), 7, 0x80) + coded
    return wire.integer(len(data) + source.flag(16), 7) + data


def seeds() -> list[bytes]:
    """Return blocks of each representation, and tables that are filled to the byte."""
    kinds = [bytes((0, 0, 0, 0, 1, kind, 0, 3, 97, 98, 99, 1, 4, 100, 101, 102, 103, 0)) for kind in range(12)]
    tables = [bytes((table, 0, 0, 9, 2, 4, 0, 2, 97, 98, 0, 0, 2, 120, 121, 0, 0, 0, 0, 3, 0, 3)) for table in range(4)]
    entry = (0, 0, 0, 7, 0, 3, 97, 98, 99, 0, 0, 0, 3, 100, 101, 102, 0, 0, 0)  # 38 bytes of the table
    filled = [
        bytes((*start, 0, 1, way, beyond, 0, 1, 2, 0, *entry))
        for start in ((0, 0, 0, *entry, *entry), (2, 0, 0, *entry, 0))
        for way in range(3)
        for beyond in range(2)
    ]
    return [*kinds, *tables, *filled, b"".join(kinds), b"\1\1\1" + b"".join(kinds[::-1])]
