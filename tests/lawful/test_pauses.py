"""Who owes nothing may be silent for a while: calls that send messages. Who owes content, or drips, has a rate to keep.

Each rule in both protocols, against the engine in memory; the applications' say through servers in memory.
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.h1_rig import H1Rig, head
from tests.support.rig import ServerRig

MESSAGE = b"\0\0\0\0\x14" + b"m" * 20  # gRPC: five bytes, and twenty of a message
LENGTH = [(b"content-length", b"1000000")]


class Upload:
    """A request with content under way, by either protocol."""

    def __init__(self, protocol: str, limits: Limits | None = None, *, announced: bool = False) -> None:
        self.h2 = protocol == "h2"
        self.announced = announced
        self.rig: Any
        if self.h2:
            self.rig = ServerRig(limits)
            self.rig.request(1, method=b"POST", end_stream=False, extra=LENGTH if announced else [])
        else:
            self.rig = H1Rig(limits)
            line = b"Content-Length: 1000000" if announced else b"Transfer-Encoding: chunked"
            self.rig.feed(head(line, request=b"POST / HTTP/1.1"))

    def send(self, content: bytes, *, read: bool = True) -> None:
        """A piece of the content, which the handler reads at once."""
        if self.h2:
            raw = wire.data(1, content)
        else:
            raw = content if self.announced else b"%x\r\n" % len(content) + content + b"\r\n"
        for event in self.rig.feed(raw):
            if read and isinstance(event, ev.DataReceived):
                self.rig.conn.acknowledge_data(1, event.flow_length)
        if self.h2:
            self.rig.take()

    def pause(self, seconds: float) -> None:
        """Nothing happens."""
        self.rig.advance(seconds)

    def is_open(self) -> bool:
        """Tell whether the request goes on."""
        return bool(self.rig.conn.has_stream(1))

    def why(self) -> str:
        """Return the limit that ended it."""
        if self.h2:
            return str(self.rig.of(ev.StreamReset)[0].reason)
        return str(self.rig.fault.budget)


both = pytest.mark.parametrize("protocol", ["h2", "h1"])


@both
@pytest.mark.parametrize("silence", [15.0, 75.0, 299.0])
def test_messages_may_pause(protocol: str, silence: float) -> None:
    """A client stream of gRPC: silence before the first message and after each, for two hours in all."""
    call = Upload(protocol)
    waited = 0.0
    while waited < 7_200:
        call.pause(silence)
        waited += silence
        assert call.is_open(), waited
        call.send(MESSAGE)


@both
def test_silence_ends(protocol: str) -> None:
    """`upload_pause_timeout_s`: from the begin, and from the last piece on, measured in steps of `upload_grace_s`."""
    call = Upload(protocol)
    call.pause(299.9)
    assert call.is_open()
    call.pause(0.2)
    assert not call.is_open() and "upload_pause_timeout_s" in call.why()
    call = Upload(protocol)
    call.pause(123.0)
    call.send(MESSAGE)
    call.pause(299.0)
    assert call.is_open()
    call.pause(11.1)
    assert not call.is_open()


@both
@pytest.mark.parametrize("every_s", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("size", [1, 4])
def test_drips_have_a_rate(protocol: str, every_s: float, size: int) -> None:
    """Pieces too small for any message, three and more in ten seconds, come to `min_upload_rate` or are cut."""
    call = Upload(protocol)
    lasted = 0.0
    while call.is_open() and lasted < 60:
        call.send(b"x" * size)
        call.pause(every_s)
        lasted += every_s
    assert not call.is_open() and lasted <= 10 + every_s and "min_upload_rate" in call.why()


@both
def test_many_drips_are_fast_enough(protocol: str) -> None:
    """The control: small pieces at more than the rate."""
    call = Upload(protocol)
    for _ in range(60 * 50):
        call.send(b"abcd")
        call.pause(0.02)
    assert call.is_open()


@both
def test_a_line_now_and_then_is_no_drip(protocol: str) -> None:
    """Somebody types: two short lines in ten seconds."""
    call = Upload(protocol)
    for _ in range(100):
        call.send(b"y\n")
        call.pause(5.1)
    assert call.is_open()


@both
@pytest.mark.parametrize("rate", [0, 10, 99])
def test_announced_content_has_a_rate(protocol: str, rate: int) -> None:
    """Who said how much comes owes it: in pieces large or small, below the rate it is cut after ten seconds."""
    call = Upload(protocol, announced=True)
    for _ in range(9):
        if rate:
            call.send(b"x" * rate)
        call.pause(1)
    assert call.is_open()
    call.pause(1.1)
    assert not call.is_open() and "min_upload_rate" in call.why()


def test_a_chunk_that_has_begun_is_owed() -> None:
    """HTTP/1.1: within a chunk, a line of the coding, or the trailers, the client owes the rest."""
    for begun in (b"ffff\r\nabc", b"ff", b"5;ext=", b"5\r\nabcde", b"5\r\nabcde\r", b"0\r\n", b"0\r\nx: y\r\n"):
        call = Upload("h1")
        call.send(MESSAGE)
        call.rig.feed(begun)
        call.pause(20.1)
        assert not call.is_open() and call.why() == "min_upload_rate", begun


@both
def test_content_that_nobody_reads_may_wait(protocol: str) -> None:
    """A handler that does not read holds its client up: neither rate nor pause counts, and both count anew after."""
    call = Upload(protocol, Limits(initial_stream_window=65_535))
    for _ in range(4):
        call.send(bytes(16_384 if call.rig.conn.stats()["unread"] < 49_152 else 65_535 - 49_152), read=False)
    call.pause(3_600)
    assert call.is_open()
    call.rig.conn.acknowledge_data(1, 65_535)
    call.rig.take()
    call.pause(295)
    assert call.is_open()
    call.pause(30)
    assert not call.is_open()


@both
@pytest.mark.parametrize("announced", [False, True])
def test_the_application_allows_any_pause(protocol: str, announced: bool) -> None:
    """For a day, also where the length is announced; dripping, too, is then its own affair."""
    call = Upload(protocol, announced=announced)
    call.rig.conn.allow_pauses(1, 0.0)
    for _ in range(24):
        call.pause(3_600)
        call.send(b"x")
    assert call.is_open()


@both
def test_the_application_allows_shorter_pauses(protocol: str) -> None:
    """A pause of its own goes before the limits', in both directions."""
    call = Upload(protocol)
    call.rig.conn.allow_pauses(1, 30.0)
    call.pause(29.9)
    assert call.is_open()
    call.pause(0.2)
    assert not call.is_open() and "upload_pause_timeout_s" in call.why()


def test_what_one_request_may_the_next_may_not() -> None:
    """HTTP/1.1 keeps the connection, not the permission."""
    call = Upload("h1")
    call.rig.conn.allow_pauses(1, 0.0)
    call.rig.feed(b"0\r\n\r\n")
    call.rig.conn.send_response(1, 200, (), b"")
    call.rig.take()
    call.rig.feed(head(b"Transfer-Encoding: chunked", request=b"POST / HTTP/1.1"))
    assert call.rig.conn.has_stream(3)
    call.pause(300.1)
    assert not call.rig.conn.has_stream(3)


@both
def test_pauses_of_those_who_have_their_answer(protocol: str) -> None:
    """Once the response has begun, both directions are the application's affair."""
    call = Upload(protocol)
    call.rig.conn.send_headers(1, 200, ())
    call.rig.take()
    for _ in range(20):
        call.pause(3_600)
    assert call.is_open()


@both
def test_zero_is_no_limit(protocol: str) -> None:
    """`upload_pause_timeout_s=0` allows any pause, `min_upload_rate=0` anything."""
    for limits in (Limits(upload_pause_timeout_s=0), Limits(min_upload_rate=0)):
        call = Upload(protocol, limits)
        for _ in range(20):
            call.pause(3_600)
        assert call.is_open()


def test_a_client_that_waits_for_its_own_input() -> None:
    """`(sleep 45; make) | curl -T -`: curl reads its input, and nothing else, before it looks at our SETTINGS."""
    rig = ServerRig(start=False)
    rig.feed(wire.client_preface(), wire.request(1, method=b"POST", end_stream=False), wire.data(1, b"a"))
    rig.advance(45)
    rig.feed(wire.data(1, b"bcdefgh", end_stream=True), wire.settings_ack())
    assert rig.of(ev.DataReceived)[-1].end_stream and not rig.conn.closed
    rig.respond(1, b"thanks")
    rig.advance(60)
    assert not rig.conn.closed
