"""WebSocket, the engine in both roles, with permessage-deflate and without.

Property: what a peer sends never raises, and a lawful one is not failed but for the limit of its messages. The
`websockets` library reads what we write, and in our role reads the same messages as we do and finds a fault where we
do. Any cut of the input, and calls with any bounds, give the same events. Nothing follows the last event, and no input
keeps us busy for ever.
"""

from __future__ import annotations

from tests.fuzz.story import same_in_any_cut, seeds_of, tell
from tests.fuzz.ws.session import WebSocketSession

LONGEST = 1_000


def story(data: bytes) -> str:
    """Return all that is seen of a session."""
    return tell(WebSocketSession, data)


def target(data: bytes) -> None:
    """Play a session, whole and cut."""
    same_in_any_cut(WebSocketSession, data)


def seeds() -> list[bytes]:
    """Return inputs that reach each verb."""
    return seeds_of(WebSocketSession, 40)
