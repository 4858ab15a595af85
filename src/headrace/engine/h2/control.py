"""Control frames come in: SETTINGS, PING, RST_STREAM, GOAWAY, and those that are ignored (RFC 9113 §6, RFC 9218 §7.1).

Functions over a connection's record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.engine import causes, errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.events import GoAwayReceived, OriginReceived, PingAcknowledged, SettingsChanged, StreamReset
from headrace.engine.h2 import frames, settings
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.content import resize_windows
from headrace.engine.h2.faults import receive_closed, refuse_from
from headrace.engine.h2.parts.drain import DRAIN_PING
from headrace.engine.h2.parts.timers import KEEPALIVE_PING
from headrace.engine.h2.priority import parse_priority
from headrace.engine.h2.states import CLOSED_BY_PEER, RECV_RST

if TYPE_CHECKING:
    from mypy_extensions import i64

# Frames that a PING takes of those that DATA has paid for, four a frame. gRPC measures bandwidth with a PING a round
# trip, and a WINDOW_UPDATE before it, as long as content comes.
_PING_COST: Final = 2
_ODD_BYTES: Final = 1_024  # of a frame that is ignored, or nearly so, count for one more


def recv_settings(conn: Connection, flags: i64, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """SETTINGS (RFC 9113 §6.5): entries count in order, then the acknowledgement goes out."""
    length = end - start
    if stream_id != 0:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "SETTINGS on a stream", "RFC 9113 §6.5")
    if flags & frames.ACK:
        if length:
            raise ConnectionFault(errors.FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with entries", "RFC 9113 §6.5")
        _settings_acknowledged(conn)
        return
    if length % 6:
        raise ConnectionFault(errors.FRAME_SIZE_ERROR, "SETTINGS is not a multiple of 6 bytes", "RFC 9113 §6.5")
    if length > conn.limits.max_settings * 6:
        raise ConnectionFault(errors.ENHANCE_YOUR_CALM, "too many SETTINGS", "RFC 9113 §10.5", "max_settings")
    peer = conn.peer
    is_first = not peer.received
    table_size = peer.header_table_size
    if not is_first:
        conn._allowance.spend_odd(1, conn._now)
    while start < end:
        key = data[start] << 8 | data[start + 1]
        peer.apply(key, frames.read_u32(data, start + 2), not conn.is_server)
        if key == settings.HEADER_TABLE_SIZE and peer.header_table_size != table_size:
            table_size = peer.header_table_size
            conn._heads.encoder.set_max_table_size(table_size)
        start += 6
    peer.complete()
    _set_initial_window(conn, peer.initial_window_size)
    if is_first:
        conn._timers.begin_idle(conn._now)
        conn._at_latest(conn._timers.idle_due())
    conn._output.write_control(frames.SETTINGS_ACK)
    conn._events.append(SettingsChanged())


def _set_initial_window(conn: Connection, size: int) -> None:
    """All stream windows shift with INITIAL_WINDOW_SIZE (RFC 9113 §6.9.2); only a raise wakes streams that wait."""
    windows = conn._send_windows
    old_size = windows.initial
    if size == old_size:
        return
    windows.set_initial(size, conn._streams.open)
    if size > old_size and conn._sender.queued:
        for stream in conn._streams.open.values():
            conn._sender.wake(stream)


def _settings_acknowledged(conn: Connection) -> None:
    """Our SETTINGS are in force for the peer from here on (RFC 9113 §6.5.3)."""
    if not conn.peer.received:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "the first frame is not SETTINGS", "RFC 9113 §3.4")
    if not conn._timers.awaits_settings():
        conn._allowance.spend_odd(1, conn._now)
    conn._timers.settings_acknowledged()
    conn._reader.set_largest(conn.limits.max_frame_size)
    conn._blocks.set_max_table_size(conn.limits.header_table_size)
    conn._windows.acknowledge_size()
    resize_windows(conn)  # what was not possible while they were under way
    conn._credit_connection()


def recv_ping(conn: Connection, flags: i64, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """PING (RFC 9113 §6.7)."""
    if stream_id != 0:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "PING on a stream", "RFC 9113 §6.7")
    if end - start != 8:
        raise ConnectionFault(errors.FRAME_SIZE_ERROR, "PING is not 8 bytes", "RFC 9113 §6.7")
    opaque = data[start:end]
    if not flags & frames.ACK:
        conn._allowance.spend(_PING_COST, conn._now)
        conn._output.write_control(frames.write_ping(opaque, True))
    elif opaque == DRAIN_PING and conn._drain.awaits_ping():
        conn._finish_drain()
    elif opaque == KEEPALIVE_PING and conn._timers.awaits_ping():
        conn._at_latest(conn._timers.ping_acknowledged(conn._now))
    else:
        conn._allowance.spend_odd(1, conn._now)
        conn._events.append(PingAcknowledged(opaque))


def recv_rst_stream(conn: Connection, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """RST_STREAM (RFC 9113 §6.4)."""
    if stream_id == 0:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "RST_STREAM on stream 0", "RFC 9113 §6.4")
    if end - start != 4:
        raise ConnectionFault(errors.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes", "RFC 9113 §6.4")
    stream = conn._streams.open.get(stream_id)
    if stream is None:
        receive_closed(conn, stream_id, RECV_RST, "RST_STREAM")
        conn._allowance.spend(1, conn._now)
        return
    code = frames.read_u32(data, start)
    early = conn.is_server and not stream.headers_sent
    reason = "the peer reset the stream"
    conn._events.append(StreamReset(stream_id, code, "remote", reason, "RFC 9113 §6.4", causes.RESET_BY_PEER))
    conn._drop(stream, CLOSED_BY_PEER)
    if early:
        conn._allowance.spend_early(stream.opened_at, conn._streams.answered(), conn._now)


def recv_priority(conn: Connection, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """PRIORITY (RFC 9113 §6.3): checked and ignored; no tree is built (RFC 9113 §5.3.2)."""
    if stream_id == 0:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "PRIORITY on stream 0", "RFC 9113 §6.3")
    wrong_size = end - start != 5
    if wrong_size or frames.read_id(data, start) == stream_id:
        code = errors.FRAME_SIZE_ERROR if wrong_size else errors.PROTOCOL_ERROR
        reason = "PRIORITY is not 5 bytes" if wrong_size else "a stream that depends on itself"
        if stream_id not in conn._streams.open and conn._streams.is_idle(stream_id):
            raise ConnectionFault(code, reason, "RFC 9113 §6.3")  # RST_STREAM cannot be sent on an idle stream
        raise StreamFault(stream_id, code, reason, "RFC 9113 §6.3")
    conn._allowance.spend(1, conn._now)


def recv_goaway(conn: Connection, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """GOAWAY (RFC 9113 §6.8): no new streams; those that run go on, the connection ends with the last."""
    if stream_id != 0:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "GOAWAY on a stream", "RFC 9113 §6.8")
    if end - start < 8:
        raise ConnectionFault(errors.FRAME_SIZE_ERROR, "GOAWAY shorter than 8 bytes", "RFC 9113 §6.8")
    if not conn._drain.receive_goaway():
        conn._allowance.spend_odd(1, conn._now)
    last = frames.read_id(data, start)
    code = frames.read_u32(data, start + 4)
    conn._events.append(GoAwayReceived(last, code, data[start + 8 : end][:1_024]))
    if not conn.is_server:
        refuse_from(conn, last + 1, "not processed before GOAWAY", "RFC 9113 §6.8")
    if not conn.closed and not conn._drain.has_begun:
        conn._drain.end_when_empty()
        if not conn._streams.open:
            conn.close(errors.NO_ERROR)


def recv_extension(conn: Connection, kind: int, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """ORIGIN, to a client (RFC 8336 §2); all other types are ignored (RFC 9113 §4.1), ALTSVC (RFC 7838 §4) among them.
    Each is odd."""
    origins = conn._origins
    if origins is None:
        conn._allowance.spend_odd(1, conn._now)
        return
    conn._allowance.spend_odd(1 + (end - start) // _ODD_BYTES, conn._now)
    if kind == frames.ORIGIN and stream_id == 0:  # RFC 8336 §2.1: on a stream it is ignored
        new = origins.receive(data, start, end)
        if new is not None:
            conn._events.append(OriginReceived(new))


def recv_priority_update(conn: Connection, stream_id: int, data: bytes, start: i64, end: i64) -> None:
    """PRIORITY_UPDATE (RFC 9218 §7.1)."""
    if stream_id != 0 or not conn.is_server:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "PRIORITY_UPDATE out of place", "RFC 9218 §7.1")
    if end - start < 4:
        raise ConnectionFault(errors.FRAME_SIZE_ERROR, "PRIORITY_UPDATE shorter than 4 bytes", "RFC 9218 §7.1")
    target = frames.read_id(data, start)
    if target % 2 == 0:
        raise ConnectionFault(errors.PROTOCOL_ERROR, "PRIORITY_UPDATE for no request", "RFC 9218 §7.1")
    conn._allowance.spend(1, conn._now)
    value = data[start + 4 : end]
    stream = conn._streams.open.get(target)
    if stream is not None:
        urgency, incremental = parse_priority(value)
        conn._sender.change_priority(stream, urgency, incremental)
    elif conn._streams.is_idle(target):
        conn._early_priorities.keep(target, value)
