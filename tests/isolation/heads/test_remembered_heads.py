"""A head that is remembered is that of the fields that were asked for, whatever came in between.

Each test runs on both roles and, where it applies, both protocols; somebody independent reads what was meant.
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine.errors import InvalidFieldError, LocalProtocolError

from tests.isolation.heads.speakers import MULTIPLEXING, SPEAKERS, H1Client, H2Client, H2Server
from tests.support.h1_rig import head

everywhere = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda each: each.__name__)
over_http_2 = pytest.mark.parametrize("speaker", MULTIPLEXING, ids=lambda each: each.__name__)

A = [(b"content-type", b"text/a")]
B = [(b"content-type", b"text/b")]
C = [(b"x-new", b"1")]


@everywhere
@pytest.mark.parametrize("form", [list, tuple])
def test_a_head_is_not_sent_from_an_older_table(speaker: Any, form: Any) -> None:
    """A, A, B, C, A: C is sent without being settled, and moves what the memory was made at."""
    side = speaker()
    held = {id(each): form(each) for each in (A, B, C)}
    for fields in (A, A, B, C, A, B, C, A):
        assert side.say(held[id(fields)]) == fields


def _of(user: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-user", user), (b"x-api-key", b"key of " + user), (b"content-type", b"text/plain")]


@everywhere
def test_alice_is_not_sent_with_the_key_of_bob(speaker: Any) -> None:
    """What is refused sets nothing back: three of bob's, three of alice's, and a refusal."""
    side = speaker()
    bob, alice = _of(b"bob"), _of(b"alice")
    for _ in range(3):
        assert side.say(bob, b"content") == bob
    for _ in range(3):
        assert side.say(alice, b"content") == alice
    side.refuse()
    assert side.say(alice, b"content") == alice
    assert side.say(bob, b"content") == bob


@over_http_2
@pytest.mark.parametrize("moves", [1, 2, 3])
def test_trailers_and_a_refusal_set_nothing_back(speaker: Any, moves: int) -> None:
    """The same with trailers, which are encoded past the memory, and move the table by 1, 2 or 3 entries."""
    side = speaker()
    bob, alice = _of(b"bob"), _of(b"alice")
    open_streams = [side.begin(alice) for _ in range(2 * moves)]
    for fields in (bob, bob, bob, alice, alice, alice):
        assert side.say(fields, b"content") == fields
    for move in range(moves):
        for _ in range(2):
            trailers = [(b"x-sum", b"%d" % move)]
            assert side.trailers(open_streams.pop(), trailers) == trailers
    side.refuse()
    for fields in (alice, bob, alice, alice, bob):
        assert side.say(fields, b"content") == fields


@over_http_2
@pytest.mark.parametrize("size", [0, 100, 4096, 65_536])
def test_a_refusal_after_another_table_size_sets_nothing_back(speaker: Any, size: int) -> None:
    side = speaker()
    side.resize(2_000)
    for fields in (A, A, A, C, C, C, B):
        assert side.say(fields) == fields
    side.resize(size)
    side.refuse()
    for fields in (B, A, C, B, A):
        assert side.say(fields) == fields


class Pair:
    """A pair that is neither tuple nor list, has the hash of its identity, and can change."""

    def __init__(self, name: bytes, value: bytes) -> None:
        self.both = [name, value]

    def __len__(self) -> int:
        return 2

    def __getitem__(self, place: int) -> bytes:
        return self.both[place]


def _changing(kind: str) -> tuple[Any, Any]:
    """Fields of one kind, and what sets the value in them."""
    if kind == "a list in a list":
        inner = [[b"x-user", b"-"]]
        return inner, lambda value: inner[0].__setitem__(1, value)
    if kind == "a list in a tuple":
        pair = [b"x-user", b"-"]
        return (pair,), lambda value: pair.__setitem__(1, value)
    if kind == "an object in a list":
        one = Pair(b"x-user", b"-")
        return [one], lambda value: one.both.__setitem__(1, value)
    if kind == "an object in a tuple":
        other = Pair(b"x-user", b"-")
        return (other,), lambda value: other.both.__setitem__(1, value)
    fields = [(b"x-user", b"-")]
    return fields, lambda value: fields.__setitem__(0, (b"x-user", value))


@everywhere
@pytest.mark.parametrize(
    "kind",
    ["a list", "a list in a list", "a list in a tuple", "an object in a list", "an object in a tuple"],
)
def test_fields_that_the_caller_changes_are_not_recognised(speaker: Any, kind: str) -> None:
    """`H[0][1] = user` for each request, and the same H given again."""
    side = speaker()
    fields, set_value = _changing(kind)
    for user in (b"alice", b"alice", b"alice", b"bob", b"bob", b"carol", b"alice", b"bob"):
        set_value(user)
        assert side.say(fields) == [(b"x-user", user)]
        assert side.say(fields) == [(b"x-user", user)]


class Named(tuple[bytes, bytes]):
    """A pair of a class of its own."""


class Text(bytes):
    """A value of a class of its own, which says of itself what it likes."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __bytes__(self) -> bytes:
        return b"anything"


@everywhere
def test_fields_of_any_make_are_sent_as_they_are(speaker: Any) -> None:
    """An iterator, which can be read once; pairs and values of derived classes."""
    side = speaker()
    for user in (b"alice", b"alice", b"alice", b"bob", b"alice", b"bob"):
        for pair in ((b"x-user", user), Named((b"x-user", user)), (b"x-user", Text(user)), (Text(b"x-user"), user)):
            assert side.say(iter([pair])) == [(b"x-user", user)]
            for fields in ((pair,), [pair], [list(pair)]):
                assert side.say(fields) == [(b"x-user", user)]


class Stripped(Text):
    """A value that gives something else to whoever takes the spaces off it."""

    def strip(self, characters: object = None, /) -> bytes:
        return b"anything"

    def lower(self) -> bytes:
        return b"anything"


@everywhere
def test_trailers_of_derived_bytes_are_sent_as_they_are(speaker: Any) -> None:
    """As fields of heads are; over HTTP/1.1 they stand behind the last chunk."""
    for pair in ((b"x-user", Stripped(b"alice")), (Stripped(b"x-user"), b"alice")):
        side = speaker()
        assert side.say([pair]) == [(b"x-user", b"alice")]
        if side.multiplexes:
            assert side.trailers(side.begin([]), [pair]) == [(b"x-user", b"alice")]
            continue
        if isinstance(side, H1Client):
            stream_id = side.conn.send_request(b"POST", b"http", b"a.example", b"/", [], end_stream=False)
        else:
            (request,) = side.rig.feed(head())
            stream_id = request.stream_id
            side.conn.send_headers(stream_id, 200, [])
        side.conn.send_trailers(stream_id, [pair])
        assert side.rig.take().endswith(b"\r\n\r\n0\r\nx-user: alice\r\n\r\n")


@everywhere
def test_a_changing_value_is_refused_every_time(speaker: Any) -> None:
    """A bytearray, or a view of one, is not bytes: it is told so, and never compared with what was sent."""
    side = speaker()
    for _ in range(3):
        assert side.say([(b"x-user", b"alice")]) == [(b"x-user", b"alice")]
    for value in (bytearray(b"bob"), memoryview(bytearray(b"bob")), "bob"):
        for pair in ((b"x-user", value), [b"x-user", value]):
            for fields in ([pair], (pair,)):
                with pytest.raises(InvalidFieldError, match="must be bytes"):
                    side.say(fields)
                if not isinstance(side, (H2Server, H2Client)):
                    side = speaker()  # its request is still unanswered


@everywhere
def test_what_is_dropped_belongs_to_the_head(speaker: Any) -> None:
    """`drop_connection_fields` changes between two responses: what was remembered under the other rule is not sent."""
    fields = [(b"keep-alive", b"1"), (b"x-user", b"alice")]
    side = speaker()
    side.conn.drop_connection_fields = True
    for _ in range(4):
        assert side.say(fields) == [(b"x-user", b"alice")]
    side.conn.drop_connection_fields = False
    with pytest.raises(InvalidFieldError, match="connection-specific"):
        side.say(fields)


@pytest.mark.parametrize("speaker", SPEAKERS[:2], ids=lambda each: each.__name__)
def test_default_fields_belong_to_the_head(speaker: Any) -> None:
    """A new date is in the next response, also where all else is as before."""
    side = speaker()
    for date in (b"one", b"one", b"two", b"two", b"one", b"three", b"two"):
        side.conn.set_default_fields(((b"date", date),))
        for fields in (A, A, A, B):
            assert side.say(fields) == [*fields, (b"date", date)]


@everywhere
def test_the_length_belongs_to_the_head(speaker: Any) -> None:
    """The same fields with contents of several lengths, alternating with others."""
    side = speaker()
    for size in (1, 1, 22, 333, 1, 22, 22, 4_444, 1):
        for fields in (A, A, B, C):
            assert side.say(fields, b"x" * size) == fields
    for size in (1, 22, 333):
        assert side.say([*A, (b"content-length", b"%d" % size)], b"x" * size) == A
        with pytest.raises((LocalProtocolError, InvalidFieldError), match="content-length says"):
            side.say([*A, (b"content-length", b"%d" % size)], b"x" * (size + 1))
        if not isinstance(side, (H2Server, H2Client)):
            side = speaker()  # its request is still unanswered
