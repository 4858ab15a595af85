"""An hour of lawful peers over HTTP/1.1, by the clock: no connection is cut. The same over HTTP/2: test_hours.py."""

from __future__ import annotations

from headrace.client.connection.owner import CLIENT_LIMITS
from headrace.engine import events as ev

from tests.support.h1_rig import GET, H1ClientRig, H1Rig, head

HOUR = 3_600.0


def test_a_browser_that_keeps_its_connection() -> None:
    """A page of 20 requests, one after the other, every 74 seconds: just before the connection would be idle."""
    rig = H1Rig(auto=True)
    while rig.now < HOUR:
        for _ in range(20):
            rig.feed(GET)
            rig.take()
        rig.events.clear()
        rig.advance(74.0)
        assert not rig.conn.closed, rig.now


def test_a_gateway_that_pipelines() -> None:
    """50 requests in one write, 200 times an hour; answers as soon as their turn comes."""
    rig = H1Rig(auto=True)
    while rig.now < HOUR:
        rig.feed(GET * 50)
        rig.take()
        rig.events.clear()
        rig.advance(18.0)
        assert not rig.conn.closed, rig.now


def test_an_upload_of_messages() -> None:
    """Chunks of 40 bytes, 100 in a burst that waits for the handler, and silence for a minute, for an hour."""
    rig = H1Rig()
    rig.feed(head(b"Transfer-Encoding: chunked", request=b"POST / HTTP/1.1"))
    while rig.now < HOUR:
        for _ in range(100):
            rig.feed(b"28\r\n" + b"m" * 40 + b"\r\n")
        rig.advance(0.5)
        owed = sum(event.flow_length for event in rig.of(ev.DataReceived))
        rig.conn.acknowledge_data(1, owed)
        rig.events.clear()
        rig.advance(60.0)
        assert not rig.conn.closed, rig.now


def test_a_server_with_interim_responses() -> None:
    """Early hints twice with each response, 2,000 a second at times, and 102 every five seconds in between."""
    rig = H1ClientRig()
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2
    while rig.now < HOUR:
        for _ in range(2_000):
            rig.send()
            rig.feed(hints + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        rig.send()
        for _ in range(60):
            rig.feed(b"HTTP/1.1 102 Processing\r\n\r\n")
            rig.advance(5.0)
        rig.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        rig.advance(10.0)
        rig.events.clear()
        assert not rig.conn.closed, rig.now


def test_a_stream_of_small_messages_that_is_read_slowly() -> None:
    """Chunks of 20 bytes, 50 at a time, which are read a second later."""
    rig = H1ClientRig(CLIENT_LIMITS)
    stream_id = rig.send()
    rig.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while rig.now < HOUR:
        for _ in range(50):
            rig.feed(b"14\r\n" + b"m" * 20 + b"\r\n")
        rig.advance(1.0)
        rig.conn.acknowledge_data(stream_id, sum(event.flow_length for event in rig.of(ev.DataReceived)))
        rig.events.clear()
        rig.advance(20.0)
        assert not rig.conn.closed and not rig.conn.read_paused, rig.now
