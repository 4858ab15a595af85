"""One open WebSocket: octets of its tunnel in, events out; messages in, octets out (RFC 6455 §5 to §7).

Frames are told apart here, by their headers, each of which is judged as soon as it is there, before any of its payload
is kept. A whole, uncompressed message in one frame, which is what nearly all traffic consists of, is taken at once, and
so are pings and pongs. Every other frame goes, whole and alone, to the `websockets` library's `Protocol`, whose word
counts: fragments, compressed messages, the close handshake. It also writes whatever is masked or compressed. Messages
are put together here, as the library leaves that to its owner, and so limits and UTF-8 are ours.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any, Final

from websockets.frames import apply_mask
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

from headrace.engine.errors import LocalProtocolError
from headrace.engine.ws import frames
from headrace.engine.ws.events import (
    CloseReceived,
    Failed,
    MessageReceived,
    PingReceived,
    PongReceived,
    WebSocketEvent,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

FRAGMENT_COST: Final = 256
"""Octets that each fragment is charged beside its own, so that empty ones cannot go on for ever."""
NOT_UTF8: Final = "a text message that is not UTF-8"
_MOST_PONGS: Final = (
    16  # pongs that may wait for the owner; beyond them only the last ping's, as RFC 6455 §5.5.3 allows
)


class _Silence:
    """A logger for the library: it has nothing to say that is not told as an event."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # logging's name
        return False

    def info(self, *args: object, **kwargs: object) -> None:
        pass

    def error(self, *args: object, **kwargs: object) -> None:
        pass


_SILENCE: Final = _Silence()
_new_decoder: Final[Any] = codecs.getincrementaldecoder("utf-8")


class WebSocketConnection:
    """A WebSocket after its opening handshake.

    `max_message_size` bounds a message in octets, inflated, with 256 charged for each fragment of a fragmented one;
    what is beyond it fails with 1009. `extensions` are what `negotiation` agreed on. The owner feeds `receive_data`,
    writes what `take_output` gives after every call that may have made some, and ends its side of the tunnel when
    `output_ended` is True.
    """

    def __init__(self, is_client: bool, max_message_size: int = 1_048_576, extensions: list[Any] | None = None) -> None:
        self.is_client = is_client
        self.max_message_size = max_message_size
        self.is_open = True
        """True while messages can be sent."""
        self.is_done = False
        """True once nothing more is received: after CloseReceived and Failed."""
        self.output_ended = False
        """True when our side of the tunnel is to be ended once the output is written."""
        self._deflates = bool(extensions)
        # One octet of room: inflating a message of just the limit must not end in "there is more" (RFC 7692 §7.2.2).
        protocol: Any = Protocol(
            CLIENT if is_client else SERVER, state=OPEN, max_size=max_message_size + 1, logger=_SILENCE
        )
        protocol.extensions = extensions if extensions is not None else []
        self._protocol: Any = protocol
        self._out: list[bytes] = []
        self._pong: bytes | None = None
        self._pongs: int = 0
        self._events: list[WebSocketEvent] = []
        # What is not parsed yet: `_data` from `_position` on, or an incomplete frame in `_partial`, of `_need` octets.
        self._data = b""
        self._position: int = 0
        self._partial = bytearray()
        self._need: int = 0
        # The message in progress: 0 or its opcode, what it counts against the limit, its octets.
        self._opcode: int = 0
        self._size: int = 0
        self._parts = bytearray()
        self._is_inflated = False
        self._decoder: Any = None
        self._checked: int = 0
        """Octets of an incomplete frame's payload that were found to be UTF-8 already."""
        self._sending: int = 0
        """The opcode of a message that we are sending in fragments, or 0."""

    # -- receiving ---------------------------------------------------------------------------------------------

    @property
    def input_pending(self) -> bool:
        """True when `receive_data` stopped at its limit: call it again, with b"", for the rest."""
        return self._position < len(self._data)

    def receive_data(self, data: bytes, limit: int = 0) -> list[WebSocketEvent]:
        """Take octets of the tunnel and return what happened; after `limit` events the rest waits (0: no limit).

        Never raises for what the peer sent.
        """
        if self.is_done:
            return []
        if self._partial:
            self._partial += data
            if len(self._partial) < self._need:
                self._look_ahead()
                return self._take_events()
            data = bytes(self._partial)
            self._partial.clear()
        elif self._position:
            data = self._data[self._position :] + data if data else self._data
            if data is not self._data:
                self._position = 0
        self._walk(data, limit)
        return self._take_events()

    def receive_eof(self) -> list[WebSocketEvent]:
        """The peer's side of the tunnel has ended. Without a close frame before, that is a failure: 1006."""
        self.output_ended = True
        if not self.is_done:
            self.is_done = True
            self.is_open = False
            self._forget()
            self._drop_input()
            self._events.append(Failed(frames.ABNORMAL, "the connection ended without a close frame"))
        return self._take_events()

    def _take_events(self) -> list[WebSocketEvent]:
        events = self._events
        if events:
            self._events = []
        return events

    def _walk(self, data: bytes, limit: int) -> None:
        """Take the frames in `data`, from `_position` on."""
        position: i64 = self._position
        total: i64 = len(data)
        left: i64 = limit
        length: i64
        start: i64
        first: i64
        second: i64
        mask_bit: i64 = 0 if self.is_client else frames.MASK
        most: i64 = self.max_message_size
        need: i64 = 2
        stopped = False
        while total - position >= 2:
            first = data[position]
            second = data[position + 1]
            length = second & 0x7F
            start = position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > total:
                    need = start - position
                    if self._refuse(first, second, 0):
                        return
                    break
                if length == 126:
                    length = (data[position + 2] << 8) | data[position + 3]
                elif data[position + 2] & 0x80:
                    self._fail(frames.PROTOCOL_ERROR, "the most significant bit of a 64-bit length is set")
                    return
                else:
                    length = int.from_bytes(data[position + 2 : position + 10], "big")
            if (
                (first == 0x81 or first == 0x82)
                and (second & 0x80) == mask_bit
                and self._opcode == 0
                and length <= most
            ):
                if mask_bit:
                    start += 4
                if total - start < length:
                    need = start - position + length
                    break
                if mask_bit:
                    payload: bytes = apply_mask(data[start : start + length], data[start - 4 : start])
                else:
                    payload = data[start : start + length]
                position = start + length
                if first == 0x81:
                    try:
                        text = payload.decode()
                    except UnicodeDecodeError:
                        self._fail(frames.INVALID_DATA, NOT_UTF8)
                        return
                    self._events.append(MessageReceived(text))
                else:
                    self._events.append(MessageReceived(payload))
                self._checked = 0
                left -= 1
                if left == 0:
                    stopped = True
                    break
                continue
            if self._refuse(first, second, length):
                return
            if mask_bit:
                start += 4
            if total - start < length:
                need = start - position + length
                break
            count = len(self._events)
            self._take_frame(first & 0x0F, data[position : start + length])
            if self.is_done:
                return
            position = start + length
            self._checked = 0
            if len(self._events) > count:
                left -= 1
                if left == 0:
                    stopped = True
                    break
        self._keep(data, position, need, stopped)

    def _keep(self, data: bytes, position: int, need: int, stopped: bool) -> None:
        """Keep what is not taken yet: it waits for the owner (`stopped`), or for the rest of a frame."""
        if position == len(data):
            self._data = b""
            self._position = 0
        elif stopped:
            self._data = data
            self._position = position
        else:
            self._data = b""
            self._position = 0
            self._partial += data[position:]
            self._need = need
            self._look_ahead()

    def _refuse(self, first: int, second: int, length: int) -> bool:
        """Judge a frame's header, and fail the connection when it must not be there. True when that was so."""
        opcode = first & 0x0F
        if opcode & frames.CONTROL:
            if opcode > frames.PONG:
                return self._fail(frames.PROTOCOL_ERROR, "a reserved opcode")
            if first & 0x70:
                return self._fail(frames.PROTOCOL_ERROR, "a reserved bit on a control frame")
            if not first & frames.FIN or (second & 0x7F) > frames.LONGEST_CONTROL:
                return self._fail(frames.PROTOCOL_ERROR, "a control frame that is fragmented or too long")
        else:
            if opcode > frames.BINARY:
                return self._fail(frames.PROTOCOL_ERROR, "a reserved opcode")
            if first & 0x70 and (first & 0x70 != frames.RSV1 or not self._deflates or opcode == frames.CONTINUATION):
                return self._fail(frames.PROTOCOL_ERROR, "a reserved bit that no extension gave a meaning")
            if (opcode == frames.CONTINUATION) != (self._opcode != 0):
                return self._fail(frames.PROTOCOL_ERROR, "a continuation of nothing, or a message within a message")
        if (second & frames.MASK == 0) != self.is_client:
            return self._fail(
                frames.PROTOCOL_ERROR, "a masked frame of a server" if self.is_client else "a frame that is not masked"
            )
        if not opcode & frames.CONTROL:
            charge = 0 if first & frames.FIN and opcode else FRAGMENT_COST
            if self._size + length + charge > self.max_message_size:
                return self._fail(frames.TOO_BIG, f"a message of more than {self.max_message_size} octets")
        return False

    def _take_frame(self, opcode: int, octets: bytes) -> None:
        """Take a whole frame that is not a message of its own, or a compressed one. Its header was found good."""
        if opcode == frames.PING or opcode == frames.PONG:
            payload = octets[2:] if self.is_client else apply_mask(octets[6:], octets[2:6])
            if opcode == frames.PONG:
                self._events.append(PongReceived(payload))
                return
            self._answer(payload)
            self._events.append(PingReceived(payload))
            return
        protocol = self._protocol
        # The library counts a message's octets; we add what fragments cost. A close frame may come between fragments.
        protocol.current_size = self._size if self._opcode and opcode != frames.CLOSE else None
        if opcode == frames.CLOSE:
            self._write_pong()
        protocol.receive_data(octets)
        self._collect()
        events: list[Any] = protocol.events_received()
        error: Any = protocol.parser_exc
        if error is not None:
            self._failed(protocol.close_sent.code if self.is_open else frames.PROTOCOL_ERROR, str(error))
            return
        for frame in events:
            if opcode == frames.CLOSE:
                self.is_open = False
                self.is_done = True
                self._forget()
                self._drop_input()
                self._events.append(CloseReceived(int(protocol.close_rcvd.code), protocol.close_rcvd.reason))
            else:
                self._take_data(opcode, bool(octets[0] & frames.FIN), bool(octets[0] & frames.RSV1), bytes(frame.data))

    def _take_data(self, opcode: int, fin: bool, inflated: bool, data: bytes) -> None:
        """Take a fragment, or a message that was compressed, as the library gives it."""
        is_whole = fin and opcode != frames.CONTINUATION
        if opcode:
            self._opcode = opcode
            self._is_inflated = inflated
            if opcode == frames.TEXT and self._checked == 0 and not fin:
                self._decoder = _new_decoder()
        self._size += len(data) if is_whole else len(data) + FRAGMENT_COST
        if self._size > self.max_message_size:
            self._fail(frames.TOO_BIG, f"a message of more than {self.max_message_size} octets")
            return
        is_text = self._opcode == frames.TEXT
        message: str | bytes = data
        try:
            if is_text and not is_whole:
                self._decoder.decode(data[self._checked :], fin)
            if not fin:
                self._parts += data
                return
            if self._parts:
                self._parts += data
                message = self._parts.decode() if is_text else bytes(self._parts)
            elif is_text:
                message = data.decode()
        except UnicodeDecodeError:
            self._fail(frames.INVALID_DATA, NOT_UTF8)
            return
        self._forget()
        self._events.append(MessageReceived(message))

    def _look_ahead(self) -> None:
        """Check the text of an incomplete frame for UTF-8: who sends garbage is told as soon as it is seen."""
        partial = self._partial
        if len(partial) < 2:
            return
        first = partial[0]
        opcode = first & 0x0F
        if first & frames.RSV1 or opcode > frames.TEXT:
            return
        if opcode == frames.CONTINUATION and (self._opcode != frames.TEXT or self._is_inflated):
            return
        length = partial[1] & 0x7F
        start = (2 if length < 126 else 4 if length == 126 else 10) + (0 if self.is_client else 4)
        checked = self._checked
        piece = bytes(partial[start + checked :])
        if not piece:
            return
        if not self.is_client:
            mask = bytes(partial[start - 4 : start])
            turn = checked % 4
            piece = apply_mask(piece, mask[turn:] + mask[:turn])
        if opcode == frames.TEXT and checked == 0:
            self._decoder = _new_decoder()
        try:
            self._decoder.decode(piece)
        except UnicodeDecodeError:
            self._fail(frames.INVALID_DATA, NOT_UTF8)
            return
        self._checked = checked + len(piece)

    def _answer(self, payload: bytes) -> None:
        """Answer a ping: at once while few pongs wait, else only the last (RFC 6455 §5.5.3)."""
        if self._pongs < _MOST_PONGS:
            self._pongs += 1
            self._pong = payload
            self._write_pong()
        else:
            self._pong = payload

    # -- the end -----------------------------------------------------------------------------------------------

    def fail(self, code: int, reason: str) -> list[WebSocketEvent]:
        """Fail the connection for a reason of the owner's: a close frame, unless one was sent, and the end."""
        if not self.is_done:
            self._fail(code, reason)
        return self._take_events()

    def _fail(self, code: int, reason: str) -> bool:
        self._write_pong()
        self._protocol.fail(code, reason)
        self._collect()
        self._failed(code, reason)
        return True

    def _failed(self, code: int, reason: str) -> None:
        self.is_open = False
        self.is_done = True
        self.output_ended = True
        self._forget()
        self._drop_input()
        self._events.append(Failed(code, reason))

    def _drop_input(self) -> None:
        """Nothing is parsed any more: else what waits behind a close frame would be `input_pending` for ever."""
        self._data = b""
        self._position = 0
        self._partial.clear()

    def _forget(self) -> None:
        """No message is in progress."""
        self._opcode = 0
        self._size = 0
        self._decoder = None
        if self._parts:
            self._parts = bytearray()

    # -- sending -----------------------------------------------------------------------------------------------

    def send_text(self, text: str, fin: bool = True) -> None:
        """Send a text message, or without `fin` its first fragment. Raises LocalProtocolError when it cannot be."""
        self._begin(frames.TEXT, fin)
        self._write_data(frames.TEXT, text.encode(), fin)

    def send_bytes(self, data: bytes, fin: bool = True) -> None:
        """Send a binary message, or without `fin` its first fragment. Raises LocalProtocolError when it cannot be."""
        self._begin(frames.BINARY, fin)
        self._write_data(frames.BINARY, data, fin)

    def send_fragment(self, data: str | bytes, fin: bool) -> None:
        """Send another fragment of the message that was begun, and with `fin` its last.

        Raises LocalProtocolError when none was begun, TypeError for text in a binary message and the reverse.
        """
        if not self.is_open:
            raise LocalProtocolError("the WebSocket is closing; nothing more can be sent")
        if not self._sending:
            raise LocalProtocolError("no fragmented message was begun")
        if isinstance(data, str) != (self._sending == frames.TEXT):
            raise TypeError("the fragments of one message are all text, or all octets")
        octets = data.encode() if isinstance(data, str) else data
        if fin:
            self._sending = 0
        self._write_data(frames.CONTINUATION, octets, fin)

    def _begin(self, opcode: int, fin: bool) -> None:
        if not self.is_open:
            raise LocalProtocolError("the WebSocket is closing; nothing more can be sent")
        if self._sending:
            raise LocalProtocolError("a fragmented message is not complete; end it before the next one")
        if not fin:
            self._sending = opcode

    def _write_data(self, opcode: int, data: bytes, fin: bool) -> None:
        if self.is_client or self._deflates:
            protocol = self._protocol
            if opcode == frames.CONTINUATION:
                protocol.send_continuation(data, fin)
            elif opcode == frames.TEXT:
                protocol.send_text(data, fin)
            else:
                protocol.send_binary(data, fin)
            self._collect()
        else:
            self._out.append(frames.write_unmasked(opcode | frames.FIN if fin else opcode, data))

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping of at most 125 octets (ValueError). Raises LocalProtocolError when the WebSocket is closing."""
        if len(data) > frames.LONGEST_CONTROL:
            raise ValueError(f"a ping carries at most {frames.LONGEST_CONTROL} octets (RFC 6455 §5.5)")
        if not self.is_open:
            raise LocalProtocolError("the WebSocket is closing; nothing more can be sent")
        self._protocol.send_ping(data)
        self._collect()

    def send_close(self, code: int = frames.NORMAL, reason: str = "") -> None:
        """Begin the close handshake (RFC 6455 §7.1.2); a no-op when it has begun.

        1005 sends a close frame without a code. Raises ValueError for a code or a reason that must not be sent.
        """
        if code != frames.NO_STATUS or reason:
            frames.check_close(code, reason)
        if not self.is_open:
            return
        self.is_open = False
        self._write_pong()
        if code == frames.NO_STATUS:
            self._protocol.send_close()
        else:
            self._protocol.send_close(code, reason)
        self._collect()

    def _write_pong(self) -> None:
        """Write the pong that waits, if there is one."""
        pong = self._pong
        if pong is not None:
            self._pong = None
            if self.is_client:
                self._protocol.send_pong(pong)
                self._collect()
            else:
                self._out.append(frames.write_unmasked(frames.FIN | frames.PONG, pong))

    def _collect(self) -> None:
        """Take over what the library wrote; an empty piece is its word for the end of our side."""
        pieces: list[bytes] = self._protocol.data_to_send()
        for piece in pieces:
            if piece:
                self._out.append(piece)
            else:
                self.output_ended = True

    @property
    def output_pending(self) -> bool:
        """True when `take_output` gives something, or `output_ended` waits to be obeyed."""
        return bool(self._out) or self._pong is not None or self.output_ended

    def take_output(self) -> bytes:
        """Return and forget the octets to be written."""
        if self._pong is not None and self.is_open:
            self._write_pong()
        self._pongs = 0
        out = self._out
        if len(out) == 1:
            octets = out[0]
            out.clear()
            return octets
        if not out:
            return b""
        self._out = []
        return b"".join(out)
