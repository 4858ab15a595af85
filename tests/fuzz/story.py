"""What is seen of a session, to be compared: over cuts of its input, and between builds of the engine."""

from __future__ import annotations

import contextlib
import random
import zlib
from collections import Counter
from typing import Any

from tests.fuzz.source import Composer, Source

CUTS = ((1, 0), (7, 1), (100, 3), (9, 1), (13, 0), (0, 1), (1, 1), (50, 2), (20_000, 0), (17_000, 2))

MOST_TRIES = 2_000  # sessions that are played to find seeds for edges


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


def seeds_of(session: Any, count: int = 30) -> list[bytes]:
    """Return sessions by the scripts of a session's class, and others by chance, which call each verb."""
    rnd = random.Random(9113)
    names = [verb.__name__ for verb in session.verbs]
    scripts = [[names.index(name) for name in script.split()] for script in session.scripts for _ in range(4)]
    for number in range(count):
        script = list(scripts[4 * (number % len(session.scripts))])
        script += [rnd.randrange(14 if rnd.random() < 0.7 else len(names)) for _ in range(rnd.choice((3, 10, 30)))]
        scripts.append([*script, number % len(names)])
    return [*(compose(session, rnd, script)[0] for script in scripts), *edge_seeds(session, rnd)]


def edge_seeds(session: Any, rnd: random.Random) -> list[bytes]:
    """Return sessions that reach the edges of a session's class, two for each where chance finds them."""
    names = [verb.__name__ for verb in session.verbs]
    missing = Counter(dict.fromkeys(session.edges, 2))
    kept = []
    for _ in range(MOST_TRIES):
        if not missing.total():
            break
        data, reached = compose(session, rnd, [names.index(name) for name in rnd.choice(session.scripts).split()])
        if found := [edge for edge in reached if missing[edge]]:
            missing.subtract(found)
            kept.append(data)
    return kept


def compose(session: Any, rnd: random.Random, script: list[int]) -> tuple[bytes, list[str]]:
    """Return the bytes of a session in which these verbs are called, and the edges that it reaches; where it breaks, up
    to there."""
    composer = Composer(rnd, script)
    played = None
    with contextlib.suppress(Exception):
        played = session(composer)
        played.run()
    return bytes(composer.composed), sorted(played.reached) if played else []
