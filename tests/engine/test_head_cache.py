"""The memory of written heads, alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.engine.head_cache import ALWAYS, HeadCache

FIELDS = ((b"a", b"1"),)


def added(cache: HeadCache[Any], headers: Any, rest: object, head: str, generation: int = ALWAYS) -> str:
    """Return the head that is remembered, or remember this one, as a writer of heads does."""
    fields = cache.fixed(headers, generation)
    found = cache.find(fields, rest)
    if found is None:
        found = head
        cache.add(fields, rest, found)
    cache.keep(found, fields)
    return str(found)


def test_a_head_belongs_to_its_fields_and_to_the_rest() -> None:
    cache: HeadCache[Any] = HeadCache(8)
    assert added(cache, FIELDS, 200, "first") == "first"
    assert added(cache, FIELDS, 404, "other status") == "other status"
    assert added(cache, [(b"a", b"2")], 200, "other fields") == "other fields"
    assert added(cache, [(b"a", b"1")], 200, "again") == "first"
    assert cache.count == 3


def test_the_last_head_is_found_by_its_fields() -> None:
    cache: HeadCache[Any] = HeadCache(8)
    assert cache.last(FIELDS) is None
    added(cache, FIELDS, 200, "first")
    assert cache.last(FIELDS) == cache.last([(b"a", b"1")]) == "first"
    assert cache.last([(b"a", b"2")]) is None


def test_its_size_is_bounded() -> None:
    cache: HeadCache[Any] = HeadCache(8)
    for number in range(100):
        added(cache, ((b"n", b"%d" % number),), 200, str(number))
        cache.count_variant()
        assert cache.count <= 9


def test_settings_and_another_generation_forget_all() -> None:
    cache: HeadCache[Any] = HeadCache(8)
    changes: list[tuple[Callable[[], object], int]] = [
        (lambda: cache.set_drops(True), ALWAYS),
        (lambda: cache.set_default_fields(FIELDS), ALWAYS),
        (lambda: cache.fixed(FIELDS, 7), 7),
    ]
    for change, generation in changes:
        added(cache, FIELDS, 200, "old")
        change()
        assert cache.last(FIELDS) is None and cache.count == 0
        assert added(cache, FIELDS, 200, "new", generation) == "new"
    assert cache.drops and cache.default_fields == FIELDS
