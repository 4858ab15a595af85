"""WebSocket floods for `besieged`: frames that bring next to nothing, and messages that inflate a thousandfold.

Over HTTP/2 a flood opens any number of streams and stays within the windows that a server opens with, so that nothing
but its work can be too much.
"""

from __future__ import annotations

import functools
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator

from tests.engine.ws.raw_frames import BINARY, CONT, PING, TEXT, frame
from tests.support import wire
from tests.turns import Flood

DEFLATED = 0x40
LARGEST = 1_048_576
H2_STREAM = 250_000  # bytes of a stream, within its first window
H2_CONNECTION = 1_000_000
_BATCH = 65_536
_DATA = 16_000


def packed(data: bytes) -> bytes:
    """One deflated message that refers to none before it."""
    packer = zlib.compressobj(9, wbits=-12)
    raw = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    assert raw.endswith(b"\x00\x00\xff\xff")
    return raw[:-4]


@functools.cache
def empty_fragments() -> bytes:
    """A message of 4,000 empty fragments, within what a message may cost."""
    return frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 3_998 + frame(CONT, b"")


@functools.cache
def crumbs() -> bytes:
    """A message of fragments of 1 to 5 bytes, with pings between."""
    pieces = [frame(TEXT, b"x", fin=False)]
    for number in range(3_800):
        pieces.append(frame(CONT, b"xxxxx"[: number % 5 + 1], fin=False))
        pieces.append(frame(PING, b"%d" % (number % 10)))
    return b"".join([*pieces, frame(CONT, b"x")])


@functools.cache
def empty_messages() -> bytes:
    return frame(BINARY, b"") * 4_000


@functools.cache
def bombs() -> bytes:
    """Messages of a kilobyte that inflate to just the limit."""
    return frame(BINARY, packed(bytes(LARGEST)), rsv=DEFLATED) * 16


@functools.cache
def text_bombs() -> bytes:
    """The same as text in four bytes a character, whose UTF-8 has to be checked."""
    return frame(TEXT, packed("\U0001f600".encode() * (LARGEST // 4)), rsv=DEFLATED) * 16


@functools.cache
def tiny_deflated() -> bytes:
    """Deflated messages that are empty."""
    return frame(BINARY, b"\x00", rsv=DEFLATED) * 4_000


@functools.cache
def ended_blocks() -> bytes:
    """A message of DEFLATE streams that end at once: each has to begin another."""
    return frame(BINARY, b"\x03\x00" * 500 + b"\x00", rsv=DEFLATED) * 16


def empty_blocks(size: int) -> bytes:
    """About `size` bytes of DEFLATE blocks that hold nothing, each with a Huffman code of its own: 90 bits a block, the
    longest way to nothing (RFC 1951 §3.2.7)."""
    bits = [0, 0, 1]  # BFINAL 0, BTYPE 2, its low bit first
    bits += [0] * 10  # HLIT and HDIST: 257 and 1 codes
    bits += [0, 1, 1, 1]  # HCLEN: 18 lengths of three bits, in RFC 1951's order, where 18 and 1 have a bit each
    for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1):
        bits += [int(symbol in (18, 1)), 0, 0]
    for zeros in (138, 118):  # the lengths of 0 to 255, none of which is used
        bits += [1, *((zeros - 11) >> place & 1 for place in range(7))]
    bits += [0, 0, 0]  # the lengths of 256 and of the one distance; then 256: the block ends
    data = sum(bit << place for place, bit in enumerate(bits * 8)).to_bytes(len(bits), "little")
    return data * (size // len(data))


@functools.cache
def blocks_of_nothing() -> bytes:
    """A message of a megabyte that inflates to nothing."""
    return frame(BINARY, empty_blocks(1_000_000) + b"\x00", rsv=DEFLATED)


UPGRADE = (
    b"GET /ws/%s HTTP/1.1\r\nhost: example.com\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: c2l4dGVlbiBvY3RldHMhIQ==\r\n"
    b"sec-websocket-extensions: permessage-deflate\r\n\r\n"
)


def over_h1(make: Callable[[], bytes], path: bytes = b"read", most: int = 0) -> Flood:
    """The flood over HTTP/1.1: what `make` gives, for ever, or `most` times."""

    def flood() -> Iterator[bytes]:
        yield UPGRADE % path
        block = make()
        yield from itertools.repeat(block, most) if most else itertools.repeat(block)

    return flood


def over_h2(make: Callable[[], bytes], path: bytes = b"read", streams: int = 10, scheme: bytes = b"http") -> Flood:
    """The flood over HTTP/2, on `streams` streams of a connection, within its first windows."""

    def flood() -> Iterable[bytes]:
        fields = [
            (b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", scheme), (b":path", b"/ws/" + path),
            (b":authority", b"example.com"), (b"sec-websocket-version", b"13"),
            (b"sec-websocket-extensions", b"permessage-deflate"),
        ]  # fmt: skip
        identifiers = range(1, 2 * streams, 2)
        opening = b"".join(wire.headers(each, fields) for each in identifiers)
        yield wire.client_preface({4: 1_000_000}) + wire.settings_ack() + wire.window_update(0, 2**30) + opening
        block = make()
        most = min(H2_STREAM, H2_CONNECTION // streams)
        raw = (block * (most // len(block) + 1))[:most]
        for start in range(0, most, _DATA):
            piece = raw[start : start + _DATA]
            yield b"".join(wire.data(each, piece) for each in identifiers)

    return flood
