"""Memories that have the faults which once were there, or which are close by: the property has to find each of them.

They stand in for the classes of the pure engine; a compiled one takes no others in their place.
"""

from __future__ import annotations

from typing import Any

from headrace.engine.errors import LocalError
from headrace.engine.fixed_fields import fixed_fields
from headrace.engine.h1.parse.memory import HeadMemory
from headrace.engine.h2.heads import request as h2_request_heads
from headrace.engine.h2.heads import response as h2_heads
from headrace.engine.h2.heads.response import ONCE
from headrace.engine.head_cache import HeadCache
from headrace.engine.hpack.decoder import Decoder


class ShallowFields:
    """Compares with a shallow copy of what the caller gave, and tuples by identity."""

    def __init__(self) -> None:
        self._given: Any = None
        self._tuple: Any = None
        self._list: Any = None

    def keep(self, fields: Any) -> None:
        self._tuple = self._given if isinstance(self._given, tuple) else None
        self._list = None if isinstance(self._given, tuple) else list(self._given)

    def equal(self, headers: Any) -> bool:
        return headers is self._tuple or (self._list is not None and bool(self._list == headers))

    def fixed(self, headers: Any) -> Any:
        self._given = headers
        return fixed_fields(headers)


class RearmedHeads(h2_heads.H2ResponseHeads):
    """A head that is refused makes the one before valid again."""

    def response(self, *arguments: Any) -> Any:
        last = self.cache._last
        try:
            return super().response(*arguments)
        except LocalError:
            if last is not None:
                last.generation = self.encoder.generation
                self.cache._last = last
            raise


class UnsettledHeads(h2_heads.H2ResponseHeads):
    """A head that is not remembered makes the one before valid again: A, A, B, C, A."""

    def response(self, *arguments: Any) -> Any:
        cache = self.cache
        before = (cache._last, cache._last_fields._fields, self._last_status, self._last_size)
        head = super().response(*arguments)
        last = before[0]
        if last is not None and head.generation == ONCE and last.generation != ONCE:
            last.generation = self.encoder.generation
            _, fields, self._last_status, self._last_size = before
            cache.keep(last, fields)
        return head


class RearmedRequests(h2_request_heads.H2RequestHeads):
    """A request that is refused makes the one before valid again."""

    def request(self, *arguments: Any) -> Any:
        last = self.cache._last
        try:
            return super().request(*arguments)
        except LocalError:
            if last is not None:
                last.generation = self._encoder.generation
                self.cache._last = last
            raise


class CarelessCache(HeadCache[Any]):  # type: ignore[misc]  # it is final, for the compiler's sake
    """What is dropped, and what is added, is taken to be the same for ever."""

    def set_drops(self, drops: bool) -> None:
        self.drops = drops

    def set_default_fields(self, default_fields: Any) -> None:
        self.default_fields = default_fields


class ForgetfulCache(HeadCache[Any]):  # type: ignore[misc]
    """Takes heads with the same fields for one, whatever else they depend on."""

    def find(self, fields: Any, rest: object) -> Any:
        return super().find(fields, None)

    def add(self, fields: Any, rest: object, head: Any) -> None:
        super().add(fields, None, head)


class FaithfulDecoder(Decoder):
    """Remembers sections beyond the table that they were decoded with."""

    def decode(self, block: bytes) -> Any:
        kept = self._remembered
        section = super().decode(block)
        if self._remembered is None:
            self._remembered = kept
        return section


class VagueMemory(HeadMemory):
    """Takes heads of one length for one head."""

    def find(self, data: bytes) -> Any:
        return super().find(b"%d" % len(data))

    def note(self, data: bytes, head: Any, headers: Any) -> None:
        super().note(b"%d" % len(data), head, headers)


WEAKENED: dict[str, tuple[str, Any, str]] = {
    "shallow copies over HTTP/2": ("headrace.engine.head_cache.LastFields", ShallowFields, "ServerMachine"),
    "shallow copies over HTTP/1.1": ("headrace.engine.head_cache.LastFields", ShallowFields, "H1ServerMachine"),
    "shallow copies, client over HTTP/2": ("headrace.engine.head_cache.LastFields", ShallowFields, "ClientMachine"),
    "shallow copies, client": ("headrace.engine.head_cache.LastFields", ShallowFields, "H1ClientMachine"),
    "heads by their fields alone": ("headrace.engine.h2.heads.response.HeadCache", ForgetfulCache, "ServerMachine"),
    "the same by HTTP/1.1": ("headrace.engine.h1.heads.response.HeadCache", ForgetfulCache, "H1ServerMachine"),
    "requests by their fields alone": (
        "headrace.engine.h2.heads.request.HeadCache",
        ForgetfulCache,
        "ClientMachine",
    ),
    "the same by an HTTP/1.1 client": (
        "headrace.engine.h1.heads.request.HeadCache",
        ForgetfulCache,
        "H1ClientMachine",
    ),
    "a refused head arms an older one": (
        "headrace.engine.h2.connection.H2ResponseHeads",
        RearmedHeads,
        "ServerMachine",
    ),
    "an unsettled head arms an older one": (
        "headrace.engine.h2.connection.H2ResponseHeads",
        UnsettledHeads,
        "ServerMachine",
    ),
    "a refused request arms an older one": (
        "headrace.engine.h2.client.H2RequestHeads",
        RearmedRequests,
        "ClientMachine",
    ),
    "what is dropped or added stays": ("headrace.engine.h2.heads.response.HeadCache", CarelessCache, "ServerMachine"),
    "the same over HTTP/1.1": ("headrace.engine.h1.heads.response.HeadCache", CarelessCache, "H1ServerMachine"),
    "the same, client": ("headrace.engine.h1.heads.request.HeadCache", CarelessCache, "H1ClientMachine"),
    "sections of an older table": ("headrace.engine.h2.parts.field_blocks.Decoder", FaithfulDecoder, "ServerMachine"),
    "sections of an older table, client": (
        "headrace.engine.h2.parts.field_blocks.Decoder",
        FaithfulDecoder,
        "ClientMachine",
    ),
    "heads by their length": ("headrace.engine.h1.parse.request.HeadMemory", VagueMemory, "H1ServerMachine"),
    "heads by their length, client": ("headrace.engine.h1.parse.response.HeadMemory", VagueMemory, "H1ClientMachine"),
}
"""What is put in whose place, and the machine that has to find it."""
