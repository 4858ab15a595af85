"""HTTP/2, the client's engine: a server, an application and time in any order.

Property: the engine raises nothing but LocalError from verbs. It keeps within the server's windows to the byte, holds
the server to its own to the byte, gives no credit for what was not consumed, and finds no fault with a lawful server.
Requests, responses and content arrive as they were sent (field sections by python-hyper's decoder). Any cut of the
input, and turns of any length, give the same events and output. Output is bounded by input.
"""

from __future__ import annotations

from tests.fuzz.h2.client import ClientSession
from tests.fuzz.story import same_in_any_cut, seeds_of, tell

LONGEST = 1_000  # a longer session has nothing that a shorter one has not


def story(data: bytes) -> str:
    """Return all that is seen of a session."""
    return tell(ClientSession, data)


def target(data: bytes) -> None:
    """Play a session, whole and cut."""
    same_in_any_cut(ClientSession, data)


def seeds() -> list[bytes]:
    """Return inputs that reach each verb."""
    return seeds_of(ClientSession)
