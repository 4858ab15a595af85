"""The paths of routes: patterns such as `/users/{id:int}/files/{name:path}`, matching, and URLs made from them.

A pattern is plain text, not percent-encoded. A request's path is split at its slashes first, then each segment is
percent-decoded, once (RFC 3986 §2.4): `%2F` does not split, and `%252e` is `%2e`. Only `{name:path}` joins segments
again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

LONGEST_NUMBER: Final = 100  # digits that a number in a path may have; Python's int() refuses some thousands

_DIGITS: Final = f"[0-9]{{1,{LONGEST_NUMBER}}}"
_INT: Final = re.compile(f"-?{_DIGITS}")
_FLOAT: Final = re.compile(f"-?{_DIGITS}(?:[.]{_DIGITS})?")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# Characters that a segment may contain unencoded (RFC 3986 §3.3: pchar), besides letters, digits and "-._~".
_PCHAR: Final = "!$&'()*+,;=:@"


class RouteError(ValueError):
    """An invalid route, or a URL that cannot be made from one. The message is a sentence that names the route."""


class Converter:
    """One type of parameter: `read` makes a value of a decoded segment, or returns None; `write` does the reverse."""

    def __init__(self, name: str, read: Callable[[str], Any], write: Callable[[Any], str]) -> None:
        self.name = name
        self.read = read
        self.write = write


def _read_int(text: str) -> int | None:
    return int(text) if _INT.fullmatch(text) else None


def _write_int(value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("is not a whole number")
    if abs(value) >= 10**LONGEST_NUMBER:
        raise ValueError(f"has more than {LONGEST_NUMBER} digits")
    return str(value)


def _read_float(text: str) -> float | None:
    return float(text) if _FLOAT.fullmatch(text) else None


def _write_float(value: Any) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("is not a number")
    # Never write an exponent, which a route does not read.
    text = format(Decimal(repr(value)), "f")
    if not _FLOAT.fullmatch(text):
        raise ValueError("cannot be written as a number in a path")
    return text


def _read_uuid(text: str) -> UUID | None:
    return UUID(text) if _UUID.fullmatch(text) else None


def _write_uuid(value: Any) -> str:
    text = str(value)
    if not _UUID.fullmatch(text):
        raise ValueError("is not a UUID")
    return text.lower()


def _read_str(text: str) -> str | None:
    return text or None


def _write_str(value: Any) -> str:
    text = str(value)
    if not text:
        raise ValueError("is empty")
    if text in (".", ".."):
        raise ValueError("would be taken for a dot segment (RFC 3986 §5.2.4)")
    return text


# In the order in which a segment is tried: the narrowest first.
TYPED: Final = (
    Converter("uuid", _read_uuid, _write_uuid),
    Converter("int", _read_int, _write_int),
    Converter("float", _read_float, _write_float),
)
STR: Final = Converter("str", _read_str, _write_str)
PATH: Final = Converter("path", lambda text: text, str)
CONVERTERS: Final[Mapping[str, Converter]] = {each.name: each for each in (*TYPED, STR, PATH)}


class Parameter:
    """A segment that is a parameter."""

    def __init__(self, name: str, converter: Converter) -> None:
        self.name = name
        self.converter = converter


class Pattern:
    """A parsed path: `segments` are text without percent-encoding, or parameters."""

    def __init__(self, text: str, segments: Sequence[str | Parameter]) -> None:
        self.text = text
        self.segments: tuple[str | Parameter, ...] = tuple(segments)
        self.parameters: tuple[Parameter, ...] = tuple(each for each in segments if isinstance(each, Parameter))
        self.names: tuple[str, ...] = tuple(each.name for each in self.parameters)
        self.takes_rest: bool = bool(self.parameters) and self.parameters[-1].converter is PATH
        """True if the last segment is `{name:path}`."""

    @property
    def literal(self) -> bytes | None:
        """The path in the form that most clients send, if it has no parameters; else None."""
        return None if self.parameters else self._write({}).encode("ascii")

    def url(self, values: Mapping[str, Any]) -> str:
        """Return the path with `values` for its parameters, percent-encoded. Raises RouteError."""
        missing = [name for name in self.names if name not in values]
        extra = [name for name in values if name not in self.names]
        if missing or extra:
            wrong = [f"{word} {', '.join(names)}" for word, names in (("needs", missing), ("has no", extra)) if names]
            raise RouteError(f"the path {self.text} {' and '.join(wrong)}")
        return self._write(values)

    def _write(self, values: Mapping[str, Any]) -> str:
        written = []
        for segment in self.segments:
            if isinstance(segment, str):
                written.append(quote(segment, _PCHAR))
                continue
            value = values[segment.name]
            try:
                text = segment.converter.write(value)
            except ValueError as error:
                raise RouteError(f"the path {self.text}: the value {value!r} of {segment.name} {error}") from None
            if segment.converter is not PATH:
                written.append(quote(text, _PCHAR))
                continue
            if any(part in (".", "..") for part in text.split("/")):
                raise RouteError(f"the path {self.text}: the value {value!r} of {segment.name} has a dot segment")
            written.append(quote(text, _PCHAR + "/"))
        return "/" + "/".join(written)


def parse_pattern(text: object, prefix: bool = False) -> Pattern:
    """Return the pattern of a route's path; a `prefix` stands before others. Raises RouteError, which says what is
    wrong and where."""
    if not isinstance(text, str):
        raise RouteError(f"the path of a route must be text, not {text!r}")
    if prefix and text in ("", "/"):
        return Pattern("", ())
    if not text.startswith("/"):
        raise RouteError(f"the path {text!r} does not begin with a slash")
    if "?" in text or "#" in text:
        raise RouteError(f"the path {text} has a query or a fragment; a route matches only the path")
    if prefix and text.endswith("/"):
        raise RouteError(f"the prefix {text} ends with a slash; paths under it begin with one")
    return joined_pattern(text, [_parse_segment(text, each) for each in text[1:].split("/")], prefix)


def joined_pattern(text: str, segments: Sequence[str | Parameter], prefix: bool = False) -> Pattern:
    """Return a pattern of given segments, checked as a whole. Raises RouteError."""
    names: set[str] = set()
    for position, segment in enumerate(segments):
        if isinstance(segment, str):
            continue
        if segment.name in names:
            raise RouteError(f"the path {text} has two parameters named {segment.name}")
        names.add(segment.name)
        if segment.converter is PATH and (prefix or position < len(segments) - 1):
            raise RouteError(f"the path {text}: {{{segment.name}:path}} matches the whole rest, so it must come last")
    return Pattern(text, segments)


def _parse_segment(text: str, segment: str) -> str | Parameter:
    if "{" not in segment and "}" not in segment:
        return segment
    if not (segment.startswith("{") and segment.endswith("}")) or segment.count("{") + segment.count("}") != 2:
        raise RouteError(f"the path {text}: a parameter is a whole segment such as {{name}}; {segment!r} is not")
    name, colon, kind = segment[1:-1].partition(":")
    if not name.isidentifier():
        raise RouteError(f"the path {text}: {name!r} cannot be the name of a parameter")
    converter = CONVERTERS.get(kind if colon else "str")
    if converter is None:
        known = ", ".join(sorted(CONVERTERS))
        raise RouteError(f"the path {text}: {kind!r} is not a type of parameter; the types are {known}")
    return Parameter(name, converter)
