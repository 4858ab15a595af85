"""Describes one direction of an HTTP/2 connection frame by frame (RFC 9113 §4, §6), for a person who watches.

It reads along and never judges: an invalid frame is shown as it is. It counts the content of DATA and drops it. It
keeps the payload of every other frame until it is complete, unless it is too long.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Final, NamedTuple

from headrace.cli.figures import printable
from headrace.engine.errors import error_name
from headrace.engine.h2 import frames as h2
from headrace.engine.hpack import Decoder, HPACKError

ALTSVC: Final = 0xA  # RFC 7838 §4
ORIGIN: Final = 0xC  # RFC 8336 §2

_TYPES: Final = {
    h2.DATA: "DATA",
    h2.HEADERS: "HEADERS",
    h2.PRIORITY: "PRIORITY",
    h2.RST_STREAM: "RST_STREAM",
    h2.SETTINGS: "SETTINGS",
    h2.PUSH_PROMISE: "PUSH_PROMISE",
    h2.PING: "PING",
    h2.GOAWAY: "GOAWAY",
    h2.WINDOW_UPDATE: "WINDOW_UPDATE",
    h2.CONTINUATION: "CONTINUATION",
    ALTSVC: "ALTSVC",
    ORIGIN: "ORIGIN",
    h2.PRIORITY_UPDATE: "PRIORITY_UPDATE",
}
_ACK: Final = ((h2.ACK, "ACK"),)
_END_HEADERS: Final = (h2.END_HEADERS, "END_HEADERS")
_PADDED: Final = (h2.PADDED, "PADDED")
_FLAGS: Final = {
    h2.DATA: ((h2.END_STREAM, "END_STREAM"), _PADDED),
    h2.HEADERS: ((h2.END_STREAM, "END_STREAM"), _END_HEADERS, _PADDED, (h2.PRIORITY_FLAG, "PRIORITY")),
    h2.SETTINGS: _ACK,
    h2.PING: _ACK,
    h2.CONTINUATION: (_END_HEADERS,),
    h2.PUSH_PROMISE: (_END_HEADERS, _PADDED),
}
_SETTINGS: Final = {
    0x1: "HEADER_TABLE_SIZE",
    0x2: "ENABLE_PUSH",
    0x3: "MAX_CONCURRENT_STREAMS",
    0x4: "INITIAL_WINDOW_SIZE",
    0x5: "MAX_FRAME_SIZE",
    0x6: "MAX_HEADER_LIST_SIZE",
    0x8: "ENABLE_CONNECT_PROTOCOL",
    0x9: "NO_RFC7540_PRIORITIES",
}
_HEADER_TABLE_SIZE: Final = 0x1
_MOST_KEPT: Final = 65_536  # bytes of one payload
_LONGEST_BLOCK: Final = 262_144  # bytes of a field block over all its frames
_MOST_SETTINGS: Final = 16  # shown one by one
_LARGEST_TABLE: Final = 65_536
_HIDDEN: Final = (b"authorization", b"proxy-authorization")


class TraceLine(NamedTuple):
    """One line of output. `style` is one of `headrace.cli.terminal.STYLES` or "". `depth` is 1 when the line belongs
    to the one before."""

    text: str
    style: str = ""
    depth: int = 0


class FrameReader:
    """Describes the frames of one direction. `feed` takes bytes in pieces of any size.

    `other` is the reader of the opposite direction; its SETTINGS limit the size of this one's HPACK table.
    """

    def __init__(self, expects_preface: bool) -> None:
        self.other: FrameReader | None = None
        self._preface = len(h2.PREFACE) if expects_preface else 0
        self._buffer = bytearray()
        self._skip = 0
        self._block: bytearray | None = None
        self._decoder: Decoder | None = Decoder(4096, 65_536, 1_000)
        self._table_limit = 4_096

    def feed(self, data: bytes) -> list[TraceLine]:
        """Return lines for the frames that `data` completes."""
        lines: list[TraceLine] = []
        position = 0
        if self._skip:
            position = min(self._skip, len(data))
            self._skip -= position
        buffer = self._buffer
        buffer += memoryview(data)[position:]
        if self._preface:
            if len(buffer) < self._preface:
                return lines
            del buffer[: self._preface]
            self._preface = 0
            lines.append(TraceLine("connection preface", "bold"))
        at = 0
        while len(buffer) - at >= h2.HEADER_SIZE:
            length = int.from_bytes(buffer[at : at + 3], "big")
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream_id = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFF_FFFF
            start = at + h2.HEADER_SIZE
            here = len(buffer) - start
            if kind == h2.DATA or length > _MOST_KEPT:
                lines.append(TraceLine(head_of(kind, flags, stream_id, length), _style(kind)))
                if kind in (h2.HEADERS, h2.CONTINUATION, h2.PUSH_PROMISE):
                    lines.append(self._lose("a block of this size is not kept"))
                taken = min(length, here)
                self._skip = length - taken
                at = start + taken
                continue
            if here < length:
                break
            payload = bytes(buffer[start : start + length])
            at = start + length
            head = head_of(kind, flags, stream_id, length)
            lines.append(TraceLine(head + self._detail(kind, flags, payload), _style(kind)))
            self._fields(kind, flags, payload, lines)
        del buffer[:at]
        return lines

    # -- payloads ----------------------------------------------------------------------------------------------

    def _detail(self, kind: int, flags: int, payload: bytes) -> str:
        """Return the details in a frame's payload, as the end of its line."""
        length = len(payload)
        if kind == h2.SETTINGS and not flags & h2.ACK:
            return self._settings(payload)
        if kind == h2.WINDOW_UPDATE and length == 4:
            return f"  +{unpack_from('>L', payload)[0] & 0x7FFF_FFFF:,}"
        if kind == h2.RST_STREAM and length == 4:
            return f"  {error_name(unpack_from('>L', payload)[0])}"
        if kind == h2.GOAWAY and length >= 8:
            last, code = unpack_from(">LL", payload)
            said = f'  "{printable(payload[8:])}"' if length > 8 else ""
            return f"  last stream {last & 0x7FFF_FFFF:,}  {error_name(code)}{said}"
        if kind == h2.PING and length == 8:
            return f"  {payload.hex()}"
        if kind == h2.PRIORITY_UPDATE and length >= 4:
            return f"  of stream {unpack_from('>L', payload)[0] & 0x7FFF_FFFF}  {printable(payload[4:])}"
        if kind == ORIGIN:
            return "".join([f"  {printable(each)}" for each in _entries(payload)])
        if kind == ALTSVC and length >= 2:
            return f"  {printable(payload[2:])}"
        return ""

    def _settings(self, payload: bytes) -> str:
        said: list[str] = []
        for at in range(0, len(payload) - 5, 6):
            key, value = unpack_from(">HL", payload, at)
            if key == _HEADER_TABLE_SIZE and self.other is not None:
                self.other.allow_table(value)
            if len(said) < _MOST_SETTINGS:
                said.append(f"  {_SETTINGS.get(key, hex(key))} {value:,}")
        more = len(payload) // 6 - len(said)
        return "".join(said) + (f"  and {more:,} more" if more > 0 else "")

    def allow_table(self, size: int) -> None:
        """Allow the table size that the receiver of this direction has announced as SETTINGS_HEADER_TABLE_SIZE. A
        smaller one changes nothing here: the sender announces the new size in its next block (RFC 7541 §4.2)."""
        if self._decoder is not None and self._table_limit < size <= _LARGEST_TABLE:
            self._table_limit = size
            self._decoder.set_max_table_size(size)

    def _fields(self, kind: int, flags: int, payload: bytes, lines: list[TraceLine]) -> None:
        """Assemble a field block, and add lines for its fields with its last frame."""
        if kind in (h2.HEADERS, h2.PUSH_PROMISE):
            start = 1 if flags & h2.PADDED else 0
            end = len(payload) - (payload[0] if start and payload else 0)
            start += 4 if kind == h2.PUSH_PROMISE else 5 if flags & h2.PRIORITY_FLAG else 0
            self._block = bytearray(payload[start:end])
        elif kind == h2.CONTINUATION and self._block is not None:
            self._block += payload
        else:
            return
        if len(self._block) > _LONGEST_BLOCK:
            lines.append(self._lose("a block of this size is not kept"))
        elif flags & h2.END_HEADERS:
            block, self._block = bytes(self._block), None
            lines += self._decode(block)

    def _decode(self, block: bytes) -> list[TraceLine]:
        if self._decoder is None:
            return []
        try:
            section = self._decoder.decode(block)
        except HPACKError as error:
            return [self._lose(str(error))]
        lines = [TraceLine(field_text(each.name, each.value), "", 1) for each in section.fields]
        if section.truncated:
            lines.append(TraceLine(f"and {section.count - len(section.fields):,} fields more", "dim", 1))
        return lines

    def _lose(self, reason: str) -> TraceLine:
        self._block = None
        self._decoder = None
        return TraceLine(f"fields cannot be shown from here on: {reason}", "red", 1)


def head_of(kind: int, flags: int, stream_id: int, length: int) -> str:
    """Return the text of a frame's header: type, stream, length, flags by name."""
    text = f"{_TYPES.get(kind, f'type {kind:#x}'):<15} stream {stream_id:<4} {length:>9,}"
    rest = flags
    for flag, name in _FLAGS.get(kind, ()):
        if flags & flag:
            text += "  " + name
            rest &= ~flag
    return text + (f"  flags {rest:#x}" if rest else "")


def field_text(name: bytes, value: bytes) -> str:
    """Return `name: value`; credentials are hidden, because people show the output of -v to others."""
    if name.lower() in _HIDDEN:
        scheme = value.partition(b" ")[0] + b" " if b" " in value else b""
        return f"{printable(name)}: {printable(scheme)}[hidden, {len(value) - len(scheme):,} bytes]"
    return f"{printable(name)}: {printable(value)}"


def _style(kind: int) -> str:
    if kind in (h2.HEADERS, h2.CONTINUATION, h2.PUSH_PROMISE):
        return "bold"
    if kind in (h2.RST_STREAM, h2.GOAWAY):
        return "red"
    return "" if kind == h2.DATA else "dim"


def _entries(payload: bytes) -> list[bytes]:
    """Return the origins of an ORIGIN frame (RFC 8336 §2.1)."""
    found: list[bytes] = []
    at = 0
    while at + 2 <= len(payload) and len(found) < _MOST_SETTINGS:
        length = int.from_bytes(payload[at : at + 2], "big")
        found.append(payload[at + 2 : at + 2 + length])
        at += 2 + length
    return found
