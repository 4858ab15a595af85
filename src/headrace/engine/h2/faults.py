"""The consequences of a peer's fault: RST_STREAM for its stream, GOAWAY for the connection (RFC 9113 §5.4).

Functions over a connection's record. A frame's handler raises StreamFault or ConnectionFault; both end in
`answer_fault`, and everything that the fault does not concern goes on.
"""

from __future__ import annotations

from typing import Final

from headrace.engine import causes, errors
from headrace.engine.errors import ConnectionFault, Oversize, ProtocolError, StreamFault
from headrace.engine.events import PeerFault, StreamReset
from headrace.engine.h2 import frames
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.states import CLOSED_BY_US, IDLE

_OVERSIZE_COST: Final = (
    4  # frames that a response with too many or too large fields counts for; its request pays as many
)


def answer_fault(conn: Connection, fault: ProtocolError) -> None:
    """Answer a fault of the peer at its scope: with GOAWAY, or with RST_STREAM for its stream, which may be one reset
    too many."""
    if isinstance(fault, StreamFault):
        try:
            _reset_for(conn, fault)
        except ConnectionFault as further:
            conn._fail(further)
    else:
        assert isinstance(fault, ConnectionFault)
        conn._fail(fault)


def _reset_for(conn: Connection, fault: StreamFault) -> None:
    """Answer a stream error (RFC 9113 §5.4.2): RST_STREAM, one event for the owner; everything else goes on."""
    stream_id = fault.stream_id
    conn._events.append(PeerFault(fault.code, "stream", stream_id, fault.reason, fault.section, ""))
    stream = conn._streams.open.get(stream_id)
    if stream is not None:
        conn._events.append(StreamReset(stream_id, fault.code, "local", fault.reason, fault.section, fault.cause))
        conn._drop(stream, CLOSED_BY_US)  # a drain ends with its last stream
    else:
        conn._closed_streams.remember(stream_id, CLOSED_BY_US)
        conn._closed_streams.expect_data(0)
    conn._output.write_control(frames.write_rst_stream(stream_id, fault.code))
    if isinstance(fault, Oversize):
        conn._allowance.spend(_OVERSIZE_COST, conn._now)
    else:
        conn._allowance.spend_provoked(conn._streams.answered(), conn._now)


def receive_closed(conn: Connection, stream_id: int, step: int, name: str) -> None:
    """Take a frame on a stream that is not open (RFC 9113 §5.1): return when it is to be ignored, else raise."""
    state = IDLE if conn._streams.is_idle(stream_id) else conn._closed_streams.state(stream_id)
    conn._closed_streams.receive(stream_id, state, step, name)


def refuse_from(conn: Connection, first: int, reason: str, section: str) -> None:
    """End our streams from `first` on as not processed by the peer: they can be sent again elsewhere."""
    for stream_id in list(conn._streams.open):
        if stream_id >= first:
            reset = StreamReset(stream_id, errors.REFUSED_STREAM, "remote", reason, section, causes.NOT_PROCESSED)
            conn._events.append(reset)
            conn._drop(conn._streams.open[stream_id], CLOSED_BY_US)
