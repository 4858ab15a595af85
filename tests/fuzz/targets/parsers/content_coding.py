"""Content codings: what the client takes off, what the server puts on, and how it chooses.

Property: no content raises anything but DecodingError; no step gives more than its size, and memory stays within it.
Any cut of the content gives the same result. What the server codes, flushed anywhere, the client decodes to the same
bytes; a content that was cut off, or with bytes changed, never passes as another one of the same length without an
error where the coding has a checksum. No accept-encoding raises, and what is chosen is acceptable.
"""

from __future__ import annotations

from headrace.client.errors import DecodingError
from headrace.client.message.decoding import STEP, ContentDecoder, codings_of
from headrace.server.content_coding import IDENTITY, available, choose, encoder_factory, weights

from tests.fuzz.meter import Meter
from tests.fuzz.source import Source, pieces

CODINGS = ("gzip", "deflate", "br", "zstd")
WORDS = (
    "gzip",
    "br",
    "zstd",
    "*",
    "identity",
    ";q=0",
    ";q=1",
    ";q=0.5",
    ",",
    " ",
    "x-gzip",
    ";q=1.001",
    "deflate",
    "\t;Q=0.001",
    "q=",
    "é",
)


def target(data: bytes) -> None:
    """Decode bytes; code and decode a content; choose a coding."""
    source = Source(data)
    chain = [source.pick(CODINGS) for _ in range(1 + source.below(2))]
    size = 1 + source.below(50)
    whole = content_from(source)
    coding = source.pick(available())
    made = coded(source, coding, whole)
    assert decode([made], [coding], b"\0") == whole, f"{coding} does not come back"
    damaged = bytearray(made)
    for _ in range(1 + source.below(3)):
        damaged[source.below(len(damaged))] ^= source.byte()
    got = decode([bytes(damaged)], [coding], data)
    if coding == "gzip" and got is not None and bytes(damaged[10:]) != made[10:]:
        assert got == whole, "damaged, and nobody says so"
    assert decode(pieces(bytes(damaged), size), [coding], b"\0") == got
    choose_one(source)
    noise = source.rest()
    assert decode([noise], chain, data) == decode(pieces(noise, size), chain, b"\0"), f"cut into {size}"


def decode(parts: list[bytes], chain: list[str], data: bytes) -> bytes | None:
    """Return the content; None where it is malformed."""
    decoder = ContentDecoder(chain)
    meter = Meter(data, calls_a_byte=50, bytes_a_byte=50)
    found = b""
    try:
        for part in parts:
            steps = decoder.feed(part)
            while True:
                piece = meter.run(next, steps, None, size=4 * STEP + 8_000_000)
                if piece is None:
                    break
                assert len(piece) <= 2 * STEP
                found += piece
        decoder.finish()
    except DecodingError:
        return None
    return found


def content_from(source: Source) -> bytes:
    """Return a content."""
    return source.take(source.below(60)) * source.pick((1, 1, 20, 500))


def coded(source: Source, coding: str, content: bytes) -> bytes:
    """Code a content in pieces, with a flush between them now and then."""
    encoder = encoder_factory(coding, source.pick((1, 4)))(source.flag())
    made = b""
    for part in pieces(content, 1 + source.below(200)):
        made += encoder.add(part)
        if source.flag(4):
            made += encoder.flush()
    return made + encoder.finish()


def choose_one(source: Source) -> None:
    """Choose by a field of words."""
    value = "".join(source.pick(WORDS) for _ in range(source.below(10)))
    chosen = choose(value, available())
    wanted = weights(value)
    if chosen is None:
        assert wanted.get(IDENTITY, wanted.get("*", 1)) == 0
    elif chosen != IDENTITY:
        assert wanted.get(chosen, wanted.get("*", 0)) > 0
    assert all(coding in CODINGS for coding in codings_of(value.replace(";", ",")))


def seeds() -> list[bytes]:
    """Return each coding, sound and not."""
    found = [
        bytes((n % 4, n % 2, n % 4, n, 30, *range(30), n % 4, n % 3, n % 2, 0, 9, 1, 0, 3, 9, 77, 5, *range(12)))
        for n in range(16)
    ]
    gzip = bytes.fromhex("1f8b08000000000000ff4bc92c4e494d060091c9d3d407000000")
    return [*found, *(head[:30] + gzip for head in found[:8])]
