"""Detection of the protocol that a client on a cleartext port speaks, by its first bytes.

HTTP/2 with prior knowledge begins with the preface (RFC 9113 §3.4), HTTP/1.1 with a method (RFC 9112 §3). The bytes may
come one by one. The first byte that differs from the preface decides, so that a short request does not have to wait for
as many bytes as a preface has.
"""

from __future__ import annotations

from typing import Any, Final

from headrace.engine import causes, errors
from headrace.engine.events import ConnectionEnded, Event, PeerFault, ProtocolDetected
from headrace.engine.h2.frames import PREFACE
from headrace.engine.limits import Limits

_HANDSHAKE: Final = 0x16  # the content type of a TLS record with a handshake message (RFC 8446 §5.1)
_BEGINNINGS: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n"
# first bytes of a request line: a token's (RFC 9110 §5.6.2), or of an empty line before it (RFC 9112 §2.2)


class Detection:
    """Takes the first bytes of a connection and returns ProtocolDetected; give its `data` to the engine of that
    protocol.

    A transport can have it in place of an engine, because it is an `Endpoint`. It is not an engine: it has no verbs and
    no output. Bytes that neither protocol begins with end the connection without an answer.
    """

    def __init__(self, limits: Limits, now: float) -> None:
        self.closed: bool = False
        self.aborted: bool = False
        self.deadline: float = now + limits.preface_timeout_s
        self.work: int = -1
        self._data = b""

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        if self.closed:
            return []
        self._data += data
        raw = self._data
        if not raw:
            return []
        if PREFACE.startswith(raw[: len(PREFACE)]):
            if len(raw) < len(PREFACE):
                return []
            return [ProtocolDetected("h2", raw)]
        first = raw[0]
        if first in _BEGINNINGS:
            return [ProtocolDetected("http/1.1", raw)]
        reason = "the bytes are neither HTTP/1.1 nor HTTP/2"
        if first == _HANDSHAKE:
            reason = "a TLS handshake on an address that speaks cleartext"
        return self._end(errors.PROTOCOL_ERROR, "local", reason, "RFC 9113 §3.4", causes.PROTOCOL)

    def receive_eof(self, now: float) -> list[Event]:
        return self._end(
            errors.NO_ERROR, "remote", "the peer closed the connection", "RFC 9113 §9.1", causes.CONNECTION_LOST
        )

    def handle_deadline(self, now: float) -> list[Event]:
        if now < self.deadline:
            return []
        return self._end(errors.NO_ERROR, "local", "no request has come", "RFC 9113 §9.1", causes.CLOSED)

    def take_events(self) -> list[Event]:
        return []

    def take_output(self, limit: int = 262_144, now: float = -1.0) -> bytes:
        return b""

    def take_buffers(self, limit: int = 262_144, now: float = -1.0) -> list[Any]:
        return []

    @property
    def needs_attention(self) -> bool:
        return self.closed

    @property
    def bodies_queued(self) -> bool:
        return False

    @property
    def input_pending(self) -> bool:
        return False

    @property
    def work_due(self) -> int:
        return 0

    @property
    def output_pending(self) -> bool:
        return False

    @property
    def read_paused(self) -> bool:
        return False

    def close(self, code: int = 0, reason: str = "") -> None:
        self.closed = True
        self.deadline = float("inf")

    def _end(self, code: int, initiator: str, reason: str, section: str, cause: str) -> list[Event]:
        if self.closed:
            return []
        self.close()
        events: list[Event] = []
        if code != errors.NO_ERROR:
            events.append(PeerFault(code, "connection", 0, reason, section, ""))
        events.append(ConnectionEnded(code, initiator, reason, section, cause))
        return events
