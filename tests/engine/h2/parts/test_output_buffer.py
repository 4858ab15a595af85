"""parts/output_buffer.py alone: all that is written comes out once, in order, by either way out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.engine.h2.parts.output_buffer import OutputBuffer

from tests.properties.profile import tries

WRITES = st.lists(
    st.tuples(st.sampled_from(("write", "parts", "control", "data", "take", "buffers")), st.binary(max_size=20))
)


@given(steps=WRITES)
@tries(300)
def test_each_byte_comes_out_once_and_in_order(steps: list[tuple[str, bytes]]) -> None:
    output = OutputBuffer()
    written, taken = b"", b""
    waiting = control = frames = 0
    for kind, payload in steps:
        data = payload if kind in ("write", "control") else b"123456789" + payload
        if kind == "write":
            output.write(payload)
        elif kind == "parts":
            output.write_parts(b"12345", b"6789", payload, len(data))
        elif kind == "control":
            output.write_control(payload)
        elif kind == "data":
            output.write_header(b"123456789", len(payload))
            output.add(memoryview(payload))
        else:
            taken += output.take() if kind == "take" else b"".join(output.take_buffers(output.position()))
            assert taken == written and output.is_empty()
            assert (output.size, output.control_frames) == (0, 0)
            waiting = control = 0
            continue
        written += data
        waiting += len(data)
        control += kind == "control"
        frames += 1
        assert (output.size, output.control_frames, output.frames) == (waiting, control, frames)
    assert taken + output.take() == written


def test_large_bodies_are_not_copied() -> None:
    output, body = OutputBuffer(), bytes(100_000)
    output.write(b"head")
    output.write(b"more")
    small = output.position()
    output.write_header(b"123456789", len(body))
    output.add(body)
    buffers = output.take_buffers(small)
    assert buffers[0] == b"headmore" and buffers[1] == b"123456789" and buffers[2] is body
    assert output.take_buffers(0) == []


def test_a_frame_is_held_until_it_is_taken() -> None:
    output, frame = OutputBuffer(), bytes([1, 2, 3])
    output.write(b"first")
    at = output.position()
    assert not output.holds(frame, at)
    output.write(frame)
    assert output.holds(frame, at) and not output.holds(bytes([1, 2, 3]), at)
    output.take()
    assert not output.holds(frame, at)


def test_an_end_without_content_is_an_empty_data_frame() -> None:
    output = OutputBuffer()
    output.write_end(b"\x00\x00\x00\x05")
    assert output.take() == b"\x00\x00\x00\x00\x01\x00\x00\x00\x05"
    assert output.frames == 1


def test_the_last_frame_counts_for_nothing_that_waits() -> None:
    output = OutputBuffer()
    output.write_last(b"goaway")
    output.write_opening(b"preface")
    assert (output.size, output.control_frames, output.frames) == (0, 0, 1)
    assert output.take() == b"goawaypreface"
