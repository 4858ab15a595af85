"""RFC 9113 §3.4: the connection preface, both roles."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import ClientRig, ServerRig


def test_server_settings_is_its_first_frame() -> None:
    """§3.4 The server preface is a SETTINGS frame that MUST be the first frame the server sends."""
    rig = ServerRig(start=False)
    frames = rig.take()
    assert frames[0].type == wire.SETTINGS and not frames[0].ack
    values = dict(frames[0].settings)
    assert values[wire.MAX_CONCURRENT_STREAMS] == 100
    assert values.get(wire.ENABLE_PUSH, 0) == 0, "a server MUST NOT set ENABLE_PUSH to 1 (§6.5.2)"


def test_server_settings_tell_its_limits() -> None:
    """§6.5.2 What the server advertises is what its limits say: windows, frame size, field section size, streams."""
    rig = ServerRig(Limits(max_concurrent_streams=7, max_frame_size=32768, initial_stream_window=100_000), start=False)
    values = dict(rig.take()[0].settings)
    assert values[wire.MAX_CONCURRENT_STREAMS] == 7
    assert values[wire.INITIAL_WINDOW_SIZE] == 100_000
    assert values[wire.MAX_FRAME_SIZE] == 32768
    assert values[wire.MAX_HEADER_LIST_SIZE] == 65536


def test_client_preface_comes_first() -> None:
    """§3.4 The client connection preface starts with 24 bytes, followed by a SETTINGS frame; push is switched off."""
    rig = ClientRig(start=False)
    frames = rig.take()
    assert frames[0].type == wire.SETTINGS
    assert dict(frames[0].settings)[wire.ENABLE_PUSH] == 0


def test_client_may_send_requests_at_once() -> None:
    """§3.4 Clients are permitted to send additional frames immediately after the client connection preface."""
    rig = ClientRig(start=False)
    stream_id = rig.send(b"/early")
    assert stream_id == 1
    assert [f.type for f in rig.sent if f.type != wire.WINDOW_UPDATE] == [wire.SETTINGS, wire.HEADERS]


def test_peer_settings_are_acknowledged_after_our_preface() -> None:
    """§3.4 The SETTINGS received as part of the preface MUST be acknowledged after sending the connection preface."""
    rig = ServerRig(start=False)
    rig.feed(wire.client_preface())
    frames = rig.take()
    kinds = [(f.type, f.ack) for f in frames if f.type == wire.SETTINGS]
    assert kinds == [(wire.SETTINGS, False), (wire.SETTINGS, True)]


@pytest.mark.parametrize("cut", range(1, 25))
def test_wrong_byte_in_the_preface(cut: int) -> None:
    """§3.4 An invalid connection preface is a connection error of type PROTOCOL_ERROR (GOAWAY MAY be left out)."""
    rig = ServerRig(start=False)
    bad = bytearray(wire.PREFACE)
    bad[cut - 1] ^= 0x20
    rig.feed(bytes(bad), wire.settings())
    rig.take()
    assert [e.code for e in rig.of(ev.ConnectionEnded)] == [wire.PROTOCOL_ERROR]
    assert rig.goaway_code() in (None, wire.PROTOCOL_ERROR)
    assert rig.conn.closed


@pytest.mark.parametrize("cut", range(1, 25))
def test_wrong_byte_is_noticed_without_waiting_for_24(cut: int) -> None:
    """§3.4 A peer that is not speaking HTTP/2 is told so at its first wrong byte, not when 24 have come."""
    rig = ServerRig(start=False)
    bad = bytearray(wire.PREFACE[:cut])
    bad[cut - 1] ^= 0x20
    for byte in bad:
        rig.feed(bytes((byte,)))
    assert rig.of(ev.ConnectionEnded) and rig.conn.closed


def test_preface_byte_by_byte() -> None:
    """§3.4 The preface is the same however it is cut."""
    rig = ServerRig(start=False)
    for byte in wire.client_preface({wire.MAX_FRAME_SIZE: 20000}) + wire.request(1):
        rig.feed(bytes((byte,)))
    assert [e.stream_id for e in rig.of(ev.RequestReceived)] == [1]


@pytest.mark.parametrize(
    "first",
    [
        wire.ping(),
        wire.request(1),
        wire.window_update(0, 1),
        wire.settings_ack(),
        wire.frame(0xFA, 0, 0, b"x"),
        wire.goaway(),
        wire.priority(1),
    ],
    ids=["ping", "headers", "window_update", "settings_ack", "unknown", "goaway", "priority"],
)
def test_server_wants_settings_first(first: bytes) -> None:
    """§3.4 The 24 bytes MUST be followed by a SETTINGS frame; anything else is a connection error PROTOCOL_ERROR."""
    rig = ServerRig(start=False)
    rig.feed(wire.PREFACE, first)
    assert rig.outcome(1) == ("connection", wire.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "first", [wire.ping(), wire.window_update(0, 1), wire.settings_ack(), b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_client_wants_settings_first(first: bytes) -> None:
    """§3.4 The server preface is a SETTINGS frame that MUST be the first frame the server sends."""
    rig = ClientRig(start=False)
    rig.take()
    rig.feed(first)
    rig.take()
    assert rig.conn.closed
    (ended,) = rig.of(ev.ConnectionEnded)
    assert ended.code in (wire.PROTOCOL_ERROR, wire.FRAME_SIZE_ERROR)


def test_preface_deadline() -> None:
    """A peer that sends half a preface and then nothing is let go when preface_timeout_s is over."""
    rig = ServerRig(Limits(preface_timeout_s=10), start=False)
    rig.feed(wire.PREFACE[:10])
    rig.advance(9.9)
    assert not rig.conn.closed
    rig.feed(wire.PREFACE[10:])
    rig.advance(0.2)
    assert rig.conn.closed, "the 24 bytes alone do not end the phase: SETTINGS is part of the preface"


def test_settings_ack_deadline() -> None:
    """§6.5.3 Without an ACK in a reasonable time, a connection error of type SETTINGS_TIMEOUT MAY be issued."""
    rig = ServerRig(Limits(settings_ack_timeout_s=10), start=False)
    rig.feed(wire.client_preface())
    rig.advance(9.5)
    assert not rig.conn.closed
    rig.advance(1.0)
    rig.take()
    assert rig.goaway_code() == wire.SETTINGS_TIMEOUT
    assert rig.conn.closed
