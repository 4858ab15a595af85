"""The limits of a message, and each length that matters to the byte: exactly met it passes, one beyond it does not."""

from __future__ import annotations

import struct
import zlib

import pytest

from headrace.engine.ws import CloseReceived, Failed, PingReceived, PongReceived, WebSocketConnection
from headrace.engine.ws.assembly import FRAGMENT_COST
from headrace.engine.ws.negotiation import accept_deflate

from tests.engine.ws.raw_frames import BINARY, CLOSE, CONT, MASK, PING, PONG, TEXT, close, frame, messages

MOST = 1_000
RSV1 = 0x40
COST = FRAGMENT_COST
MASKS = {False: MASK, True: None}  # by whether we are the client, whose peer does not mask


def outcome(data: bytes, *, is_client: bool = False, deflates: bool = False) -> int:
    """The code with which the connection fails; 0 where the one message among `data` is taken."""
    extensions = accept_deflate([(b"sec-websocket-extensions", b"permessage-deflate")])[1] if deflates else None
    ws = WebSocketConnection(is_client, MOST, extensions)
    events = ws.receive_data(data)
    if ws.is_done:
        assert isinstance(events[-1], Failed) and messages(events) == []
        return events[-1].code
    assert len(messages(events)) == 1 and ws.kept == 0
    return 0


def stored(size: int) -> bytes:
    """A deflated message of `size` bytes in a stored block, which takes 6 bytes more on the wire (RFC 7692 §7.2.3)."""
    packer = zlib.compressobj(0, wbits=-15)
    data = (packer.compress(b"s" * size) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(data) == size + 6
    return data


def deflated(size: int) -> bytes:
    """A deflated message of `size` bytes, which takes few on the wire."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(b"d" * size) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fragments(*sizes: int, mask: bytes | None = MASK) -> bytes:
    """A message in fragments of these sizes."""
    last = len(sizes) - 1
    return b"".join(
        frame(CONT if at else BINARY, b"f" * size, fin=at == last, mask=mask) for at, size in enumerate(sizes)
    )


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("is_client", [False, True])
def test_a_message_in_one_frame_and_in_fragments_is_charged_to_the_byte(is_client: bool, over: int) -> None:
    mask = MASKS[is_client]
    taken = 1_009 * over
    for opcode in (TEXT, BINARY):
        assert outcome(frame(opcode, b"x" * (MOST + over), mask=mask), is_client=is_client) == taken
    two = MOST - 2 * COST + over
    for sizes in ((20, two - 20), (two, 0), (0, two), (40, 30, MOST - 3 * COST - 70 + over)):
        assert outcome(fragments(*sizes, mask=mask), is_client=is_client) == taken, sizes


@pytest.mark.parametrize("over", [0, 1])
def test_a_declared_length_is_refused_before_its_payload(over: int) -> None:
    most = MOST - 2 * COST - 20 + over
    begun = fragments(20, most)[:-most]
    ws = WebSocketConnection(False, MOST)
    assert [type(event) for event in ws.receive_data(begun)] == [Failed] * over
    ws = WebSocketConnection(False, MOST)
    assert [type(event) for event in ws.receive_data(frame(BINARY, b"x" * (MOST + over))[:4])] == [Failed] * over


@pytest.mark.parametrize("over", [0, 1])
def test_a_deflated_message_is_charged_for_what_it_inflates_to_and_for_what_comes(over: int) -> None:
    taken = 1_009 * over
    one, two = deflated(MOST + over), deflated(MOST - 2 * COST + over)
    whole = frame(BINARY, one, rsv=RSV1)
    halves = frame(BINARY, two[:5], fin=False, rsv=RSV1) + frame(CONT, two[5:])
    on_the_wire = frame(BINARY, stored(MOST - 6 + over), rsv=RSV1)
    assert [outcome(each, deflates=True) for each in (whole, halves, on_the_wire)] == [taken] * 3


@pytest.mark.parametrize("is_client", [False, True])
@pytest.mark.parametrize(("opcode", "kind"), [(PING, PingReceived), (PONG, PongReceived)])
def test_a_control_frame_has_125_bytes_at_most(is_client: bool, opcode: int, kind: type) -> None:
    """RFC 6455 §5.5; and it does not count against a message that has begun, even one that is at its limit."""
    mask = MASKS[is_client]
    ws = WebSocketConnection(is_client, MOST)
    begun = frame(BINARY, b"x" * (MOST - COST), fin=False, mask=mask)
    assert [type(each) for each in ws.receive_data(begun + frame(opcode, b"p" * 125, mask=mask))] == [kind]
    (event,) = ws.receive_data(frame(opcode, b"p" * 126, mask=mask))
    assert isinstance(event, Failed) and event.code == 1_002


def test_a_close_frame_has_a_reason_of_123_bytes_at_most() -> None:
    """RFC 6455 §5.5, received and sent, in bytes of UTF-8."""
    reason = "€" * 41
    (event,) = WebSocketConnection(False).receive_data(close(1_000, reason))
    assert isinstance(event, CloseReceived) and event.reason == reason
    (failed,) = WebSocketConnection(False).receive_data(close(1_000, reason + "x"))
    assert isinstance(failed, Failed) and failed.code == 1_002
    ws = WebSocketConnection(False)
    with pytest.raises(ValueError, match="123 bytes"):
        ws.send_close(1_000, reason + "x")
    ws.send_close(1_000, reason)
    assert ws.take_output() == close(1_000, reason, mask=None)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (125, b"\x7d"),
        (126, b"\x7e\x00\x7e"),
        (65_535, b"\x7e\xff\xff"),
        (65_536, b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_length_is_written_in_its_shortest_form(size: int, head: bytes) -> None:
    """RFC 6455 §5.2: "the minimal number of bytes MUST be used to encode the length"."""
    ws = WebSocketConnection(False)
    ws.send_bytes(b"x" * size)
    assert ws.take_output() == b"\x82" + head + b"x" * size
    ws = WebSocketConnection(True)
    ws.send_bytes(b"x" * size)
    assert ws.take_output()[: 1 + len(head)] == b"\x82" + bytes((head[0] | 0x80,)) + head[1:]


@pytest.mark.parametrize(
    ("form", "size", "is_shortest"),
    [("!BBH", 125, False), ("!BBH", 126, True), ("!BBQ", 65_535, False), ("!BBQ", 65_536, True)],
)
def test_a_length_is_read_in_its_shortest_form_alone(form: str, size: int, is_shortest: bool) -> None:
    """RFC 6455 §5.2, said of the header alone: it is refused before its payload."""
    ws = WebSocketConnection(True)
    head = struct.pack(form, 0x82, 126 if form == "!BBH" else 127, size)
    events = ws.receive_data(head)
    assert [(type(event), getattr(event, "code", 0)) for event in events] == [(Failed, 1_002)] * (not is_shortest)
    assert is_shortest == (messages(ws.receive_data(b"x" * size)) == [b"x" * size])


def test_a_close_frame_of_126_bytes_is_refused_by_its_header() -> None:
    (event,) = WebSocketConnection(False).receive_data(frame(CLOSE, b"\x03\xe8" + b"x" * 124)[:2])
    assert isinstance(event, Failed) and event.code == 1_002


@pytest.mark.parametrize(("first", "last"), [(1_000, 1_003), (1_007, 1_014), (3_000, 4_999)])
def test_close_codes_to_send_begin_and_end_at_their_bounds(first: int, last: int) -> None:
    """RFC 6455 §7.4.2, and what IANA has registered since."""
    for code in (first, last):
        ws = WebSocketConnection(False)
        ws.send_close(code)
        assert ws.take_output() == close(code, mask=None)
    for code in (first - 1, last + 1):
        with pytest.raises(ValueError, match="no close code to send"):
            WebSocketConnection(False).send_close(code)


def test_the_room_of_a_call_is_kept_to_the_byte() -> None:
    """A message of 200 bytes waits for room for all of it; for a deflated one, `inflated` is that room."""
    for room, is_taken in ((0, False), (199, False), (200, True)):
        ws = WebSocketConnection(False, MOST)
        assert (messages(ws.receive_data(frame(BINARY, b"x" * 200), room=room)) != []) == is_taken
        assert (ws.wants_room, ws.input_pending) == (not is_taken, not is_taken)
    extensions = accept_deflate([(b"sec-websocket-extensions", b"permessage-deflate")])[1]
    ws = WebSocketConnection(False, MOST, extensions)
    assert ws.receive_data(frame(BINARY, deflated(200), rsv=RSV1), inflated=0) == []
    assert ws.wants_room and ws.input_pending
    assert messages(ws.receive_data(b"")) == [b"d" * 200]


def test_the_work_of_a_call_is_kept_to_the_unit() -> None:
    ws = WebSocketConnection(False)
    ws.receive_data(frame(BINARY, b"one"))
    cost = ws.work_done
    two = frame(BINARY, b"one") + frame(BINARY, b"two")
    assert messages(WebSocketConnection(False).receive_data(two, work=cost)) == [b"one"]
    assert messages(WebSocketConnection(False).receive_data(two, work=cost + 1)) == [b"one", b"two"]


@pytest.mark.parametrize(("pings", "answered"), [(16, [*range(16)]), (17, [*range(17)]), (18, [*range(16), 17])])
def test_sixteen_pings_are_answered_at_once_and_then_the_last(pings: int, answered: list[int]) -> None:
    ws = WebSocketConnection(False)
    ws.receive_data(b"".join(frame(PING, bytes((number,))) for number in range(pings)))
    assert ws.take_output() == b"".join(frame(PONG, bytes((number,)), mask=None) for number in answered)


@pytest.mark.parametrize("size", [4_096, 4_097])
def test_an_offer_is_looked_at_up_to_4096_bytes(size: int) -> None:
    offer = b"permessage-deflate".ljust(size)
    assert (accept_deflate([(b"sec-websocket-extensions", offer)])[1] != []) == (size == 4_096)
