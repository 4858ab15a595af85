"""What a server of a MockTransport is to do with a request: answers, and faults."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.client.interface import Pairs
from headrace.engine.errors import ENHANCE_YOUR_CALM, INTERNAL_ERROR

Fields = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Fault:
    """Base of what can go wrong with a response.

    `after` is the number of octets of content that come before: 0 is right behind the head. Returned by a handler in
    place of an Answer, a fault takes the place of the head.
    """

    after: int = 0


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """The stream is reset with `code` (RFC 9113 §7). On HTTP/1.1 the connection is."""

    code: int = INTERNAL_ERROR


@dataclass(frozen=True, slots=True)
class Lost(Fault):
    """The connection is reset, and every request on it."""


@dataclass(frozen=True, slots=True)
class GoAway(Fault):
    """GOAWAY with `code`, and the end of the connection. `processed` says whether it names this request as processed,
    so that it must not be sent again, or not. On HTTP/1.1 the connection ends."""

    code: int = ENHANCE_YOUR_CALM
    processed: bool = False


@dataclass(frozen=True, slots=True)
class Drain(Fault):
    """A graceful GOAWAY, and then the rest of the response: the client must not notice but by its next connection. On
    HTTP/1.1 nothing is said."""


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """Nothing more comes for `seconds`, then the rest; with None, nothing ever. In place of an Answer: no head, and the
    request's content is not read, so that its window closes."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Truncated(Fault):
    """The content ends here, whatever was announced."""


@dataclass(frozen=True, slots=True)
class Raw(Fault):
    """These octets stand on the wire, whatever they mean; the rest follows."""

    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused(Fault):
    """REFUSED_STREAM: the server has not processed the request. On HTTP/1.1 the connection is reset."""


class Answer:
    """A response: `status`, `headers` in any form that the client takes, and `content`, or `text`, or `json`.

    `trailers` follow the content, `early_hints` are fields of a 103 before the head. `fault` goes wrong on the way.
    Raises ValueError for more than one kind of content.
    """

    __slots__ = ("content", "early_hints", "fault", "headers", "status", "trailers")

    def __init__(
        self,
        status: int = 200,
        headers: Fields = (),
        content: bytes = b"",
        *,
        text: str | None = None,
        json: Any = None,
        trailers: Fields = (),
        early_hints: Fields = (),
        fault: Fault | None = None,
    ) -> None:
        if bool(content) + (text is not None) + (json is not None) > 1:
            raise ValueError("an Answer has one content: octets, text or json")
        self.status: int = status
        self.headers: Pairs = pairs(headers)
        self.content: bytes = content
        kind = b""
        if text is not None:
            self.content = text.encode()
            kind = b"text/plain; charset=utf-8"
        elif json is not None:
            self.content = json_module.dumps(json).encode()
            kind = b"application/json"
        if kind and not any(name == b"content-type" for name, _ in self.headers):
            self.headers.append((b"content-type", kind))
        self.trailers: Pairs = pairs(trailers)
        self.early_hints: Pairs = pairs(early_hints)
        self.fault: Fault | None = fault


def pairs(fields: Fields) -> Pairs:
    """Fields as octets, with names in lower case."""
    items: Iterable[tuple[Any, Any]] = fields.items() if isinstance(fields, Mapping) else fields
    return [(_octets(name).lower(), _octets(value)) for name, value in items]


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
