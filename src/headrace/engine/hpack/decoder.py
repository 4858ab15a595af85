"""Decoding field blocks (RFC 7541 §3, §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine.hpack import huffman
from headrace.engine.hpack.dynamic_table import DynamicTable
from headrace.engine.hpack.field import Field, FieldSection, HPACKBombError, HPACKError
from headrace.engine.hpack.integer import decode_continuation, decode_integer
from headrace.engine.hpack.sightings import Sightings
from headrace.engine.hpack.static_table import STATIC_FIELDS, STATIC_LENGTH

if TYPE_CHECKING:
    from mypy_extensions import i64

# A section of more than four times a limit, of more than four times its bytes, is a bomb: decoded no further. One that
# is just as large in bytes is some user's cookies or metadata: read to its end and thrown away, for the table's sake.
_BOMB_FACTOR: Final = 4

# A repeated request's block is short: nearly all of it is indices. Longer ones are mostly literals, unlikely to repeat.
_REMEMBERED_BLOCK_SIZE: Final = 1024
_REMEMBERED_SECTIONS: Final = 64
# What remembered sections may cost a connection. The charges are measured sizes: a section with its list, the dict's
# entry and the owner's memo; a literal field with its two strings and its pair.
_REMEMBERED_COST: Final = 65_536
_SECTION_COST: Final = 512
_LITERAL_COST: Final = 224
_REFERENCE_COST: Final = 16


class Decoder:
    """The decoding half of one direction of a connection.

    `max_table_size` is the SETTINGS_HEADER_TABLE_SIZE that we announced, 4,096 until the peer acknowledged another
    (`set_max_table_size`). `max_section_size` and `max_fields` bound the kept fields of a section: sizes count 32 bytes
    a field (RFC 7541 §4.1), and are watched while decoding, so that a small block cannot become a large section.
    """

    __slots__ = (
        "_lowered_to",
        "_max_fields",
        "_max_section_size",
        "_remembered",
        "_remembered_cost",
        "_sightings",
        "_table",
        "_table_limit",
    )

    def __init__(self, max_table_size: i64 = 4096, max_section_size: i64 = 65536, max_fields: i64 = 256) -> None:
        self._table = DynamicTable(max_table_size)
        self._table_limit: i64 = max_table_size
        self._lowered_to: i64 = -1  # the lowest limit since the last block, when the peer must react to it; else -1
        self._max_section_size: i64 = max_section_size
        self._max_fields: i64 = max_fields
        self._remembered: dict[bytes, FieldSection] | None = None
        self._remembered_cost: i64 = 0
        self._sightings: Sightings | None = None

    @property
    def table_size(self) -> int:
        """Size of the dynamic table now, 32 bytes overhead an entry included (RFC 7541 §4.1)."""
        return self._table.size

    def table_fields(self) -> list[Field]:
        """Return the dynamic table's entries, newest first, in a new list: for tests and for people."""
        table = self._table
        return [table.get(position) for position in range(len(table))]

    def set_max_table_size(self, size: i64) -> None:
        """Apply a new limit for the peer's table; call it when the peer has acknowledged our
        SETTINGS_HEADER_TABLE_SIZE.

        When the limit fell below the size in use, the next block has to start with a dynamic table size update
        (RFC 7541 §4.2), else `decode` raises.
        """
        self._table_limit = size
        if size < self._table.max_size and (self._lowered_to < 0 or size < self._lowered_to):
            self._lowered_to = size

    def decode(self, block: bytes) -> FieldSection:
        """Decode one whole field block: HEADERS and its CONTINUATIONs put together, without padding and priority.

        A section over the limits comes back `truncated`; the dynamic table is still correct. A repeated block returns
        the same object while the dynamic table is unchanged.

        Raises HPACKBombError when the block decodes to more than four times a limit and to more than four times its own
        bytes, and HPACKError for every other fault. No further block can be decoded then. So the work for a block is
        bounded by its bytes, whose number the owner bounds.
        """
        remembered = self._remembered
        if remembered is not None and self._lowered_to < 0:
            known = remembered.get(block)
            if known is not None:
                return known

        table = self._table
        entries = table.entries
        fields: list[Field] = []
        size: i64 = 0
        count: i64 = 0
        literals: i64 = 0
        never_indexed: list[bytes] | None = None
        max_size: i64 = self._max_section_size
        max_count: i64 = self._max_fields
        changed = False
        position: i64 = 0
        end: i64 = len(block)
        index: i64 = 0
        if self._lowered_to >= 0 or (end > 0 and (block[0] & 0xE0) == 0x20):
            position = self._apply_size_updates(block)
            changed = True

        while position < end:
            byte: i64 = block[position]
            position += 1
            if byte >= 0x80:  # indexed field (RFC 7541 §6.1)
                if byte <= 0x80 + STATIC_LENGTH:
                    if byte == 0x80:
                        raise HPACKError("index 0 is not used", "RFC 7541 §6.1")
                    field = STATIC_FIELDS[byte - 0x80]
                else:
                    index = byte & 0x7F
                    if index == 0x7F:
                        index, position = decode_continuation(block, position, 0x7F)
                    index = len(entries) + STATIC_LENGTH - index
                    if index < table.head:
                        raise HPACKError("an index is beyond the dynamic table", "RFC 7541 §2.3.3")
                    field = entries[index]
            else:
                if byte >= 0x40:  # literal with incremental indexing (RFC 7541 §6.2.1)
                    index = byte & 0x3F
                    if index == 0x3F:
                        index, position = decode_continuation(block, position, 0x3F)
                elif byte < 0x20:  # literal without indexing, or never indexed (RFC 7541 §6.2.2, §6.2.3)
                    index = byte & 0x0F
                    if index == 0x0F:
                        index, position = decode_continuation(block, position, 0x0F)
                else:
                    raise HPACKError("a dynamic table size update stands behind a field", "RFC 7541 §4.2")
                if index == 0:
                    name, position = _decode_string(block, position)
                elif index <= STATIC_LENGTH:
                    name = STATIC_FIELDS[index].name
                else:
                    index = len(entries) + STATIC_LENGTH - index
                    if index < table.head:
                        raise HPACKError("the index of a name is beyond the dynamic table", "RFC 7541 §2.3.3")
                    name = entries[index].name
                value, position = _decode_string(block, position)
                field = Field(name, value)
                if byte >= 0x40:
                    table.add(field)
                    changed = True
                else:
                    literals += 1
                    if byte >= 0x10:
                        if never_indexed is None:
                            never_indexed = []
                        never_indexed.append(name)
            size += field.size
            count += 1
            if size <= max_size and count <= max_count:
                fields.append(field)
            elif (
                size > max_size * _BOMB_FACTOR or count > max_count * _BOMB_FACTOR
            ) and size > position * _BOMB_FACTOR:
                raise HPACKBombError("a field block decodes to more than four times the limit", "RFC 7541 §7.3")

        section = FieldSection(fields, size, count, size > max_size or count > max_count)
        if never_indexed is not None:
            section.never_indexed = frozenset(never_indexed)
        if changed:
            if remembered is not None:
                self._remembered = None
        elif end <= _REMEMBERED_BLOCK_SIZE:
            self._remember(block, section, literals)
        return section

    def _remember(self, block: bytes, section: FieldSection, literals: i64) -> None:
        """Keep a section whose block left the table alone, if the block was seen before.

        Only on second sight, because most clients' blocks have something unique in them; these must neither cost memory
        nor evict repeated ones.
        """
        sightings = self._sightings
        if sightings is None:
            sightings = self._sightings = Sightings()
        digest: i64 = hash(block)
        if not sightings.seen_before(digest):
            return
        size: i64 = len(block)
        kept: i64 = len(section.fields)
        cost: i64 = _SECTION_COST + size + kept * _REFERENCE_COST + literals * _LITERAL_COST
        remembered = self._remembered
        total: i64 = self._remembered_cost + cost
        if remembered is None or len(remembered) >= _REMEMBERED_SECTIONS or total > _REMEMBERED_COST:
            remembered = self._remembered = {}  # starting afresh is rare, and cheaper than keeping order of use
            total = cost
        remembered[block] = section
        self._remembered_cost = total

    def _apply_size_updates(self, block: bytes) -> i64:
        """Apply the dynamic table size updates in front (RFC 7541 §4.2, §6.3); return where the fields begin."""
        position: i64 = 0
        end: i64 = len(block)
        updates = 0
        table = self._table
        while position < end and (block[position] & 0xE0) == 0x20:
            size, position = decode_integer(block, position, 5)
            if size > self._table_limit:
                raise HPACKError("a dynamic table size update exceeds the limit", "RFC 7541 §6.3")
            updates += 1
            if updates > 2:
                raise HPACKError("more than two dynamic table size updates in a row", "RFC 7541 §4.2")
            if self._lowered_to >= 0:
                if size > self._lowered_to:
                    raise HPACKError("a dynamic table size update skips the lowest limit", "RFC 7541 §4.2")
                self._lowered_to = -1
            table.resize(size)
        if self._lowered_to >= 0:
            raise HPACKError("the dynamic table size update after a lowered limit is missing", "RFC 7541 §4.2")
        return position


def _decode_string(block: bytes, position: i64) -> tuple[bytes, i64]:
    """Read the string literal at `position` (RFC 7541 §5.2); return it and the position after it."""
    end: i64 = len(block)
    if position >= end:
        raise HPACKError("the block ends where a string should start", "RFC 7541 §5.2")
    byte: i64 = block[position]
    position += 1
    length: i64 = byte & 0x7F
    if length == 0x7F:
        length, position = decode_continuation(block, position, 0x7F)
    stop: i64 = position + length
    if stop > end:
        raise HPACKError("a string is longer than the block", "RFC 7541 §5.2")
    if byte >= 0x80:
        return huffman.decode(block, position, stop), stop
    return block[position:stop], stop
