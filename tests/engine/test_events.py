"""Events and fields as people see them, in a debugger and in the output of a test that failed."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.hpack.field import Field, FieldSection
from headrace.engine.ws import events as ws

PAIRS = [(b"a", b"1")]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (ev.SendAccepted(3), "SendAccepted(stream_id=3)"),
        (ev.StreamRefused(3), "StreamRefused(stream_id=3)"),
        (
            ev.ResponseReceived(1, 200, PAIRS, True),
            "ResponseReceived(stream_id=1, status=200, headers=[(b'a', b'1')], end_stream=True)",
        ),
        (
            ev.InformationalReceived(1, 103, PAIRS),
            "InformationalReceived(stream_id=1, status=103, headers=[(b'a', b'1')])",
        ),
        (
            ev.DataReceived(1, b"x", 9, False),
            "DataReceived(stream_id=1, data=b'x', flow_length=9, end_stream=False)",
        ),
        (ev.TrailersReceived(1, PAIRS), "TrailersReceived(stream_id=1, headers=[(b'a', b'1')])"),
        (ev.SettingsChanged(), "SettingsChanged(stream_id=0)"),
        (ev.PingAcknowledged(b"12345678"), "PingAcknowledged(opaque=b'12345678')"),
        (ev.GoAwayReceived(5, 0, b"bye"), "GoAwayReceived(last_stream_id=5, code=0, debug=b'bye')"),
        (ev.OriginReceived([b"https://a"]), "OriginReceived(origins=[b'https://a'])"),
        (ev.DrainBegan(), "DrainBegan(stream_id=0)"),
        (ev.ProtocolDetected("h2", b"PRI"), "ProtocolDetected(protocol='h2', data=b'PRI')"),
        (ws.PingReceived(b"x"), "PingReceived(data=b'x')"),
        (ws.PongReceived(b"x"), "PongReceived(data=b'x')"),
        (Field(b"a", b"1"), "Field(b'a', b'1')"),
        (
            FieldSection([Field(b"a", b"1")], 34, 1, False),
            "FieldSection([Field(b'a', b'1')], size=34, count=1, truncated=False)",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_event_shows_its_values(shown: object, text: str) -> None:
    assert repr(shown) == text


@pytest.mark.parametrize(
    "shown",
    [
        ev.StreamReset(7, 8, "remote", "why", "RFC 9113 §6.4", "cause"),
        ev.ConnectionEnded(8, "remote", "why", "RFC 9113 §6.4", "cause"),
        ev.PeerFault(8, "stream", 7, "why", "RFC 9113 §6.4", "budget"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_end_shows_who_ended_it_and_why(shown: object) -> None:
    assert "8" in repr(shown) and "why" in repr(shown) and "RFC 9113 §6.4" in repr(shown)
