"""The first bytes of a cleartext connection: HTTP/2, HTTP/1.1, or neither.

Property: no bytes raise. Any cut of them gives the same protocol, or the same end, once; and the bytes come whole. The
preface of HTTP/2 is HTTP/2, and a request line is HTTP/1.1.
"""

from __future__ import annotations

from headrace.engine import events as ev
from headrace.engine.detection import Detection
from headrace.engine.limits import Limits

from tests.fuzz.source import pieces
from tests.support import wire


def story(data: bytes) -> str:
    """Return what was found."""
    return repr(detect([data]))


def target(data: bytes) -> None:
    """Look at bytes, whole and cut."""
    whole = detect([data])
    for size in (1, 3, 7):
        assert detect(pieces(data, size)) == whole, f"cut into {size}"
    if data.startswith(wire.PREFACE):
        assert whole == ("h2", True)
    if data.startswith((b"GET ", b"POST ")):
        assert whole == ("http/1.1", True)


def detect(parts: list[bytes]) -> tuple[str, bool]:
    """Return the protocol or the reason of an end, and whether the bytes came whole."""
    conn = Detection(Limits(), 0.0)
    came = b""
    for part in parts:
        came += part
        events = conn.receive_data(part, 0.0)
        if events:
            last = events[-1]
            if isinstance(last, ev.ProtocolDetected):
                return last.protocol, last.data == came
            assert isinstance(last, ev.ConnectionEnded) and conn.closed
            return last.reason, True
    events = conn.handle_deadline(conn.deadline)
    assert [type(event) for event in events] == [ev.ConnectionEnded]
    return "waits", True


def seeds() -> list[bytes]:
    """Return beginnings."""
    return [
        wire.PREFACE + wire.settings(),
        b"GET / HTTP/1.1\r\n",
        b"PRI * HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"\r\nGET",
        b"PO",
        b"",
    ]
