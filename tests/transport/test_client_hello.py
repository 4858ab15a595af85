"""What a client offers in ALPN, read from the first bytes of its connection: right, bounded, and never in the way."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.transport.client_hello import ClientHello

from tests.properties.profile import tries


def hello(*protocols: str) -> bytes:
    """OpenSSL's first flight."""
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def fed(data: bytes, size: int) -> tuple[list[list[bytes]], ClientHello]:
    """What `feed` returned, other than None, of bytes in pieces of `size`."""
    reader = ClientHello()
    found = []
    for start in range(0, len(data), size):
        offered = reader.feed(data[start : start + size])
        if offered is not None:
            found.append(offered)
    return found, reader


def in_records(data: bytes, size: int) -> bytes:
    """The same message in records of `size` bytes."""
    message = data[5:]
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(data[:3] + len(piece).to_bytes(2) + piece for piece in pieces)


@pytest.mark.parametrize("size", [1, 3, 100, 100_000])
@pytest.mark.parametrize("record", [1, 4, 50, 16_384])
def test_the_protocols_however_they_are_cut(size: int, record: int) -> None:
    found, reader = fed(in_records(hello("h2", "foo", "x" * 255), record) + b"\x14\x03\x03\x00\x01\x01", size)
    assert found == [[b"h2", b"foo", b"x" * 255]]
    assert reader.is_over


def test_without_alpn_there_are_none() -> None:
    found, reader = fed(hello(), 1)
    assert (found, reader.is_over) == ([], True)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x16\x03\x01\x00\x00" * 14_000,
        b"\x16\x03\x01\xff\xff\x01\xff\xff\xff" + bytes(70_000),
    ],
)
def test_what_is_no_client_hello_is_left_to_openssl(data: bytes) -> None:
    for size in (1, 1_000):
        found, reader = fed(data, size)
        assert (found, reader.is_over) == ([], True)
        assert len(reader._message) <= 70_010


def test_a_part_is_waited_for() -> None:
    data = hello("h2")
    for end in range(len(data)):
        found, reader = fed(data[:end], 7)
        assert (found, reader.is_over) == ([], False)


@given(st.integers(0, 2_000), st.integers(0, 255), st.integers(1, 50))
@tries(300)
def test_a_message_that_is_damaged_is_read_or_left(position: int, byte: int, size: int) -> None:
    data = bytearray(hello("h2", "http/1.1"))
    data[position % len(data)] = byte
    found, _ = fed(bytes(data), size)
    assert len(found) <= 1
