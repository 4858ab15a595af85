"""HTTP/1.1's outline as a stranger sees it: 33 facts about requests, each on a connection of its own.

The facts are those that the tool h1spec looks at (its 33 cases; it has no licence, so nothing of it is here): 15 places
where a request may be cut in two, at which a server waits, and 18 requests with what RFC 9110 and 9112 ask for.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from tests.conformance import controls
from tests.support.process import Served, serving

LIMIT_S = 20.0
REQUEST = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"
CUTS = (
    b"G", b"GET ", b"GET /hello", b"GET /hello ", b"GET /hello HTTP", b"GET /hello HTTP/1.1", b"GET /hello HTTP/1.1\r",
    b"GET /hello HTTP/1.1\r\n", b"GET /hello HTTP/1.1\r\nHos", b"GET /hello HTTP/1.1\r\nHost:",
    b"GET /hello HTTP/1.1\r\nHost: ", REQUEST[:-4], REQUEST[:-3], REQUEST[:-2], REQUEST[:-1],
)  # fmt: skip
TOP = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


class Fact(NamedTuple):
    """What is sent, the status of the answer (several where the RFCs leave it open), its content, and who says so."""

    sent: bytes
    statuses: tuple[int, ...]
    content: bytes | None
    section: str


FACTS = {
    "a request": Fact(TOP + b"\r\n", (200,), b"", "RFC 9112 §2.1"),
    "a tab before a value, a field without one": Fact(
        b"GET / HTTP/1.1\r\nhOST:\ta\r\nnothing:\r\n\r\n", (200,), b"", "RFC 9112 §5"
    ),
    "a field with nothing but a space": Fact(TOP + b"X-Nothing: \r\n\r\n", (200,), b"", "RFC 9110 §5.5"),
    "content with a length": Fact(POST + b"Content-Length: 3\r\n\r\nabc", (200,), b"abc", "RFC 9112 §6.2"),
    "content in a chunk": Fact(
        POST + b"Transfer-Encoding: chunked\r\n\r\nb\r\nhEllo World\r\n0\r\n\r\n", (200,), b"hEllo World",
        "RFC 9112 §7.1",
    ),
    "100-continue without content": Fact(TOP + b"Expect: 100-continue\r\n\r\n", (100, 200), None, "RFC 9110 §10.1.1"),
    "no version": Fact(b"GET / \r\n\r\n", (400,), None, "RFC 9112 §3"),
    "a version that is not there": Fact(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", (505,), None, "RFC 9110 §15.6.6"),
    "a word before the method": Fact(b"One lineGET / HTTP/1.1\r\nHost: a\r\n\r\n", (400,), None, "RFC 9112 §3"),
    "brackets in a name": Fact(TOP + b"X-Name[]: v\r\n\r\n", (400,), None, "RFC 9110 §5.1"),
    "no host": Fact(b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", (400,), None, "RFC 9112 §3.2"),
    "two hosts": Fact(TOP + b"Host: b\r\n\r\n", (400,), None, "RFC 9112 §3.2"),
    "a length far below zero": Fact(
        TOP + b"Content-Length: -9" + b"87654321" * 3 + b"\r\n\r\n", (400,), None, "RFC 9110 §8.6"
    ),
    "a length below zero": Fact(TOP + b"Content-Length: -1\r\n\r\n", (400,), None, "RFC 9110 §8.6"),
    "a length in letters": Fact(TOP + b"Content-Length: abc\r\n\r\n", (400,), None, "RFC 9110 §8.6"),
    "a control character in a value": Fact(TOP + b"X-Bell: v\x07\r\n\r\n", (400,), None, "RFC 9110 §5.5"),
    "a line that begins with CR": Fact(TOP + b"\rX-Name: v\r\n\r\n", (400,), None, "RFC 9112 §2.2"),
    "a length, and the chunked coding": Fact(
        POST + b"content-LENGTH: 3\r\nTRANSFER-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", (400,), None,
        "RFC 9112 §6.1",
    ),
}  # fmt: skip


def exchange(port: int, first: bytes, rest: bytes = b"") -> tuple[int, bytes | None]:
    """Status and content of the first answer to `first`; the `rest` goes when another connection has been served."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as peer:
        peer.sendall(first)
        if rest:
            assert exchange(port, REQUEST)[0] == 200
            peer.sendall(rest)
        data = b""
        while b"\r\n\r\n" not in data:
            more = peer.recv(65_536)
            if not more:
                return 0, None
            data += more
        head, _, content = data.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        assert status is not None, head
        length = re.search(rb"\r\ncontent-length: (\d+)", head, re.I)
        while length is not None and len(content) < int(length[1]) and (more := peer.recv(65_536)):
            content += more
        return int(status[1]), content


def holds(port: int, fact: Fact) -> bool:
    status, content = exchange(port, fact.sent)
    return status in fact.statuses and (fact.content is None or content == fact.content)


@pytest.fixture(scope="module", params=["native", "app"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    interface = "native" if request.param == "native" else "asgi"
    with serving(f"tests.conformance.garden.mirror:{request.param}", "--interface", interface) as server:
        yield server


@pytest.mark.parametrize("cut", CUTS)
def test_a_request_that_is_cut_in_two_is_waited_for(served: Served, cut: bytes) -> None:
    """RFC 9112 §2.2: there is no end of a head but its empty line."""
    assert REQUEST.startswith(cut)
    assert exchange(served.ports["http"], cut, REQUEST[len(cut) :]) == (200, b"")


@pytest.mark.parametrize("name", FACTS)
def test_a_request_has_the_answer_that_the_rfc_asks_for(served: Served, name: str) -> None:
    assert holds(served.ports["http"], FACTS[name]), FACTS[name].section
    assert "Traceback" not in served.log


def test_there_are_as_many_facts_as_h1spec_has_cases() -> None:
    assert len(CUTS) + len(FACTS) == 33


def says_200(peer: socket.socket) -> None:
    """A server that never refuses, and hears the first request only."""
    if peer.recv(65_536):
        peer.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(("behaviour", "most"), [(controls.closes_at_once, 0), (says_200, 5)])
def test_control_bad_servers_fail(behaviour: Callable[[socket.socket], None], most: int) -> None:
    def is_held(fact: Fact) -> bool:
        try:
            return holds(port, fact)
        except OSError:
            return False

    with controls.serving(behaviour) as port:
        assert sum(is_held(fact) for fact in FACTS.values()) <= most
