"""parts/origins.py alone: the payload of RFC 8336 §2, and its limits."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h2.parts.origins import Origins

from tests.properties.profile import tries


def payload(*origins: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(each)) + each for each in origins)


def receive(origins: Origins, data: bytes) -> list[bytes] | None:
    return origins.receive(b"head" + data + b"tail", 4, 4 + len(data))


def test_new_origins_are_returned_once() -> None:
    origins = Origins()
    assert receive(origins, b"") == [], "the first frame, though empty, makes the set known (RFC 8336 §2.3)"
    assert receive(origins, b"") is None
    assert receive(origins, payload(b"https://a.example", b"not an origin", b"https://b.example")) == [
        b"https://a.example",
        b"https://b.example",
    ]
    assert receive(origins, payload(b"https://a.example")) is None
    assert origins.known == [b"https://a.example", b"https://b.example"]


def test_origins_are_bounded_in_number_and_bytes() -> None:
    origins = Origins()
    for each in range(10):
        receive(origins, payload(*(b"https://%d-%d.example" % (each, one) for one in range(20))))
    assert len(origins.known) == 64
    long = Origins()
    for each in range(10):
        receive(long, payload(b"https://%s-%d.example" % (b"x" * 1_000, each)))
    assert sum(map(len, long.known)) <= 4_096 and len(long.known) == 4


@given(data=st.binary(max_size=100))
@tries(300)
def test_any_payload_is_read_within_its_bounds(data: bytes) -> None:
    for origin in receive(Origins(), data) or []:
        assert origin in data
