"""parts/send_window.py alone. The oracle is the receiver's side of RFC 9113 §6.9: it adds what it has granted, and
never asks the part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engine import errors
from headrace.engine.errors import ConnectionFault, StreamFault
from headrace.engine.h2.parts.send_window import SendWindows
from headrace.engine.h2.states import OPEN
from headrace.engine.h2.stream import Stream
from headrace.engine.limits import DEFAULT_WINDOW, MAX_WINDOW

from tests.properties.profile import tries

STREAMS = 3
AMOUNTS = st.one_of(st.integers(0, 100_000), st.integers(MAX_WINDOW - 200_000, MAX_WINDOW))


def streams() -> dict[int, Stream]:
    return {2 * each + 1: Stream(2 * each + 1, b"", OPEN) for each in range(STREAMS)}


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("write", "connection", "stream", "initial")), st.integers(0, STREAMS - 1), AMOUNTS),
        max_size=40,
    )
)
@tries(500)
def test_windows_are_what_was_granted_minus_what_was_written(steps: list[tuple[str, int, int]]) -> None:
    windows, open_streams = SendWindows(), streams()
    granted, written = {0: DEFAULT_WINDOW} | dict.fromkeys(open_streams, 0), dict.fromkeys([0, *open_streams], 0)
    initial = DEFAULT_WINDOW
    for kind, which, amount in steps:
        stream_id = 2 * which + 1
        stream = open_streams[stream_id]
        space = {each: initial + granted[each] - written[each] for each in open_streams}
        if kind == "write":
            length = max(0, min(amount, windows.of(stream), windows.connection))
            windows.charge(stream, length)
            written[0] += length
            written[stream_id] += length
        elif kind == "connection":
            fails = amount == 0 or granted[0] - written[0] + amount > MAX_WINDOW
            granted[0] += amount
            if fails:
                with pytest.raises(ConnectionFault):
                    windows.widen(amount)
                return
            windows.widen(amount)
        elif kind == "stream":
            fails = amount == 0 or space[stream_id] + amount > MAX_WINDOW
            granted[stream_id] += amount
            if fails:
                with pytest.raises(StreamFault) as caught:
                    windows.widen_stream(stream, amount)
                assert caught.value.stream_id == stream_id
                return
            windows.widen_stream(stream, amount)
        else:
            fails = any(space[each] + amount - initial > MAX_WINDOW for each in open_streams)
            initial = amount
            if fails:
                with pytest.raises(ConnectionFault) as ended:
                    windows.set_initial(amount, open_streams)
                assert ended.value.code == errors.FLOW_CONTROL_ERROR
                return
            windows.set_initial(amount, open_streams)
        assert windows.connection == granted[0] - written[0]
        for each, one in open_streams.items():
            assert windows.of(one) == initial + granted[each] - written[each]


def test_a_window_may_be_negative() -> None:
    """RFC 9113 §6.9.2: 60 KB written, then an initial size of 16 KB: the window is -44 KB."""
    windows, stream = SendWindows(), Stream(1, b"", OPEN)
    windows.charge(stream, 60_000)
    windows.set_initial(16_000, {1: stream})
    assert windows.of(stream) == -44_000


@pytest.mark.parametrize(("increment", "code"), [(0, errors.PROTOCOL_ERROR), (MAX_WINDOW, errors.FLOW_CONTROL_ERROR)])
def test_increments_that_are_faults(increment: int, code: int) -> None:
    with pytest.raises(ConnectionFault) as connection:
        SendWindows().widen(increment)
    with pytest.raises(StreamFault) as stream:
        SendWindows().widen_stream(Stream(1, b"", OPEN), increment)
    assert (connection.value.code, stream.value.code) == (code, code)


def test_the_largest_window_is_no_fault() -> None:
    """RFC 9113 §6.9.1: it must not exceed 2^31-1."""
    windows, stream = SendWindows(), Stream(1, b"", OPEN)
    windows.widen(MAX_WINDOW - DEFAULT_WINDOW)
    windows.widen_stream(stream, MAX_WINDOW - DEFAULT_WINDOW)
    assert windows.connection == windows.of(stream) == MAX_WINDOW
    windows.set_initial(DEFAULT_WINDOW, {1: stream})
    with pytest.raises(ConnectionFault):
        windows.set_initial(DEFAULT_WINDOW + 1, {1: stream})
    with pytest.raises(ConnectionFault):
        windows.widen(1)
    with pytest.raises(StreamFault):
        SendWindows().widen_stream(Stream(3, b"", OPEN), MAX_WINDOW - DEFAULT_WINDOW + 1)


def test_a_window_that_was_large_and_is_gone_forbids_nothing() -> None:
    """Only streams that are open may overflow (RFC 9113 §6.9.2)."""
    windows, open_streams = SendWindows(), streams()
    windows.widen_stream(open_streams[1], MAX_WINDOW - DEFAULT_WINDOW)
    windows.widen_stream(open_streams[3], 10)
    with pytest.raises(ConnectionFault):
        windows.set_initial(DEFAULT_WINDOW + 1, open_streams)
    del open_streams[1]
    windows.set_initial(DEFAULT_WINDOW + 1, open_streams)
    assert windows.of(open_streams[3]) == DEFAULT_WINDOW + 11
