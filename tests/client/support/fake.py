"""A transport without a network that answers as a test says, and keeps the client's requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from headrace.client.errors import RequestError
from headrace.client.interface import Incoming, Outgoing, Pairs, ResponseHead


class Answer:
    """An Incoming made of pieces; an error among them is raised in its place."""

    def __init__(
        self,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        content: bytes | Iterable[bytes | Exception] = b"",
        *,
        http_version: str = "2",
        trailers: Pairs | None = None,
    ) -> None:
        fields = [(name.encode(), value.encode()) for name, value in headers]
        self.head = ResponseHead(status, fields, http_version)
        self._pieces = iter([content] if isinstance(content, bytes) else content)
        self._last_trailers = trailers or []
        self.trailers: Pairs = []
        self.is_ended = False
        self.is_closed = False
        self.info: dict[str, Any] = {"http_version": http_version}

    async def receive(self) -> bytes:
        assert not self.is_closed, "read after it was given up"
        for piece in self._pieces:
            if isinstance(piece, Exception):
                self.is_ended = True
                raise piece
            if piece:
                return piece
        self.is_ended = True
        self.trailers = self._last_trailers
        return b""

    async def read(self) -> bytes:
        pieces = []
        while piece := await self.receive():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self.is_closed = True


class Sent:
    """A request as the transport received it, with its content read."""

    def __init__(self, outgoing: Outgoing, content: bytes, trailers: Pairs, whole: bool) -> None:
        self.outgoing = outgoing
        self.method = outgoing.method.decode()
        self.url = outgoing.url
        self.origin = str(outgoing.origin)
        self.target = outgoing.path.decode()
        self.headers = list(outgoing.headers)
        self.content = content
        self.trailers = trailers
        self.whole = whole

    def field(self, name: str) -> str | None:
        values = [value.decode() for each, value in self.headers if each == name.encode()]
        assert len(values) < 2, f"{name} twice"
        return values[0] if values else None


Respond = Callable[[Sent], Any]


class FakeTransport:
    """Answers each request with the next of `answers`, or with a function's result: an Answer, an error to raise, or
    an awaitable of either."""

    def __init__(self, *answers: Any, respond: Respond | None = None) -> None:
        self._answers = iter(answers)
        self._respond = respond
        self.sent: list[Sent] = []
        self.given: list[Answer] = []
        self.is_closed = False

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        content, trailers = b"", []
        if isinstance(outgoing.content, bytes):
            content = outgoing.content
            if outgoing.on_sent is not None and content:
                outgoing.on_sent(len(content))
        else:
            async for piece in outgoing.content.open():
                content += piece
                if outgoing.on_sent is not None:
                    outgoing.on_sent(len(piece))
            trailers = outgoing.content.trailers()
        sent = Sent(outgoing, content, trailers, whole)
        self.sent.append(sent)
        answer = self._respond(sent) if self._respond is not None else next(self._answers)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, RequestError):
            raise answer
        assert isinstance(answer, Answer)
        self.given.append(answer)
        return answer

    async def aclose(self) -> None:
        self.is_closed = True


def redirect(location: str, status: int = 302, **options: Any) -> Answer:
    """Return an answer that redirects."""
    return Answer(status, [("location", location)], **options)
