"""Fields that clients send and the server reads: forwarded, conditions, dates.

Property: no value raises but the HTTPError of 400 for a malformed `forwarded`. A client that is believed is an address.
A `forwarded` and a date that were written here are read as they were meant; a resource with an entity tag is never said
to be unchanged where the tag does not stand in the field.
"""

from __future__ import annotations

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from headrace.server.errors import HTTPError
from headrace.server.files.conditions import NOT_MODIFIED, evaluate, range_holds
from headrace.server.files.http_date import parse_date, write_date
from headrace.server.middleware.forwarded import Forwarded

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source

ETAG = '"abc"'
NOW = 1_800_000_000.0
WORDS = (
    "for=", "1.2.3.4", '"[2001:db8::1]:80"', "proto=", "https", "host=", "a.example", "by=", ";", ",", " ", '"', "\\",
    "unknown", "_x", "10.0.0.1", ":443", "10.0.0.2, ", '"abc"', 'W/"abc"', "*", '"', "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 31 Feb 2026 08:49:60 GMT", "é", "\t", "=", "x",
    "9" * 20, "[::ffff:1.2.3.4]", "0", "٣",
)  # fmt: skip
NAMES = (
    "forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "if-match", "if-none-match", "if-range",
    "if-modified-since", "if-unmodified-since",
)  # fmt: skip


class Asked:
    """A request, as these parts of the server see it."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        self.connection = SimpleNamespace(peer=("10.0.0.9", 1))
        self.client: Any = ("10.0.0.9", 1)
        self.scheme = "http"
        self.authority = "own.example"

    def header(self, name: str) -> str | None:
        """Return a field."""
        return self.fields.get(name)


async def following(request: Any) -> Any:
    """Answer."""
    return request


def apply(kind: Any, asked: Asked) -> bool:
    """Let the middleware look; return False where it refuses."""
    middleware: Any = Forwarded(["10.0.0.0/8"], fields=kind)
    call: Coroutine[Any, Any, Any] = middleware(asked, following)
    try:
        call.send(None)
    except StopIteration:
        return True
    except HTTPError as error:
        if error.status != 400 or kind != "forwarded":
            raise
        return False
    raise AssertionError("it waits")


def target(data: bytes) -> None:
    """Read values as each of the fields."""
    source = Source(data)
    address = ".".join(str(source.byte()) for _ in range(4))
    when = source.number(4)
    fields: dict[str, str] = {}
    while source.more:
        name = source.pick(NAMES)
        words = [source.pick(WORDS) for _ in range(1 + source.below(12))]
        fields[name] = "".join(words)[:3_000] if source.byte() < 230 else source.take(20).decode("latin-1")
    size = sum(map(len, fields.values()))
    meter = Meter(data, calls_a_byte=30, bytes_a_byte=300)
    for kind in ("forwarded", "x-forwarded"):
        asked = Asked(fields)
        if meter.run(apply, kind, asked, size=size):
            host, port = asked.client
            assert port is None or 0 <= port <= 65_535
            assert asked.scheme in ("http", "https") and host and not set(asked.authority) & set(' "\\,;\t')
    request: Any = Asked(fields)
    if evaluate(request, ETAG, 1_000_000, NOW) == NOT_MODIFIED and "if-none-match" in fields:
        assert ETAG in fields["if-none-match"] or fields["if-none-match"].strip(" \t") == "*"
    range_holds(request, ETAG, 1_000_000, NOW)
    for value in fields.values():
        parse_date(value, NOW)
    assert parse_date(write_date(when).decode(), NOW) == when
    asked = Asked({"forwarded": f'proto=https;for="{address}:80";host=b.example, for=10.0.0.3'})
    assert apply("forwarded", asked)
    is_trusted = address.startswith("10.")
    assert asked.client == (address, 80) and asked.scheme == "https" and asked.authority == "b.example", is_trusted


def seeds() -> list[bytes]:
    """Return values with each word in each field."""
    return [bytes((1, 2, 3, 4, 0, 0, n, n, n % 9, 4, n % 34, 3, n % 34, 4, 8, 0)) for n in range(72)]
