"""The output queue alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h1.queue import OUTPUT_HIGH, OutputQueue
from headrace.engine.limits import Limits

from tests.properties.profile import tries

LIMITS = Limits(max_stream_send_buffer=1_000, max_connection_send_buffer=100_000)
sizes = st.integers(0, 20) | st.integers(4_000, 70_000)
steps = st.lists(
    st.tuples(st.sampled_from(["write", "message", "chunk", "take", "buffers", "drop"]), sizes), max_size=30
)


@given(steps)
@tries(100)
def test_bytes_leave_once_in_order(taken: list[tuple[str, int]]) -> None:
    """Whatever is written and taken, in whatever pieces: the output is what was written, but for what was dropped."""
    queue = OutputQueue(LIMITS)
    waiting = b""
    total = 0
    for number, (step, size) in enumerate(taken):
        data = bytes([number % 251]) * size
        if step == "write":
            queue.write(data)
            waiting += data
        elif step == "message":
            queue.write_message(b"head", 4, data, size)
            waiting += b"head" + data
        elif step == "chunk":
            queue.write_chunk(data, size, False)
            waiting += b"%x\r\n%s\r\n" % (size, data) if data else b""
        elif step == "drop":
            queue.drop()
            waiting = b""
        else:
            out = queue.take(size) if step == "take" else b"".join(queue.take_buffers(size))
            assert out == waiting[: len(out)] and len(out) == min(size, len(waiting))
            waiting = waiting[len(out) :]
            total += len(out)
        assert (queue.size, queue.taken) == (len(waiting), total)
    assert queue.take(10**9) == waiting


@pytest.mark.parametrize(
    ("content", "is_last", "data"),
    [
        (b"abc", False, b"3\r\nabc\r\n"),
        (b"abc", True, b"3\r\nabc\r\n0\r\n\r\n"),
        (b"", True, b"0\r\n\r\n"),
        (b"", False, b""),
    ],
)
def test_chunks(content: bytes, is_last: bool, data: bytes) -> None:
    """RFC 9112 §7.1: a chunk of no bytes would be the last one, so that it is not written."""
    queue = OutputQueue(LIMITS)
    queue.write_chunk(content, len(content), is_last)
    assert queue.take(1_000) == data


def test_a_sender_waits_once_and_is_told_once() -> None:
    queue = OutputQueue(LIMITS)
    queue.write(b"x" * 1_001)
    assert not queue.fits() and queue.begin_wait() and not queue.begin_wait()
    assert not queue.end_wait()
    queue.take(1)
    assert queue.end_wait() and not queue.end_wait()


def test_many_small_pieces_count_for_more_than_their_bytes() -> None:
    """A million pieces of a byte would cost a hundred megabytes of objects."""
    queue = OutputQueue(Limits())
    written = 0
    while queue.fits():
        queue.write(b"x")
        written += 1
    assert written < 1_100


def test_large_pieces_are_not_copied() -> None:
    queue = OutputQueue(Limits())
    body = b"x" * (2 * OUTPUT_HIGH)
    queue.write_message(b"a", 1, body, len(body))
    queue.write(b"b")
    first, large, last = queue.take_buffers(10**9)
    assert (first, last) == (b"a", b"b") and large is body
