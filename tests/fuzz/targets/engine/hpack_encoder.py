"""HPACK, the encoder: field sections round trip, through our decoder and python-hyper's.

Property: whatever sections are encoded, and however the peer changes its table, both decoders give them back. Fields
that may not be indexed never are, credentials among them. A block that was remembered may be sent again as long as
`generation` stands still, and means the same.
"""

from __future__ import annotations

import random
from typing import Any

import hpack
from hpack.struct import NeverIndexedHeaderTuple

from headrace.engine.hpack import Decoder, Encoder
from headrace.engine.hpack.static_table import STATIC_FIELDS

from tests.fuzz.source import Source

LONGEST = 2_000
NAMES = [*(field.name for field in STATIC_FIELDS[1:]), b"x-a", b"x-token", b"x-b", b"etag", b"grpc-status"]


def story(data: bytes) -> str:
    """Return the blocks."""
    return repr(play(Source(data)))


def target(data: bytes) -> None:
    """Encode sections, and decode them."""
    play(Source(data))


def play(source: Source) -> list[bytes]:
    encoder = Encoder(source.pick((4_096, 0, 64, 200)))
    decoder = Decoder(max_section_size=1 << 24, max_fields=1 << 16)
    theirs: Any = hpack.Decoder(max_header_list_size=1 << 30)
    blocks: list[bytes] = []
    remembered: tuple[int, bytes, list[tuple[bytes, bytes]]] | None = None
    while source.more:
        if source.flag(6):
            for _ in range(1 + source.below(3)):
                size = source.pick((0, 40, 100, 4_096, 2**32 - 1))
                encoder.set_max_table_size(size)
            decoder.set_max_table_size(min(size, 4_096))
            theirs.max_allowed_table_size = min(size, 4_096)
        if remembered is not None and remembered[0] == encoder.generation and source.flag():
            _, block, fields = remembered
            never: frozenset[bytes] = frozenset()
        else:
            fields = [(source.pick(NAMES), value(source)) for _ in range(source.below(6))]
            never = frozenset({fields[0][0]}) if fields and source.flag(4) else frozenset()
            before = encoder.generation
            block = encoder.encode(fields, never or None)
            if before == encoder.generation:
                remembered = before, block, fields
        section = decoder.decode(block)
        assert [(field.name, field.value) for field in section.fields] == fields
        found = theirs.decode(block, raw=True)
        assert [(bytes(name), bytes(text)) for name, text in found] == fields
        for each in found:
            name = bytes(each[0])
            if name in never or name in (b"authorization", b"cookie", b"x-token"):
                is_static = any(f.name == name and f.value == bytes(each[1]) for f in STATIC_FIELDS[1:])
                assert isinstance(each, NeverIndexedHeaderTuple) or (is_static and name not in never), each
        ours = [(field.name, field.value) for field in encoder.table_fields()]
        assert ours == [(field.name, field.value) for field in decoder.table_fields()]
        assert encoder.table_size == decoder.table_size <= 4_096
        assert not any(name in (b"authorization", b"cookie", b"x-token") for name, _ in ours)
        blocks.append(block)
    return blocks


def value(source: Source) -> bytes:
    """Return a field's value: one that comes again, or any."""
    kind = source.below(6)
    if kind < 3:
        return source.pick((b"", b"GET", b"/", b"200", b"gzip, deflate", b"v" * 60, b"w" * 3_000, b"text/html"))
    return source.take(source.below(20)) * (50 if kind == 3 else 1)


def seeds() -> list[bytes]:
    """Return sections that repeat, and sections that do not."""
    rnd = random.Random(7541)
    long = [b"\0" + bytes(rnd.choice((0, 2, 3, 40, rnd.randrange(256))) for _ in range(600)) for _ in range(10)]
    found = []
    for step in range(1, 13):
        found.append(bytes((step % 4, *((step * n * 7) % 61 if n % 3 else n % 6 for n in range(60)))))
    return [*found, *long]
