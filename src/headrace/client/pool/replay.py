"""Decides whether the transport sends a request again by itself: only when the server cannot act twice."""

from __future__ import annotations

from typing import Final

from headrace.client.errors import BodyConsumed, ConnectionLost, RemoteProtocolError, RequestError, StreamReset
from headrace.client.interface import Outgoing

IDEMPOTENT: Final = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))  # RFC 9110 §9.2.2


def may_replay(outgoing: Outgoing, error: RequestError, replays: int, max_replays: int) -> bool:
    """Return True when `outgoing` should be sent again after `error`, which ended attempt `replays` + 1.

    It should when the server has not processed it (RFC 9113 §8.7), as `error.retryable` says; and, once, when an
    HTTP/1.1 connection that had served before was closed before the first byte of the response, if the method is
    idempotent (RFC 9112 §9.3.1). Raises BodyConsumed when it should be sent, and its content is used up.
    """
    if not isinstance(error, StreamReset | ConnectionLost | RemoteProtocolError) or error.head is not None:
        return False
    if error.retryable:
        if replays >= max_replays:
            return False
    elif not (isinstance(error, ConnectionLost) and error.is_stale and not replays and _is_idempotent(outgoing)):
        return False
    if not is_replayable(outgoing):
        raise BodyConsumed(
            f"the request was not processed ({error.message}), and cannot be sent again: its content came from an "
            "iterator, which is used up; give bytes, a file, or a function that makes a new iterator",
            url=outgoing.url,
            retryable=False,
        ) from error
    return True


def _is_idempotent(outgoing: Outgoing) -> bool:
    # A WebSocket's handshake is CONNECT here, and GET on the wire of HTTP/1.1 (RFC 6455 §4.1).
    return outgoing.method in IDEMPOTENT or outgoing.protocol is not None


def is_replayable(outgoing: Outgoing) -> bool:
    """Return True when the content can be sent again."""
    content = outgoing.content
    return isinstance(content, bytes) or content.is_replayable
