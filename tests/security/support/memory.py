"""One attack against the engine in memory: what it cost, how it ended, how many handlers it kept busy."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from headrace.engine import events as ev
from headrace.engine.errors import LocalError
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import ServerRig

HUGE = 1_000_000_000

# Limits as far off as they go: the negative control. The criteria of the rows must fail with these.
OFF = Limits(
    max_concurrent_streams=1_000_000,
    max_field_section_size=16_777_216,
    max_connection_fields_size=2**31 - 1,
    max_fields=65_536,
    max_block_size=16_777_216,
    max_continuations=HUGE,
    max_settings=10_000,
    max_unread=HUGE,
    early_reset_burst=HUGE,
    provoked_reset_burst=HUGE,
    odd_frame_burst=HUGE,
    small_data_budget=HUGE,
    control_queue_pause=HUGE,
    control_queue_end=HUGE,
    min_upload_rate=0,
    stalled_send_timeout_s=86_400,
    idle_timeout_s=86_400,
)
ON = Limits()


def only_off(**names: float) -> Limits:
    """The defaults with single limits off, to see which one holds a row."""
    return replace(ON, **names)  # type: ignore[arg-type]


class Outcome:
    """The end of an attack. Sizes in bytes; `peak` is the growth of Python's memory over the attack."""

    def __init__(self) -> None:
        self.goaway: int | None = None
        self.debug = b""
        self.closed = False
        self.paused = False
        self.batches = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.peak = 0
        self.left = 0
        self.requests = 0
        self.most_handlers = 0
        self.events = 0
        self.frames_out = 0
        self.frames: dict[int, int] = {}


def attack(
    batches: Iterable[bytes], *, limits: Limits = ON, app: str = "sleep", read: bool = True, tick: float = 0.0,
    rig: ServerRig | None = None, memory: bool = False, body: int = 1_000_000,
) -> Outcome:  # fmt: skip
    """Run an attack until the engine ends it, stops reading, or it is over.

    `app` is what handlers do: "sleep" for ever, "answer" at once with `body` bytes, "read" what is uploaded. `read`
    false: the peer never reads what we write. `tick` is the time between batches on the hand-turned clock.
    """
    result = Outcome()
    rig = rig if rig is not None else ServerRig(limits)
    handlers: set[int] = set()
    answer = b"x" * body if app == "answer" else b""
    if memory:
        batches = list(batches)  # made before the measurement: the attacker's memory is not ours
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
    for batch in batches:
        result.batches += 1
        result.bytes_in += len(batch)
        rig.now += tick
        for event in rig.feed(batch):
            result.events += 1
            if isinstance(event, ev.RequestReceived):
                result.requests += 1
                handlers.add(event.stream_id)
                if app == "answer":
                    try:
                        rig.respond(event.stream_id, answer)
                    except LocalError:
                        pass
            elif isinstance(event, ev.StreamReset):
                handlers.discard(event.stream_id)
            elif isinstance(event, ev.DataReceived) and app == "read":
                rig.conn.acknowledge_data(event.stream_id, event.flow_length)
        rig.events.clear()
        if app == "answer":
            handlers = {n for n in handlers if rig.conn.has_stream(n)}
        result.most_handlers = max(result.most_handlers, len(handlers), rig.conn.open_streams)
        if read:
            _drain(rig, result)
        if tick:
            rig.advance(0)
        if rig.conn.closed or (not read and rig.conn.read_paused):
            break
    if memory:
        result.peak = tracemalloc.get_traced_memory()[1] - before
    result.paused = bool(rig.conn.read_paused)
    result.closed = bool(rig.conn.closed)
    _drain(rig, result)
    if memory:
        rig.events.clear()
        rig.eof()
        rig.events.clear()
        rig.sent.clear()
        rig.fields.clear()
        rig.content.clear()
        del rig
        gc.collect()
        result.left = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    return result


def _drain(rig: ServerRig, result: Outcome) -> None:
    for frame in rig.take():
        result.frames[frame.type] = result.frames.get(frame.type, 0) + 1
        result.frames_out += 1
        result.bytes_out += 9 + len(frame.payload)
        if frame.type == wire.GOAWAY:
            result.goaway = frame.code
            result.debug = frame.payload[8:]
    rig.sent.clear()
    rig.content.clear()
    rig.fields.clear()


def calmed(result: Outcome) -> bool:
    """G(0xb): the offender got GOAWAY(ENHANCE_YOUR_CALM) and the connection is over."""
    return result.closed and result.goaway == wire.ENHANCE_YOUR_CALM


def check(condition: Any, result: Outcome) -> None:
    """Assert with the whole outcome in the message."""
    assert condition, vars(result)
