"""permessage-deflate (RFC 7692): what is negotiated, what is inflated, and how much of it."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.headers import parse_extension
from websockets.protocol import CLIENT, Protocol

from headrace.engine.ws import Failed, PingReceived, WebSocketConnection
from headrace.engine.ws.negotiation import accept_deflate, confirm_deflate, offer_deflate

from tests.engine.ws.raw_frames import BINARY, CONT, PING, TEXT, frame, messages
from tests.properties.profile import tries

FIELD = b"sec-websocket-extensions"
RSV1 = 0x40


def pair(
    limit: int = 1_048_576, offer: bytes = b"permessage-deflate; client_max_window_bits"
) -> tuple[WebSocketConnection, Protocol]:
    """A server of ours and a client of the library's, agreed."""
    value, extensions = accept_deflate([(FIELD, offer)])
    client = Protocol(CLIENT)
    factory = ClientPerMessageDeflateFactory(client_max_window_bits=True)
    client.extensions = [factory.process_response_params(parse_extension(value.decode())[0][1], [])]
    return WebSocketConnection(False, limit, extensions), client


def deflated(data: bytes) -> bytes:
    """One message as RFC 7692 §7.2.1 has it."""
    packer = zlib.compressobj(wbits=-12)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_messages_both_ways_share_a_context() -> None:
    ws, client = pair()
    sizes = []
    for _ in range(3):
        client.send_text(b"the same text again and again " * 3)
        raw = b"".join(client.data_to_send())
        assert raw[0] == 0xC1, "FIN, RSV1, text"
        assert messages(ws.receive_data(raw)) == ["the same text again and again " * 3]
        ws.send_text("the same text again and again " * 3)
        raw = ws.take_output()
        sizes.append(len(raw))
        client.receive_data(raw)
        assert [bytes(each.data) for each in client.events_received()] == [b"the same text again and again " * 3]
    assert sizes[1] < sizes[0]


def test_fragments_of_a_compressed_message_and_a_ping_between() -> None:
    ws, client = pair()
    client.send_text(b"eins ", fin=False)
    client.send_ping(b"p")
    client.send_continuation("zw\u00f6lf".encode(), fin=True)
    data = b"".join(client.data_to_send())
    for position in range(len(data)):
        events = ws.receive_data(data[position : position + 1])
    assert messages(events) == ["eins zwölf"]


def test_a_message_that_is_not_compressed_is_allowed() -> None:
    ws, _ = pair()
    assert messages(ws.receive_data(frame(TEXT, b"plain"))) == ["plain"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(frame(TEXT, deflated(b"\xff\xfe"), rsv=RSV1), 1007, id="inflates to no UTF-8"),
        pytest.param(frame(BINARY, b"\xff" * 20, rsv=RSV1), 1002, id="is not deflated at all"),
        pytest.param(frame(BINARY, b"\x00", fin=False) + frame(CONT, b"x", rsv=RSV1), 1002, id="RSV1 on a fragment"),
        pytest.param(frame(PING, b"x", rsv=RSV1), 1002, id="RSV1 on a ping"),
        pytest.param(frame(TEXT, b"x", rsv=0x60), 1002, id="RSV2 too"),
    ],
)
def test_a_rule_is_broken(data: bytes, code: int) -> None:
    ws, _ = pair()
    event = ws.receive_data(data)[-1]
    assert isinstance(event, Failed)
    assert event.code == code


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_the_limit_is_of_what_is_inflated(size: int) -> None:
    ws, client = pair(limit=1000)
    client.send_binary(b"x" * size)
    events = ws.receive_data(b"".join(client.data_to_send()))
    if size <= 1000:
        assert messages(events) == [b"x" * size]
    else:
        assert isinstance(events[-1], Failed)
        assert events[-1].code == 1009


@pytest.mark.parametrize(
    "offer",
    [
        b"permessage-deflate",
        b"permessage-deflate; client_max_window_bits",
        b"permessage-deflate; client_max_window_bits=9",
        b"permessage-deflate; server_max_window_bits=9",
        b"permessage-deflate; server_no_context_takeover",
        b"permessage-deflate; client_no_context_takeover",
        b"permessage-deflate; server_max_window_bits=8, permessage-deflate",
        b"x-unknown, permessage-deflate; client_max_window_bits=15",
        b'permessage-deflate; client_max_window_bits="10"',
    ],
)
def test_an_offer_that_is_met(offer: bytes) -> None:
    ws, client = pair(offer=offer)
    for text in (b"a" * 100, b"a" * 100):
        client.send_text(text)
        assert messages(ws.receive_data(b"".join(client.data_to_send()))) == [text.decode()]


@pytest.mark.parametrize(
    "offer",
    [
        b"",
        b"x-webkit-deflate-frame",
        b"permessage-deflate; server_max_window_bits=8",
        b"permessage-deflate; server_max_window_bits=16",
        b"permessage-deflate; unknown",
        b"permessage-deflate; server_no_context_takeover=1",
        b"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        b"permessage-deflate;",
        b",,,",
        b"permessage-deflate\xff",
        b"\xe2\x9c\x93",
        b"permessage-deflate; a=" + b"x" * 5000,
    ],
)
def test_an_offer_that_is_not_met(offer: bytes) -> None:
    assert accept_deflate([(FIELD, offer)]) == (b"", [])


@given(st.binary(max_size=60))
@tries(100)
def test_no_offer_raises(offer: bytes) -> None:
    accept_deflate([(FIELD, offer)])
    accept_deflate([(FIELD, b"permessage-deflate; " + offer)])


def test_a_client_of_ours_offers_and_confirms() -> None:
    value, at_server = accept_deflate([(FIELD, offer_deflate())])
    at_client = confirm_deflate([(FIELD, value)])
    server, client = WebSocketConnection(False, 1000, at_server), WebSocketConnection(True, 1000, at_client)
    client.send_text("hello " * 10)
    assert messages(server.receive_data(client.take_output())) == ["hello " * 10]
    server.send_text("hello " * 10)
    assert messages(client.receive_data(server.take_output())) == ["hello " * 10]
    assert confirm_deflate([]) == []


@pytest.mark.parametrize("bits", [9, 10, 11, 12, 13, 14, 15])
def test_a_server_may_allow_any_window_and_we_use_no_larger_one_than_we_offered(bits: int) -> None:
    """RFC 7692 §7.1.2.2: the value in an offer is a hint, which Autobahn's cases 13.4 and 13.6 answer with 15."""
    assert offer_deflate() == b"permessage-deflate; client_max_window_bits=12"
    [extension] = confirm_deflate([(FIELD, b"permessage-deflate; client_max_window_bits=%d" % bits)])
    assert extension.local_max_window_bits == min(bits, 12)
    for wrong in (b"7", b"16", b"x", b"012"):
        with pytest.raises(ValueError, match="RFC 7692"):
            confirm_deflate([(FIELD, b"permessage-deflate; client_max_window_bits=" + wrong)])


@pytest.mark.parametrize(
    "value", [b"x-other", b"permessage-deflate, permessage-deflate", b"\xff", b"permessage-deflate; x"]
)
def test_a_server_that_chooses_what_was_not_offered(value: bytes) -> None:
    with pytest.raises(ValueError, match="server"):
        confirm_deflate([(FIELD, value)])


def test_an_owner_that_wants_no_more_messages_gets_none_of_one_that_is_half_inflated() -> None:
    """Of a message in one frame nothing is left; of a fragment its message goes on, and goes nowhere."""
    for is_last in (True, False):
        ws, _ = pair()
        data = frame(BINARY, deflated(bytes(500_000)), fin=is_last, rsv=RSV1)
        assert ws.receive_data(data, 0, 100) == [] and ws.input_pending
        ws.discards = True
        events = ws.receive_data(frame(PING, b"p") if is_last else frame(CONT, b"") + frame(PING, b"p"), 0, 100)
        assert [type(event) for event in events] == [PingReceived] and not ws.input_pending


def test_a_message_becomes_too_large_in_a_later_turn() -> None:
    ws, _ = pair(limit=400_000)
    events = ws.receive_data(frame(BINARY, deflated(bytes(500_000)), rsv=RSV1), 0, 100)
    turns = 0
    while not events:
        turns += 1
        events = ws.receive_data(b"", 0, 100)
    (failed,) = events
    assert isinstance(failed, Failed) and failed.code == 1009 and turns > 1 and ws.is_done


def test_a_deflate_stream_may_end_and_another_begin_within_few_bytes() -> None:
    """RFC 7692 §7.2.3.4: a block with BFINAL set ends the stream, and what follows is part of the message."""
    packer = zlib.compressobj(wbits=-12)
    ended = packer.compress(b"one") + packer.flush(zlib.Z_FINISH)
    for cut in range(5):
        ws, _ = pair()
        rest = deflated(b"two")
        data = frame(BINARY, ended + rest[:cut], fin=False, rsv=RSV1) + frame(CONT, rest[cut:])
        assert messages(ws.receive_data(data)) == [b"onetwo"]


@pytest.mark.parametrize("fragments", [[b"a"], [b"a", b"", b"bc"], [b"x" * 70_000, b"y"]])
def test_our_compressed_message_in_fragments_is_read_as_one(fragments: list[bytes]) -> None:
    ws, client = pair()
    ws.send_bytes(b"", fin=False)
    for number, each in enumerate(fragments):
        ws.send_fragment(each, fin=number == len(fragments) - 1)
    client.receive_data(ws.take_output())
    received = client.events_received()
    assert b"".join(bytes(each.data) for each in received) == b"".join(fragments) and len(received) == 1 + len(
        fragments
    )
