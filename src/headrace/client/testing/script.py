"""The script of a server of a MockTransport: answers, and faults."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.client.interface import Pairs
from headrace.engine.errors import ENHANCE_YOUR_CALM, INTERNAL_ERROR

AnswerFields = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Fault:
    """Base of the faults of a response.

    `after` is the number of bytes of content before the fault: 0 is right behind the head. A handler may return a fault
    in place of an Answer; then it takes the place of the head.
    """

    after: int = 0


@dataclass(frozen=True, slots=True)
class Reset(Fault):
    """The server resets the stream with `code` (RFC 9113 §7), or an HTTP/1.1 connection."""

    code: int = INTERNAL_ERROR


@dataclass(frozen=True, slots=True)
class Lost(Fault):
    """The server resets the connection, with every request on it."""


@dataclass(frozen=True, slots=True)
class GoAway(Fault):
    """GOAWAY with `code`, and the end of the connection. `processed` decides whether it names this request as
    processed, so that it must not be sent again. An HTTP/1.1 connection just ends."""

    code: int = ENHANCE_YOUR_CALM
    processed: bool = False


@dataclass(frozen=True, slots=True)
class Drain(Fault):
    """A graceful GOAWAY, and then the rest of the response: the client only makes another connection next time. Over
    HTTP/1.1 nothing happens."""


@dataclass(frozen=True, slots=True)
class Stall(Fault):
    """The server sends nothing for `seconds`, then the rest; with None, nothing ever. In place of an Answer: no
    head, and the server does not read the request's content, so that its window closes."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Truncated(Fault):
    """The content ends here, before its announced length."""


@dataclass(frozen=True, slots=True)
class Raw(Fault):
    """The server sends these bytes, valid or not; then the rest follows."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused(Fault):
    """REFUSED_STREAM: the server has not processed the request. Over HTTP/1.1 the connection is reset."""


class Answer:
    """A response: `status`, `headers` in any form that the client accepts, and `content`, or `text`, or `json`.

    `trailers` follow the content, `early_hints` are the fields of a 103 before the head. `fault` happens on the way.
    Raises ValueError for more than one kind of content.
    """

    __slots__ = ("content", "early_hints", "fault", "headers", "status", "trailers")

    def __init__(
        self,
        status: int = 200,
        headers: AnswerFields = (),
        content: bytes = b"",
        *,
        text: str | None = None,
        json: Any = None,
        trailers: AnswerFields = (),
        early_hints: AnswerFields = (),
        fault: Fault | None = None,
    ) -> None:
        if bool(content) + (text is not None) + (json is not None) > 1:
            raise ValueError("an Answer has one content: bytes, text or json")
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


def pairs(fields: AnswerFields) -> Pairs:
    """Return fields as bytes, with names in lower case."""
    items: Iterable[tuple[Any, Any]] = fields.items() if isinstance(fields, Mapping) else fields
    return [(_bytes(name).lower(), _bytes(value)) for name, value in items]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
