"""The stream states of RFC 9113 §5.1 as one table, to be laid beside Figure 2.

Two rules make it short. Ends are two bits: a stream is OPEN until one side sends END_STREAM, half-closed until the
other does. And what a *closed* stream gets depends on how it closed, so CLOSED has three rows: both sides ended, the
peer reset it, we reset it (where frames may still be in flight and are ignored).
"""

from __future__ import annotations

from typing import Final

IDLE: Final = 0
OPEN: Final = 1
HALF_CLOSED_LOCAL: Final = 2
HALF_CLOSED_REMOTE: Final = 3
CLOSED: Final = 4
CLOSED_BY_PEER: Final = 5  # the peer sent RST_STREAM
CLOSED_BY_US: Final = 6  # we sent RST_STREAM

# Inputs. "recv_" comes from the peer, "send_" from us; "_end" is the same frame with END_STREAM.
RECV_HEADERS: Final = 0
RECV_HEADERS_END: Final = 1
RECV_DATA: Final = 2
RECV_DATA_END: Final = 3
RECV_RST: Final = 4
RECV_WINDOW_UPDATE: Final = 5
SEND_HEADERS: Final = 6
SEND_END: Final = 7
SEND_RST: Final = 8
INPUTS: Final = 9

# Outcomes that are not states.
IGNORE: Final = 16  # minimal processing, then forget it
PROTOCOL_CONNECTION: Final = 17  # connection error PROTOCOL_ERROR
CLOSED_STREAM: Final = 18  # stream error STREAM_CLOSED
CLOSED_CONNECTION: Final = 19  # connection error STREAM_CLOSED
MISUSE: Final = 20  # our own owner asked for something impossible

_PC: Final = PROTOCOL_CONNECTION
_SC: Final = CLOSED_STREAM
_CC: Final = CLOSED_CONNECTION

# fmt: off
_H: Final = HALF_CLOSED_LOCAL
_R: Final = HALF_CLOSED_REMOTE
_P: Final = CLOSED_BY_PEER
_U: Final = CLOSED_BY_US
_I: Final = IGNORE
_M: Final = MISUSE
_ROWS: Final = (
    # recv: HEADERS and DATA, each without and with END_STREAM, RST_STREAM, WINDOW_UPDATE; send: HEADERS, END, RST
    # IDLE: only HEADERS opens a stream, everything else on it is a connection error (§5.1).
    (OPEN, _R,     _PC,  _PC,    _PC, _PC,    OPEN, _M,     _M),
    # OPEN: HEADERS again are trailers; whether END_STREAM is there is checked by the message rules (§8.1).
    (OPEN, _R,     OPEN, _R,     _P,  OPEN,   OPEN, _H,     _U),
    # HALF_CLOSED_LOCAL: we have ended.
    (_H,   CLOSED, _H,   CLOSED, _P,  _H,     _M,   _M,     _U),
    # HALF_CLOSED_REMOTE: the peer has ended: more than WINDOW_UPDATE, PRIORITY or RST_STREAM is STREAM_CLOSED.
    (_SC,  _SC,    _SC,  _SC,    _P,  _R,     _R,   CLOSED, _U),
    # CLOSED: both ended. RST_STREAM and WINDOW_UPDATE may have been under way.
    (_CC,  _CC,    _CC,  _CC,    _I,  _I,     _M,   _M,     _M),
    # CLOSED_BY_PEER: it said RST_STREAM, so it may send nothing more.
    (_SC,  _SC,    _SC,  _SC,    _I,  _I,     _M,   _M,     _M),
    # CLOSED_BY_US: what was in flight when our RST_STREAM left is discarded, up to the peer's own end or reset.
    (_I,   CLOSED, _I,   CLOSED, _P,  _I,     _M,   _M,     _M),
)
# fmt: on

TABLE: Final = bytes([cell for row in _ROWS for cell in row])


def next_state(state: int, step: int) -> int:
    """Return the state after input `step`, or one of the outcomes that are not states (16 and above)."""
    return TABLE[state * INPUTS + step]
