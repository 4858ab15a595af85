"""The differential garden: one corpus for us and for other people's servers, and every difference that matters.

`python -m tests.conformance.garden.run [PEER...]` runs it with all that are installed (peers.py), and prints

- what we took for a request and another server did not, or read otherwise: each has to be explained in `EXPLAINED`;
- with `-v` also what we refuse and others take.

Exit code 1 when a difference is not explained. `test_garden.py` does the same with h11, httptools and uvicorn, in
memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from tests.conformance.garden.corpus import corpus
from tests.conformance.garden.inside import Reading, by_h11, by_headrace, by_httptools, by_uvicorn
from tests.conformance.garden.verdicts import EXPLAINED, Verdict

Reader = Callable[[bytes], Reading]

INSIDE: dict[str, Reader] = {
    "h11": by_h11,
    "httptools": by_httptools,
    "uvicorn-h11": partial(by_uvicorn, "h11"),
    "uvicorn-httptools": partial(by_uvicorn, "httptools"),
}


class Difference(NamedTuple):
    """An input that we read more generously than `peer`, or otherwise."""

    name: str
    peer: str
    kind: str
    """`refused`: it took fewer requests, and said no. `waits`: it took fewer, and waits for more or has closed.
    `otherwise`: a request is not the same."""
    ours: Reading
    theirs: Reading

    @property
    def verdict(self) -> Verdict | None:
        """The explanation, if there is one."""
        for verdict in EXPLAINED:
            if verdict.covers(self.name, self.peer, self.kind):
                return verdict
        return None


def compare(name: str, peer: str, ours: Reading, theirs: Reading) -> Difference | None:
    """Return what we took beyond what `peer` took; None where it took as much, or more."""
    for mine, its in zip(ours.messages, theirs.messages, strict=False):
        if mine != its:
            return Difference(name, peer, "otherwise", ours, theirs)
    if len(ours.messages) > len(theirs.messages):
        kind = "refused" if theirs.end.startswith("refused") else "waits"
        return Difference(name, peer, kind, ours, theirs)
    return None


def differences(readings: Mapping[str, Mapping[str, Reading]]) -> list[Difference]:
    """All differences from `readings`, peer by peer and name by name, of the whole corpus."""
    ours = {name: by_headrace(data) for name, data in corpus().items()}
    found = (compare(name, peer, ours[name], read[name]) for peer, read in readings.items() for name in ours)
    return [each for each in found if each is not None]


def stricter(readings: Mapping[str, Mapping[str, Reading]]) -> list[tuple[str, str, list[str]]]:
    """What we refuse and others take: name, our answer, and who takes more."""
    rows = []
    for name, data in corpus().items():
        ours = by_headrace(data)
        more = [peer for peer, read in readings.items() if len(read[name].messages) > len(ours.messages)]
        if more:
            rows.append((name, ours.end, more))
    return rows


def read_inside(peers: Iterable[str] = INSIDE) -> dict[str, dict[str, Reading]]:
    """The readings of the servers that need no socket."""
    return {peer: {name: INSIDE[peer](data) for name, data in corpus().items()} for peer in peers}


def main(arguments: list[str]) -> int:
    from tests.conformance.garden import peers as garden_peers

    wanted = [each for each in arguments if each != "-v"]
    readings = read_inside([peer for peer in INSIDE if not wanted or peer in wanted])
    readings |= garden_peers.read(corpus(), wanted)
    print(f"{len(corpus())} inputs; peers: {', '.join(readings)}")
    found = differences(readings)
    for name in {each.name: None for each in found}:
        print(f"\n{name}: {corpus()[name][:300]!r}")
        print(f"  headrace: {described(by_headrace(corpus()[name]))}")
        for each in found:
            if each.name == name:
                reason = each.verdict.reason if each.verdict is not None else "NOT EXPLAINED"
                print(f"  {each.peer} {each.kind}: {described(each.theirs)} -- {reason}")
    left = [each for each in found if each.verdict is None]
    alone = [n for n in {e.name for e in found} if sum(e.name == n for e in found) == len(readings)]
    print(f"\n{len(found)} differences, {len(left)} not explained; taken by us alone: {alone or 'nothing'}")
    if "-v" in arguments:
        print("\nwhat we refuse and others take:")
        for name, end, more in stricter(readings):
            print(f"  {name}: {end}; {', '.join(more)}")
    return 1 if left else 0


def described(reading: Reading) -> str:
    messages = ", ".join(
        f"{m.method} {m.target[:60]}" + (f" {m.content[:40]!r}" if m.content else "") for m in reading.messages
    )
    return f"[{messages}] {reading.end}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
