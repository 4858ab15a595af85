"""What a session for clients is: the request that they send, and what the scripted server does on its connection."""

from __future__ import annotations

from typing import NamedTuple

from tests.support import wire

Fields = list[tuple[bytes, bytes]]
OK = (b":status", b"200")


class Whole(NamedTuple):
    """Wait until the client's request is complete, or was reset. Each script begins when its head is there."""


class Sync(NamedTuple):
    """Wait until a PING was answered."""


class Close(NamedTuple):
    """End the connection: nothing more is sent on it, and what the client does is noted until it ends it, too."""


Step = bytes | Whole | Sync | Close


class Session(NamedTuple):
    """A script for the first connection of a client; on others, and for later requests, the server says 200."""

    name: str
    http2: bool
    steps: tuple[Step, ...]
    method: str
    upload: int
    """Bytes of the request's content."""
    settings: bytes
    """The server's preface."""


def h2(
    name: str, *steps: Step, method: str = "GET", upload: int = 0, settings: dict[int, int] | None = None,
    preface: bytes | None = None,
) -> Session:  # fmt: skip
    """A session over HTTP/2; the client's request is on stream 1."""
    first = wire.settings(settings or {}) if preface is None else preface
    return Session(f"h2: {name}", True, steps, "POST" if upload else method, upload, first)


def h1(name: str, *steps: Step, method: str = "GET", upload: int = 0) -> Session:
    """A session over HTTP/1.1."""
    return Session(f"h1: {name}", False, steps, "POST" if upload else method, upload, b"")


WHOLE, SYNC, CLOSE = Whole(), Sync(), Close()


def head(*extra: tuple[bytes, bytes], status: bytes = b"200", end: bool = False, stream: int = 1) -> bytes:
    """The head of a response."""
    return wire.headers(stream, [(b":status", status), *extra], end_stream=end)


def body(content: bytes = b"hello", *, end: bool = True, stream: int = 1) -> bytes:
    """Content of a response."""
    return wire.data(stream, content, end_stream=end)
