"""The response half of an ASGI request as a state machine: messages in, engine verbs out. No I/O, no waiting.

It stands apart from `HTTPCycle` because this way it can be compiled together with the engine (see docs/adr): it runs at
least twice a request and once for every piece of a streamed response.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.engine.contract import ServerEngine
from headrace.engine.fixed_fields import same_fields
from headrace.engine.h1 import H1ServerConnection
from headrace.engine.h2 import H2ServerConnection
from headrace.engine.message import BEFORE, COMPLETE, HELD, STREAMING, TRAILERS

DONE: Final = 0  # the engine accepted the output
BLOCKED: Final = 1  # it did, but wants nothing more until SendAccepted
OTHER: Final = 2  # not a message for this place: an extension's, or one that comes at the wrong time


class ASGIAnswer:
    """The state of an application's response.

    `http.response.start` is held until the first piece of content, so that a response in one piece leaves as HEADERS
    and DATA together, and an application that fails in between still gives 500.
    """

    def __init__(self, engine: ServerEngine, stream_id: int) -> None:
        # By name, because mypyc calls a method of a protocol as Python does: 3 % to 8 % of a small request.
        assert isinstance(engine, (H2ServerConnection, H1ServerConnection))
        self.engine: H2ServerConnection | H1ServerConnection = engine
        self.stream_id = stream_id
        self.state: int = BEFORE
        self.status: int = 0
        self.headers: Any = ()
        self.has_trailers: bool = False
        self.sent: int = 0
        """Bytes of content handed to the engine."""

    def take(self, message: Any) -> int:
        """Carry out a message and return DONE, BLOCKED or OTHER (in which case nothing was done).

        Raises the engine's errors for the headers and the content, and KeyError and TypeError for an invalid message.
        """
        kind = message["type"]
        if kind == "http.response.body":
            body = message["body"] if "body" in message else b""
            if not isinstance(body, bytes):
                body = _content(body)
            is_more = "more_body" in message and bool(message["more_body"])
            if self.state == HELD:
                return self._begin(body, is_more)
            if self.state == STREAMING:
                return self._go_on(body, is_more)
        elif kind == "http.response.start" and self.state == BEFORE:
            status = message["status"]
            if not isinstance(status, int):
                raise TypeError(f"the status of an ASGI response is an int, not {type(status).__name__}")
            headers = message["headers"] if "headers" in message else []
            self.status = int(status)
            held = self.engine.held_fields
            if same_fields(held, headers):  # the usual case; faster than a copy
                self.headers = held
            else:
                self.headers = self.engine.held_fields = _own(headers)
            self.has_trailers = "trailers" in message and bool(message["trailers"])
            self.state = HELD
            return DONE
        return OTHER

    def _begin(self, body: bytes, is_more: bool) -> int:
        if not is_more and not self.has_trailers:
            is_accepted = self.engine.send_response(self.stream_id, self.status, self.headers, body)
            self.sent = len(body)
            self.state = COMPLETE
            return DONE if is_accepted else BLOCKED
        self.engine.send_headers(self.stream_id, self.status, self.headers)
        self.state = STREAMING
        return self._go_on(body, is_more)

    def _go_on(self, body: bytes, is_more: bool) -> int:
        is_last = not is_more and not self.has_trailers
        is_accepted = True
        if body or is_last:
            is_accepted = self.engine.send_data(self.stream_id, body, is_last)
            self.sent += len(body)
        if not is_more:
            self.state = COMPLETE if is_last else TRAILERS
        return DONE if is_accepted else BLOCKED


def _own(headers: Any) -> list[Any]:
    """Return a copy that the application cannot change until the first piece of content comes, pairs included."""
    own: list[Any] = headers.copy() if isinstance(headers, list) else list(headers)
    for pair in own:
        if not isinstance(pair, tuple):
            return [tuple(each) for each in own]
    return own


def _content(body: object) -> bytes:
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"the body of an ASGI message is bytes, not {type(body).__name__}")
