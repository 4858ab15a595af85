"""The table of differences between headrace and its peers: what a row says, and how the tests hold it.

A row is for sessions in which headrace's outcome and a peer's differ in one way for one reason. A difference without a
row is a failure, and so is a row that names a session and a peer between which there is no such difference (any more).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """Why headrace does `ours` in some sessions, and some peers do `theirs`; in both, * stands for any text."""

    sessions: tuple[str, ...]
    peers: tuple[str, ...]
    ours: str
    theirs: str
    reason: str
    """Who is right by which section, or that both are allowed."""

    def covers(self, session: str, peer: str, ours: str, theirs: str) -> bool:
        """Whether this explains a difference."""
        return session in self.sessions and peer in self.peers and fits(self.ours, ours) and fits(self.theirs, theirs)


def row(sessions: str, peers: str, ours: str, theirs: str, reason: str) -> Row:
    """A row; sessions are separated by semicolons, peers by spaces."""
    names = tuple(each.strip() for each in sessions.split(";"))
    return Row(names, tuple(peers.split()), ours, theirs, reason)


def fits(pattern: str, outcome: str) -> bool:
    """Whether an outcome is the one that a row names."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), outcome, re.DOTALL) is not None


class Pair(NamedTuple):
    """The outcomes of one session."""

    session: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.session}\n    headrace: {self.ours}\n    the peer: {self.theirs}"


def unexplained(table: Iterable[Row], peer: str, pairs: Iterable[Pair]) -> list[Pair]:
    """The differences that no row covers."""
    rows = list(table)
    return [
        pair
        for pair in pairs
        if pair.ours != pair.theirs
        and not any(each.covers(pair.session, peer, pair.ours, pair.theirs) for each in rows)
    ]


def stale(table: Iterable[Row], peer: str, pairs: Iterable[Pair]) -> list[str]:
    """Sessions for which a row names a difference from `peer` that is not there, or names another one twice."""
    found: Mapping[str, Pair] = {pair.session: pair for pair in pairs}
    wrong = []
    used: set[str] = set()
    for each in table:
        for session in each.sessions if peer in each.peers else ():
            pair = found.get(session)
            is_there = pair is not None and pair.ours != pair.theirs
            if pair is None or not is_there or not each.covers(session, peer, pair.ours, pair.theirs):
                wrong.append(f"{session}, {each.ours} / {each.theirs}")
            elif session in used:
                wrong.append(f"{session}: twice")
            used.add(session)
    return wrong


def told(found: Iterable[object]) -> str:
    """What a failing test shows."""
    return "\n".join(["", *map(str, found)])
