"""What a session is: bytes of a client, and the points where it waits; with short forms of common frames."""

from __future__ import annotations

from typing import NamedTuple

from tests.support import wire

Fields = list[tuple[bytes, bytes]]


class Over(NamedTuple):
    """Wait until these streams have ended or were reset."""

    streams: tuple[int, ...]


class Began(NamedTuple):
    """Wait until a stream has a head, also an interim one."""

    stream: int


class Sync(NamedTuple):
    """Wait until a PING was answered: the server has handled all frames before it."""


class Flood(NamedTuple):
    """As many octets of DATA as a stream's window, or the connection's, allows, and `beyond` more."""

    stream: int
    beyond: int = 1


Step = bytes | Over | Began | Sync | Flood


class Session(NamedTuple):
    """A name, and what the client does behind preface and SETTINGS; see `player.play`."""

    name: str
    steps: tuple[Step, ...]
    settings: dict[int, int]
    """The client's first SETTINGS."""
    is_raw: bool
    """True if `steps` begin with the preface, or something in its place."""
    untold: frozenset[int]
    """Streams whose outcome is a matter of time."""
    unwaited: frozenset[int]
    """Streams that need not end; what a server says of them, it has said before it answers the last PING."""
    needs_app: bool
    """True if a server of files, as nghttpd is, cannot do what is asked."""


def session(
    name: str, *steps: Step, settings: dict[int, int] | None = None, raw: bool = False, untold: tuple[int, ...] = (),
    unwaited: tuple[int, ...] = (), app: bool = False,
) -> Session:  # fmt: skip
    """Return a session. At its end all streams that it has opened are waited for, but for those that are excepted."""
    return Session(name, steps, settings or {}, raw, frozenset(untold), frozenset(unwaited), app)


def over(*streams: int) -> Over:
    """Wait until these streams are over."""
    return Over(streams)


SYNC = Sync()


def head(
    path: bytes | None = b"/", *extra: tuple[bytes, bytes], method: bytes | None = b"GET",
    scheme: bytes | None = b"http", authority: bytes | None = b"a.example",
) -> Fields:  # fmt: skip
    """The fields of a request."""
    return wire.request_fields(path, method=method, scheme=scheme, authority=authority, extra=list(extra))


def get(stream: int = 1, path: bytes | None = b"/", *extra: tuple[bytes, bytes], **pseudo: bytes | None) -> bytes:
    """A whole request in one frame."""
    return wire.headers(stream, head(path, *extra, **pseudo), end_stream=True)


def post(stream: int = 1, path: bytes | None = b"/", *extra: tuple[bytes, bytes], **pseudo: bytes | None) -> bytes:
    """The beginning of a request with content."""
    return wire.headers(stream, head(path, *extra, **{"method": b"POST", **pseudo}))
