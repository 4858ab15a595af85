"""ConnectionEnded is the last event of a connection, also where the connection ends with its last stream.

It does so after the peer's GOAWAY, and in the second phase of a drain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.h2 import ClientConnection, ServerConnection

from tests.support import wire

Conn = Any


def server_with_one_stream() -> Conn:
    """A server whose client has said GOAWAY, so that it ends with its only stream."""
    conn = ServerConnection(now=0.0)
    parts = [wire.client_preface(), wire.settings_ack(), wire.request(1, end_stream=False), wire.goaway()]
    conn.receive_data(b"".join(parts), 0.0)
    return conn


def client_with_one_stream() -> Conn:
    """A client whose server has said GOAWAY behind its only request."""
    conn = ClientConnection(now=0.0)
    conn.receive_data(wire.settings(), 0.0)
    conn.send_request(b"POST", b"http", b"localhost", b"/", [], end_stream=False)
    conn.receive_data(wire.goaway(1), 0.0)
    assert not conn.closed
    return conn


def refuse(conn: Conn) -> list[Any]:
    conn.refuse_stream(1)
    return list(conn.take_events())


def wait(conn: Conn) -> list[Any]:
    events: list[Any] = []
    while not conn.closed:
        events += conn.handle_deadline(conn.deadline)
    return events


def fault(conn: Conn) -> list[Any]:
    return list(conn.receive_data(wire.window_update(1, 0), 0.0))


def reset(conn: Conn) -> list[Any]:
    return list(conn.receive_data(wire.rst_stream(1), 0.0))


def lower_goaway(conn: Conn) -> list[Any]:
    return list(conn.receive_data(wire.goaway(0), 0.0))


@pytest.mark.parametrize(
    ("begin", "end", "kinds"),
    [
        (server_with_one_stream, fault, [ev.FAULT, ev.RESET, ev.ENDED]),
        (server_with_one_stream, reset, [ev.RESET, ev.ENDED]),
        (server_with_one_stream, refuse, [ev.REFUSED, ev.ENDED]),
        (server_with_one_stream, wait, [ev.RESET, ev.ENDED]),
        (client_with_one_stream, fault, [ev.FAULT, ev.RESET, ev.ENDED]),
        (client_with_one_stream, reset, [ev.RESET, ev.ENDED]),
        (client_with_one_stream, lower_goaway, [ev.GOAWAY, ev.RESET, ev.ENDED]),
    ],
)
def test_the_last_stream_ends_before_the_connection(
    begin: Callable[[], Conn], end: Callable[[Conn], list[Any]], kinds: list[int]
) -> None:
    assert [event.kind for event in end(begin())] == kinds


def test_a_fault_on_the_last_stream_is_answered() -> None:
    """RFC 9113 §5.4.2: RST_STREAM goes out, although the connection ends with it."""
    conn = server_with_one_stream()
    conn.take_output()
    fault(conn)
    assert wire.rst_stream(1, wire.PROTOCOL_ERROR) in conn.take_output()
