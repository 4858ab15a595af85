"""Frames come in, in order: each goes to its handler, and a fault to `faults.py`.

Functions over a connection's record. `read` takes frames up to a field block that is whole, whose meaning depends on
the role: a role's `receive_data` takes that, and calls `read` again until it returns False.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.engine import causes, errors
from headrace.engine.errors import ConnectionFault, ProtocolError
from headrace.engine.events import Event
from headrace.engine.h2 import frames
from headrace.engine.h2.connection import Connection
from headrace.engine.h2.content import recv_data, recv_window_update
from headrace.engine.h2.control import (
    recv_extension,
    recv_goaway,
    recv_ping,
    recv_priority,
    recv_priority_update,
    recv_rst_stream,
    recv_settings,
)
from headrace.engine.h2.faults import answer_fault
from headrace.engine.h2.parts.field_blocks import EMPTY_CONTINUATION_COST
from headrace.engine.h2.parts.frame_reader import NO_FRAME
from headrace.engine.hpack.field import FieldSection
from headrace.engine.limits import BYTES_A_FRAME

if TYPE_CHECKING:
    from mypy_extensions import i64


def begin(conn: Connection, data: bytes, now: float) -> None:
    """Begin a turn with `data`, and take the client's preface from it."""
    conn._enter(now)
    conn._timers.hear(now)
    if conn.closed:
        return
    reader = conn._reader
    turns = conn.turns
    reader.receive(data, conn.limits.frames_per_turn if turns is None else turns.frames)
    if reader.awaits_preface():
        try:
            reader.take_preface()
        except ConnectionFault as fault:
            conn._fail(fault)


def finish(conn: Connection) -> list[Event]:
    """End a turn and return what has happened in it."""
    conn._count_work(conn._reader.work())
    conn._leave()
    if conn.closed:
        conn._reader.clear()
    return conn.take_events()


def receive_eof(conn: Connection, now: float) -> list[Event]:
    """End a connection whose peer is gone: open streams with a StreamReset event each, then ConnectionEnded."""
    conn._enter(now)
    conn._end(errors.NO_ERROR, "remote", "the peer closed the connection", "", causes.CONNECTION_LOST)
    conn._reader.clear()
    return conn.take_events()


def read(conn: Connection) -> bool:
    """Take frames; return True at a field block that is whole, False when no frame is left, or the turn is over."""
    while not conn.closed:
        try:
            if _read_frames(conn):
                return True
            if conn._output.control_frames > conn.limits.control_queue_end:
                raise ConnectionFault(
                    errors.ENHANCE_YOUR_CALM, "our answers are not read", "RFC 9113 §10.5", "control_queue_end"
                )
            return False
        except ProtocolError as fault:
            answer_fault(conn, fault)
    return False


def _read_frames(conn: Connection) -> bool:
    reader = conn._reader
    blocks = conn._blocks
    while True:
        kind = reader.next()
        if kind == NO_FRAME:
            return False
        if blocks.is_coming() and kind != frames.CONTINUATION:
            raise ConnectionFault(
                errors.PROTOCOL_ERROR, "a frame between HEADERS and its CONTINUATION", "RFC 9113 §6.10"
            )
        if not conn.peer.received and kind != frames.SETTINGS:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "the first frame is not SETTINGS", "RFC 9113 §3.4")
        stream_id = reader.stream_id
        start = reader.start
        end = reader.end
        if kind == frames.HEADERS:
            if end - start >= BYTES_A_FRAME:
                reader.charge(end - start)
            if blocks.begin(reader.flags, stream_id, reader.data, start, end, conn._now):
                return True
            conn._at_latest(blocks.due)
        elif kind == frames.DATA:
            recv_data(conn, reader.flags, stream_id, reader.data, start, end)
        elif kind == frames.WINDOW_UPDATE:
            recv_window_update(conn, stream_id, reader.data, start, end)
        elif kind == frames.RST_STREAM:
            recv_rst_stream(conn, stream_id, reader.data, start, end)
        elif kind == frames.SETTINGS:
            recv_settings(conn, reader.flags, stream_id, reader.data, start, end)
        elif kind == frames.PING:
            recv_ping(conn, reader.flags, stream_id, reader.data, start, end)
        elif kind == frames.CONTINUATION:
            reader.charge(end - start)
            if _recv_continuation(conn, reader.flags, stream_id, reader.data, start, end):
                return True
        elif kind == frames.PRIORITY:
            recv_priority(conn, stream_id, reader.data, start, end)
        elif kind == frames.GOAWAY:
            recv_goaway(conn, stream_id, reader.data, start, end)
        elif kind == frames.PUSH_PROMISE:
            raise ConnectionFault(errors.PROTOCOL_ERROR, "PUSH_PROMISE, which is refused", "RFC 9113 §8.4")
        elif kind == frames.PRIORITY_UPDATE:
            recv_priority_update(conn, stream_id, reader.data, start, end)
        else:
            recv_extension(conn, kind, stream_id, reader.data, start, end)
        if conn.closed:
            return False


def _recv_continuation(conn: Connection, flags: i64, stream_id: int, data: bytes, start: i64, end: i64) -> bool:
    blocks = conn._blocks
    is_whole = blocks.go_on(flags, stream_id, data, start, end)
    if is_whole:
        conn._reader.add_work(blocks.size // BYTES_A_FRAME)
    elif start == end:
        conn._allowance.spend_odd(EMPTY_CONTINUATION_COST, conn._now)
    return is_whole


def decode(conn: Connection, block: bytes) -> FieldSection:
    """Decode a field block, which is charged first where it is beyond the limits, whatever becomes of its stream."""
    if len(block) > conn.limits.max_field_section_size:
        conn._allowance.spend(conn._blocks.excess(block), conn._now)
    return conn._blocks.decode(block)
