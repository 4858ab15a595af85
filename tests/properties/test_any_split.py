"""Any split of the input gives the same events, and no input makes the engine raise or loop."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support import sessions, wire


def start(client: bool, frames_per_turn: int = 0) -> Any:
    """A connection; a client's has four requests under way."""
    limits = Limits(max_concurrent_streams=10, frames_per_turn=frames_per_turn)
    if not client:
        return ServerConnection(limits, now=0.0)
    conn = ClientConnection(limits, now=0.0)
    for n in range(4):
        conn.send_request(b"GET", b"https", b"a.example", b"/%d" % n, [], end_stream=True)
    return conn


def run(conn: Any, pieces: list[bytes]) -> tuple[list[str], bytes, bool]:
    """Feed pieces, finishing each one's turns; what was seen, what was written, and whether it has ended."""
    seen = []
    for piece in pieces:
        seen += [repr(e) for e in conn.receive_data(piece, 0.0)]
        turns = 0
        while conn.input_pending and not conn.closed:
            seen += [repr(e) for e in conn.receive_data(b"", 0.0)]
            turns += 1
            assert turns < 100_000
    return seen, conn.take_output(), conn.closed


def cut(data: bytes, rnd: random.Random, pieces: int) -> list[bytes]:
    """The bytes in that many pieces, some of them empty."""
    marks = sorted(rnd.randrange(len(data) + 1) for _ in range(pieces - 1))
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True)]


@given(
    seed=st.integers(0, 2**32), pieces=st.integers(2, 60), client=st.booleans(), turn=st.sampled_from([0, 1, 3, 100])
)
@tries(300)
def test_any_split_gives_the_same_events(seed: int, pieces: int, client: bool, turn: int) -> None:
    """The same bytes, cut anywhere and shared out over turns of any length: same events, same output."""
    data = b"".join(sessions.script(seed, client=client, hostile=0.6))
    whole = run(start(client), [data])
    split = run(start(client, turn), cut(data, random.Random(seed), pieces))
    assert whole == split


@pytest.mark.parametrize("seed", range(40))
def test_byte_by_byte(seed: int) -> None:
    """The extreme of it: every read brings one byte."""
    client = seed % 2 == 1
    data = b"".join(sessions.script(seed, client=client, hostile=0.6, frames=20))
    assert run(start(client), [data]) == run(start(client), [data[n : n + 1] for n in range(len(data))])


@given(st.binary(max_size=400), st.booleans())
@tries(400)
def test_noise_never_raises(noise: bytes, client: bool) -> None:
    """Bytes without any sense after a sound start: an end with a GOAWAY at worst, never an exception."""
    conn = start(client)
    conn.receive_data(wire.settings() if client else wire.client_preface(), 0.0)
    _, out, closed = run(conn, [noise])
    reader = wire.FrameReader(expect_preface=client)
    frames = reader.feed(out)
    assert closed == any(f.type == wire.GOAWAY for f in frames) or closed


frame_parts = st.tuples(
    st.one_of(st.integers(0, 16), st.integers(0, 255)),
    st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 0x2D]), st.integers(0, 255)),
    st.one_of(st.integers(0, 12), st.sampled_from([2**31 - 1, 2**31 - 2, 1001])),
    st.binary(max_size=60),
)


@given(st.lists(frame_parts, max_size=40), st.booleans())
@tries(400)
def test_random_frames_never_raise_or_hang(parts: list[tuple[int, int, int, bytes]], client: bool) -> None:
    """Frames of any type with any flags on any stream: no exception, every answer a legal frame, an end in sight."""
    conn = start(client)
    conn.receive_data(wire.settings() if client else wire.client_preface(), 0.0)
    seen, out, closed = run(conn, [wire.frame(*part) for part in parts])
    wire.FrameReader(expect_preface=client).feed(out)
    assert sum("ConnectionEnded" in event for event in seen) == int(closed)
    assert conn.open_streams <= 10


@given(st.integers(0, 2**32), st.booleans())
@tries(150)
def test_mutated_sessions_never_raise(seed: int, client: bool) -> None:
    """A sound session with some bytes flipped, dropped and doubled."""
    rnd = random.Random(seed)
    data = bytearray(b"".join(sessions.script(seed, client=client, hostile=0.0)))
    head = len(wire.settings() if client else wire.client_preface())
    for _ in range(rnd.randrange(1, 12)):
        at = rnd.randrange(head, len(data))
        kind = rnd.randrange(3)
        if kind == 0:
            data[at] ^= 1 << rnd.randrange(8)
        elif kind == 1:
            del data[at]
        else:
            data[at:at] = data[at : at + rnd.randrange(1, 30)]
    conn = start(client)
    run(conn, [bytes(data)])
    conn.receive_eof(1.0)
    assert conn.closed


def test_memory_does_not_grow_with_unfinished_input() -> None:
    """No input grows without bound: a frame that never ends is kept up to its own length only."""
    conn = start(False)
    conn.receive_data(wire.client_preface() + wire.settings_ack(), 0.0)
    for n in range(2000):
        conn.receive_data(wire.frame(0xFA, 0, 0, b"x" * 8000)[: 4000 if n % 2 else 8009], 0.0)
        if conn.closed:
            break
    assert conn.closed or len(conn.take_output()) < 1_000_000
