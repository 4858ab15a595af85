"""HTTP/1.1, the client's engine: a server, an application and time in any order.

Property: the engine raises nothing but LocalError from verbs, and finds no fault with a lawful server. Responses come
as they were sent, content byte for byte; h11 reads the requests as they were sent. Any cut of the input, and turns of
any length, give the same events and output. Output is bounded by input.
"""

from __future__ import annotations

from tests.fuzz.h1.client import ClientSession
from tests.fuzz.story import same_in_any_cut, seeds_of, tell

LONGEST = 1_000


def story(data: bytes) -> str:
    """Return all that is seen of a session."""
    return tell(ClientSession, data)


def target(data: bytes) -> None:
    """Play a session, whole and cut."""
    same_in_any_cut(ClientSession, data)


def seeds() -> list[bytes]:
    """Return inputs that reach each verb."""
    return seeds_of(ClientSession)
