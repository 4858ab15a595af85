"""The errors that a handler sees or raises."""

from __future__ import annotations


class ClientDisconnected(OSError):
    """The stream ended before its time: the peer reset it or left, or a deadline ended it. Nothing more can be sent or
    received."""


class HTTPError(Exception):
    """Ends a native handler with a plain answer of `status`, unless a response has begun already."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
