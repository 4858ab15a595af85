"""HTTP/2 bytes written by hand: a frame writer that can lie, and a reader that believes nothing.

This module is the tests' second opinion. It imports nothing from headrace, so that a mistake in the
engine cannot hide behind the same mistake in its tests. Field sections are written as HPACK literals
without Huffman (RFC 7541 §6.2), which any decoder must take; what the engine writes is read back with
python-hyper's `hpack`.

Every builder takes the parts that a hostile peer may falsify as keyword arguments: `length` (the
length field of the frame header), `flags`, `reserved` (the bit in front of the stream id), `pad`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ALTSVC, ORIGIN, PRIORITY_UPDATE = 0x0A, 0x0C, 0x10

END_STREAM = ACK = 0x01
END_HEADERS = 0x04
PADDED = 0x08
PRIORITY_FLAG = 0x20

(
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    CANCEL,
    COMPRESSION_ERROR,
    CONNECT_ERROR,
    ENHANCE_YOUR_CALM,
    INADEQUATE_SECURITY,
    HTTP_1_1_REQUIRED,
) = range(14)

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = (
    1, 2, 3, 4, 5, 6,
)  # fmt: skip
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9

TYPE_NAMES = {
    DATA: "DATA", HEADERS: "HEADERS", PRIORITY: "PRIORITY", RST_STREAM: "RST_STREAM", SETTINGS: "SETTINGS",
    PUSH_PROMISE: "PUSH_PROMISE", PING: "PING", GOAWAY: "GOAWAY", WINDOW_UPDATE: "WINDOW_UPDATE",
    CONTINUATION: "CONTINUATION", PRIORITY_UPDATE: "PRIORITY_UPDATE",
}  # fmt: skip

Fields = Sequence[tuple[bytes, bytes]]


# --- frames out -----------------------------------------------------------------------------------


def frame(
    type: int, flags: int, stream_id: int, payload: bytes = b"", *, length: int | None = None, reserved: int = 0
) -> bytes:
    """Any frame (RFC 9113 §4.1). `length` overrides the true length of the payload in the header."""
    size = len(payload) if length is None else length
    head = size.to_bytes(3, "big") + bytes((type, flags))
    return head + ((reserved << 31) | stream_id).to_bytes(4, "big") + payload


def padded(payload: bytes, pad: int | None, *, pad_byte: bytes = b"\0", claim: int | None = None) -> bytes:
    """The payload with a Pad Length byte and `pad` bytes behind; `claim` lies about how many."""
    if pad is None:
        return payload
    return bytes((pad if claim is None else claim,)) + payload + pad_byte * pad


def data(
    stream_id: int, payload: bytes = b"", *, end_stream: bool = False, pad: int | None = None,
    claim: int | None = None, flags: int = 0, length: int | None = None, reserved: int = 0, pad_byte: bytes = b"\0",
) -> bytes:  # fmt: skip
    """DATA (§6.1). `pad` bytes of padding; `claim` a false Pad Length; `flags` are added to the right ones."""
    bits = flags | (END_STREAM if end_stream else 0) | (0 if pad is None else PADDED)
    body = padded(payload, pad, claim=claim, pad_byte=pad_byte)
    return frame(DATA, bits, stream_id, body, length=length, reserved=reserved)


def headers(
    stream_id: int,
    block: bytes | Fields,
    *,
    end_stream: bool = False,
    end_headers: bool = True,
    pad: int | None = None,
    claim: int | None = None,
    priority: tuple[bool, int, int] | None = None,
    flags: int = 0,
    length: int | None = None,
    reserved: int = 0,
    pad_byte: bytes = b"\0",
) -> bytes:
    """HEADERS (§6.2). `block` is HPACK bytes, or fields to write as literals; `priority` (exclusive, on, weight)."""
    payload = block if isinstance(block, bytes) else literals(block)
    bits = flags | (END_STREAM if end_stream else 0) | (END_HEADERS if end_headers else 0)
    if priority is not None:
        exclusive, depends_on, weight = priority
        payload = ((int(exclusive) << 31) | depends_on).to_bytes(4, "big") + bytes((weight,)) + payload
        bits |= PRIORITY_FLAG
    if pad is not None:
        bits |= PADDED
    body = padded(payload, pad, claim=claim, pad_byte=pad_byte)
    return frame(HEADERS, bits, stream_id, body, length=length, reserved=reserved)


def priority(
    stream_id: int, depends_on: int = 0, weight: int = 15, *, exclusive: bool = False, payload: bytes | None = None,
    flags: int = 0,
) -> bytes:  # fmt: skip
    """PRIORITY (§6.3). `payload` replaces the five bytes."""
    body = ((int(exclusive) << 31) | depends_on).to_bytes(4, "big") + bytes((weight,))
    return frame(PRIORITY, flags, stream_id, body if payload is None else payload)


def rst_stream(stream_id: int, code: int = CANCEL, *, payload: bytes | None = None, flags: int = 0) -> bytes:
    """RST_STREAM (§6.4)."""
    return frame(RST_STREAM, flags, stream_id, code.to_bytes(4, "big") if payload is None else payload)


def settings(
    values: dict[int, int] | Iterable[tuple[int, int]] = (), *, ack: bool = False, stream_id: int = 0, flags: int = 0,
    payload: bytes | None = None,
) -> bytes:  # fmt: skip
    """SETTINGS (§6.5), from a dict or from pairs, which may repeat an identifier."""
    pairs = values.items() if isinstance(values, dict) else values
    body = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs)
    return frame(SETTINGS, flags | (ACK if ack else 0), stream_id, body if payload is None else payload)


def settings_ack() -> bytes:
    """The empty SETTINGS frame with ACK."""
    return settings(ack=True)


def push_promise(
    stream_id: int, promised_id: int, block: bytes | Fields, *, end_headers: bool = True, pad: int | None = None,
    claim: int | None = None, flags: int = 0, payload: bytes | None = None,
) -> bytes:  # fmt: skip
    """PUSH_PROMISE (§6.6)."""
    data = block if isinstance(block, bytes) else literals(block)
    body = padded(promised_id.to_bytes(4, "big") + data, pad, claim=claim) if payload is None else payload
    bits = flags | (END_HEADERS if end_headers else 0) | (0 if pad is None else PADDED)
    return frame(PUSH_PROMISE, bits, stream_id, body)


def ping(opaque: bytes = b"\0" * 8, *, ack: bool = False, stream_id: int = 0, flags: int = 0) -> bytes:
    """PING (§6.7); `opaque` may have a wrong length."""
    return frame(PING, flags | (ACK if ack else 0), stream_id, opaque)


def goaway(last_stream_id: int = 0, code: int = NO_ERROR, debug: bytes = b"", *, stream_id: int = 0) -> bytes:
    """GOAWAY (§6.8)."""
    return frame(GOAWAY, 0, stream_id, last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def window_update(
    stream_id: int, increment: int, *, payload: bytes | None = None, flags: int = 0, reserved_increment: int = 0
) -> bytes:
    """WINDOW_UPDATE (§6.9)."""
    body = ((reserved_increment << 31) | increment).to_bytes(4, "big") if payload is None else payload
    return frame(WINDOW_UPDATE, flags, stream_id, body)


def continuation(stream_id: int, block: bytes = b"", *, end_headers: bool = False, flags: int = 0) -> bytes:
    """CONTINUATION (§6.10)."""
    return frame(CONTINUATION, flags | (END_HEADERS if end_headers else 0), stream_id, block)


def priority_update(prioritized_id: int, value: bytes, *, stream_id: int = 0, payload: bytes | None = None) -> bytes:
    """PRIORITY_UPDATE (RFC 9218 §7.1)."""
    return frame(
        PRIORITY_UPDATE, 0, stream_id, prioritized_id.to_bytes(4, "big") + value if payload is None else payload
    )


def client_preface(values: dict[int, int] | Iterable[tuple[int, int]] = ()) -> bytes:
    """The 24 bytes and the SETTINGS frame that must follow them (§3.4)."""
    return PREFACE + settings(values)


# --- HPACK, literals only -------------------------------------------------------------------------


def integer(value: int, prefix_bits: int, first: int = 0) -> bytes:
    """An integer with an N-bit prefix (RFC 7541 §5.1); `first` holds the bits in front of the prefix."""
    top = (1 << prefix_bits) - 1
    if value < top:
        return bytes((first | value,))
    out = [first | top]
    value -= top
    while value >= 128:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)


def string(data: bytes) -> bytes:
    """A string literal without Huffman (§5.2)."""
    return integer(len(data), 7) + data


def literal(name: bytes, value: bytes, *, index: bool = False, never: bool = False) -> bytes:
    """One literal field with a new name: not indexed, inserted (`index`), or never-indexed (§6.2)."""
    return (b"\x40" if index else b"\x10" if never else b"\x00") + string(name) + string(value)


def literals(fields: Fields, *, index: bool = False) -> bytes:
    """A field block of literals, in the order given."""
    return b"".join(literal(name, value, index=index) for name, value in fields)


def indexed(index: int) -> bytes:
    """An indexed field (§6.1)."""
    return integer(index, 7, 0x80)


def table_size(size: int) -> bytes:
    """A dynamic table size update (§6.3)."""
    return integer(size, 5, 0x20)


def request_fields(
    path: bytes | None = b"/", *, method: bytes | None = b"GET", scheme: bytes | None = b"https",
    authority: bytes | None = b"example.com", extra: Fields = (),
) -> list[tuple[bytes, bytes]]:  # fmt: skip
    """The fields of a sound request; None leaves a pseudo-header field out."""
    pseudo = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path)]
    return [(name, value) for name, value in pseudo if value is not None] + list(extra)


def request(
    stream_id: int, path: bytes | None = b"/", *, method: bytes | None = b"GET", scheme: bytes | None = b"https",
    authority: bytes | None = b"example.com", extra: Fields = (), end_stream: bool = True,
) -> bytes:  # fmt: skip
    """A whole request in one HEADERS frame (or its start, when `end_stream` is false)."""
    fields = request_fields(path, method=method, scheme=scheme, authority=authority, extra=extra)
    return headers(stream_id, fields, end_stream=end_stream)


def response(stream_id: int, status: bytes = b"200", *, extra: Fields = (), end_stream: bool = False) -> bytes:
    """A response's HEADERS frame."""
    return headers(stream_id, [(b":status", status), *extra], end_stream=end_stream)


# --- frames in ------------------------------------------------------------------------------------


class Frame(NamedTuple):
    """One frame as it was on the wire."""

    type: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def name(self) -> str:
        """Its type in words."""
        return TYPE_NAMES.get(self.type, f"0x{self.type:02x}")

    @property
    def end_stream(self) -> bool:
        """END_STREAM on DATA or HEADERS."""
        return self.type in (DATA, HEADERS) and bool(self.flags & END_STREAM)

    @property
    def ack(self) -> bool:
        """ACK on SETTINGS or PING."""
        return self.type in (SETTINGS, PING) and bool(self.flags & ACK)

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        at = 4 if self.type == GOAWAY else 0
        return int.from_bytes(self.payload[at : at + 4], "big")

    @property
    def last_stream_id(self) -> int:
        """GOAWAY's last stream id."""
        return int.from_bytes(self.payload[:4], "big")

    @property
    def increment(self) -> int:
        """WINDOW_UPDATE's increment."""
        return int.from_bytes(self.payload, "big")

    @property
    def settings(self) -> list[tuple[int, int]]:
        """The entries of SETTINGS in order."""
        body = self.payload
        return [
            (int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 6], "big"))
            for at in range(0, len(body), 6)
        ]

    @property
    def block(self) -> bytes:
        """The field block fragment of HEADERS or CONTINUATION, padding and priority taken off."""
        body = self.payload
        if self.type == CONTINUATION:
            return body
        if self.flags & PADDED:
            body = body[1 : len(body) - body[0]]
        return body[5:] if self.flags & PRIORITY_FLAG else body

    @property
    def content(self) -> bytes:
        """DATA without padding."""
        return self.payload[1 : len(self.payload) - self.payload[0]] if self.flags & PADDED else self.payload


class FrameReader:
    """Cuts bytes into frames, and holds what a receiver of RFC 9113 may assert of any sender.

    Raises AssertionError where a frame breaks a rule that no peer may break: a set reserved bit, an unused
    flag, a length wrong for its type, a frame above `max_frame_size`, an interrupted field block.
    """

    def __init__(self, max_frame_size: int = 16384, *, expect_preface: bool = False) -> None:
        self.max_frame_size = max_frame_size
        self.rest = b""
        self.open_block = 0
        self.want_preface = expect_preface
        self.decoder = hpack.Decoder(max_header_list_size=1 << 24)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now."""
        self.rest += data
        if self.want_preface:
            if len(self.rest) < len(PREFACE):
                assert PREFACE.startswith(self.rest)
                return []
            assert self.rest.startswith(PREFACE), self.rest[:24]
            self.rest = self.rest[len(PREFACE) :]
            self.want_preface = False
        frames = []
        at = 0
        while len(self.rest) - at >= 9:
            length = int.from_bytes(self.rest[at : at + 3], "big")
            if len(self.rest) - at < 9 + length:
                break
            word = int.from_bytes(self.rest[at + 5 : at + 9], "big")
            one = Frame(self.rest[at + 3], self.rest[at + 4], word & 0x7FFFFFFF, self.rest[at + 9 : at + 9 + length])
            assert word >> 31 == 0, f"reserved bit set on {one!r} (RFC 9113 §4.1)"
            self._check(one)
            frames.append(one)
            at += 9 + length
        self.rest = self.rest[at:]
        return frames

    def fields(self, one: Frame) -> list[tuple[bytes, bytes]]:
        """The fields of a HEADERS frame that carries its whole block; call once a frame, in wire order."""
        return [(bytes(n), bytes(v)) for n, v in self.decoder.decode(one.block, raw=True)]

    def _check(self, one: Frame) -> None:
        size = len(one.payload)
        assert size <= self.max_frame_size, f"{one.name} of {size} bytes is above MAX_FRAME_SIZE (§4.2)"
        if self.open_block:
            assert one.type == CONTINUATION and one.stream_id == self.open_block, f"{one.name} inside a block (§4.3)"
        known = {
            DATA: END_STREAM | PADDED, HEADERS: END_STREAM | END_HEADERS | PADDED | PRIORITY_FLAG, PRIORITY: 0,
            RST_STREAM: 0, SETTINGS: ACK, PUSH_PROMISE: END_HEADERS | PADDED, PING: ACK, GOAWAY: 0, WINDOW_UPDATE: 0,
            CONTINUATION: END_HEADERS,
        }  # fmt: skip
        if one.type in known:
            assert not one.flags & ~known[one.type], f"unused flags {one.flags:#x} on {one.name} (§4.1)"
        on_stream = one.type in (DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION)
        if on_stream:
            assert one.stream_id, f"{one.name} on stream 0"
        if one.type in (SETTINGS, PING, GOAWAY, PRIORITY_UPDATE):
            assert not one.stream_id, f"{one.name} on stream {one.stream_id}"
        exact = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
        if one.type in exact:
            assert size == exact[one.type], f"{one.name} of {size} bytes"
        if one.type == SETTINGS:
            assert size % 6 == 0 and not (one.ack and size)
        if one.type == WINDOW_UPDATE:
            assert 1 <= one.increment <= 2**31 - 1, f"WINDOW_UPDATE of {one.increment} (§6.9)"
        if one.type in (HEADERS, CONTINUATION, PUSH_PROMISE):
            self.open_block = 0 if one.flags & END_HEADERS else one.stream_id
