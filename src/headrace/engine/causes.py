"""Causes of the early end of a stream or a connection: `StreamReset.cause` and `ConnectionEnded.cause`.

Decide by these and by the code, never by a sentence of the engine: sentences are for people, and may change. The part
of the engine that finds a fault names its cause, so no later code has to guess it.
"""

from __future__ import annotations

from typing import Final

RESET_BY_PEER: Final = "reset by peer"
"""The peer sent RST_STREAM (RFC 9113 §6.4); `code` is its own."""
NOT_PROCESSED: Final = "not processed"
"""The peer has processed nothing of the request: its GOAWAY says so (RFC 9113 §6.8), or nothing of it was written."""
CONTENT_TOO_SHORT: Final = "content too short"
"""A message ended before its content was whole (RFC 9113 §8.1.1, RFC 9112 §8)."""
CONTENT_TOO_LONG: Final = "content too long"
"""A message has more content than its content-length says (RFC 9113 §8.1.1)."""
PROTOCOL: Final = "protocol"
"""The peer broke another rule, or went beyond a limit: `code` says more, and the PeerFault before it."""
TIMED_OUT: Final = "timed out"
"""A message did not come or go on in time, or the drain's deadline has come."""
CONNECTION_LOST: Final = "connection lost"
"""The peer ended the connection, it failed, or a PING was not acknowledged."""
CLOSED: Final = "closed"
"""The connection has ended on our side, in order: the owner closed it, it was idle, or it is drained."""

ALL: Final = (
    RESET_BY_PEER,
    NOT_PROCESSED,
    CONTENT_TOO_SHORT,
    CONTENT_TOO_LONG,
    PROTOCOL,
    TIMED_OUT,
    CONNECTION_LOST,
    CLOSED,
)
