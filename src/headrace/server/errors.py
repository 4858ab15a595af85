"""The errors that a handler sees, or raises."""

from __future__ import annotations


class ClientDisconnected(OSError):
    """The peer reset the stream or left, or a deadline ended the stream: nothing more can be sent or received on it."""


class HTTPError(Exception):
    """Ends a native handler with a plain answer of `status`, as long as no other one has begun."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
