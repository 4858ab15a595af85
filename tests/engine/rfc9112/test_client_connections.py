"""RFC 9112 §9 for a client: when a connection goes on, when it ends, and what time does."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import CANCEL, NO_ERROR, REFUSED_STREAM, LocalProtocolError
from headrace.engine.limits import Limits

from tests.support.h1_rig import H1ClientRig

pytestmark = pytest.mark.engine

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("version", "connection", "goes_on"),
    [
        (b"1.1", None, True),
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"close", False),
        (b"1.1", b"Close", False),
        (b"1.1", b"keep-alive, close", False),
        (b"1.1", b"x-other", True),
        (b"1.1", b"x-close", True),
        (b"1.0", None, False),
        (b"1.0", b"keep-alive", True),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"close", False),
        (b"1.0", b"keep-alive, close", False),
        (b"1.7", None, True),
    ],
)
@pytest.mark.parametrize("we_close", [False, True])
def test_persistence(version: bytes, connection: bytes | None, goes_on: bool, we_close: bool) -> None:
    """RFC 9112 §9.3; and a client that has said `connection: close` sends nothing more (§9.6)."""
    rig = H1ClientRig()
    rig.send(headers=[(b"connection", b"close")] if we_close else [])
    field = b"" if connection is None else b"Connection: " + connection + b"\r\n"
    rig.feed(b"HTTP/" + version + b" 200 OK\r\n" + field + b"Content-Length: 2\r\n\r\nok")
    assert rig.ended and rig.content == b"ok"
    assert rig.conn.can_send_request == (goes_on and not we_close)
    assert rig.conn.closed != rig.conn.can_send_request
    if rig.conn.closed:
        assert rig.events[-1].code == NO_ERROR and rig.events[-1].initiator == "local"
        with pytest.raises(LocalProtocolError):
            rig.send()


def test_a_thousand_requests_on_one_connection() -> None:
    """Nothing wears out."""
    rig = H1ClientRig()
    for _ in range(1_000):
        rig.send()
        rig.feed(OK)
    assert len(rig.of(ev.ResponseReceived)) == 1_000 and rig.conn.stats()["requests"] == 1_000
    assert not rig.of(ev.PeerFault)


@pytest.mark.parametrize("data", [b"H", b"\r\n", OK, b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"])
@pytest.mark.parametrize("after", [False, True])
def test_bytes_that_nobody_asked_for(data: bytes, after: bool) -> None:
    """RFC 9112 §9.2: they are no response to whatever is asked next, and the connection ends."""
    rig = H1ClientRig()
    if after:
        rig.send()
        rig.feed(OK)
    rig.feed(data)
    assert rig.fault.section == "RFC 9112 §9.2" and rig.fault.scope == "connection"
    assert rig.conn.closed and not rig.conn.can_send_request
    assert len(rig.of(ev.ResponseReceived)) == after


def test_bytes_before_anything_of_the_request_was_sent() -> None:
    """A server that gives an idle connection up (408, say) while we queue a request has not answered it: the request
    may be sent elsewhere, whatever its method."""
    rig = H1ClientRig()
    stream_id = rig.conn.send_request(b"POST", b"http", b"a", b"/", (), end_stream=True)
    rig.feed(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
    (reset,) = rig.of(ev.StreamReset)
    assert (reset.stream_id, reset.code) == (stream_id, REFUSED_STREAM)
    assert rig.conn.closed and rig.take() == b"" and not rig.of(ev.ResponseReceived)


@pytest.mark.parametrize("sent", [False, True])
def test_the_server_goes_while_a_request_is_open(sent: bool) -> None:
    """Only of a request that never left us is it certain that it was not processed (RFC 9112 §9.3.1)."""
    rig = H1ClientRig()
    rig.conn.send_request(b"GET", b"http", b"a", b"/", (), end_stream=True)
    if sent:
        rig.conn.take_output(1)
    rig.eof()
    (reset,) = rig.of(ev.StreamReset)
    assert reset.initiator == "remote" and reset.code == (NO_ERROR if sent else REFUSED_STREAM)
    assert type(rig.events[-1]) is ev.ConnectionEnded and rig.take() == b""


def test_the_server_goes_between_requests() -> None:
    """No request, no reset."""
    rig = H1ClientRig()
    rig.send()
    rig.feed(OK)
    (ended,) = rig.eof()
    assert isinstance(ended, ev.ConnectionEnded) and ended.initiator == "remote"
    assert rig.eof() == [] and rig.feed(OK) == []


def test_closing() -> None:
    """`close` ends an open request with a StreamReset, once."""
    rig = H1ClientRig()
    rig.send()
    rig.conn.close(CANCEL, "enough")
    rig.conn.close()
    rig.take()
    assert [type(event) for event in rig.events] == [ev.StreamReset, ev.ConnectionEnded]
    assert rig.events[0].reason == "enough" and rig.events[0].code == CANCEL


# -- back-pressure ---------------------------------------------------------------------------------------------


def test_reading_stops_while_content_is_unread() -> None:
    """The kernel keeps what the application does not take."""
    rig = H1ClientRig(Limits(initial_stream_window=1_000))
    stream_id = rig.send()
    rig.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 999)
    assert not rig.conn.read_paused
    rig.feed(b"x")
    assert rig.conn.read_paused and rig.conn.needs_attention
    with pytest.raises(LocalProtocolError):
        rig.conn.acknowledge_data(stream_id, 1_001)
    rig.conn.acknowledge_data(stream_id, 500)
    assert not rig.conn.read_paused
    rig.feed(b"x" * 4_000)
    assert not rig.conn.read_paused and rig.conn.can_send_request  # it is over, and what was unread is the owner's
    rig.conn.acknowledge_data(stream_id, 4_500)


def test_reading_stops_while_crumbs_are_unread() -> None:
    """Chunks of one byte cost much more than a byte."""
    rig = H1ClientRig(Limits(small_data_budget=25_600))
    stream_id = rig.send()
    rig.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        rig.feed(b"1\r\nx\r\n")
    assert not rig.conn.read_paused
    rig.feed(b"1\r\nx\r\n")
    assert rig.conn.read_paused and not rig.of(ev.PeerFault)
    rig.conn.acknowledge_data(stream_id, 101)
    assert not rig.conn.read_paused


# -- time ------------------------------------------------------------------------------------------------------


def test_an_idle_connection_ends() -> None:
    """After `idle_timeout_s`, counted from the last response."""
    rig = H1ClientRig(Limits(idle_timeout_s=50))
    rig.advance(49)
    rig.send()
    rig.advance(400)
    assert not rig.conn.closed
    rig.feed(OK)
    rig.advance(49.9)
    assert not rig.conn.closed
    (ended,) = rig.advance(0.2)
    assert isinstance(ended, ev.ConnectionEnded) and ended.reason == "idle" and rig.conn.next_deadline() is None


def test_a_head_that_does_not_end() -> None:
    """A byte now and then does not extend its time."""
    rig = H1ClientRig(Limits(request_header_timeout_s=10))
    rig.send()
    rig.advance(500)  # how long a server may think is the owner's to say
    for byte in b"HTTP/1.1 ":
        rig.feed(bytes((byte,)))
        rig.advance(1)
    assert not rig.conn.closed
    rig.advance(1)
    assert rig.fault.budget == "request_header_timeout_s" and rig.conn.closed
    assert rig.of(ev.StreamReset)


def test_a_server_that_takes_nothing() -> None:
    """A request that is not taken, or by drips, is given up after `stalled_send_timeout_s`."""
    rig = H1ClientRig(Limits(stalled_send_timeout_s=60))
    stream_id = rig.send(method=b"POST", content_length=1_000_000, end_stream=False)
    rig.now = 5.0
    assert not rig.conn.send_data(stream_id, bytes(1_000_000), True)
    for _ in range(11):
        rig.conn.take_output(10_000, rig.now)
        rig.advance(55)
    assert not rig.conn.closed
    for _ in range(3):
        rig.conn.take_output(100, rig.now)
        rig.advance(55)
    assert rig.conn.closed and rig.conn.aborted and rig.fault.budget == "stalled_send_timeout_s"
    assert rig.take() == b""


def test_drain() -> None:
    """An open request is finished, and then the connection ends; an idle one ends at once."""
    rig = H1ClientRig()
    rig.send()
    rig.conn.begin_drain(rig.now)
    rig.conn.begin_drain(rig.now)
    assert not rig.conn.can_send_request and not rig.conn.closed
    rig.feed(OK)
    assert [type(event) for event in rig.events] == [
        *(ev.DrainBegan, ev.ResponseReceived, ev.DataReceived, ev.ConnectionEnded)
    ]
    idle = H1ClientRig()
    idle.conn.begin_drain(idle.now)
    assert idle.conn.closed


def test_the_deadline_of_a_drain() -> None:
    """What is left then is cut off."""
    rig = H1ClientRig()
    rig.send()
    rig.conn.begin_drain(rig.now, rig.now + 3)
    rig.advance(2.9)
    assert not rig.conn.closed
    rig.advance(0.2)
    assert rig.conn.closed and rig.conn.aborted and rig.of(ev.StreamReset)[0].code == CANCEL
