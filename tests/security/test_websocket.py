"""WebSocket under attack: the rows of the resource model that bound memory and work of one socket.

Each test is one class of attack that other servers had a CVE for; the server's side of it (slots, drains, resets) is in
tests/server/handlers/test_websocket.py.
"""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from websockets.protocol import CLIENT, Protocol

from headrace.engine.ws import Failed, PingReceived, WebSocketConnection
from headrace.engine.ws.negotiation import accept_deflate, is_same_origin

from tests.engine.ws.raw_frames import BINARY, CONT, PING, TEXT, frame

MiB = 1_048_576


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def failed(ws: WebSocketConnection, data: bytes) -> int:
    events = ws.receive_data(data)
    return events[-1].code if events and isinstance(events[-1], Failed) else 0


def bomb(times: int) -> bytes:
    """Deflated zeros, a thousand to one: `times` MiB."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(b"\0" * MiB) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * times


def compressing(limit: int = MiB) -> WebSocketConnection:
    _, extensions = accept_deflate([(b"sec-websocket-extensions", b"permessage-deflate")])
    return WebSocketConnection(False, limit, extensions)


def test_a_deflate_bomb_of_a_gigabyte_closes_1009_with_little_memory(memory: None) -> None:
    # CVE-2018-1000518 (websockets), CVE-2026-39804 (Bandit), CVE-2026-1526 (undici): 1,000 to 1.
    ws = compressing()
    data = frame(BINARY, bomb(1000), rsv=0x40)
    assert len(data) < 1.1 * MiB
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert failed(ws, data) == 1009
    assert tracemalloc.get_traced_memory()[1] - before < 6 * MiB


def test_a_bomb_in_fragments_is_counted_over_all_of_them(memory: None) -> None:
    ws = compressing(limit=2 * MiB)
    data = bomb(3)
    quarter = len(data) // 4
    before = tracemalloc.get_traced_memory()[0]
    codes = [failed(ws, frame(BINARY, data[:quarter], rsv=0x40, fin=False))]
    for number in (1, 2):
        codes.append(failed(ws, frame(CONT, data[number * quarter : (number + 1) * quarter], fin=False)))
    assert codes == [0, 0, 1009]
    assert tracemalloc.get_traced_memory()[1] - before < 6 * MiB


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_million_tiny_continuations_close_1009(memory: None, payload: bytes) -> None:
    # CVE-2026-62389 (ws), CVE-2026-12151 (undici), CVE-2026-42786 (Bandit): fragments that cost nothing go on for ever.
    ws = WebSocketConnection(False)
    assert failed(ws, frame(TEXT, payload, fin=False)) == 0
    batch = frame(CONT, payload, fin=False) * 1000
    sent = 1
    before = tracemalloc.get_traced_memory()[0]
    while not ws.is_done:
        code = failed(ws, batch)
        sent += 1000
        assert sent <= 1_000_000
    assert code == 1009
    assert sent < 6_000, "each is charged 256 bytes of 1 MiB"
    assert tracemalloc.get_traced_memory()[1] - before < 2 * MiB


def test_control_frames_between_fragments_do_not_reset_the_count() -> None:
    ws = WebSocketConnection(False, 10_000)
    assert failed(ws, frame(TEXT, b"", fin=False)) == 0
    codes = [failed(ws, frame(PING, b"") + frame(CONT, b"", fin=False)) for _ in range(60)]
    assert 1009 in codes


@pytest.mark.parametrize(
    "header", [b"\x82\xff" + (2**40).to_bytes(8, "big"), b"\x82\xff" + (MiB + 1).to_bytes(8, "big")]
)
def test_a_length_that_is_declared_and_never_sent_is_refused_on_the_header(memory: None, header: bytes) -> None:
    # CVE-2026-1528 (undici): nothing is allocated for a length that is only said.
    before = tracemalloc.get_traced_memory()[0]
    assert failed(WebSocketConnection(False), header) == 1009
    assert tracemalloc.get_traced_memory()[1] - before < 100_000


def test_a_length_of_2_to_the_63_is_1002() -> None:
    assert failed(WebSocketConnection(False), b"\x82\xff" + (2**63).to_bytes(8, "big")) == 1002


def test_a_declared_length_within_the_limit_takes_memory_only_as_bytes_come(memory: None) -> None:
    ws = WebSocketConnection(False)
    before = tracemalloc.get_traced_memory()[0]
    assert failed(ws, b"\x82\xff" + MiB.to_bytes(8, "big") + b"mask" + b"x" * 1000) == 0
    assert tracemalloc.get_traced_memory()[1] - before < 100_000


def test_rsv1_that_was_not_negotiated_is_1002() -> None:
    # CVE-2026-59881 (aiohttp).
    assert failed(WebSocketConnection(False), frame(TEXT, b"x", rsv=0x40)) == 1002
    assert failed(compressing(), frame(PING, b"x", rsv=0x40)) == 1002, "and never on a control frame"


def test_a_frame_that_is_not_masked_is_1002() -> None:
    # GHSA-rhh8 (Bandit).
    assert failed(WebSocketConnection(False), frame(TEXT, b"x", mask=None)) == 1002


def test_bad_utf8_is_1007_and_a_bad_close_code_1002() -> None:
    assert failed(WebSocketConnection(False), frame(TEXT, b"\xc0\x80")) == 1007
    assert failed(WebSocketConnection(False), frame(8, b"\x03\xec")) == 1002


def test_a_ping_flood_gets_a_bounded_answer_with_the_last_pong(memory: None) -> None:
    # RFC 6455 §5.5.3: an endpoint may answer only the most recent ping.
    ws = WebSocketConnection(False)
    before = tracemalloc.get_traced_memory()[0]
    for number in range(100):
        batch = b"".join(frame(PING, b"%d" % (number * 100 + each)) for each in range(100))
        assert all(isinstance(event, PingReceived) for event in ws.receive_data(batch))
    assert tracemalloc.get_traced_memory()[1] - before < MiB
    raw = ws.take_output()
    assert len(raw) < 2_100
    client = Protocol(CLIENT)
    client.receive_data(raw)
    pongs = [bytes(each.data) for each in client.events_received()]
    assert len(pongs) <= 17
    assert pongs[-1] == b"9999"


def test_text_byte_by_byte_takes_no_more_memory_than_its_length(memory: None) -> None:
    ws = WebSocketConnection(False)
    data = frame(TEXT, b"x" * 60_000)
    before = tracemalloc.get_traced_memory()[0]
    for position in range(len(data) - 1):
        ws.receive_data(data[position : position + 1])
    assert tracemalloc.get_traced_memory()[1] - before < 400_000


def test_a_page_of_another_origin_is_told_from_our_own() -> None:
    # Cross-site WebSocket hijacking (RFC 6455 §10.2); what the server does with it: test_a_foreign_origin_gets_403.
    assert not is_same_origin([(b"origin", b"https://evil.example")], b"https", b"example.org")
