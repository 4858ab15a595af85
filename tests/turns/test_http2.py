"""HTTP/2: floods that stay within every budget leave others their turn. What budgets end is in tests/security."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from headrace.engine.build import engine_is_compiled
from headrace.engine.hpack import Encoder

from tests.security.support.harness import victim
from tests.support import wire
from tests.turns import GROWTH, MOST_MS, P50_MS, Flood, Siege, besieged, steady

pytestmark = [pytest.mark.slow, pytest.mark.alone]

OPENING = wire.client_preface() + wire.settings_ack()
FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a")]
FRAME = 16_384


def asked(encoder: Encoder, stream_id: int, path: bytes, *more: tuple[bytes, bytes], end: bool = False) -> bytes:
    fields = [*FIELDS, (b":path", path), *more]
    return wire.headers(stream_id, encoder.encode(fields), end_stream=end)


def tiny_data() -> Iterable[bytes]:
    """One byte a frame, read as it comes. No credit is waited for: what is beyond the window ends it after 256 KiB, and
    so twenty uploads share the flood."""
    encoder = Encoder()
    yield OPENING + b"".join(asked(encoder, 1 + 2 * n, b"/read") for n in range(20))
    for _ in range(25):
        for n in range(20):
            yield wire.data(1 + 2 * n, b"x") * 2_000


def requests() -> Iterable[bytes]:
    """Requests that are answered at once, each with a path of its own."""
    encoder = Encoder()
    yield OPENING
    for n in itertools.count():
        yield asked(encoder, 1 + 2 * n, b"/probe?%d" % n, end=True)


def large_sections() -> Iterable[bytes]:
    """The same with many fields, none like the one before."""
    encoder = Encoder()
    yield OPENING
    for n in itertools.count():
        yield asked(encoder, 1 + 2 * n, b"/probe", *((b"x%d" % each, b"%d" % n) for each in range(100)), end=True)


def known_fields() -> Iterable[bytes]:
    """The same with fields of one byte each, out of HPACK's static table."""
    encoder = Encoder()
    yield OPENING
    for n in itertools.count():
        fields = [*FIELDS, (b":path", b"/probe")]
        block = encoder.encode(fields) + b"\x90" * (200 + n % 2)  # accept-encoding: gzip, deflate
        yield wire.headers(1 + 2 * n, block, end_stream=True)


FLOODS: dict[str, Flood] = {
    "DATA of one byte": tiny_data,
    "requests": requests,
    "large field sections": large_sections,
    "known fields": known_fields,
}


LAWFUL = ("requests", "large field sections", "known fields")
"""All that comes is asked for and answered. Twenty such connections are a full house and no attack: they share the
loop, and who comes beside them waits for some turns of theirs, each with so many handlers in it."""


@pytest.mark.parametrize("alpn", ["", "h2"], ids=["cleartext", "TLS"])
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("name", FLOODS)
def test_floods_over_http_2(name: str, count: int, alpn: str) -> None:
    def reading() -> Siege:
        with victim("read", tls=bool(alpn), uvloop=1, drain_timeout_s=0.5) as server:
            return besieged(server, FLOODS[name], count=count, alpn=alpn)

    p50_ms = MOST_MS if name in LAWFUL and count > 1 else P50_MS
    siege = steady(reading, lambda siege: siege.is_quick(p50_ms) and siege.growth <= GROWTH[count])
    assert siege.is_quick(p50_ms) and siege.growth <= GROWTH[count], siege


def test_control_data_without_turns() -> None:
    """Where a turn takes whatever came, a megabyte of the same from each holds others up."""
    with victim("read", frames_per_turn=0) as server:
        count = 20 if engine_is_compiled() else 3
        siege = besieged(server, lambda: itertools.islice(tiny_data(), 50), count=count, longest_s=0.5)
        server.process.kill()  # it would go on for seconds
    assert not siege.is_quick(), siege
