"""Query parameters of a URL (WHATWG URL §5, application/x-www-form-urlencoded)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from headrace.client.errors import InvalidURL

Primitive: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Primitive | Sequence[Primitive]
"""A value of a name in a query or a form; a list or a tuple has several values."""


def primitive_text(value: Any) -> str:
    """Return a value as it stands in a query or a form: true and false in lower case, "" for None."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return "" if value is None else str(value)


class QueryParams(Mapping[str, str]):
    """Names and values in order; a name may occur several times. Immutable: `set`, `add`, `remove` and `merge` return
    new objects. As a mapping, it has the first value of each name; `multi_items` and `get_list` have all values."""

    __slots__ = ("_pairs",)

    def __init__(self, params: ParamsLike | None = None, /, **named: Value) -> None:
        """Parse or copy the parameters. Raises TypeError for an object that is not a ParamsLike, and InvalidURL for
        text with too many parameters."""
        self._pairs: tuple[tuple[str, str], ...] = tuple(_pairs(named if params is None else params))

    def keys(self) -> KeysView[str]:
        """Return the names, each once."""
        return dict(self._pairs).keys()

    def multi_items(self) -> list[tuple[str, str]]:
        """Return every name with every value, in order."""
        return list(self._pairs)

    def get_list(self, name: str) -> list[str]:
        """Return all values of a name, in order."""
        return [value for each, value in self._pairs if each == name]

    def set(self, name: str, value: Primitive = None) -> QueryParams:
        """Return a copy with this one value of the name, at the position of its first."""
        return self.merge({name: value})

    def add(self, name: str, value: Primitive = None) -> QueryParams:
        """Return a copy with one more value of the name."""
        return QueryParams([*self._pairs, (name, value)])

    def remove(self, name: str) -> QueryParams:
        """Return a copy without the name."""
        return QueryParams([pair for pair in self._pairs if pair[0] != name])

    def merge(self, params: ParamsLike | None = None) -> QueryParams:
        """Return a copy with these names and values added. They replace those of the same name."""
        new = QueryParams(params)
        replaced = {name for name, _ in new._pairs}
        pairs: list[tuple[str, str]] = []
        for name, value in self._pairs:
            if name not in replaced:
                pairs.append((name, value))
            elif all(name != each for each, _ in pairs):
                pairs += [pair for pair in new._pairs if pair[0] == name]
        present = {name for name, _ in pairs}
        return QueryParams(pairs + [pair for pair in new._pairs if pair[0] not in present])

    def __getitem__(self, name: str) -> str:
        for each, value in self._pairs:
            if each == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def __eq__(self, other: object) -> bool:
        """Return True when both have the same pairs, in any order."""
        return isinstance(other, QueryParams) and sorted(self._pairs) == sorted(other._pairs)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._pairs)))

    def __str__(self) -> str:
        return urlencode(self._pairs)

    def __repr__(self) -> str:
        return f"QueryParams({str(self)!r})"


ParamsLike: TypeAlias = QueryParams | Mapping[str, Value] | Sequence[tuple[str, Value]] | str | bytes
"""Query parameters: a mapping (a list for several values of a name), pairs, or a query as text."""


def _pairs(params: Any) -> Iterable[tuple[str, str]]:
    if isinstance(params, QueryParams):
        return params._pairs
    if isinstance(params, bytes):
        params = params.decode("ascii")
    if isinstance(params, str):
        try:
            return parse_qsl(params.removeprefix("?"), keep_blank_values=True)
        except ValueError as error:
            raise InvalidURL(f"the query {params[:100]!r} cannot be read: {error}") from None
    if isinstance(params, Mapping):
        params = params.items()
    elif not isinstance(params, Iterable):
        raise TypeError(f"query parameters must be a mapping, pairs or text, not {type(params).__name__}")
    result = []
    for name, value in params:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            result.append((str(name), primitive_text(each)))
    return result
