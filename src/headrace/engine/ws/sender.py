"""The output of a WebSocket: messages, pings, pongs and the close frame, as bytes to be written (RFC 6455 §5).

The `websockets` library's `Protocol` writes masked and deflated frames, and keeps the state of the close handshake.
"""

from __future__ import annotations

from typing import Any, Final

from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

from headrace.engine.errors import LocalProtocolError
from headrace.engine.text import utf8
from headrace.engine.ws import frames

_MOST_PONGS: Final = (
    16  # pongs that may wait for the owner; beyond them only the last ping's, as RFC 6455 §5.5.3 allows
)


class _Silence:
    """A silent logger for the library: events report everything that it would log."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # logging's name
        return False

    def info(self, *args: object, **kwargs: object) -> None:  # pragma: no cover: of its parser, which is not used here
        pass

    def error(self, *args: object, **kwargs: object) -> None:  # pragma: no cover: of its parser, too
        pass


_SILENCE: Final = _Silence()


class Sender:
    """The sending half of a WebSocket; see WebSocketConnection."""

    def __init__(self, is_client: bool, extensions: list[Any] | None) -> None:
        self.is_client = is_client
        self.is_open: bool = True
        """True while messages can be sent."""
        self.output_ended: bool = False
        """True when our side of the tunnel is to be ended once the output is written."""
        self._deflates = bool(extensions)
        protocol: Any = Protocol(CLIENT if is_client else SERVER, state=OPEN, logger=_SILENCE)
        protocol.extensions = extensions if extensions is not None else []
        self._protocol: Any = protocol
        self._out: list[bytes] = []
        self._pong: bytes | None = None
        self._pongs: int = 0
        self._sending: int = 0
        """The opcode of a message that we are sending in fragments, or 0."""

    def send_text(self, text: str, fin: bool = True) -> None:
        """Send a text message, or without `fin` its first fragment. Raises LocalProtocolError when it cannot be
        sent."""
        self._begin(frames.TEXT, fin)
        self._write_data(frames.TEXT, utf8(text), fin)

    def send_bytes(self, data: bytes, fin: bool = True) -> None:
        """Send a binary message, or without `fin` its first fragment. Raises LocalProtocolError when it cannot be
        sent."""
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
            raise TypeError("the fragments of one message are all text, or all bytes")
        raw = utf8(data) if isinstance(data, str) else data
        if fin:
            self._sending = 0
        self._write_data(frames.CONTINUATION, raw, fin)

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
        """Send a ping of at most 125 bytes (ValueError). Raises LocalProtocolError when the WebSocket is closing."""
        if len(data) > frames.LONGEST_CONTROL:
            raise ValueError(f"a ping carries at most {frames.LONGEST_CONTROL} bytes (RFC 6455 §5.5)")
        if not self.is_open:
            raise LocalProtocolError("the WebSocket is closing; nothing more can be sent")
        self._protocol.send_ping(data)
        self._collect()

    def send_close(self, code: int = frames.NORMAL, reason: str = "") -> None:
        """Begin the close handshake (RFC 6455 §7.1.2); a no-op when it has begun.

        1005 sends a close frame without a code. Raises ValueError for a code or a reason that must not be sent.
        """
        reason = utf8(reason).decode()
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

    def _stop(self, ends_output: bool) -> None:
        """Send no more messages. With `ends_output` our side of the tunnel is to be ended, too."""
        self.is_open = False
        if ends_output:
            self.output_ended = True

    def _answer(self, payload: bytes) -> None:
        """Answer a ping: at once while few pongs wait, else only the last (RFC 6455 §5.5.3)."""
        if self._pongs < _MOST_PONGS:
            self._pongs += 1
            self._pong = payload
            self._write_pong()
        else:
            self._pong = payload

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
        """Take the library's output; an empty piece means the end of our side."""
        pieces: list[bytes] = self._protocol.data_to_send()
        for piece in pieces:
            if piece:
                self._out.append(piece)
            else:
                self.output_ended = True

    @property
    def output_pending(self) -> bool:
        """True when `take_output` has bytes, or `output_ended` must be handled."""
        return bool(self._out) or self._pong is not None or self.output_ended

    def take_output(self) -> bytes:
        """Return and forget the bytes to be written."""
        if self._pong is not None and self.is_open:
            self._write_pong()
        self._pongs = 0
        out = self._out
        if len(out) == 1:
            data = out[0]
            out.clear()
            return data
        if not out:
            return b""
        self._out = []
        return b"".join(out)
