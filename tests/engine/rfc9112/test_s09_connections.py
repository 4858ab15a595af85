"""RFC 9112 §9: persistence, pipelining, the end; and RFC 9110 §7.8: upgrades."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import CANCEL, INTERNAL_ERROR, InvalidFieldError, LocalProtocolError, StreamClosedError
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, OK, H1Rig, chunked, head, post, refusal

CLOSE = head(b"Connection: close")


# -- persistence (§9.3) --


@pytest.mark.parametrize(
    ("lines", "old", "kept"),
    [
        ([], False, True),
        ([b"Connection: keep-alive"], False, True),
        ([b"Connection: close"], False, False),
        ([b"Connection: Close"], False, False),
        ([b"Connection: x, close ,y"], False, False),
        ([b"Connection: keep-alive, close"], False, False),
        ([b"Connection: x", b"Connection: close"], False, False),
        ([b"Connection: closed"], False, True),
        ([], True, False),
        ([b"Connection: keep-alive"], True, True),
        ([b"Connection: Keep-Alive, x"], True, True),
        ([b"Connection: close, keep-alive"], True, False),
    ],
)
def test_persistence(lines: list[bytes], old: bool, kept: bool) -> None:
    """§9.3 close ends it; HTTP/1.1 persists; HTTP/1.0 persists with keep-alive; else it ends after the response."""
    rig = H1Rig(auto=True)
    rig.feed(head(*lines, request=b"GET / HTTP/1.0" if old else b"GET / HTTP/1.1") + GET)
    assert rig.conn.closed != kept
    assert len(rig.requests) == (2 if kept else 1)
    assert rig.responses()[0].field(b"connection") == ((b"keep-alive" if old else None) if kept else b"close")


def test_nothing_is_read_after_close() -> None:
    """§9.6 A server that sends close MUST NOT process any further requests received on that connection."""
    rig = H1Rig(auto=True)
    rig.feed(CLOSE + GET)
    rig.feed(GET)
    assert len(rig.requests) == 1
    (ended,) = rig.of(ev.ConnectionEnded)
    assert (ended.code, ended.initiator) == (0, "local")


# -- pipelining (§9.3.2) --


@pytest.mark.parametrize("turn", [0, 1, 100])
def test_a_thousand_pipelined_requests_are_answered_in_order(turn: int) -> None:
    """§9.3.2 A server MUST send responses in the order the requests were received."""
    rig = H1Rig(Limits(frames_per_turn=turn), auto=True)
    data = b"".join(head(request=b"GET /%d HTTP/1.1" % n) for n in range(1_000))
    for at in range(0, len(data), 10_000):
        rig.feed(data[at : at + 10_000])
        rig.take()
    assert [event.path for event in rig.requests] == [b"/%d" % n for n in range(1_000)]
    assert [event.stream_id for event in rig.requests] == list(range(1, 2_000, 2))
    assert [response.body for response in rig.responses()] == [b"%d" % n for n in range(1, 2_000, 2)]


def test_sixteen_at_once_are_one_write() -> None:
    """What is answered in one batch leaves in one write."""
    rig = H1Rig(Limits(frames_per_turn=100), auto=True)
    rig.feed(GET * 16)
    assert rig.conn.take_output(262_144, 0.0).count(b"HTTP/1.1 200 OK") == 16
    assert not rig.conn.needs_attention


def test_one_request_at_a_time() -> None:
    """The next one begins when the response is complete: the application never sees two of one connection at once."""
    rig = H1Rig()
    rig.feed(GET + post(b"hello") + GET)
    assert len(rig.requests) == 1
    rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, b"x")
    assert rig.conn.take_events() == []
    rig.conn.send_data(1, b"y", True)
    request, data = rig.conn.take_events()
    assert (request.stream_id, data.data, data.end_stream) == (3, b"hello", True)
    rig.conn.send_response(3, 200, (), b"")
    (request,) = rig.conn.take_events()
    assert request.stream_id == 5


def test_a_fault_in_a_pipelined_request_is_answered_in_its_turn() -> None:
    """§9.3.2 Behind the responses to what came before it, and only then is it read at all."""
    rig = H1Rig()
    rig.feed(GET + head(b"X : y") + GET)
    assert not rig.of(ev.PeerFault)
    rig.conn.send_response(1, 200, (), b"first")
    rig._note(rig.conn.take_events())
    assert rig.conn.closed
    assert [response.status for response in rig.responses()] == [200, 400]


def test_reading_pauses_while_requests_wait() -> None:
    """Netty CVE-2026-93491: what waits behind an open request is bounded; reading goes on after it."""
    rig = H1Rig()
    rig.feed(GET)
    fed = 0
    while not rig.conn.read_paused:
        rig.feed(GET * 100)
        fed += 100 * len(GET)
    assert 65_536 <= fed <= 65_536 + 100 * len(GET)
    rig.auto = True
    rig.conn.send_response(1, 200, (), b"")
    rig._note(rig.conn.take_events())
    rig.take()
    assert len(rig.requests) == 1 + fed // len(GET)
    assert not rig.conn.read_paused


def test_answers_that_are_not_taken_stop_further_requests() -> None:
    """The same from the other side: a client that sends and does not read gets no more than its buffer answered."""
    rig = H1Rig(auto=True)
    for _ in range(100):
        if rig.conn.read_paused:
            break
        rig.feed(GET * 1_000)
    assert rig.conn.read_paused
    assert len(rig.requests) < 1_500
    before = len(rig.requests)
    rig.take()
    assert len(rig.requests) > before


# -- the end (§9.6) --


def test_the_client_goes_while_its_request_runs() -> None:
    """§9.5 The handler is told by a StreamReset; the connection has ended."""
    rig = H1Rig()
    rig.feed(GET + GET)
    reset, ended = rig.conn.receive_eof(1.0)
    assert (reset.stream_id, reset.initiator) == (1, "remote")
    assert isinstance(ended, ev.ConnectionEnded) and ended.initiator == "remote"
    with pytest.raises(StreamClosedError, match="the connection has ended"):
        rig.conn.send_response(1, 200, (), b"")
    assert rig.conn.receive_eof(2.0) == []
    assert rig.feed(GET) == []


def test_the_client_goes_between_requests() -> None:
    """§9.5 That is how connections end: no reset, no fault."""
    rig = H1Rig(auto=True)
    rig.feed(GET)
    (ended,) = rig.conn.receive_eof(1.0)
    assert ended.code == 0


def test_reset_before_the_head() -> None:
    """Nothing has been sent, so nothing is: the client may see that its request was not answered."""
    rig = H1Rig()
    rig.feed(GET + GET)
    rig.conn.reset_stream(1, INTERNAL_ERROR)
    (ended,) = rig.conn.take_events()
    assert isinstance(ended, ev.ConnectionEnded) and ended.code == INTERNAL_ERROR
    assert rig.conn.closed and not rig.conn.aborted
    assert rig.take() == b""


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"10")]])
def test_reset_after_the_head_leaves_a_response_that_is_cut_off(headers: list[tuple[bytes, bytes]]) -> None:
    """§8 A client that receives an incomplete response MUST record it as incomplete: no last chunk, too few bytes."""
    rig = H1Rig()
    rig.feed(GET)
    rig.conn.send_headers(1, 200, headers)
    rig.conn.send_data(1, b"hello")
    rig.conn.reset_stream(1, CANCEL)
    assert rig.conn.closed and not rig.conn.aborted
    (response,) = rig.responses()
    assert response.body == b"hello" and not response.whole
    rig.conn.reset_stream(1, CANCEL)  # a no-op by now


def test_reset_of_what_ends_with_the_connection() -> None:
    """§8 Content of HTTP/1.0 without length looks whole when the connection ends: `aborted` asks for a reset."""
    rig = H1Rig()
    rig.feed(head(request=b"GET / HTTP/1.0"))
    rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, b"hello")
    rig.conn.reset_stream(1, CANCEL)
    assert rig.conn.closed and rig.conn.aborted
    assert rig.take() == b""


def test_a_reset_of_another_stream_is_nothing() -> None:
    """Streams that are over, and those that never were."""
    rig = H1Rig(auto=True)
    rig.feed(GET)
    rig.conn.reset_stream(1, CANCEL)
    rig.conn.reset_stream(99, CANCEL)
    rig.conn.refuse_stream(1)
    assert not rig.conn.closed


def test_refusal_of_a_request_that_has_not_begun() -> None:
    """RFC 9110 §15.6.4 There is no place for it: 503 with the time to come back, and the end."""
    rig = H1Rig()
    rig.feed(GET)
    rig.conn.refuse_stream(1)
    (response,) = rig.responses()
    assert (response.status, response.field(b"retry-after")) == (503, b"1")
    assert response.field(b"connection") == b"close"
    assert rig.conn.closed and [each.stream_id for each in rig.of(ev.StreamRefused)] == [1]


def test_close() -> None:
    """The owner ends the connection: an open request is told, once."""
    rig = H1Rig()
    rig.feed(GET)
    rig.conn.close(INTERNAL_ERROR, "told to")
    reset, ended = rig.conn.take_events()
    assert (reset.code, reset.initiator, reset.reason) == (INTERNAL_ERROR, "local", "told to")
    assert ended.reason == "told to"
    rig.conn.close()
    assert rig.conn.take_events() == []


def test_a_worker_that_waits_is_told_of_the_end() -> None:
    """A send that was not accepted when the connection ends does not leave its worker waiting."""
    rig = H1Rig()
    rig.feed(GET)
    assert not rig.conn.send_response(1, 200, (), b"x" * 200_000)
    reset, _ = rig.conn.receive_eof(1.0)
    assert isinstance(reset, ev.StreamReset)


# -- drain --


def test_drain_of_an_idle_connection() -> None:
    """Nothing runs, nothing has been asked: the end, at once."""
    rig = H1Rig(auto=True)
    rig.feed(GET)
    rig.conn.begin_drain(1.0, 30.0)
    drain, ended = rig.conn.take_events()
    assert isinstance(drain, ev.DrainBegan)
    assert (ended.code, ended.reason) == (0, "drained")


@pytest.mark.parametrize("streamed", [True, False])
def test_drain_while_a_request_runs(streamed: bool) -> None:
    """§9.6 It is answered, with close; what was pipelined behind it is not begun."""
    rig = H1Rig()
    rig.feed(GET + GET)
    rig.conn.begin_drain(1.0, 30.0)
    rig._note(rig.conn.take_events())
    assert not rig.conn.closed
    if streamed:
        rig.conn.send_headers(1, 200, ())
        rig.conn.send_data(1, b"x", True)
    else:
        rig.conn.send_response(1, 200, (), b"x")
    (response,) = rig.responses()
    assert response.field(b"connection") == b"close" and response.body == b"x"
    assert rig.conn.closed and len(rig.requests) == 1


def test_drain_after_the_head_of_a_response() -> None:
    """The head has said nothing of an end: the response is completed all the same, then the connection ends."""
    rig = H1Rig()
    rig.feed(GET)
    rig.conn.send_headers(1, 200, ())
    rig.conn.begin_drain(1.0, 30.0)
    rig.conn.send_data(1, b"x", True)
    (response,) = rig.responses()
    assert response.whole and response.field(b"connection") is None
    assert rig.conn.closed


def test_drain_with_a_part_of_a_head() -> None:
    """A request that is on its way is still answered, with close."""
    rig = H1Rig(auto=True)
    rig.feed(GET[:-2])
    rig.conn.begin_drain(1.0, 30.0)
    assert not rig.conn.closed
    rig.feed(GET[-2:])
    assert rig.responses()[0].field(b"connection") == b"close"
    assert rig.conn.closed


@pytest.mark.parametrize("begun", [True, False])
def test_drain_deadline(begun: bool) -> None:
    """What is left at the deadline is cut off; the worker is told."""
    rig = H1Rig()
    rig.feed(GET)
    if begun:
        rig.conn.send_headers(1, 200, ())
    rig.conn.begin_drain(1.0, 5.0)
    assert rig.advance(4.9) == []
    reset, ended = rig.advance(0.2)[-2:]
    assert "drain_timeout_s" in reset.reason and isinstance(ended, ev.ConnectionEnded)
    assert rig.conn.aborted == begun


def test_drain_begins_once() -> None:
    """Idempotent, as `close` is."""
    rig = H1Rig()
    rig.feed(GET)
    rig.conn.begin_drain(1.0)
    rig.conn.begin_drain(2.0)
    assert len(rig.conn.take_events()) == 1
    rig.now = 30.9
    assert not rig.conn.handle_deadline(30.9)
    assert rig.conn.handle_deadline(31.0)


def test_drain_while_a_request_is_forgotten() -> None:
    """Its response is complete: nothing is waited for."""
    rig = H1Rig()
    rig.feed(chunked(b"5\r\nhel"))
    rig.conn.send_response(1, 200, (), b"")
    rig.conn.begin_drain(1.0, 30.0)
    assert rig.conn.closed


# -- upgrades --

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY]


def upgrade(*lines: bytes, drop: bytes = b"", **arguments: Any) -> bytes:
    kept = [line for line in WEBSOCKET if not drop or not line.lower().startswith(drop)]
    return head(*kept, *lines, **arguments)


def test_an_upgrade_to_websocket() -> None:
    """RFC 6455 §4.2.2 The example of §1.3; then the bytes of both sides are the tunnel's."""
    rig = H1Rig(websockets=True)
    rig.feed(upgrade(b"Sec-WebSocket-Protocol: chat"))
    (event,) = rig.of(ev.ConnectReceived)
    assert (event.kind, event.method, event.protocol, event.path) == (ev.CONNECT, b"GET", b"websocket", b"/")
    assert not event.end_stream
    rig.conn.accept_tunnel(1, [(b"sec-websocket-protocol", b"chat")])
    assert rig.take() == (
        b"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: chat\r\nupgrade: websocket\r\n"
        b"connection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    rig.feed(b"\x81\x85mask")
    (data,) = rig.of(ev.DataReceived)
    assert (data.data, data.flow_length, data.end_stream) == (b"\x81\x85mask", 6, False)
    assert rig.conn.send_data(1, b"\x81\x05hello")
    assert rig.conn.take_output() == b"\x81\x05hello"
    rig.conn.send_data(1, b"\x88\x00", True)
    assert rig.conn.take_output() == b"\x88\x00"
    assert rig.conn.closed and not rig.conn.aborted


def test_bytes_before_the_answer_wait_for_it() -> None:
    """RFC 9110 §7.8 What follows the request waits until it is known which protocol it is in; bounded."""
    rig = H1Rig(websockets=True)
    rig.feed(upgrade() + b"early")
    rig.feed(b" bird")
    assert not rig.of(ev.DataReceived)
    rig.conn.accept_tunnel(1, ())
    (data,) = rig.conn.take_events()
    assert data.data == b"early bird"
    for waiting, paused in ((65_535, False), (65_536, True)):
        flooded = H1Rig(websockets=True)
        flooded.feed(upgrade() + b"x" * waiting)
        assert flooded.conn.read_paused is paused


def test_a_refused_upgrade_ends_the_connection() -> None:
    """aiohttp CVE-2026-69243: what follows may be frames or requests: nobody guesses."""
    rig = H1Rig(websockets=True)
    rig.feed(upgrade() + GET)
    rig.conn.send_response(1, 403, (), b"no")
    assert rig.conn.closed
    (response,) = rig.responses()
    assert (response.status, response.body, response.field(b"connection")) == (403, b"no", b"close")
    assert not rig.requests


def test_the_client_leaves_a_tunnel() -> None:
    """The end of its side, and as nothing more can be sent either, the end of the stream."""
    rig = H1Rig(websockets=True)
    rig.feed(upgrade())
    rig.conn.accept_tunnel(1, ())
    rig.take()
    data, reset, ended = rig.conn.receive_eof(1.0)
    assert (data.data, data.end_stream) == (b"", True)
    assert reset.initiator == ended.initiator == "remote"


def test_a_tunnel_has_back_pressure_both_ways() -> None:
    """The limits are those of content."""
    rig = H1Rig(Limits(initial_stream_window=1_000, max_stream_send_buffer=1_000), websockets=True)
    rig.feed(upgrade())
    rig.conn.accept_tunnel(1, ())
    rig.take()
    rig.feed(b"x" * 1_000)
    assert rig.conn.read_paused
    rig.conn.acknowledge_data(1, 1_000)
    assert not rig.conn.read_paused
    assert not rig.conn.send_data(1, b"x" * 1_001)
    rig.take()
    assert rig.of(ev.SendAccepted)


def test_a_tunnel_may_be_silent() -> None:
    """Neither idle time nor the rate of uploads is asked of it."""
    rig = H1Rig(websockets=True)
    rig.feed(upgrade())
    rig.conn.accept_tunnel(1, ())
    rig.take()
    assert rig.advance(10_000) == []


def test_misuse_of_tunnels() -> None:
    """Plain words for what cannot be done."""
    rig = H1Rig(websockets=True)
    rig.feed(GET)
    with pytest.raises(LocalProtocolError, match="no upgrade"):
        rig.conn.accept_tunnel(1, ())
    rig.conn.send_response(1, 200, (), b"")
    rig.feed(upgrade())
    rig._note(rig.conn.take_events())
    with pytest.raises(InvalidFieldError):
        rig.conn.accept_tunnel(3, [(b"a", b"b\r\n")])
    rig.conn.accept_tunnel(3, ())
    with pytest.raises(LocalProtocolError, match="no upgrade"):
        rig.conn.accept_tunnel(3, ())
    with pytest.raises(LocalProtocolError, match="no trailers"):
        rig.conn.send_trailers(3, ())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (upgrade(), OK),
        (upgrade(b"Content-Length: 0"), OK),
        (upgrade(b"Content-Length: 5") + b"hello", 400),
        (upgrade(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
        (upgrade(drop=b"sec-websocket-key"), 400),
        (upgrade(b"Sec-WebSocket-Key: " + KEY), 400),
        (upgrade(b"Sec-WebSocket-Key: ", drop=b"sec-websocket-key"), 400),
        (upgrade(b"Sec-WebSocket-Key: AAAA", drop=b"sec-websocket-key"), 400),
        (upgrade(b"Sec-WebSocket-Key: " + KEY[:-1] + b"A", drop=b"sec-websocket-key"), 400),
        (upgrade(b"Sec-WebSocket-Key: " + b"-" * 22 + b"==", drop=b"sec-websocket-key"), 400),
        (upgrade(b"Sec-WebSocket-Key: \xff\xff", drop=b"sec-websocket-key"), 400),
        (upgrade(drop=b"sec-websocket-version"), 426),
        (upgrade(b"Sec-WebSocket-Version: 8", drop=b"sec-websocket-version"), 426),
        (upgrade(b"Sec-WebSocket-Version: 13"), 426),
    ],
)
def test_handshakes(data: bytes, expected: object) -> None:
    """RFC 6455 §4.2.1, §4.4: 426 names the version that is spoken; an upgrade with content is 400."""
    assert refusal(data, websockets=True) == expected
    if expected == 426:
        rig = H1Rig(websockets=True)
        rig.feed(data)
        (response,) = rig.responses()
        assert response.field(b"sec-websocket-version") == b"13"
        assert response.field(b"upgrade") == b"websocket"


@pytest.mark.parametrize(
    "data",
    [
        upgrade(request=b"GET / HTTP/1.0"),  # RFC 9110 §7.8: ignored in HTTP/1.0
        upgrade(drop=b"connection"),  # the field means nothing then
        upgrade(drop=b"upgrade"),
        upgrade(request=b"POST / HTTP/1.1"),
        head(b"Connection: Upgrade", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),  # RFC 9113 §3.1: gone
        head(b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
    ],
)
def test_upgrades_that_are_ignored(data: bytes) -> None:
    """RFC 9110 §7.8 A server MAY ignore an Upgrade: these are ordinary requests."""
    rig = H1Rig(auto=True, websockets=True)
    rig.feed(data)
    assert rig.requests and not rig.of(ev.ConnectReceived)


def test_without_websockets_an_upgrade_is_an_ordinary_request() -> None:
    """What the application cannot take is not begun; its content is read as content."""
    rig = H1Rig(auto=True)
    rig.feed(upgrade(b"Content-Length: 5") + b"hello" + upgrade(drop=b"sec-websocket-key") + GET)
    assert len(rig.requests) == 3
    assert rig.content == b"hello"


def test_protocols_in_a_list_and_in_any_case() -> None:
    """RFC 9110 §7.8 Upgrade = #protocol; RFC 6455 §4.2.1: compared without case."""
    rig = H1Rig(websockets=True)
    rig.feed(upgrade(b"Upgrade: h2c , WebSocket", drop=b"upgrade"))
    assert rig.of(ev.ConnectReceived)


def test_the_accept_value_for_any_key() -> None:
    """RFC 6455 §4.2.2 base64(SHA-1(key + GUID))."""
    for n in range(20):
        key = base64.b64encode(bytes([n]) * 16)
        rig = H1Rig(websockets=True)
        rig.feed(upgrade(b"Sec-WebSocket-Key: " + key, drop=b"sec-websocket-key"))
        rig.conn.accept_tunnel(1, ())
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert dict(rig.responses()[0].headers)[b"sec-websocket-accept"] == base64.b64encode(digest)


def test_stats() -> None:
    """Figures for people."""
    rig = H1Rig(auto=True)
    rig.feed(GET + GET)
    rig.take()
    stats = rig.conn.stats()
    assert stats["protocol"] == "HTTP/1.1"
    assert (stats["requests"], stats["bytes_in"], stats["bytes_out"]) == (2, 2 * len(GET), len(rig.output))
