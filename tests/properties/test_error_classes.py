"""A client's error has its class and `retryable` from causes and codes, never from a text.

Each end that the engines can tell of is made here, and told once more in other words.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client import errors
from headrace.client.connection import failures
from headrace.engine import causes
from headrace.engine import events as ev
from headrace.engine.errors import CANCEL, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM
from headrace.engine.h1 import H1ClientConnection
from headrace.engine.h2 import ClientConnection
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.properties.test_h1_client import STREAMS
from tests.support import sessions, wire

LIMITS = Limits(stalled_send_timeout_s=5, drain_timeout_s=5, keepalive_ping_s=7, keepalive_ack_s=2)
TEXTS = ["", "more bytes", "fewer bytes of DATA", "RFC 9113 §6.4", "RFC 9113 §8.1.1", "RFC 9112 §6.3", "RFC 9112 §8"]
SOURCES = Path(__file__).parents[2] / "src" / "headrace"


class Story:
    """One connection of a client with one request, and the events of its end."""

    def __init__(self, version: str, *, content: bool = False, written: bool = True) -> None:
        self.conn: Any
        if version == "2":
            self.conn = ClientConnection(LIMITS, now=0.0)
            self.see(self.conn.receive_data(wire.settings(), 0.0))
            self.conn.take_output()
        else:
            self.conn = H1ClientConnection(LIMITS, now=0.0)
        self.conn.send_request(b"POST" if content else b"GET", b"http", b"a", b"/", (), end_stream=not content)
        self.version = version
        self.status = 0
        self.is_sending = content
        self.failure = ""
        self.ends: list[Any] = []
        self.states: list[tuple[int, bool]] = []
        if written:
            self.conn.take_output()

    def see(self, events: list[Any]) -> None:
        while events:
            for event in events:
                if event.kind == ev.RESPONSE:
                    self.status = event.status
                elif event.kind in (ev.RESET, ev.ENDED):
                    self.ends.append(event)
                    self.states.append((self.status, self.is_sending))
            events = self.conn.take_events()

    def comes(self, *raw: bytes) -> Story:
        for each in raw:
            self.see(self.conn.receive_data(each, 0.0))
        return self

    def ends_in_order(self) -> Story:
        self.see(self.conn.receive_eof(1.0))
        return self

    def fails(self) -> Story:
        self.failure = "the network is down"
        self.see(self.conn.receive_failure(1.0, self.failure))
        return self

    def sends(self, size: int) -> Story:
        self.conn.send_data(1, bytes(size), False)
        return self

    def drains(self) -> Story:
        self.conn.begin_drain(1.0)
        return self

    def waits(self, *times: float) -> Story:
        for now in times:
            self.see(self.conn.handle_deadline(now))
        return self

    def closes(self) -> Story:
        self.conn.close()
        self.see(self.conn.take_events())
        return self

    def resets(self) -> list[Any]:
        return [each for each in self.ends if each.kind == ev.RESET]

    def errors(self, failure: str | None = None, goaway: str = "") -> list[tuple[type | None, bool | None, int | None]]:
        """What the driver makes of each end: the error's class, `retryable`, and code where it has one."""
        driver: Any = SimpleNamespace(
            cause=self.failure if failure is None else failure,
            goaway_text=goaway,
            http_version=self.version,
            engine=self.conn,
            completed=1,
            bytes_before_idle=-1,
        )
        found = []
        for event, (status, is_sending) in zip(self.ends, self.states, strict=True):
            exchange: Any = SimpleNamespace(status=status, is_sending=is_sending)
            error: errors.RequestError | None
            if event.kind == ev.RESET:
                error = failures.stream_error(driver, exchange, event)
            else:
                error = failures.connection_error(driver, event)
            found.append((
                None if error is None else type(error),
                None if error is None else error.retryable,
                getattr(error, "code", None),
            ))  # fmt: skip
        return found


def h2(**how: bool) -> Story:
    return Story("2", **how)


def h1(**how: bool) -> Story:
    return Story("1.1", **how)


def head(length: int) -> bytes:
    return wire.response(1, extra=[(b"content-length", b"%d" % length)])


H1_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
Lost, Wrong, Short = errors.ConnectionLost, errors.RemoteProtocolError, errors.TruncatedBody
Read, Write, Reset = errors.ReadTimeout, errors.WriteTimeout, errors.StreamReset

ENDS: dict[str, tuple[Callable[[], Story], str, type, bool]] = {
    "2: reset": (lambda: h2().comes(wire.rst_stream(1, INTERNAL_ERROR)), causes.RESET_BY_PEER, Reset, False),
    "2: reset without error": (lambda: h2().comes(wire.rst_stream(1, NO_ERROR)), causes.RESET_BY_PEER, Reset, False),
    "2: reset with CANCEL": (lambda: h2().comes(wire.rst_stream(1, CANCEL)), causes.RESET_BY_PEER, Reset, False),
    "2: refused": (lambda: h2().comes(wire.rst_stream(1, REFUSED_STREAM)), causes.RESET_BY_PEER, Reset, True),
    "2: GOAWAY": (lambda: h2().comes(wire.goaway(0)), causes.NOT_PROCESSED, Lost, True),
    "2: never written": (lambda: h2(written=False).ends_in_order(), causes.NOT_PROCESSED, Lost, True),
    "2: short": (
        lambda: h2().comes(head(9), wire.data(1, b"part", end_stream=True)), causes.CONTENT_TOO_SHORT, Short, False
    ),
    "2: short, then trailers": (
        lambda: h2().comes(head(9), wire.headers(1, wire.literals([(b"a", b"b")]), end_stream=True)),
        causes.CONTENT_TOO_SHORT, Short, False,
    ),
    "2: short in its head": (
        lambda: h2().comes(wire.response(1, extra=[(b"content-length", b"9")], end_stream=True)),
        causes.CONTENT_TOO_SHORT, Wrong, False,
    ),
    "2: long": (lambda: h2().comes(head(2), wire.data(1, b"more")), causes.CONTENT_TOO_LONG, Wrong, False),
    "2: a window that does not grow": (
        lambda: h2().comes(wire.response(1), wire.window_update(1, 0)), causes.PROTOCOL, Wrong, False
    ),
    "2: a 1xx at the end": (
        lambda: h2().comes(wire.response(1, b"103", end_stream=True)), causes.PROTOCOL, Wrong, False
    ),
    "2: a frame out of place": (lambda: h2().comes(wire.push_promise(1, 2, b"")), causes.PROTOCOL, Wrong, False),
    "2: not taken": (lambda: h2(content=True).sends(200_000).waits(0.0, 5.0, 10.0), causes.TIMED_OUT, Write, False),
    "2: drained": (lambda: h2().comes(head(9)).drains().waits(6.0), causes.TIMED_OUT, Read, False),
    "2: no PING comes back": (lambda: h2().waits(7.0, 9.0), causes.CONNECTION_LOST, Lost, False),
    "2: the end": (lambda: h2().ends_in_order(), causes.CONNECTION_LOST, Lost, False),
    "2: the end within": (lambda: h2().comes(head(9)).ends_in_order(), causes.CONNECTION_LOST, Lost, False),
    "2: closed": (lambda: h2().closes(), causes.CLOSED, Lost, False),
    "1.1: never written": (lambda: h1(written=False).ends_in_order(), causes.NOT_PROCESSED, Lost, True),
    "1.1: the end": (lambda: h1().ends_in_order(), causes.CONNECTION_LOST, Lost, False),
    "1.1: short": (lambda: h1().comes(H1_HEAD + b"part").ends_in_order(), causes.CONTENT_TOO_SHORT, Short, False),
    "1.1: short in chunks": (
        lambda: h1().comes(CHUNKED + b"5\r\npa").ends_in_order(), causes.CONTENT_TOO_SHORT, Short, False
    ),
    "1.1: failed": (lambda: h1().comes(H1_HEAD + b"part").fails(), causes.CONTENT_TOO_SHORT, Lost, False),
    "1.1: failed without a length": (
        lambda: h1().comes(b"HTTP/1.1 200 OK\r\n\r\npart").fails(), causes.CONTENT_TOO_SHORT, Lost, False
    ),
    "1.1: a wrong chunk": (lambda: h1().comes(CHUNKED + b"zz\r\n"), causes.PROTOCOL, Wrong, False),
    "1.1: a wrong head": (
        lambda: h1().comes(b"HTTP/1.1 200 OK\r\n" + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n"),
        causes.PROTOCOL, Wrong, False,
    ),
    "1.1: an answer to nothing": (lambda: h1(written=False).comes(H1_HEAD), causes.PROTOCOL, Wrong, True),
    "1.1: a slow head": (lambda: h1().comes(b"HTTP/1.1 2").waits(100.0), causes.TIMED_OUT, Write, False),
    "1.1: drained": (lambda: h1().comes(H1_HEAD).drains().waits(6.0), causes.TIMED_OUT, Read, False),
    "1.1: closed": (lambda: h1().closes(), causes.CLOSED, Lost, False),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_each_end_has_its_cause_and_its_error(name: str) -> None:
    make, cause, kind, retryable = ENDS[name]
    story = make()
    (reset,) = story.resets()
    assert reset.cause == cause
    assert story.errors()[story.ends.index(reset)][:2] == (kind, retryable)


def test_every_cause_is_shown() -> None:
    assert {cause for _, cause, _, _ in ENDS.values()} == set(causes.ALL)
    assert len(set(causes.ALL)) == len(causes.ALL)


def check(story: Story, reason: str, section: str) -> None:
    """Tell of the ends in other words."""
    before = story.errors()
    for event in story.ends:
        assert event.cause in causes.ALL
        event.reason = reason
        event.section = section
    assert story.errors() == before
    assert story.errors(goaway=reason) == before
    if story.failure:
        assert story.errors(failure=reason or "-") == before


@pytest.mark.parametrize("name", ENDS)
def test_other_words_make_no_other_error(name: str) -> None:
    for reason, section in product(TEXTS, TEXTS):
        check(ENDS[name][0](), reason, section)


@given(st.sampled_from(sorted(ENDS)), st.text(), st.text())
@tries(200)
def test_no_words_make_another_error(name: str, reason: str, section: str) -> None:
    check(ENDS[name][0](), reason, section)


@given(st.integers(0, 2**32), st.sampled_from(TEXTS), st.sampled_from(TEXTS), st.booleans())
@tries(200)
def test_whatever_a_server_of_http2_sends(seed: int, reason: str, section: str, content: bool) -> None:
    rnd = random.Random(seed)
    raw = bytearray(b"".join(sessions.script(seed, client=True, hostile=0.5, frames=12)))
    for _ in range(rnd.randrange(3)):
        raw[rnd.randrange(len(raw))] = rnd.randrange(256)
    check(h2(content=content).comes(bytes(raw)).waits(6.0, 12.0).ends_in_order(), reason, section)


@given(st.sampled_from(STREAMS), st.data(), st.sampled_from(TEXTS), st.sampled_from(TEXTS), st.booleans())
@tries(200)
def test_whatever_a_server_of_http1_sends(raw: bytes, data: Any, reason: str, section: str, fails: bool) -> None:
    at = data.draw(st.integers(0, len(raw)))
    story = h1(content=data.draw(st.booleans())).comes(raw[:at] + data.draw(st.binary(max_size=3)))
    check(story.fails() if fails else story.ends_in_order(), reason, section)


# OpenSSL's own names of its error codes stand in `reason`; there is nothing else to decide by.
CODES_OF_OPENSSL = {"client/connect/tls.py", "transport/tls.py"}
QUESTIONS = {"startswith", "endswith", "find", "index", "count", "removeprefix", "split", "partition"}


def asks_a_text(tree: ast.AST) -> list[int]:
    """The lines that compare or search a sentence of an event or an error."""

    def is_text(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in {"reason", "section", "message", "goaway_text"}

    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            is_for_none = any(isinstance(each, ast.Constant) and each.value is None for each in sides)
            if any(map(is_text, sides)) and not is_for_none:
                lines.append(node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr in QUESTIONS and is_text(node.value):
            lines.append(node.lineno)
    return lines


def test_nothing_outside_the_engine_decides_by_a_sentence() -> None:
    found = {}
    for path in sorted(SOURCES.rglob("*.py")):
        name = path.relative_to(SOURCES).as_posix()
        lines = asks_a_text(ast.parse(path.read_text()))
        if lines and not name.startswith("engine/") and name not in CODES_OF_OPENSSL:
            found[name] = lines
    assert found == {}


@pytest.mark.parametrize(
    "line", ["event.reason.startswith('more')", "event.section == 'RFC 9113 §6.4'", "event.section in LENGTHS"]
)
def test_the_rule_sees_it(line: str) -> None:
    assert asks_a_text(ast.parse(line)) == [1]
