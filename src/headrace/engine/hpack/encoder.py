"""Encoding field blocks (RFC 7541 §6), and the choice of fields for the dynamic table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from headrace.engine.hpack import huffman
from headrace.engine.hpack.dynamic_table import DynamicTable
from headrace.engine.hpack.field import FIELD_OVERHEAD, Field
from headrace.engine.hpack.integer import encode_integer
from headrace.engine.hpack.secrets import SECRET_NAMES, is_secret
from headrace.engine.hpack.sightings import Sightings
from headrace.engine.hpack.static_table import STATIC_LENGTH, STATIC_NAMES, STATIC_VALUES
from headrace.engine.hpack.writer import BytesWriter

if TYPE_CHECKING:
    from mypy_extensions import i64

MAX_TABLE_SIZE: Final = 4096
"""Largest size of our own table, even if the peer allows more: a setting of 2^32 - 1 must not cost memory."""

_ON_SECOND_SIGHT: Final = 0  # the default: a value that comes once would only push others out
_AT_ONCE: Final = 1
_WITHOUT: Final = 2
_NEVER: Final = 3

# Values of these hardly vary within a connection.
_STABLE_NAMES: Final = (
    b":authority",
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"accept-ranges",
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-allow-origin",
    b"access-control-max-age",
    b"allow",
    b"alt-svc",
    b"cache-control",
    b"content-encoding",
    b"content-language",
    b"content-security-policy",
    b"content-type",
    b"origin",
    b"permissions-policy",
    b"referrer-policy",
    b"server",
    b"strict-transport-security",
    b"te",
    b"user-agent",
    b"vary",
    b"via",
    b"x-content-type-options",
    b"x-frame-options",
    b"x-xss-protection",
)
# Values of these vary from message to message. `date` is not among them: it repeats for a second, and indexing it on
# second sight makes blocks 11 % smaller over the stories of hpack-test-case; the others are worth 0.7 % at most.
_VARYING_NAMES: Final = (
    b":path",
    b"age",
    b"content-length",
    b"content-range",
    b"etag",
    b"if-modified-since",
    b"if-none-match",
    b"last-modified",
    b"location",
    b"range",
)


_SECRETS: Final = 8  # coded credentials that an encoder keeps, of at most so many bytes each: 16 KiB a connection
_SECRET_SIZE: Final = 1_024


class _Name:
    """Facts about a field name in every connection: its static index or 0, and how to treat its values."""

    __slots__ = ("index", "policy", "values")

    def __init__(self, index: i64, policy: i64, values: dict[bytes, int]) -> None:
        self.index: i64 = index
        self.policy: i64 = policy
        self.values = values


def _known_names() -> dict[bytes, _Name]:
    policies: dict[bytes, int] = dict.fromkeys(STATIC_NAMES, _ON_SECOND_SIGHT)
    policies.update(dict.fromkeys(_STABLE_NAMES, _AT_ONCE))
    policies.update(dict.fromkeys(_VARYING_NAMES, _WITHOUT))
    policies.update(dict.fromkeys(SECRET_NAMES, _NEVER))
    return {
        name: _Name(STATIC_NAMES.get(name, 0), policy, STATIC_VALUES.get(name, {})) for name, policy in policies.items()
    }


_KNOWN: Final[dict[bytes, _Name]] = _known_names()


class _Indexed:
    """The dynamic table's entries of one name, by their serial numbers: counted up from 0 as they are inserted."""

    __slots__ = ("newest", "serials")

    def __init__(self) -> None:
        self.newest: i64 = -1
        self.serials: dict[bytes, int] = {}


class Encoder:
    """The encoding half of one direction of a connection.

    `max_table_size` caps the dynamic table, 4,096 bytes at most. Use starts at HTTP/2's initial 4,096 or at the cap if
    that is lower (which the first block then announces), and follows the peer by `set_max_table_size`.

    `generation` changes whenever the table, or a size update that is still to be sent, changed. An owner may remember
    the bytes of a block, and send them again in place of encoding the same fields, if `generation` was the same before
    and after `encode` and still is. `settled` tells whether that is worth it: it is False when the last block holds a
    literal that a repetition would index.
    """

    __slots__ = (
        "_cap",
        "_indexed",
        "_inserted",
        "_pending_lowest",
        "_secrets",
        "_sightings",
        "_table",
        "_update_pending",
        "generation",
        "settled",
    )

    def __init__(self, max_table_size: i64 = MAX_TABLE_SIZE) -> None:
        cap: i64 = MAX_TABLE_SIZE
        if max_table_size < cap:
            cap = max_table_size
        self._cap: i64 = cap
        self._table = DynamicTable(MAX_TABLE_SIZE)
        self._indexed: dict[bytes, _Indexed] = {}
        self._inserted: i64 = 0
        self._pending_lowest: i64 = MAX_TABLE_SIZE
        self._update_pending = False
        self._sightings: Sightings | None = None
        self._secrets: dict[bytes, bytes] = {}
        self.generation: int = 0
        self.settled: bool = True
        if cap < MAX_TABLE_SIZE:
            self.set_max_table_size(cap)

    @property
    def table_size(self) -> int:
        """Size of the dynamic table now, 32 bytes overhead an entry included (RFC 7541 §4.1)."""
        return self._table.size

    def table_fields(self) -> list[Field]:
        """Return the dynamic table's entries, newest first, in a new list: for tests and for people."""
        table = self._table
        return [table.get(position) for position in range(len(table))]

    def set_max_table_size(self, size: i64) -> None:
        """Obey the peer's SETTINGS_HEADER_TABLE_SIZE: to be called when it arrives.

        The next block announces our choice: the smallest size since the last block when that evicts, then the
        final one (RFC 7541 §4.2).
        """
        if size > self._cap:
            size = self._cap
        table = self._table
        if size == table.max_size:
            return
        if not self._update_pending or size < self._pending_lowest:
            self._pending_lowest = size
        self._update_pending = True
        self.generation += 1
        while table.size > size:
            self._evict()
        table.max_size = size

    def encode(self, fields: Iterable[tuple[bytes, bytes]], never_indexed: frozenset[bytes] | None = None) -> bytes:
        """Encode one field section as a whole block, in the given order; names must be lowercase already.

        Credentials are never indexed (`authorization`, `cookie`, and names for which `secrets.is_secret` is True), nor
        are fields with names in `never_indexed`, whose values are not looked up in any table either.
        """
        out = BytesWriter()
        self.settled = True
        if self._update_pending:
            self._write_size_updates(out)
        indexed_names = self._indexed
        byte: int = 0  # not i64, from which mypyc has no way to the u8 that `append` takes
        index: i64 = 0
        name_index: i64 = 0
        policy: i64 = 0
        for name, value in fields:
            if never_indexed is not None and name in never_indexed:
                known = _KNOWN.get(name)
                name_index = known.index if known is not None else 0
                self._write_literal(out, name_index, 4, 0x10, name, value)
                continue
            known = _KNOWN.get(name)
            if known is not None:
                static = known.values.get(value)
                if static is not None:
                    out.append(0x80 | static)
                    continue
                name_index = known.index
                policy = known.policy
            else:
                name_index = 0
                policy = _ON_SECOND_SIGHT
            indexed = indexed_names.get(name)
            if indexed is not None:
                serial = indexed.serials.get(value)
                if serial is not None:
                    index = self._inserted + STATIC_LENGTH - serial
                    if index < 0x7F:
                        byte = 0x80 | index
                        out.append(byte)
                    else:
                        encode_integer(out, index, 7, 0x80)
                    continue
                if name_index == 0:
                    name_index = self._inserted + STATIC_LENGTH - indexed.newest
            elif known is None and is_secret(name):  # it cannot be in the table
                policy = _NEVER
            if policy == _NEVER:
                self._write_secret(out, name_index, name, value)
            elif policy != _WITHOUT and self._wants_index(name, value, policy):
                self._write_literal(out, name_index, 6, 0x40, name, value)
                self._insert(name, value)
            else:
                self._write_literal(out, name_index, 4, 0x00, name, value)
        return out.getvalue()

    def _wants_index(self, name: bytes, value: bytes, policy: i64) -> bool:
        size: i64 = len(name) + len(value) + FIELD_OVERHEAD
        if size * 2 > self._table.max_size:  # it would push most others out
            return False
        if policy == _AT_ONCE:
            return True
        sightings = self._sightings
        if sightings is None:
            sightings = self._sightings = Sightings()
        digest: i64 = hash(name)
        value_digest: i64 = hash(value)
        digest = digest ^ (value_digest >> 1)
        if sightings.seen_before(digest):
            return True
        self.settled = False
        return False

    def _write_literal(
        self, out: BytesWriter, name_index: i64, prefix_bits: i64, flags: i64, name: bytes, value: bytes
    ) -> None:
        """Append a literal: its representation's `flags` and name index or name, then the value (RFC 7541 §6.2)."""
        encode_integer(out, name_index, prefix_bits, flags)
        if name_index == 0:
            _write_string(out, name)
        _write_string(out, value)

    def _write_secret(self, out: BytesWriter, name_index: i64, name: bytes, value: bytes) -> None:
        """Append a credential as a never-indexed literal (RFC 7541 §6.2.3).

        No table holds it, so its string is coded for each message: 4,200 instructions for a cookie of 52 bytes. The
        coded form depends on the value alone, and that of the last ones is kept.
        """
        encode_integer(out, name_index, 4, 0x10)
        if name_index == 0:
            _write_string(out, name)
        coded = self._secrets.get(value)
        if coded is None:
            writer = BytesWriter()
            _write_string(writer, value)
            coded = writer.getvalue()
            if len(self._secrets) >= _SECRETS:
                self._secrets = {}
            if len(value) <= _SECRET_SIZE:
                self._secrets[value] = coded
        out.write(coded)

    def _write_size_updates(self, out: BytesWriter) -> None:
        size = self._table.max_size
        if self._pending_lowest < size:
            encode_integer(out, self._pending_lowest, 5, 0x20)
        encode_integer(out, size, 5, 0x20)
        self._update_pending = False
        self.generation += 1

    def _insert(self, name: bytes, value: bytes) -> None:
        """Put a pair that fits into the table, as the decoder will (RFC 7541 §4.4)."""
        table = self._table
        field = Field(name, value)
        while table.size + field.size > table.max_size:
            self._evict()
        table.add(field)
        indexed = self._indexed.get(name)
        if indexed is None:
            indexed = self._indexed[name] = _Indexed()
        indexed.newest = self._inserted
        indexed.serials[value] = self._inserted
        self._inserted += 1
        self.generation += 1

    def _evict(self) -> None:
        """Forget the oldest entry. A pair is in the table once at most, so its value's serial is the evicted one."""
        field = self._table.evict_oldest()
        indexed = self._indexed[field.name]
        del indexed.serials[field.value]
        if not indexed.serials:
            del self._indexed[field.name]


def _write_string(out: BytesWriter, text: bytes) -> None:
    """Append a string literal, Huffman-coded when that is shorter (RFC 7541 §5.2)."""
    length: i64 = len(text)
    coded: i64 = huffman.encoded_length(text)
    if coded < length:
        encode_integer(out, coded, 7, 0x80)
        huffman.encode_into(out, text)
    else:
        encode_integer(out, length, 7, 0x00)
        out.write(text)
