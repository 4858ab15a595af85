"""One open WebSocket: bytes of its tunnel in, events out; messages in, bytes out (RFC 6455 §5 to §7).

This module splits input into frames by their headers, and checks each header as soon as it is there, before any payload
is kept. The first two bytes are checked before the length after them, so that a fault has one text however the input
was split. Work is bounded: each call counts frames and bytes, and the rest waits. A close frame goes to the
`websockets` library's `Protocol`, which knows the close handshake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from websockets.frames import apply_mask

from headrace.engine.ws import frames
from headrace.engine.ws.assembly import FRAGMENT_COST, LEAST_MESSAGE, Assembly, size_of
from headrace.engine.ws.events import (
    CloseReceived,
    Failed,
    MessageReceived,
    PingReceived,
    PongReceived,
    WebSocketEvent,
)
from headrace.engine.ws.inflate import Inflater
from headrace.engine.ws.sender import Sender

if TYPE_CHECKING:
    from mypy_extensions import i64

NOT_UTF8: Final = "a text message that is not UTF-8"
NO_BOUND: Final = 1 << 60
# Work: about a microsecond of the compiled engine each.
_MESSAGE_WORK: Final = 2  # for a message, which a handler takes: the least that this costs
_PAYLOAD_SHIFT: Final = 12  # a unit for each 4 KiB of payload
_DEFLATED_WORK: Final = 8  # for a deflated frame
_CONTROL_WORK: Final = 2  # for a ping or a pong
_MASKED_PONG_WORK: Final = 12  # for a ping that a client answers, whose pong is masked


class WebSocketConnection(Sender):
    """A WebSocket after its opening handshake.

    `max_message_size` bounds a message in bytes, inflated, with 256 charged for each fragment of a fragmented one; a
    larger message fails with 1009. `extensions` come from `negotiation`. The owner feeds `receive_data`, writes what
    `take_output` gives after every call that may have made some, and ends its side of the tunnel when `output_ended` is
    True.
    """

    def __init__(self, is_client: bool, max_message_size: int = 1_048_576, extensions: list[Any] | None = None) -> None:
        super().__init__(is_client, extensions)
        self.max_message_size = max_message_size
        self.is_done: bool = False
        """True once nothing more is received: after CloseReceived and Failed."""
        self.discards = False
        """Set it True when messages are not needed any more: they are skipped, and only control frames give events."""
        self.work_done: int = 0
        """Work of the last `receive_data`: a unit for each frame and each 4 KiB, four for each KiB that was inflated or
        16 for each KiB that it was inflated from (64 where that made less than half of it), two for each message."""
        self.wants_room: bool = False
        """True when the last `receive_data` stopped because it was given no more `room`, or none to inflate to."""
        self._inflater: Inflater | None = None
        if extensions:
            agreed: Any = extensions[0]
            keeps_context = not agreed.remote_no_context_takeover
            self._inflater = Inflater(int(agreed.remote_max_window_bits), keeps_context)
            agreed.decoder = None  # the library's own is not used, and holds memory
        self._events: list[WebSocketEvent] = []
        # What is not parsed yet: `_data` from `_position` on, or an incomplete frame in `_partial`, of `_need` bytes.
        self._data = b""
        self._position: int = 0
        self._partial = bytearray()
        self._need: int = 0
        self._message = Assembly()

    # -- receiving ---------------------------------------------------------------------------------------------

    @property
    def input_pending(self) -> bool:
        """True when `receive_data` stopped at one of its bounds: call it again, with b"", for the rest."""
        return self._position < len(self._data) or (self._inflater is not None and self._inflater.busy)

    @property
    def kept(self) -> int:
        """Number of bytes kept here: unparsed input, and a message in progress."""
        size = len(self._data) - self._position + len(self._partial) + len(self._message.parts)
        inflater = self._inflater
        return size if inflater is None else size + inflater.waiting

    def receive_data(
        self, data: bytes, messages: int = 0, work: int = 0, room: int = -1, inflated: int = -1
    ) -> list[WebSocketEvent]:
        """Take bytes of the tunnel and return the events. Never raises for input of the peer.

        Stops, with `input_pending`, after `messages` messages (0: no limit); after `work` units of work (0: no limit;
        `work_done` tells, one frame is always taken); and with `wants_room` where the messages of this call would have
        more than `room` bytes together, or half way in a deflated message that takes them beyond `inflated` (-1: no
        limit). In both a message is charged 128 bytes at least.
        """
        self.work_done = 0
        self.wants_room = False
        if self.is_done:
            return []
        if self._partial:
            self._partial += data
            if len(self._partial) < self._need:
                self._look_ahead()
                return self._take_events()
            data = bytes(self._partial)
            self._partial.clear()
        elif self._data:
            data = self._data[self._position :] + data if data else self._data
            if data is not self._data:
                self._position = 0
        self._walk(
            data,
            messages if messages > 0 else NO_BOUND,
            work if work > 0 else NO_BOUND,
            room if room >= 0 else NO_BOUND,
            inflated if inflated >= 0 else NO_BOUND,
        )
        return self._take_events()

    def receive_eof(self) -> list[WebSocketEvent]:
        """Handle the end of the peer's side of the tunnel. Without a close frame before, it is a failure: 1006."""
        self._stop(True)
        if not self.is_done:
            self._end_input()
            self._events.append(Failed(frames.ABNORMAL, "the connection ended without a close frame"))
        return self._take_events()

    def _take_events(self) -> list[WebSocketEvent]:
        events = self._events
        self._events = []  # also where it is empty: the list is the caller's now
        return events

    def _walk(self, data: bytes, messages: i64, work: i64, room: i64, inflated: i64) -> None:
        """Take the frames in `data`, from `_position` on."""
        position: i64 = self._position
        total: i64 = len(data)
        length: i64
        start: i64
        first: i64
        second: i64
        mask_bit: i64 = 0 if self.is_client else frames.MASK
        most: i64 = self.max_message_size
        need: i64 = 2
        left: i64 = work
        size: i64
        stopped = False
        in_progress = self._message
        inflater = self._inflater
        if inflater is not None and inflater.busy and self.discards:
            inflater.drop()
            if in_progress.is_last:
                in_progress.forget()
        if inflater is not None and inflater.busy:  # the message that the last call left half inflated
            size = self._inflate(inflater, left, min(room, inflated))
            left -= self.work_done
            if self.is_done:
                return
            stopped = inflater.busy
            if size >= 0:
                room -= size
                inflated -= size
                messages -= 1
        while not stopped and total - position >= 2:
            if left <= 0 or messages <= 0:
                stopped = True
                break
            first = data[position]
            second = data[position + 1]
            is_plain = (first == 0x81 or first == 0x82) and (second & 0x80) == mask_bit and in_progress.opcode == 0
            if not is_plain:
                fault = frames.header_fault(first, second, self.is_client, self._deflates, in_progress.opcode != 0)
                if fault:
                    self._fail(frames.PROTOCOL_ERROR, fault)
                    return
            length = second & 0x7F
            start = position + 2
            if length >= 126:
                start += 2 if length == 126 else 8
                if start > total:
                    need = start - position
                    break
                if length == 126:
                    length = (data[position + 2] << 8) | data[position + 3]
                    is_wide = length < 126
                elif data[position + 2] & 0x80:
                    self._fail(frames.PROTOCOL_ERROR, "the most significant bit of a 64-bit length is set")
                    return
                else:
                    length = int.from_bytes(data[position + 2 : position + 10], "big")
                    is_wide = length < 65_536
                if is_wide:
                    self._fail(frames.PROTOCOL_ERROR, "a length in more bytes than it needs (RFC 6455 §5.2)")
                    return
            if (length > most) if is_plain else in_progress.would_exceed(first, length, most):
                self._fail(frames.TOO_BIG, f"a message of more than {self.max_message_size} bytes")
                return
            if mask_bit:
                start += 4
            if total - start < length:
                need = start - position + length
                break
            if length > room and is_plain and not self.discards:
                self.wants_room = stopped = True
                break
            if mask_bit:
                payload: bytes = apply_mask(data[start : start + length], data[start - 4 : start])
            else:
                payload = data[start : start + length]
            left -= 1 + (length >> _PAYLOAD_SHIFT)
            if is_plain:
                left -= _MESSAGE_WORK
                position = start + length
                in_progress.end_frame()
                if self.discards:
                    continue
                size = length
                message: str | bytes = payload
                if first == 0x81:
                    try:
                        text = payload.decode()
                    except UnicodeDecodeError:
                        self._fail(frames.INVALID_DATA, NOT_UTF8)
                        return
                    if len(text) != length:  # as `isascii` would say, in less time
                        size = len(text) * 4
                    message = text
                if size < LEAST_MESSAGE:
                    size = LEAST_MESSAGE
                self._events.append(MessageReceived(message, int(size)))
                room -= size
                inflated -= size
                messages -= 1
                continue
            if first & frames.CONTROL:
                if first & 0x0F == frames.CLOSE:
                    self._take_close(data[position : start + length])
                else:
                    left -= _CONTROL_WORK
                    if first & 0x0F == frames.PONG:
                        self._events.append(PongReceived(payload))
                    else:
                        if self.is_client:
                            left -= _MASKED_PONG_WORK
                        self._answer(payload)
                        self._events.append(PingReceived(payload))
                if self.is_done:
                    return
                position = start + length
                in_progress.end_frame()
                continue
            position = start + length
            in_progress.take_header(int(first))
            size = -1
            if self.discards:
                if in_progress.is_last:
                    in_progress.forget()
            elif in_progress.is_inflated and inflater is not None:
                if not (in_progress.is_last and first & 0x0F):
                    in_progress.charge(FRAGMENT_COST)
                inflater.feed(payload, in_progress.is_last)
                before = self.work_done
                size = self._inflate(inflater, left - _DEFLATED_WORK, min(room, inflated))
                left -= _DEFLATED_WORK + self.work_done - before
                stopped = inflater.busy
            else:
                size = self._take_fragment(payload, first & 0x0F != 0)
            if self.is_done:
                return
            in_progress.end_frame()
            if size >= 0:
                left -= _MESSAGE_WORK
                room -= size
                inflated -= size
                messages -= 1
        self.work_done = int(work - left)
        self._keep(data, position, need, stopped)

    def _keep(self, data: bytes, position: int, need: int, stopped: bool) -> None:
        """Keep the unparsed input: it waits for the owner (`stopped`), or for the rest of a frame."""
        if stopped and position < len(data):
            self._data = data
            self._position = position
            return
        self._data = b""
        self._position = 0
        if position < len(data):
            self._partial += data[position:]
            self._need = need
            self._look_ahead()

    def _take_close(self, data: bytes) -> None:
        """Take a close frame, whole. The library checks it and answers it."""
        self._write_pong()
        protocol = self._protocol
        protocol.receive_data(data)
        self._collect()
        protocol.events_received()
        error: Any = protocol.parser_exc
        if error is not None:
            self._failed(protocol.close_sent.code if self.is_open else frames.PROTOCOL_ERROR, str(error))
            return
        self._stop(False)
        self._end_input()
        self._events.append(CloseReceived(int(protocol.close_rcvd.code), protocol.close_rcvd.reason))

    def _take_fragment(self, data: bytes, is_first: bool) -> int:
        """Take a fragment that is not deflated. Returns the charge of the message that it ends, or -1."""
        message = self._message
        try:
            message.take_fragment(data, is_first)
        except UnicodeDecodeError:
            self._fail(frames.INVALID_DATA, NOT_UTF8)
            return -1
        return self._add_message(b"") if message.is_last else -1

    def _add_message(self, data: bytes) -> int:
        """Make an event of the message, which ends with `data`. Returns its charge, or -1 if it is not UTF-8."""
        try:
            message = self._message.take_message(data)
        except UnicodeDecodeError:
            self._fail(frames.INVALID_DATA, NOT_UTF8)
            return -1
        size = size_of(message)
        self._events.append(MessageReceived(message, size))
        return size

    def _inflate(self, inflater: Inflater, work: int, room: int) -> int:
        """Inflate the inflater's input, within `work` and `room`, and count it in `work_done`. Returns the charge of
        the message that it ends, or -1."""
        message = self._message
        try:
            data = inflater.run(message, self.max_message_size, room, work, self.work_done > 0)
        except ValueError as error:
            self._fail(frames.PROTOCOL_ERROR, str(error))
            return -1
        self.work_done += inflater.work_done
        self.wants_room = self.wants_room or inflater.wants_room
        if message.size > self.max_message_size:
            self._fail(frames.TOO_BIG, f"a message of more than {self.max_message_size} bytes")
            return -1
        if inflater.busy or not message.is_last:
            message.append(data)
            return -1
        size = self._add_message(data)
        if size >= 0:
            inflater.end_message()
        return size

    def _look_ahead(self) -> None:
        """Check the text of an incomplete frame for UTF-8, so that invalid text fails as soon as it is seen."""
        partial = self._partial
        if len(partial) < 2 or self.discards:
            return
        first = partial[0]
        opcode = first & 0x0F
        if first & frames.RSV1 or opcode > frames.TEXT:
            return
        if opcode == frames.CONTINUATION and (self._message.opcode != frames.TEXT or self._message.is_inflated):
            return
        piece = frames.payload_ahead(partial, self._message.checked, not self.is_client)
        try:
            if piece:
                self._message.check_ahead(piece, opcode == frames.TEXT)
        except UnicodeDecodeError:
            self._fail(frames.INVALID_DATA, NOT_UTF8)

    # -- the end -----------------------------------------------------------------------------------------------

    def fail(self, code: int, reason: str) -> list[WebSocketEvent]:
        """Fail the connection for a reason of the owner's: a close frame, unless one was sent, and the end."""
        if not self.is_done:
            self._fail(code, reason)
        return self._take_events()

    def _fail(self, code: int, reason: str) -> None:
        self._write_pong()
        self._protocol.fail(code, reason)
        self._collect()
        self._failed(code, reason)

    def _failed(self, code: int, reason: str) -> None:
        self._stop(True)
        self._end_input()
        self._events.append(Failed(code, reason))

    def _end_input(self) -> None:
        """Stop parsing: otherwise input after a close frame would be `input_pending` for ever."""
        self.is_done = True
        self._message.forget()
        self._data = b""
        self._position = 0
        self._partial = bytearray()
        if self._inflater is not None:
            self._inflater.drop()
