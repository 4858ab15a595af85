"""The lines of `headrace get -v` about a connection, read from bytes of another frame writer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from headrace.cli.get.frames import FrameReader, TraceLine
from headrace.cli.get.tap import RECEIVED, SENT, Tap, Wire

from tests.support import wire

REQUEST = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.test"), (b":path", b"/a")]


def texts(lines: Iterable[TraceLine]) -> list[str]:
    return [" ".join(line.text.split()) for line in lines]


def told(data: bytes, expects_preface: bool = False) -> list[str]:
    """Return the lines about `data`; they are the same however `data` is cut."""
    whole = FrameReader(expects_preface).feed(data)
    reader = FrameReader(expects_preface)
    assert [line for at in range(len(data)) for line in reader.feed(data[at : at + 1])] == whole
    return texts(whole)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (wire.data(1, b"x" * 2000, end_stream=True), "DATA stream 1 2,000 END_STREAM"),
        (wire.frame(wire.DATA, 0x49, 7, b"abc"), "DATA stream 7 3 END_STREAM PADDED flags 0x40"),
        (wire.frame(wire.SETTINGS, 0, 0, bytes.fromhex("000300000064 00040000ffff abcd00000001")),
         "SETTINGS stream 0 18 MAX_CONCURRENT_STREAMS 100 INITIAL_WINDOW_SIZE 65,535 0xabcd 1"),
        (wire.frame(wire.SETTINGS, wire.ACK, 0), "SETTINGS stream 0 0 ACK"),
        (wire.frame(wire.SETTINGS, 0, 0, b"\0\x05\0\0\x40\0" * 20),
         "SETTINGS stream 0 120" + " MAX_FRAME_SIZE 16,384" * 16 + " and 4 more"),
        (wire.frame(wire.WINDOW_UPDATE, 0, 3, (70_000).to_bytes(4, "big")), "WINDOW_UPDATE stream 3 4 +70,000"),
        (wire.frame(wire.RST_STREAM, 0, 3, (8).to_bytes(4, "big")), "RST_STREAM stream 3 4 CANCEL"),
        (wire.frame(wire.RST_STREAM, 0, 3, (99).to_bytes(4, "big")), "RST_STREAM stream 3 4 0x63"),
        (wire.frame(wire.GOAWAY, 0, 0, bytes.fromhex("00000005 0000000b") + b"calm\x1b["),
         r'GOAWAY stream 0 14 last stream 5 ENHANCE_YOUR_CALM "calm\x1b["'),
        (wire.frame(wire.PING, wire.ACK, 0, b"12345678"), "PING stream 0 8 ACK 3132333435363738"),
        (wire.frame(wire.PRIORITY_UPDATE, 0, 0, b"\0\0\0\x05u=1"), "PRIORITY_UPDATE stream 0 7 of stream 5 u=1"),
        (wire.frame(wire.ORIGIN, 0, 0, b"\0\x09https://a\0\x09https://b"), "ORIGIN stream 0 22 https://a https://b"),
        (wire.frame(wire.ALTSVC, 0, 0, b'\0\0h3=":443"'), 'ALTSVC stream 0 11 h3=":443"'),
        (wire.frame(0x33, 0x5, 9, b"??"), "type 0x33 stream 9 2 flags 0x5"),
        (wire.frame(wire.RST_STREAM, 0, 3, b"\0"), "RST_STREAM stream 3 1"),
        (wire.frame(wire.GOAWAY, 0, 0, b"\0"), "GOAWAY stream 0 1"),
    ],
)  # fmt: skip
def test_a_frame_is_one_line(raw: bytes, text: str) -> None:
    assert told(raw) == [text]


def test_the_preface_is_told_and_fields_follow_their_frames() -> None:
    block = wire.literals(REQUEST)
    data = wire.PREFACE + wire.frame(wire.HEADERS, wire.END_STREAM, 1, block[:9])
    data += wire.frame(wire.CONTINUATION, wire.END_HEADERS, 1, block[9:])
    assert told(data, True) == [
        "connection preface",
        "HEADERS stream 1 9 END_STREAM",
        f"CONTINUATION stream 1 {len(block) - 9} END_HEADERS",
        ":method: GET",
        ":scheme: https",
        ":authority: example.test",
        ":path: /a",
    ]


def test_padding_and_priority_are_no_fields() -> None:
    block = wire.literals([(b":status", b"200")])
    payload = bytes([3]) + b"\0\0\0\0\x10" + block + b"\0\0\0"
    flags = wire.END_HEADERS | wire.PADDED | wire.PRIORITY_FLAG
    assert told(wire.frame(wire.HEADERS, flags, 1, payload))[1:] == [":status: 200"]


def test_a_field_cannot_move_the_cursor_nor_give_a_secret_away() -> None:
    block = wire.literals(
        [
            (b":status", b"200"),
            (b"x", b"\x1b[2J\r\xff"),
            (b"authorization", b"Basic c2VjcmV0"),
            (b"Authorization", b"tok"),
        ]
    )
    assert told(wire.frame(wire.HEADERS, wire.END_HEADERS, 1, block))[1:] == [
        ":status: 200",
        r"x: \x1b[2J\r\xff",
        "authorization: Basic [hidden, 8 bytes]",
        "Authorization: [hidden, 3 bytes]",
    ]


def test_a_field_block_that_is_wrong_is_said_once_and_frames_go_on() -> None:
    bad = wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"\x80")
    good = wire.frame(wire.HEADERS, wire.END_HEADERS, 3, wire.literals(REQUEST))
    assert told(bad + good) == [
        "HEADERS stream 1 1 END_HEADERS",
        "fields cannot be shown from here on: index 0 is not used (RFC 7541 §6.1)",
        f"HEADERS stream 3 {len(wire.literals(REQUEST))} END_HEADERS",
    ]


def test_a_payload_without_end_is_counted_and_not_kept() -> None:
    reader = FrameReader(False)
    head = wire.frame(wire.HEADERS, wire.END_HEADERS, 1, b"", length=2**24 - 1)
    assert texts(reader.feed(head + b"x" * 1000)) == [
        "HEADERS stream 1 16,777,215 END_HEADERS",
        "fields cannot be shown from here on: a block of this size is not kept",
    ]
    for _ in range(100):
        assert reader.feed(b"x" * 100_000) == []
    assert len(reader._buffer) == 0
    reader.feed(b"x" * (2**24 - 1 - 1000 - 10_000_000))
    assert texts(reader.feed(wire.frame(wire.PING, 0, 0, b"12345678"))) == ["PING stream 0 8 3132333435363738"]


def test_continuations_without_end_are_not_kept() -> None:
    reader = FrameReader(False)
    reader.feed(wire.frame(wire.HEADERS, 0, 1, b"x" * 16_384))
    lines = [line for _ in range(40) for line in reader.feed(wire.frame(wire.CONTINUATION, 0, 1, b"x" * 16_384))]
    assert sum("cannot be shown" in line.text for line in lines) == 1
    assert reader._block is None


def test_a_larger_table_is_allowed_once_the_other_side_has_said_so() -> None:
    out, back = FrameReader(False), FrameReader(False)
    out.other, back.other = back, out
    update = bytes.fromhex("3fe17f")  # dynamic table size update to 16,384 (RFC 7541 §6.3)
    frame = wire.frame(wire.HEADERS, wire.END_HEADERS, 1, update + wire.literals(REQUEST))
    assert "cannot be shown" in FrameReader(False).feed(frame)[1].text
    out.feed(wire.frame(wire.SETTINGS, 0, 0, b"\0\x01\0\0\x40\0"))
    assert texts(back.feed(frame))[1] == ":method: GET"


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, direction: str, lines: list[TraceLine]) -> None:
        self.lines += [f"{direction} {text}" for text in texts(lines)]


def test_the_first_bytes_say_which_protocol_it_is() -> None:
    told = Told()
    both = Wire(told)
    both.sent(wire.PREFACE[:10])
    both.sent(wire.PREFACE[10:] + wire.frame(wire.SETTINGS, 0, 0))
    both.received(wire.frame(wire.SETTINGS, 0, 0))
    assert told.lines == ["> connection preface", "> SETTINGS stream 0 0", "< SETTINGS stream 0 0"]


def test_who_speaks_first_is_told() -> None:
    told = Told()
    Wire(told).received(b"220 ready\r\n")
    assert told.lines == ["< 11 bytes before any request"]


def test_http_1_heads_are_told_and_content_is_counted() -> None:
    told = Told()
    both = Wire(told)
    both.sent(b"POST /a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer abc\r\n\r\nhello")
    both.sent(b" world")
    both.received(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 ")
    both.received(b"OK\r\ncontent-length: 4\r\n\r\nHT")
    both.received(b"TP")
    both.sent(b"GET /b HTTP/1.1\r\nhost: a\r\n\r\n")
    both.received(b"HTTP/1.1 204 No Content\r\n\r\n")
    both.ended()
    assert told.lines == [
        "> POST /a HTTP/1.1", "> host: a", "> authorization: Bearer [hidden, 3 bytes]", "> 5 bytes of content",
        "> 6 bytes of content",
        "< HTTP/1.1 103 Early Hints", "< link: </a>",
        "< HTTP/1.1 200 OK", "< content-length: 4",
        "< 4 bytes of content", "> GET /b HTTP/1.1", "> host: a",
        "< HTTP/1.1 204 No Content",
    ]  # fmt: skip


def test_after_101_nothing_looks_like_a_head() -> None:
    told = Told()
    both = Wire(told)
    both.sent(b"GET /ws HTTP/1.1\r\nupgrade: websocket\r\n\r\n")
    both.received(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n")
    both.sent(b"GET / HTTP/1.1\r\n\r\n")
    assert told.lines[-1] == "> 18 bytes of content"


def test_a_response_head_without_end_is_not_kept() -> None:
    told = Told()
    both = Wire(told)
    both.sent(b"GET / HTTP/1.1\r\n\r\n")
    for _ in range(100):
        both.received(b"x" * 10_000)
    both.ended()
    assert told.lines[1:] == ["< 1,000,000 bytes of content"]


def test_the_tap_hands_everything_on() -> None:
    calls: list[Any] = []

    class Below(asyncio.Transport):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("__"):
                return super().__getattribute__(name)
            return lambda *arguments: calls.append((name, *arguments)) or name  # type: ignore[func-returns-value]

    class Above(asyncio.Protocol):
        transport: asyncio.Transport

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            calls.append(("data_received", data))

        def eof_received(self) -> bool:
            return True

        def pause_writing(self) -> None:
            calls.append("pause_writing")

        def resume_writing(self) -> None:
            calls.append("resume_writing")

        def connection_lost(self, exc: Exception | None) -> None:
            calls.append(("connection_lost", exc))

    lines = Told()
    above = Above()
    tap = Tap(above, lines)
    tap.connection_made(Below())
    transport = above.transport
    transport.write(b"GET / HTTP/1.1\r\n\r\n")
    transport.writelines([b"a", b"b"])
    tap.data_received(b"HTTP/1.1 200 OK\r\n\r\nxyz")
    tap.pause_writing()
    tap.resume_writing()
    assert tap.eof_received() is True
    names = ["get_extra_info", "get_write_buffer_size", "set_write_buffer_limits", "is_reading", "pause_reading"]
    names += ["resume_reading", "can_write_eof", "write_eof", "is_closing", "close", "abort"]
    for name in names:
        getattr(transport, name)(*(["peername"] if name == "get_extra_info" else []))
    tap.connection_lost(None)
    assert calls == [
        ("write", b"GET / HTTP/1.1\r\n\r\n"),
        ("write", b"ab"),
        ("data_received", b"HTTP/1.1 200 OK\r\n\r\nxyz"),
        "pause_writing",
        "resume_writing",
        ("get_extra_info", "peername", None),
        ("get_write_buffer_size",),
        ("set_write_buffer_limits", None, None),
        *[(name,) for name in names[3:]],
        ("connection_lost", None),
    ]
    assert lines.lines == [
        f"{SENT} GET / HTTP/1.1",
        f"{SENT} 2 bytes of content",
        f"{RECEIVED} HTTP/1.1 200 OK",
        f"{RECEIVED} 3 bytes of content",
    ]
