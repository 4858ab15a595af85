"""Frames in and out (RFC 6455 §5): the `websockets` library is the peer, and bytes by hand where it would refuse."""

from __future__ import annotations

import struct

import pytest
from websockets.protocol import CLIENT, SERVER, Protocol

from headrace.engine.errors import LocalProtocolError
from headrace.engine.ws import (
    CloseReceived,
    Failed,
    MessageReceived,
    PingReceived,
    PongReceived,
    WebSocketConnection,
    WebSocketEvent,
)

from tests.engine.ws.raw_frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, close, frame, messages


def server(limit: int = 1_048_576) -> WebSocketConnection:
    return WebSocketConnection(False, limit)


def only(events: list[WebSocketEvent]) -> WebSocketEvent:
    assert len(events) == 1, events
    return events[0]


def failure(ws: WebSocketConnection, data: bytes) -> int:
    """The close code with which `data` fails the connection; the same stands in the close frame that is written."""
    event = ws.receive_data(data)[-1]
    assert isinstance(event, Failed), event
    assert ws.is_done
    assert not ws.is_open
    assert ws.output_ended
    reason = event.reason.encode()
    assert ws.take_output().endswith(struct.pack("!BBH", 0x88, 2 + len(reason), event.code) + reason)
    assert ws.receive_data(frame(TEXT, b"more")) == []
    return event.code


# -- messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_a_message_of_every_length_form(size: int) -> None:
    ws = server()
    assert messages(ws.receive_data(frame(BINARY, b"x" * size))) == [b"x" * size]
    ws.send_bytes(b"x" * size)
    client = Protocol(CLIENT)
    client.receive_data(ws.take_output())
    assert [bytes(each.data) for each in client.events_received()] == [b"x" * size]


@pytest.mark.parametrize("text", ["", "plain", "κόσμε", "\U0001f600" * 50])
def test_text_is_str_both_ways(text: str) -> None:
    ws = server()
    assert messages(ws.receive_data(frame(TEXT, text.encode()))) == [text]
    ws.send_text(text)
    client = Protocol(CLIENT)
    client.receive_data(ws.take_output())
    assert [bytes(each.data).decode() for each in client.events_received()] == [text]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_bytes_may_come_in_any_pieces(step: int) -> None:
    ws = server()
    data = (
        frame(TEXT, b"eins")
        + frame(BINARY, b"z" * 300)
        + frame(TEXT, b"zw", fin=False)
        + frame(PING, b"p")
        + frame(CONT, "ei ✓".encode())
        + frame(PONG, b"q")
        + close(4000, "ende")
    )
    events = []
    for start in range(0, len(data), step):
        events += ws.receive_data(data[start : start + step])
    kinds = [MessageReceived, MessageReceived, PingReceived, MessageReceived, PongReceived, CloseReceived]
    assert [type(each) for each in events] == kinds
    assert messages(events) == ["eins", b"z" * 300, "zwei ✓"]
    assert repr(events[-1]) == "CloseReceived(code=4000, reason='ende')"


def test_a_limit_of_events_leaves_the_rest_for_the_next_call() -> None:
    ws = server()
    data = b"".join(frame(TEXT, b"%d" % number) for number in range(5))
    assert messages(ws.receive_data(data, 2)) == ["0", "1"]
    pending = [ws.input_pending]
    assert messages(ws.receive_data(frame(TEXT, b"5")[:3], 2)) == ["2", "3"]
    assert messages(ws.receive_data(b"", 2)) == ["4"]
    pending.append(ws.input_pending)
    assert pending == [True, False]
    assert messages(ws.receive_data(frame(TEXT, b"5")[3:], 2)) == ["5"]


def test_fragments_out() -> None:
    ws = server()
    ws.send_text("a", fin=False)
    ws.send_fragment("b", False)
    ws.send_fragment("", True)
    assert ws.take_output() == b"\x01\x01a\x00\x01b\x80\x00"
    with pytest.raises(LocalProtocolError, match="no fragmented message"):
        ws.send_fragment("c", True)
    ws.send_bytes(b"a", fin=False)
    with pytest.raises(LocalProtocolError, match="not complete"):
        ws.send_text("in between")
    with pytest.raises(TypeError, match="all text, or all bytes"):
        ws.send_fragment("text", True)


def test_a_client_masks_and_takes_what_is_not_masked() -> None:
    ws = WebSocketConnection(True)
    ws.send_text("hello")
    ws.send_bytes(b"\0" * 200)
    peer = Protocol(SERVER)
    peer.receive_data(ws.take_output())
    assert [bytes(each.data) for each in peer.events_received()] == [b"hello", b"\0" * 200]
    raw = frame(TEXT, b"a", mask=None) + frame(TEXT, b"b", fin=False, mask=None) + frame(PING, b"p", mask=None)
    raw += frame(CONT, b"c", mask=None)
    assert messages(ws.receive_data(raw)) == ["a", "bc"]
    peer.receive_data(ws.take_output())
    assert [bytes(each.data) for each in peer.events_received()] == [b"p"]
    assert failure_of_client(frame(TEXT, b"masked")) == 1002


def failure_of_client(data: bytes) -> int:
    event = WebSocketConnection(True).receive_data(data)[-1]
    assert isinstance(event, Failed)
    return event.code


# -- what must not be (RFC 6455 §5.1, §5.2, §5.4, §5.5)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, b"a", mask=None), 1002, id="a frame that is not masked (5.1)"),
        pytest.param(frame(TEXT, b"a", rsv=0x40), 1002, id="RSV1 (5.2)"),
        pytest.param(frame(TEXT, b"a", rsv=0x20), 1002, id="RSV2 (5.2)"),
        pytest.param(frame(TEXT, b"a", rsv=0x10), 1002, id="RSV3 (5.2)"),
        pytest.param(frame(PING, b"a", rsv=0x40), 1002, id="RSV1 on a ping (5.2)"),
        *[pytest.param(frame(op, b""), 1002, id=f"opcode {op} (5.2)") for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        pytest.param(frame(PING, b"a", fin=False), 1002, id="a fragmented ping (5.5)"),
        pytest.param(frame(PING, b"a" * 126), 1002, id="a long ping (5.5)"),
        pytest.param(b"\x89\xfe", 1002, id="the header of a long ping, alone (5.5)"),
        pytest.param(frame(CLOSE, b"a" * 126), 1002, id="a long close (5.5)"),
        pytest.param(frame(CONT, b"a"), 1002, id="a continuation of nothing (5.4)"),
        pytest.param(frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002, id="a message within a message (5.4)"),
        pytest.param(b"\x82\xff" + b"\x80" + b"\0" * 7, 1002, id="a length of 2^63 (5.2)"),
        pytest.param(b"\x82\xff" + b"\x7f" + b"\xff" * 7, 1009, id="a length of 2^63 - 1"),
        pytest.param(frame(TEXT, b"\xff"), 1007, id="text that is not UTF-8 (8.1)"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="a surrogate (8.1)"),
        pytest.param(frame(TEXT, b"\xc3"), 1007, id="half a character at the end (8.1)"),
        pytest.param(frame(TEXT, b"\xc3", fin=False) + frame(CONT, b""), 1007, id="the same in fragments (8.1)"),
    ],
)
def test_a_rule_is_broken(data: bytes, code: int) -> None:
    assert failure(server(), data) == code


def test_a_character_may_be_split_between_fragments() -> None:
    ws = server()
    data = frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"\x9c", fin=False) + frame(CONT, b"\x93")
    assert messages(ws.receive_data(data)) == ["✓"]


@pytest.mark.parametrize("fin", [True, False])
def test_utf8_fails_at_the_first_bad_byte_of_a_frame_that_is_not_whole(fin: bool) -> None:
    # Autobahn 6.4.3: "fail fast", while the rest of the frame is still to come.
    data = frame(TEXT, "κόσμε".encode() + b"\xf4\x90\x80\x80" + b"edited" * 50, fin=fin)
    ws = server()
    good = 4 + 4 + len("κόσμε".encode())  # header and mask, then what is good
    assert ws.receive_data(data[: good + 1]) == []
    assert failure(ws, data[good + 1 : good + 2]) == 1007


def test_utf8_fails_fast_in_a_continuation_byte_by_byte() -> None:
    ws = server()
    assert ws.receive_data(frame(TEXT, b"a\xe2", fin=False)) == []
    data = frame(CONT, b"\x9c\x93 good \xff never seen" + b"x" * 20)
    for position in range(6 + 8):
        assert ws.receive_data(data[position : position + 1]) == [], position
    assert failure(ws, data[14:15]) == 1007


# -- control frames


def test_every_ping_of_a_few_is_answered_in_order() -> None:
    ws = server()
    ws.receive_data(b"".join(frame(PING, b"%d" % number) for number in range(10)))
    client = Protocol(CLIENT)
    client.receive_data(ws.take_output())
    assert [bytes(each.data) for each in client.events_received()] == [b"%d" % number for number in range(10)]


def test_a_pong_may_come_between_fragments_that_we_send() -> None:
    ws = server()
    ws.send_text("a", fin=False)
    ws.receive_data(frame(PING, b"p"))
    ws.send_fragment("b", True)
    assert ws.take_output() == b"\x01\x01a\x8a\x01p\x80\x01b"


def test_a_ping_of_ours_is_at_most_125_bytes() -> None:
    ws = server()
    ws.send_ping(b"x" * 125)
    assert len(ws.take_output()) == 127
    with pytest.raises(ValueError, match="125"):
        ws.send_ping(b"x" * 126)


# -- messages in fragments, ours and theirs


@pytest.mark.parametrize("is_client", [False, True])
def test_our_message_in_fragments_is_read_as_one(is_client: bool) -> None:
    """RFC 6455 §5.4."""
    ws = WebSocketConnection(is_client, 1_000)
    ws.send_text("κόσ", fin=False)
    ws.send_fragment("με", fin=False)
    ws.send_fragment("", fin=True)
    ws.send_bytes(b"\x00", fin=False)
    ws.send_fragment(b"\x01", fin=True)
    peer = Protocol(SERVER if is_client else CLIENT)
    peer.receive_data(ws.take_output())
    assert [bytes(each.data) for each in peer.events_received()] == ["κόσ".encode(), "με".encode(), b"", b"\0", b"\1"]


def test_a_fragment_has_its_message_and_its_kind() -> None:
    ws = server()
    with pytest.raises(LocalProtocolError, match="no fragmented message"):
        ws.send_fragment("x", fin=True)
    ws.send_text("a", fin=False)
    with pytest.raises(TypeError, match="all text, or all bytes"):
        ws.send_fragment(b"x", fin=True)
    with pytest.raises(LocalProtocolError, match="not complete"):
        ws.send_text("b")
    ws.send_close()
    with pytest.raises(LocalProtocolError, match="closing"):
        ws.send_fragment("x", fin=True)


def test_of_many_pings_the_last_is_answered_with_the_output() -> None:
    """RFC 6455 §5.5.3: "an endpoint ... may elect to send a Pong frame for only the most recently processed Ping"."""
    ws = server()
    pending = [ws.output_pending]
    ws.receive_data(b"".join(frame(PING, b"%d" % number) for number in range(1_000)))
    pending.append(ws.output_pending)
    client = Protocol(CLIENT)
    client.receive_data(ws.take_output())
    pongs = [bytes(each.data) for each in client.events_received()]
    assert pongs[-1] == b"999" and len(pongs) < 1_000
    assert ws.take_output() == b"" and [*pending, ws.output_pending] == [False, True, False]


def test_an_owner_that_wants_no_more_messages_still_sees_the_end() -> None:
    """What it discards is walked through, whole messages and fragments, plain and torn, without being kept."""
    ws = server()
    ws.receive_data(frame(TEXT, b"half", fin=False))
    ws.discards = True
    pieces = frame(CONT, b"more", fin=False), frame(PING, b"p"), frame(CONT, b"\xff"), frame(TEXT, b"whole")
    events = [event for piece in pieces for event in ws.receive_data(piece)]
    assert [type(event) for event in events] == [PingReceived] and ws.kept == 0
    torn = frame(TEXT, b"\xff\xfe")
    assert ws.receive_data(torn[:7]) == [] and ws.receive_data(torn[7:]) == []
    assert isinstance(only(ws.receive_data(close(1000))), CloseReceived)
