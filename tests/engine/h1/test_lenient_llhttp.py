"""llhttp reads the field lines, and has become more lenient and stricter between its versions. What it lets through is
checked once more: here it is replaced by a reader that lets everything through."""

from __future__ import annotations

from typing import Any

import httptools
import pytest

from headrace.engine import events as ev

from tests.support.h1_rig import H1ClientRig, H1Rig, head

pytestmark = pytest.mark.engine


class Lenient:
    """Takes what stands before a colon for a name, and the rest for its value. Leaves out lines without one."""

    def __init__(self, lines: Any) -> None:
        self._lines = lines

    def feed_data(self, data: bytes) -> None:
        for line in data.split(b"\r\n")[1:]:
            name, colon, value = line.partition(b":")
            if colon:
                self._lines.on_header(name, value.lstrip(b" \t"))


LINES = [
    (b"x: a\x00b", "a byte that is not allowed"),
    (b"x y: 1", "a field name is empty, or has a byte"),
    (b": 1", "a field name is empty, or has a byte"),
    (b"no colon", "malformed"),
    (b"Content-Length: 1\r\nContent-Length: 1", "content-length twice"),
    (b"Content-Length: +1", "content-length is not a number"),
    (b"Content-Length: 1\r\nTransfer-Encoding: chunked", "transfer-encoding with content-length"),
]


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httptools, "HttpRequestParser", Lenient)
    monkeypatch.setattr(httptools, "HttpResponseParser", Lenient)


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize(("line", "reason"), LINES)
def test_a_request_that_a_lenient_parser_takes_is_refused(line: bytes, reason: str) -> None:
    rig = H1Rig()
    rig.feed(head(line, request=b"POST / HTTP/1.1"))
    assert not rig.requests and reason in rig.fault.reason
    assert rig.take().startswith(b"HTTP/1.1 400 ")


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize(("line", "reason"), LINES)
def test_a_response_that_a_lenient_parser_takes_is_refused(line: bytes, reason: str) -> None:
    rig = H1ClientRig()
    rig.send()
    rig.feed(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n")
    assert not rig.of(ev.ResponseReceived) and reason in rig.fault.reason and rig.conn.closed


@pytest.mark.usefixtures("lenient")
def test_what_is_well_formed_is_taken() -> None:
    """The control: with the lenient parser, too, requests and responses come."""
    server = H1Rig(auto=True)
    server.feed(head(b"Content-Length: 2", b"X:  y ", request=b"POST / HTTP/1.1") + b"ok")
    assert server.requests[0].headers[-1] == (b"x", b"y") and server.content == b"ok"
    client = H1ClientRig()
    client.send()
    client.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert client.ended and client.content == b"ok"
