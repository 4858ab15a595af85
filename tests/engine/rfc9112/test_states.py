"""RFC 9112 §2.1, §4, §6, §9: the states of a request and its response, walked cell by cell, in both roles.

A row says how a connection gets into a state, a column what happens then, and the cell what follows, as the RFC has it:
a state; `wait`, the bytes stay in the input; `misuse` and `gone`, errors of our own application; `fault`, the peer's,
which ends the connection; `=`, nothing; `-`, it cannot be, as such bytes are read as something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import LocalProtocolError, StreamClosedError
from headrace.engine.h1 import states
from headrace.engine.h1.states import CLIENT, SERVER, Role
from headrace.engine.limits import Limits

from tests.support.h1_rig import GET, H1ClientRig, H1Rig, head

LIMITS = Limits(max_stream_send_buffer=200, max_connection_send_buffer=200)
BIG = b"x" * 500  # beyond the limit: not accepted before it is taken
POST = head(b"Content-Length: 10", request=b"POST / HTTP/1.1")
ASKING = head(
    b"Connection: upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    b"Sec-WebSocket-Version: 13",
)

NAMES = [
    *("IDLE", "REQUEST", "REQUESTED", "UPGRADE", "EARLY_RESPONSE", "RESPONSE", "EARLY_ENDING", "ENDING", "TUNNEL"),
    *("TUNNEL_ENDING", "DISCARD", "CLOSED"),
]
STEPS = [
    *("REQUEST_HEAD", "REQUEST_HEAD_END", "REQUEST_UPGRADE", "REQUEST_CONTENT", "REQUEST_END", "INTERIM"),
    *("RESPONSE_HEAD", "RESPONSE_CONTENT", "RESPONSE_END", "SWITCH", "ACCEPTED", "CLOSE"),
]
OUTCOMES = {
    "wait": states.WAIT,
    "misuse": states.MISUSE,
    "gone": states.GONE,
    "fault": states.FAULT,
    "=": states.OTHER,
    "-": states.OTHER,
}


def grid(text: str) -> dict[tuple[str, str], str]:
    """The cells of a table, by state and step."""
    rows = [line.split() for line in text.strip().splitlines()]
    return {(row[0], step): cell for row in rows for step, cell in zip(STEPS, row[1:], strict=True)}


# --- server ---------------------------------------------------------------------------------------

# Columns: a request's head with content, without, of an upgrade; content, its end; 1xx, a response's head, content, its
# end, 101; output is taken; the connection is closed.
SERVER_CELLS = grid("""
IDLE           REQUEST REQUESTED UPGRADE - -                           gone gone gone gone gone                              =       CLOSED
REQUEST        - - -                     REQUEST REQUESTED             REQUEST EARLY_RESPONSE misuse misuse misuse           =       CLOSED
REQUESTED      wait wait wait            wait wait                     REQUESTED RESPONSE misuse misuse misuse               =       CLOSED
UPGRADE        wait wait wait            wait wait                     UPGRADE RESPONSE misuse misuse TUNNEL                 =       CLOSED
EARLY_RESPONSE - - -                     EARLY_RESPONSE RESPONSE       misuse misuse EARLY_RESPONSE EARLY_ENDING misuse      =       CLOSED
RESPONSE       wait wait wait            wait wait                     misuse misuse RESPONSE ENDING misuse                  =       CLOSED
EARLY_ENDING   - - -                     EARLY_ENDING ENDING           misuse misuse misuse misuse misuse                    DISCARD CLOSED
ENDING         wait wait wait            wait wait                     misuse misuse misuse misuse misuse                    IDLE    CLOSED
TUNNEL         - - -                     TUNNEL -                      misuse misuse TUNNEL TUNNEL_ENDING misuse             =       CLOSED
TUNNEL_ENDING  - - -                     TUNNEL_ENDING -               misuse misuse misuse misuse misuse                    CLOSED  CLOSED
DISCARD        - - -                     DISCARD IDLE                  gone gone gone gone gone                              =       CLOSED
CLOSED         - - -                     - -                           gone gone gone gone gone                              =       CLOSED
""")  # noqa: E501  a table


def server_in(state: str) -> H1Rig:
    """A server's connection in this state; the last thing that it wrote is not taken where that makes the state."""
    rig = H1Rig(LIMITS, websockets=True)
    data = {
        "IDLE": b"",
        "REQUEST": POST,
        "EARLY_RESPONSE": POST,
        "EARLY_ENDING": POST,
        "DISCARD": POST,
        "UPGRADE": ASKING,
        "TUNNEL": ASKING,
        "TUNNEL_ENDING": ASKING,
    }.get(state, GET)
    rig.feed(data)
    if "TUNNEL" in state:
        rig.conn.accept_tunnel(1, ())
    elif "RESPONSE" in state or "ENDING" in state:
        rig.conn.send_headers(1, 200, ())
    elif state == "DISCARD":
        rig.conn.send_response(1, 200, (), b"")
    elif state == "CLOSED":
        rig.conn.close()
    rig.take()
    if "ENDING" in state:
        assert not rig.conn.send_data(1, BIG, True)
    return rig


SERVER_STEPS: dict[str, Callable[[H1Rig], Any]] = {
    "REQUEST_HEAD": lambda rig: rig.feed(POST),
    "REQUEST_HEAD_END": lambda rig: rig.feed(GET),
    "REQUEST_UPGRADE": lambda rig: rig.feed(ASKING),
    "REQUEST_CONTENT": lambda rig: rig.feed(b"abc"),
    "REQUEST_END": lambda rig: rig.feed(b"abcdefghij"),
    "INTERIM": lambda rig: rig.conn.send_informational(1, 103, ()),
    "RESPONSE_HEAD": lambda rig: rig.conn.send_headers(1, 200, ()),
    "RESPONSE_CONTENT": lambda rig: rig.conn.send_data(1, b"x"),
    "RESPONSE_END": lambda rig: rig.conn.send_data(1, BIG, True),
    "SWITCH": lambda rig: rig.conn.accept_tunnel(1, ()),
    "ACCEPTED": lambda rig: rig.take(),
    "CLOSE": lambda rig: rig.conn.close(),
}


# --- client ---------------------------------------------------------------------------------------

CLIENT_CELLS = grid("""
IDLE           REQUEST REQUESTED UPGRADE gone gone                     fault fault fault fault fault                         =       CLOSED
REQUEST        misuse misuse misuse      REQUEST REQUESTED             REQUEST EARLY_RESPONSE - - fault                      =       CLOSED
REQUESTED      misuse misuse misuse      misuse misuse                 REQUESTED RESPONSE - - fault                          =       CLOSED
UPGRADE        misuse misuse misuse      misuse misuse                 UPGRADE RESPONSE - - TUNNEL                           =       CLOSED
EARLY_RESPONSE misuse misuse misuse      EARLY_RESPONSE RESPONSE       - - EARLY_RESPONSE CLOSED -                           =       CLOSED
RESPONSE       misuse misuse misuse      misuse misuse                 - - RESPONSE IDLE -                                   =       CLOSED
TUNNEL         misuse misuse misuse      TUNNEL TUNNEL_ENDING          - - TUNNEL - -                                        =       CLOSED
TUNNEL_ENDING  misuse misuse misuse      misuse misuse                 - - TUNNEL_ENDING - -                                 CLOSED  CLOSED
CLOSED         misuse misuse misuse      gone gone                     - - - - -                                             =       CLOSED
""")  # noqa: E501  a table


def client_in(state: str) -> H1ClientRig:
    """A client's connection in this state."""
    rig = H1ClientRig(LIMITS)
    if "TUNNEL" in state or state == "UPGRADE":
        rig.send(b"", method=b"CONNECT", authority=b"a:1")
    elif state in ("REQUEST", "EARLY_RESPONSE"):
        rig.send(method=b"POST", end_stream=False)
    elif state != "IDLE":
        rig.send()
    if "TUNNEL" in state:
        rig.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    elif "RESPONSE" in state:
        rig.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
    elif state == "CLOSED":
        rig.conn.close()
    if state == "TUNNEL_ENDING":
        assert not rig.conn.send_data(1, BIG, True)
    return rig


def switch(rig: H1ClientRig) -> None:
    """The server opens a tunnel, by the status that the request asks for; others get 101."""
    is_connect = rig.output.startswith(b"CONNECT")
    rig.feed(b"HTTP/1.1 200 OK\r\n\r\n" if is_connect else b"HTTP/1.1 101 Switching Protocols\r\n\r\n")


CLIENT_STEPS: dict[str, Callable[[H1ClientRig], Any]] = {
    "REQUEST_HEAD": lambda rig: rig.send(method=b"POST", end_stream=False),
    "REQUEST_HEAD_END": lambda rig: rig.send(),
    "REQUEST_UPGRADE": lambda rig: rig.send(b"", method=b"CONNECT", authority=b"a:1"),
    "REQUEST_CONTENT": lambda rig: rig.conn.send_data(1, b"x"),
    "REQUEST_END": lambda rig: rig.conn.send_data(1, BIG, True),
    "INTERIM": lambda rig: rig.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "RESPONSE_HEAD": lambda rig: rig.feed(b"HTTP/1.1 404 Not Found\r\ncontent-length: 10\r\n\r\n"),
    "RESPONSE_CONTENT": lambda rig: rig.feed(b"abc"),
    "RESPONSE_END": lambda rig: rig.feed(b"abcdefghij"),
    "SWITCH": switch,
    "ACCEPTED": lambda rig: rig.take(),
    "CLOSE": lambda rig: rig.conn.close(),
}


# --- both -----------------------------------------------------------------------------------------


def walk(rig: Any, state: str, step: Callable[[Any], Any], cell: str) -> None:
    """Take a step and compare with the cell."""
    assert NAMES[rig.conn._request.state] == state
    rig.events += rig.conn.take_events()
    had_events = len(rig.events)
    if cell in ("misuse", "gone"):
        with pytest.raises(StreamClosedError if cell == "gone" else LocalProtocolError):
            step(rig)
        assert NAMES[rig.conn._request.state] == state, "an error of ours changes nothing"
        return
    step(rig)
    now = NAMES[rig.conn._request.state]
    new = [type(event) for event in rig.events[had_events:]]
    if cell == "fault":
        assert now == "CLOSED" and ev.PeerFault in new and ev.ConnectionEnded in new
    elif cell in ("wait", "="):
        assert now == state and new == []
    else:
        assert now == cell
    assert rig.conn.closed == (now == "CLOSED")
    assert rig.conn.open_streams == (now not in ("IDLE", "DISCARD", "CLOSED"))


@pytest.mark.parametrize(("state", "step"), [each for each, cell in SERVER_CELLS.items() if cell != "-"])
def test_server_cell(state: str, step: str) -> None:
    walk(server_in(state), state, SERVER_STEPS[step], SERVER_CELLS[state, step])


@pytest.mark.parametrize(("state", "step"), [each for each, cell in CLIENT_CELLS.items() if cell != "-"])
def test_client_cell(state: str, step: str) -> None:
    walk(client_in(state), state, CLIENT_STEPS[step], CLIENT_CELLS[state, step])


@pytest.mark.parametrize(("role", "cells"), [(SERVER, SERVER_CELLS), (CLIENT, CLIENT_CELLS)], ids=["server", "client"])
def test_the_tables_say_the_same(role: Role, cells: dict[tuple[str, str], str]) -> None:
    """Each cell of the engine's tables; rows that are a server's alone cannot be reached by a client."""
    for at, state in enumerate(NAMES):
        for step, name in enumerate(STEPS):
            assert getattr(states, state) == at and getattr(states, name) == step
            cell = cells.get((state, name), "-")
            expected = OUTCOMES[cell] if cell in OUTCOMES else NAMES.index(cell)
            found = role.after(at, step)
            assert found in ((expected, at) if cell == "=" else (expected,)), (state, name)


@pytest.mark.parametrize("role", [SERVER, CLIENT], ids=["server", "client"])
def test_what_is_read_is_what_can_come(role: Role) -> None:
    """A state reads heads where a head of the peer's leads on, and content where content does; a client that reads
    nothing takes bytes for a fault."""
    a_head, content = ("REQUEST_HEAD", "REQUEST_CONTENT") if role is SERVER else ("RESPONSE_HEAD", "RESPONSE_CONTENT")
    for state, name in enumerate(NAMES):
        reads = role.reads[state]
        assert (reads == states.HEAD) == (role.after(state, getattr(states, a_head)) < states.WAIT), name
        assert (reads == states.CONTENT) == (role.after(state, getattr(states, content)) < states.WAIT), name


def test_every_state_is_reached_from_idle() -> None:
    for role, count in ((SERVER, 12), (CLIENT, 9)):
        reached = {states.IDLE}
        while True:
            more = {role.after(state, step) for state in reached for step in range(states.STEPS)}
            more = {state for state in more if state < states.WAIT} - reached
            if not more:
                break
            reached |= more
        assert len(reached) == count
