"""DATA and WINDOW_UPDATE come in (RFC 9113 §6.1, §6.9). Functions over a connection's record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.events import DataReceived
from headrace.engine.h2 import frames, settings
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.faults import receive_closed
from headrace.engine.h2.parts.closed_streams import raise_fault
from headrace.engine.h2.parts.receive_window import ReceiveWindow
from headrace.engine.h2.states import CLOSED, RECV_DATA, RECV_DATA_END, RECV_WINDOW_UPDATE, next_state
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import DRIP

if TYPE_CHECKING:
    from mypy_extensions import i64

_SMALL: Final = 256  # DATA below this is charged as much


def recv_data(conn: Connection, flags: i64, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """DATA (RFC 9113 §6.1). Padding counts towards both windows (RFC 9113 §6.9.1)."""
    if stream_id == 0:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "DATA on stream 0", "RFC 9113 §6.1")
    flow_length = end - start
    if flags & frames.PADDED:
        if start >= end:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "padded DATA without a length", "RFC 9113 §6.1")
        end -= data[start]
        start += 1
        if start > end:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "padding longer than the frame", "RFC 9113 §6.1")
    windows = conn._windows
    if not windows.receive(flow_length):
        raise ConnectionFault(errors.FLOW_CONTROL_ERROR, "DATA beyond the connection's window", "RFC 9113 §6.9.1")
    stream = conn._streams.open.get(stream_id)
    end_stream = flags & frames.END_STREAM != 0
    step = RECV_DATA_END if end_stream else RECV_DATA
    size = end - start
    if stream is None:
        conn._credit_connection()  # nobody will consume it
        receive_closed(conn, stream_id, step, "DATA")
        if not conn.is_server:
            conn._closed_streams.receive_data(flow_length)
        if size < _SMALL:  # what was under way of a cancelled upload is mostly full frames, and free
            conn._allowance.spend(1, conn._now)
        return
    state = next_state(stream.state, step)
    if state > CLOSED:
        raise_fault(stream_id, state, "DATA")
    if not stream.head_received:
        raise StreamFault(stream_id, errors.PROTOCOL_ERROR, "DATA before the response", "RFC 9113 §8.1")
    window = stream.window
    if window is None:
        window = ReceiveWindow()
        stream.window = window
    if not window.receive(flow_length, windows.in_force):
        raise StreamFault(stream_id, errors.FLOW_CONTROL_ERROR, "DATA beyond the stream's window", "RFC 9113 §6.9.1")
    stream.count_received(size, end_stream)
    if size == 0 and not end_stream:
        window.give_back(flow_length)  # padding alone: nobody will consume it
        conn._credit_stream(stream, window)
        conn._credit_connection()
        conn._allowance.spend_odd(1, conn._now)
        return
    if windows.hand_over(window, flow_length):
        resize_windows(conn)
    # What an open tunnel brings is kept in one piece, so its small frames cost no more than their bytes.
    if size < _SMALL and not end_stream and not (stream.is_tunnel and stream.headers_sent):
        stream.small_charge += _SMALL
        if size < DRIP:
            stream.drips += 1
        if stream.small_charge > conn.limits.small_data_budget:
            reason = "small DATA frames pile up unread (small_data_budget)"
            raise StreamFault(stream_id, errors.ENHANCE_YOUR_CALM, reason, "RFC 9113 §10.5")
    conn._credit_connection()
    conn._events.append(DataReceived(stream_id, data[start:end], flow_length, end_stream))
    if end_stream:
        peer_ended(conn, stream, state)


def peer_ended(conn: Connection, stream: Stream, state: int) -> None:
    """Move a stream to the state that END_STREAM of the peer leads to; it may be over with that."""
    if state == CLOSED:
        conn._drop(stream, CLOSED)
    else:
        stream.state = state


def resize_windows(conn: Connection) -> None:
    """Make the streams' windows small where much is unread, and large again where it is not. Called with input, as
    that is when the time is known; one change at a time, as only an acknowledgement tells what counts."""
    if conn._timers.awaits_settings():
        return
    size = conn._windows.resize(conn._now)
    if size < 0:
        return
    conn._at_latest(conn._timers.send_settings(conn._now))
    conn._output.write_control(frames.write_settings([(settings.INITIAL_WINDOW_SIZE, size)]))
    if size < conn._windows.in_force:
        for stream in conn._streams.open.values():
            if stream.window is not None:
                conn._credit_stream(stream, stream.window)  # less than half of the large size may be half of this


def recv_window_update(conn: Connection, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """WINDOW_UPDATE (RFC 9113 §6.9)."""
    if end - start != 4:
        raise ConnectionFault(errors.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes", "RFC 9113 §6.9")
    increment = frames.read_id(data, start)
    windows = conn._send_windows
    sender = conn._sender
    stream = conn._streams.open.get(stream_id)
    window = windows.connection if stream is None else windows.of(stream)
    conn._allowance.spend_update(increment, window, sender.queued > 0, conn._now)
    if stream_id == 0:
        windows.widen(increment)
    elif stream is None:
        receive_closed(conn, stream_id, RECV_WINDOW_UPDATE, "WINDOW_UPDATE")
    else:
        windows.widen_stream(stream, increment)
        sender.wake(stream)
