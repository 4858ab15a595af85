"""Query parameters of a URL (WHATWG URL §5, application/x-www-form-urlencoded)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, urlencode

from headrace.client.errors import InvalidURL

Primitive: TypeAlias = str | int | float | bool | None
Value: TypeAlias = Primitive | Sequence[Primitive]
"""Of a name in a query or a form: a list or a tuple has several values."""


def primitive_text(value: Any) -> str:
    """A value as it stands in a query or a form: true and false in lower case, nothing for None."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return "" if value is None else str(value)


class QueryParams(Mapping[str, str]):
    """Names and values in order; a name may come several times. Immutable: `set`, `add`, `remove` and `merge` return
    new ones. As a mapping it has the first value of each name; `multi_items` and `get_list` have all."""

    __slots__ = ("_pairs",)

    def __init__(self, params: ParamsLike | None = None, /, **named: Value) -> None:
        """Raises TypeError for a form that is none of ParamsLike, InvalidURL for text without end of parameters."""
        self._pairs: tuple[tuple[str, str], ...] = tuple(_pairs(named if params is None else params))

    def keys(self) -> KeysView[str]:
        """The names, each once."""
        return dict(self._pairs).keys()

    def multi_items(self) -> list[tuple[str, str]]:
        """Every name with every value, in order."""
        return list(self._pairs)

    def get_list(self, name: str) -> list[str]:
        """All values of a name, in order."""
        return [value for each, value in self._pairs if each == name]

    def set(self, name: str, value: Primitive = None) -> QueryParams:
        """With this one value of the name, in the place of its first."""
        return self.merge({name: value})

    def add(self, name: str, value: Primitive = None) -> QueryParams:
        """With one more value of the name."""
        return QueryParams([*self._pairs, (name, value)])

    def remove(self, name: str) -> QueryParams:
        """Without the name."""
        return QueryParams([pair for pair in self._pairs if pair[0] != name])

    def merge(self, params: ParamsLike | None = None) -> QueryParams:
        """With the others' names and values, which replace those of the same name here."""
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
        """Equal when they have the same pairs, in whatever order."""
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
        raise TypeError(f"query parameters are a mapping, pairs or text, not {type(params).__name__}")
    result = []
    for name, value in params:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            result.append((str(name), primitive_text(each)))
    return result
