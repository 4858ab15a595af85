"""A tap on a connection: it stands between the transport and the driver, passes everything on, and describes it.

driver <-> Tap (the transport's protocol) and _TappedTransport (the driver's transport) <-> TLS or TCP
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from headrace.cli.figures import printable
from headrace.cli.get.frames import FrameReader, TraceLine, field_text
from headrace.engine.h2.frames import PREFACE

SENT: Final = ">"
RECEIVED: Final = "<"
Report = Callable[[str, list[TraceLine]], None]
"""Called with the direction, SENT or RECEIVED, and lines that describe the bytes."""

_LONGEST_HEAD: Final = 65_536
_REQUEST_ENDS: Final = (b" HTTP/1.1\r\n", b" HTTP/1.0\r\n")


class Tap(asyncio.Protocol):
    """The protocol that the event loop, or TLS, calls in the place of `protocol`."""

    __slots__ = ("_protocol", "_wire")

    def __init__(self, protocol: asyncio.Protocol, tell: Report) -> None:
        self._protocol = protocol
        self._wire = Wire(tell)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tapped = _TappedTransport(cast("asyncio.Transport", transport), self._wire)
        self._protocol.connection_made(tapped)

    def data_received(self, data: bytes) -> None:
        self._wire.received(data)
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire.ended()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


class _TappedTransport(asyncio.Transport):
    """The transport that the protocol uses."""

    __slots__ = ("_transport", "_wire")

    def __init__(self, transport: asyncio.Transport, wire: Wire) -> None:
        super().__init__()
        self._transport = transport
        self._wire = wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.sent(bytes(data))
        self._transport.write(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.write(b"".join(list_of_data))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def can_write_eof(self) -> bool:
        return self._transport.can_write_eof()

    def write_eof(self) -> None:
        self._transport.write_eof()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


class Wire:
    """Both directions of a client's connection. The first bytes that it sends show which protocol it speaks."""

    __slots__ = ("_frames", "_heads", "_start", "_tell")

    def __init__(self, tell: Report) -> None:
        self._tell = tell
        self._start = b""
        self._frames: tuple[FrameReader, FrameReader] | None = None
        self._heads: _HeadReader | None = None

    def sent(self, data: bytes) -> None:
        if self._frames is None and self._heads is None:
            data = self._start + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._start = data
                return
            if data.startswith(PREFACE):
                out, back = FrameReader(True), FrameReader(False)
                out.other, back.other = back, out
                self._frames = (out, back)
            else:
                self._heads = _HeadReader()
        if self._frames is not None:
            self._say(SENT, self._frames[0].feed(data))
        elif self._heads is not None:
            if self._heads.begins_request(data):
                self.ended()
            self._say(SENT, self._heads.sent(data))

    def received(self, data: bytes) -> None:
        if self._frames is not None:
            self._say(RECEIVED, self._frames[1].feed(data))
        elif self._heads is not None:
            self._say(RECEIVED, self._heads.received(data))
        else:  # a server that speaks first does not speak HTTP/1.1
            self._say(RECEIVED, [TraceLine(f"{len(data):,} bytes before any request", "red")])

    def ended(self) -> None:
        """Handle the end of the response, or of the connection."""
        if self._heads is not None:
            self._say(RECEIVED, self._heads.content_received())

    def _say(self, direction: str, lines: list[TraceLine]) -> None:
        if lines:
            self._tell(direction, lines)


class _HeadReader:
    """Describes an HTTP/1.1 connection: start lines and fields, and the length of the content.

    It does not parse messages. A request's head begins where the client writes a request line after the last response's
    head; a response's head where the server writes a status line after a request's head. This is sufficient, because
    our client writes a head in one piece, and sends no request before the last response is complete.
    """

    __slots__ = ("_awaits_response", "_head", "_is_tunnel", "_received")

    def __init__(self) -> None:
        self._awaits_response = False
        self._head = b""
        self._received = 0
        self._is_tunnel = False

    def begins_request(self, data: bytes) -> bool:
        """Return True when the bytes to be sent begin with a request's head."""
        if self._awaits_response or self._is_tunnel:
            return False
        return data[: data.find(b"\r\n") + 2].endswith(_REQUEST_ENDS)

    def sent(self, data: bytes) -> list[TraceLine]:
        if self.begins_request(data):
            self._awaits_response = True
            head, _, content = data.partition(b"\r\n\r\n")
            return [*_head_lines(head), *_content_line(len(content))]
        return _content_line(len(data))

    def received(self, data: bytes) -> list[TraceLine]:
        lines: list[TraceLine] = []
        while self._awaits_response:
            data = self._head + data
            self._head = b""
            head, end, rest = data.partition(b"\r\n\r\n")
            if not end:
                if len(data) > _LONGEST_HEAD:
                    self._awaits_response = False
                    break
                self._head = data
                return lines
            lines += _head_lines(head)
            status = head[9:12]
            self._awaits_response = status[:1] == b"1" and status != b"101"
            self._is_tunnel = status == b"101"
            self._received = 0
            data = rest
        self._received += len(data)
        return lines

    def content_received(self) -> list[TraceLine]:
        """Return the line about received content, once it is complete: it comes in too many pieces for a line each."""
        count, self._received = self._received, 0
        return _content_line(count)


def _content_line(count: int) -> list[TraceLine]:
    return [TraceLine(f"{count:,} bytes of content")] if count else []


def _head_lines(head: bytes) -> list[TraceLine]:
    first, *fields = head.split(b"\r\n")
    lines = [TraceLine(printable(first), "bold")]
    for each in fields:
        name, colon, value = each.partition(b":")
        lines.append(TraceLine(field_text(name, value.strip()) if colon else printable(each), "", 1))
    return lines
