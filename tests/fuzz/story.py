"""What is seen of a session, to be compared: over cuts of its input, and between builds of the engine."""

from __future__ import annotations

import random
import zlib
from typing import Any

from tests.fuzz.source import Source

CUTS = ((1, 0), (7, 1), (100, 3), (9, 1), (13, 0), (0, 1), (1, 1), (50, 2))


def play(session: Any, data: bytes, cut: int = 0, turn: int = 0) -> tuple[list[str], bytes]:
    """Play one session; return what was seen, and what was written."""
    played = session(Source(data), cut, turn)
    played.run()
    return played.story, played.output


def tell(session: Any, data: bytes) -> str:
    """Return a session as text."""
    story, output = play(session, data)
    return "\n".join(story) + output.hex()


def same_in_any_cut(session: Any, data: bytes) -> None:
    """Play a session as it stands and in another cut, which the data choose."""
    whole = play(session, data)
    cut, turn = CUTS[zlib.crc32(data) % len(CUTS)]
    other = play(session, data, cut, turn)
    for one, two in zip(whole[0], other[0], strict=False):
        assert one == two, f"cut into {cut}, turns of {turn}: {two} in place of {one}"
    assert whole == other, f"cut into {cut}, turns of {turn}: another story"


def seeds_of(session: Any, count: int = 40) -> list[bytes]:
    """Return sessions that call each verb, in orders that a fixed seed decides."""
    rnd = random.Random(9113)
    verbs = len(session.verbs)
    found = []
    for number in range(count):
        config = bytes(rnd.choice((0, 0, 1, 2, rnd.randrange(256))) for _ in range(10))
        ops = [rnd.randrange(14 if rnd.random() < 0.7 else verbs) for _ in range(rnd.choice((5, 20, 60)))]
        ops.append(number % verbs)
        found.append(config + b"".join(bytes((op, *rnd.randbytes(rnd.randrange(7)))) for op in ops))
    return found
