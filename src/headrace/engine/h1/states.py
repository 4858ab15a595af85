"""The states of a request and its response on one connection, as two tables, to be laid beside RFC 9112.

RFC 9112 draws no figure; it says who sends what after what (§2.1, §4, §6, §9). A server's and a client's table have the
same states and the same steps, and differ in who takes a step. One request is open at a time: further ones wait in the
input of a server (§9.3.2), and a client refuses to send one.
"""

from __future__ import annotations

from typing import Final

# The states, open ones between IDLE and DISCARD. "early": the response has begun, and the request is not whole.
IDLE: Final = 0  # no request is open
REQUEST: Final = 1  # content of the request is on its way, the response has not begun
REQUESTED: Final = 2  # the request is whole, the response has not begun
UPGRADE: Final = 3  # a tunnel is asked for, and not answered
EARLY_RESPONSE: Final = 4
RESPONSE: Final = 5  # the request is whole, the response is on its way
EARLY_ENDING: Final = 6  # the end of the response waits for its acceptance, and the request is not whole
ENDING: Final = 7  # the same, and the request is whole
TUNNEL: Final = 8  # bytes of another protocol, both ways
TUNNEL_ENDING: Final = 9  # the end of our side of a tunnel waits for its acceptance
DISCARD: Final = 10  # the response is complete; the rest of the request is read and forgotten
CLOSED: Final = 11

# The steps. Those of a request are received by a server and sent by a client, those of a response the other way round.
REQUEST_HEAD: Final = 0  # content follows
REQUEST_HEAD_END: Final = 1  # no content follows
REQUEST_UPGRADE: Final = 2  # an upgrade, or CONNECT
REQUEST_CONTENT: Final = 3
REQUEST_END: Final = 4
INTERIM: Final = 5  # a 1xx response
RESPONSE_HEAD: Final = 6
RESPONSE_CONTENT: Final = 7
RESPONSE_END: Final = 8
SWITCH: Final = 9  # 101, or 2xx for CONNECT
ACCEPTED: Final = 10  # the queue has accepted everything that we sent
CLOSE: Final = 11  # the connection ends, for whatever reason
STEPS: Final = 12

# Outcomes that are not states.
WAIT: Final = 16  # a server leaves the bytes in its input
MISUSE: Final = 17  # our own application: LocalProtocolError
GONE: Final = 18  # our own application, for a request that is over: StreamClosedError
FAULT: Final = 19  # the peer broke a rule: the connection ends
OTHER: Final = 20  # cannot be: in this state the bytes are read as something else

_Q: Final = REQUESTED
_R: Final = RESPONSE
_T: Final = TUNNEL
_D: Final = DISCARD
_C: Final = CLOSED
_W: Final = WAIT
_M: Final = MISUSE
_G: Final = GONE
_F: Final = FAULT
_X: Final = OTHER
_U: Final = UPGRADE
_ER: Final = EARLY_RESPONSE
_EE: Final = EARLY_ENDING
_EN: Final = ENDING
_TE: Final = TUNNEL_ENDING
_RQ: Final = REQUEST

# fmt: off
_SERVER: Final = (
    # receive: heads with content, without, of an upgrade; content, its end; send: 1xx, head, content, end, 101;
    # then ACCEPTED, CLOSE.
    # IDLE: bytes are a request's head (§2.1).
    (_RQ, _Q, _U, _X,  _X,     _G,  _G,  _G,  _G,   _G,  _X,   _C),
    # REQUEST: a response may come before the end of its request (§9.3: then read all of it, or close).
    (_X,  _X, _X, _RQ, _Q,     _RQ, _ER, _M,  _M,   _M,  _X,   _C),
    # REQUESTED: a further request waits; responses go "in the same order that the requests were received" (§9.3.2).
    (_W,  _W, _W, _W,  _W,     _Q,  _R,  _M,  _M,   _M,  _X,   _C),
    # UPGRADE: bytes behind the request may be of the other protocol, so they wait for the answer (RFC 9110 §7.8).
    (_W,  _W, _W, _W,  _W,     _U,  _R,  _M,  _M,   _T,  _X,   _C),
    # EARLY_RESPONSE: content goes both ways. A 1xx response comes before the final one (RFC 9110 §15.2).
    (_X,  _X, _X, _ER, _R,     _M,  _M,  _ER, _EE,  _M,  _ER,  _C),
    # RESPONSE: as in REQUESTED, further requests wait.
    (_W,  _W, _W, _W,  _W,     _M,  _M,  _R,  _EN,  _M,  _R,   _C),
    # EARLY_ENDING: "MUST read the entire request message body or close the connection after sending its response"
    # (§9.3).
    (_X,  _X, _X, _EE, _EN,    _M,  _M,  _M,  _M,   _M,  _D,   _C),
    # ENDING: the response is complete, so the next request may be read.
    (_W,  _W, _W, _W,  _W,     _M,  _M,  _M,  _M,   _M,  IDLE, _C),
    # TUNNEL: until each side has ended its own; a tunnel ends with the connection.
    (_X,  _X, _X, _T,  _X,     _M,  _M,  _T,  _TE,  _M,  _T,   _C),
    # TUNNEL_ENDING: ACCEPTED ends the connection, as nothing else can say that a tunnel has ended.
    (_X,  _X, _X, _TE, _X,     _M,  _M,  _M,  _M,   _M,  _C,   _C),
    # DISCARD: "the remaining data ... would be misinterpreted as the next request" (§9.3).
    (_X,  _X, _X, _D,  IDLE,   _G,  _G,  _G,  _G,   _G,  _X,   _C),
    # CLOSED: "MUST NOT process any further requests received on that connection" (§9.6).
    (_X,  _X, _X, _X,  _X,     _G,  _G,  _G,  _G,   _G,  _X,   _C),
)
_CLIENT: Final = (
    # send: heads with content, without, of an upgrade; content, its end; receive: 1xx, head, content, end, 101;
    # then ACCEPTED, CLOSE.
    # IDLE: data "on a connection that doesn't have outstanding requests" is no response (§9.2).
    (_RQ, _Q, _U, _G,  _G,     _F,  _F,  _F,  _F,   _F,  _X,   _C),
    # REQUEST: a client "SHOULD monitor the network connection" for an answer that comes early (§9.5).
    (_M,  _M, _M, _RQ, _Q,     _RQ, _ER, _X,  _X,   _F,  _RQ,  _C),
    # REQUESTED: a response belongs to this request, as no other is open (§9.2).
    (_M,  _M, _M, _M,  _M,     _Q,  _R,  _X,  _X,   _F,  _Q,   _C),
    # UPGRADE: nothing of a tunnel is sent before it is open; a final response refuses it (RFC 9110 §7.8, §9.3.6).
    (_M,  _M, _M, _M,  _M,     _U,  _R,  _X,  _X,   _T,  _X,   _C),
    # EARLY_RESPONSE: whole before its request, it leaves a connection that cannot be used again (§9.3, §9.5).
    (_M,  _M, _M, _ER, _R,     _X,  _X,  _ER, _C,   _X,  _ER,  _C),
    # RESPONSE: whole, it lets the next request be sent, unless the connection does not persist (§9.3).
    (_M,  _M, _M, _M,  _M,     _X,  _X,  _R,  IDLE, _X,  _R,   _C),
    # EARLY_ENDING, ENDING: a server's.
    (_X,  _X, _X, _X,  _X,     _X,  _X,  _X,  _X,   _X,  _X,   _X),
    (_X,  _X, _X, _X,  _X,     _X,  _X,  _X,  _X,   _X,  _X,   _X),
    # TUNNEL: bytes of another protocol, until the connection ends (RFC 9110 §9.3.6).
    (_M,  _M, _M, _T,  _TE,    _X,  _X,  _T,  _X,   _X,  _T,   _C),
    # TUNNEL_ENDING: as for a server.
    (_M,  _M, _M, _M,  _M,     _X,  _X,  _TE, _X,   _X,  _C,   _C),
    # DISCARD: a server's.
    (_X,  _X, _X, _X,  _X,     _X,  _X,  _X,  _X,   _X,  _X,   _X),
    # CLOSED: no further requests are sent (§9.6).
    (_M,  _M, _M, _G,  _G,     _X,  _X,  _X,  _X,   _X,  _X,   _C),
)
# fmt: on

# What a state's input is read as.
NOTHING: Final = 0  # it waits (server), or may not be (client)
HEAD: Final = 1
CONTENT: Final = 2

# IDLE, REQUEST, REQUESTED, UPGRADE, EARLY_RESPONSE, RESPONSE, EARLY_ENDING, ENDING, the tunnel's two, DISCARD, CLOSED
_SERVER_READS: Final = (
    *(HEAD, CONTENT, NOTHING, NOTHING, CONTENT, NOTHING, CONTENT, NOTHING),
    *(CONTENT, CONTENT, CONTENT, NOTHING),
)
_CLIENT_READS: Final = (
    *(NOTHING, HEAD, HEAD, HEAD, CONTENT, CONTENT, NOTHING, NOTHING),
    *(CONTENT, CONTENT, NOTHING, NOTHING),
)


class Role:
    """A role's table, by columns: `column[state]` is the state after a step, or one of the outcomes that are not states
    (16 and above). A lookup by column costs a third of one by row and column."""

    def __init__(self, rows: tuple[tuple[int, ...], ...], reads: tuple[int, ...], is_server: bool) -> None:
        columns = [bytes([row[step] for row in rows]) for step in range(STEPS)]
        self._columns = columns
        self.is_server = is_server
        self.reads: bytes = bytes(reads)
        """What input is read as in each state: NOTHING, HEAD or CONTENT."""
        self.interim: bytes = columns[INTERIM]
        self.response_head: bytes = columns[RESPONSE_HEAD]
        self.response_end: bytes = columns[RESPONSE_END]
        self.request_end: bytes = columns[REQUEST_END]
        self.switch: bytes = columns[SWITCH]
        self.accepted: bytes = columns[ACCEPTED]
        self.close: bytes = columns[CLOSE]
        self.content: bytes = columns[RESPONSE_CONTENT if is_server else REQUEST_CONTENT]
        """Content of our message."""
        self.end: bytes = columns[RESPONSE_END if is_server else REQUEST_END]
        """The end of our message."""

    def after(self, state: int, step: int) -> int:
        """Return the state after a step, or one of the outcomes that are not states."""
        return self._columns[step][state]


SERVER: Final = Role(_SERVER, _SERVER_READS, True)
CLIENT: Final = Role(_CLIENT, _CLIENT_READS, False)


def is_open(state: int) -> bool:
    """Tell whether a request is open: the application hears of its end."""
    return IDLE < state < DISCARD


def is_tunnel(state: int) -> bool:
    """Tell whether bytes of another protocol go both ways."""
    return state == TUNNEL or state == TUNNEL_ENDING


def is_unanswered(state: int) -> bool:
    """Tell whether a request is open, and its final response has not begun."""
    return IDLE < state < EARLY_RESPONSE


def is_answered(state: int) -> bool:
    """Tell whether a request is open, and its final response has begun."""
    return EARLY_RESPONSE <= state < DISCARD
