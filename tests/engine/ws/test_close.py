"""The close handshake, and the rules for its codes (RFC 6455 §5.5.1, §7)."""

from __future__ import annotations

import struct

import pytest

from headrace.engine.errors import LocalProtocolError
from headrace.engine.ws import CloseReceived, Failed, WebSocketConnection

from tests.engine.ws.raw_frames import CLOSE, CONT, PING, TEXT, close, frame, messages


def server() -> WebSocketConnection:
    return WebSocketConnection(False)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_a_code_that_may_be_received_is_echoed(code: int) -> None:
    ws = server()
    (event,) = ws.receive_data(close(code, "warum"))
    assert isinstance(event, CloseReceived)
    assert (event.code, event.reason) == (code, "warum")
    assert ws.take_output() == close(code, "warum", mask=None)
    assert ws.output_ended
    assert not ws.is_open


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_a_code_that_must_not_be_received(code: int) -> None:
    ws = server()
    (event,) = ws.receive_data(close(code))
    assert isinstance(event, Failed)
    assert event.code == 1002
    assert ws.take_output()[2:4] == struct.pack("!H", 1002)


def test_no_code_is_1005_and_echoed_as_it_is() -> None:
    ws = server()
    (event,) = ws.receive_data(close(None))
    assert isinstance(event, CloseReceived)
    assert event.code == 1005
    assert ws.take_output() == close(None, mask=None)


def test_one_byte_is_no_code() -> None:
    (event,) = server().receive_data(frame(CLOSE, b"\x03"))
    assert isinstance(event, Failed)
    assert event.code == 1002


def test_a_reason_that_is_not_utf8() -> None:
    (event,) = server().receive_data(close(1000, b"\xff"))
    assert isinstance(event, Failed)
    assert event.code == 1007


def test_a_close_between_fragments_is_a_close() -> None:
    # Autobahn 7.1.5, which the library alone answers with 1002.
    ws = server()
    (event,) = ws.receive_data(frame(TEXT, b"half", fin=False) + close(1000) + frame(CONT, b"more"))
    assert isinstance(event, CloseReceived)
    assert event.code == 1000


def test_nothing_is_received_after_the_close() -> None:
    ws = server()
    events = ws.receive_data(frame(TEXT, b"a") + close(1000) + frame(TEXT, b"b") + frame(PING, b"c") + b"\xff\xff")
    assert messages(events) == ["a"]
    assert len(events) == 2
    assert ws.receive_data(frame(TEXT, b"d")) == []
    assert ws.receive_eof() == []
    assert ws.take_output() == close(1000, mask=None)


def test_a_pong_that_is_due_stands_before_the_close_frame() -> None:
    ws = server()
    ws.receive_data(frame(PING, b"p") + close(1000))
    assert ws.take_output() == b"\x8a\x01p" + close(1000, mask=None)


def test_our_close_then_theirs() -> None:
    ws = server()
    ws.send_close(1001, "weg")
    assert ws.take_output() == close(1001, "weg", mask=None)
    assert not ws.is_open
    before = ws.output_ended
    with pytest.raises(LocalProtocolError, match="closing"):
        ws.send_text("late")
    with pytest.raises(LocalProtocolError, match="closing"):
        ws.send_ping()
    ws.send_close(1000)
    assert ws.take_output() == b"", "there is one close frame only"
    events = ws.receive_data(frame(TEXT, b"was on its way") + close(1001))
    assert messages(events) == ["was on its way"]
    assert isinstance(events[-1], CloseReceived)
    assert (before, ws.output_ended) == (False, True), "it was their turn"
    assert ws.take_output() == b""


def test_a_fault_after_our_close_sends_no_second_one() -> None:
    ws = server()
    ws.send_close()
    ws.take_output()
    (event,) = ws.receive_data(frame(TEXT, b"\xff"))
    assert isinstance(event, Failed)
    assert ws.take_output() == b""
    assert ws.output_ended


def test_the_end_of_the_tunnel_without_a_close_is_1006() -> None:
    ws = server()
    ws.receive_data(frame(TEXT, b"half", fin=False))
    (event,) = ws.receive_eof()
    assert isinstance(event, Failed)
    assert event.code == 1006
    assert ws.receive_eof() == []
    assert ws.output_ended


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
def test_a_code_that_must_not_be_sent(code: int) -> None:
    ws = server()
    with pytest.raises(ValueError, match=f"{code} is no close code"):
        ws.send_close(code)
    assert ws.is_open


def test_a_reason_has_123_bytes_at_most() -> None:
    ws = server()
    with pytest.raises(ValueError, match="123"):
        ws.send_close(1000, "é" * 62)
    ws.send_close(1000, "é" * 61 + "x")
    assert len(ws.take_output()) == 127


def test_1005_sends_a_close_frame_without_a_code() -> None:
    ws = server()
    ws.send_close(1005)
    assert ws.take_output() == close(None, mask=None)


def test_the_owner_may_fail_the_connection() -> None:
    ws = server()
    ws.send_text("first", fin=False)
    (event,) = ws.fail(1011, "")
    assert isinstance(event, Failed)
    assert ws.take_output().endswith(close(1011, mask=None))
    assert ws.fail(1011, "") == []


@pytest.mark.parametrize("behind", [b"", frame(TEXT, b"late")])
def test_behind_a_close_nothing_is_pending(behind: bytes) -> None:
    """RFC 6455 §5.5.1: what follows a close frame is not looked at. Its owner asked for it again and again, without
    end, when the close frame had waited behind messages that were taken one at a time."""
    ws = server()
    events = ws.receive_data(frame(TEXT, b"one") + frame(TEXT, b"two") + close(1000) + behind, 1)
    turns = 0
    while ws.input_pending and turns < 10:
        events += ws.receive_data(b"", 1)
        turns += 1
    assert not ws.input_pending
    assert messages(events[:2]) == ["one", "two"]
    assert isinstance(events[2], CloseReceived)
