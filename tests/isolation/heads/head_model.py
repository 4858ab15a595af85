"""What heads ought to say, written once more and in few words; and machines that hold connections to it.

Headers come out of a pool that is small, so that the same ones are sent again and again, in all the forms that callers
use, and are changed by their owner between two calls. What was meant is noted at the time of the call.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from headrace.engine.errors import InvalidFieldError, LocalProtocolError

from tests.isolation.heads.loose_encoder import LooseEncoder

Fields = list[tuple[bytes, bytes]]

NAMES = [b"x-user", b"content-type", b"X-New", b"vary", b"set-cookie", b"x-api-key", b"keep-alive", b"server"]
VALUES = [b"a", b"b", b"c", b" d ", b"value that counts where a table is small", b""]
OF_THE_CONNECTION = b"keep-alive"
SIZES = [0, 60, 100, 200, 1_000, 4_096, 65_536]

fields_strategy = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=3)
place = st.integers(0, 7)


class Refused(Exception):
    """The model's word for a head that must not be sent."""


def meant(headers: Any, drops: bool) -> Fields:
    """The fields of `headers` as they have to arrive. Raises Refused."""
    found: Fields = []
    for name, value in [(each[0], each[1]) for each in headers]:
        if name.lower() == OF_THE_CONNECTION:
            if not drops:
                raise Refused
        elif b"\n" in value:
            raise Refused
        else:
            found.append((name.lower(), value.strip()))
    return found


def formed(fields: Fields, form: int) -> Any:
    """Fields as callers give them: a list or a tuple, of tuples or lists."""
    pairs: list[Any] = [list(pair) if form & 1 else pair for pair in fields]
    return tuple(pairs) if form & 2 else pairs


def change(headers: Any, at: int, pair: tuple[bytes, bytes]) -> None:
    """What an owner does with headers: one pair becomes another, in the list or in the pair."""
    if not headers:
        return
    at %= len(headers)
    if isinstance(headers[at], list):
        headers[at][:] = pair
    elif isinstance(headers, list):
        headers[at] = pair


class HeadsMachine(RuleBasedStateMachine):
    """What both roles share: the pool, and what a peer may do to the tables."""

    speaks_h2 = True

    def __init__(self) -> None:
        super().__init__()
        self.drops = False
        self.pool: list[Any] = [
            formed([(NAMES[1], b"a")], 0),
            formed([(NAMES[1], b"b")], 2),
            formed([(NAMES[0], b"c")], 1),
        ]
        self.random = random.Random(0)
        self.held: list[tuple[int, Fields]] = []
        """Responses whose content has not ended, with their fields."""
        self.last: tuple[int, Callable[[], None]] | None = None
        self.reach()

    def connect(self) -> None:
        """Make a new connection; each machine knows how."""
        raise NotImplementedError

    def reach(self) -> None:
        """A new connection, to a peer whose encoder is new as well."""
        self.loose = LooseEncoder(self.choose)
        self.connect()
        self.side.conn.drop_connection_fields = self.drops

    def choose(self, below: int) -> int:
        """A choice of the peer's encoder."""
        return self.random.randrange(below)

    def given(self, at: int) -> Any:
        """Headers of the pool."""
        return self.pool[at % len(self.pool)]

    def attempt(self, expected: Fields | None, send: Any) -> bool:
        """Call `send`, which has to refuse where `expected` is None. True when it was sent."""
        if expected is None:
            with pytest.raises((InvalidFieldError, LocalProtocolError)):
                send()
            return False
        send()
        return True

    def meant(self, headers: Any) -> Fields | None:
        """As the function, None for what has to be refused."""
        try:
            return meant(headers, self.drops)
        except Refused:
            return None

    @initialize(seed=st.integers(0, 65_535))
    def begin(self, seed: int) -> None:
        """The peer's encoder makes its choices by this seed."""
        self.random.seed(seed)

    @rule(fields=fields_strategy, form=st.integers(0, 3))
    def make(self, fields: Fields, form: int) -> None:
        """More headers, or others in place of some."""
        if len(self.pool) < 8:
            self.pool.append(formed(fields, form))
        else:
            self.pool[len(fields)] = formed(fields, form)

    @rule(at=place, pair=st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)))
    def mutate(self, at: int, pair: tuple[bytes, bytes]) -> None:
        """The owner changes headers that were sent before."""
        change(self.given(at), len(pair[1]), pair)

    @rule(pair=st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), what=st.integers(0, 5))
    def again(self, pair: tuple[bytes, bytes], what: int) -> None:
        """What was sent last is sent again; perhaps its owner has changed it, or something was refused in between."""
        if self.last is not None:
            at, send = self.last
            if what < 3:
                change(self.given(at), len(pair[1]), pair)
            elif what == 3:
                self.drop(not self.drops)
            elif what == 4 and (self.speaks_h2 or not self.held):
                self.side.refuse()
            send()

    def drop(self, drops: bool) -> None:
        """From now on fields of the connection are dropped, or refused."""
        self.drops = drops
        self.side.conn.drop_connection_fields = drops

    @precondition(lambda self: self.speaks_h2)
    @rule(size=st.sampled_from(SIZES))
    def resize(self, size: int) -> None:
        """The peer allows us another table."""
        self.side.resize(size)

    @rule(what=st.integers(0, 5))
    def turn(self, what: int) -> None:
        """Now and then fields of the connection are dropped, or refused; or another connection begins with nothing."""
        if what == 0:
            self.reach()
        elif what <= 2:
            self.drop(what == 1)

    side: Any
