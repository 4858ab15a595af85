"""The `websockets` library as an oracle: frames that we take past it mean to us what they mean to it.

Where the two may differ, the test says why.
"""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from websockets.protocol import SERVER, Protocol

from headrace.engine.ws import CloseReceived, Failed, MessageReceived, PingReceived, PongReceived, WebSocketConnection

from tests.engine.ws.raw_frames import CLOSE, CONT, MASK, TEXT, frame
from tests.properties.profile import tries

MASKS = st.sampled_from([MASK, MASK, MASK, b"\0\0\0\0", b"\xff\0\xff\0", None])
PAYLOADS = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=12).map(str.encode),
    st.sampled_from(
        [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", b"\xc3", b"\xa9", b"x" * 125, b"y" * 126, b"z" * 300]
    ),
)
FRAMES = st.builds(
    frame,
    st.sampled_from([0, 0, 1, 1, 1, 2, 2, 8, 9, 10, 3, 11]),
    PAYLOADS,
    fin=st.sampled_from([True, True, True, False]),
    rsv=st.sampled_from([0] * 12 + [0x40, 0x20]),
    mask=MASKS,
)


def oracle(raw: bytes) -> tuple[list[Any], int]:
    """What the library makes of `raw`: messages, pings, pongs; and the code of its close frame, 0 for none."""
    library: Any = Protocol(SERVER)
    library.receive_data(raw)
    seen: list[Any] = []
    parts: list[bytes] = []
    opcode = 0
    for each in library.events_received():
        data = bytes(each.data)
        kind = int(each.opcode)
        if kind == CLOSE:
            seen.append(("close", library.close_rcvd.code, library.close_rcvd.reason))
        elif kind > CLOSE:
            seen.append((kind, data))
        else:
            opcode = kind if kind != CONT else opcode
            parts.append(data)
            if each.fin:
                whole = b"".join(parts)
                parts.clear()
                try:
                    seen.append(whole.decode() if opcode == TEXT else whole)
                except UnicodeDecodeError:
                    return seen, 1007
    if parts and opcode == TEXT:  # the library leaves UTF-8 to its owner; ours fails at the first bad byte
        try:
            b"".join(parts).decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                return seen, 1007
    code = library.close_sent.code if library.parser_exc is not None else 0
    return seen, int(code)


def ours(raw: bytes, cuts: list[int]) -> tuple[list[Any], int]:
    ws = WebSocketConnection(False)
    seen: list[Any] = []
    code = 0
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    for start, end in itertools.pairwise(edges):
        for each in ws.receive_data(raw[start:end]):
            if isinstance(each, MessageReceived):
                seen.append(each.data)
            elif isinstance(each, PingReceived):
                seen.append((9, each.data))
            elif isinstance(each, PongReceived):
                seen.append((10, each.data))
            elif isinstance(each, CloseReceived):
                seen.append(("close", each.code, each.reason))
            elif isinstance(each, Failed):
                code = each.code
    return seen, code


@given(st.lists(FRAMES, min_size=1, max_size=6), st.lists(st.integers(0, 600), max_size=4))
@tries(300)
def test_we_make_of_frames_what_the_library_makes_of_them(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    seen, code = ours(data, cuts)
    expected, expected_code = oracle(data)
    if in_fragments(frames) and (seen, code) != (expected, expected_code):
        # Two differences are meant: a close frame between fragments is a close (Autobahn 7.1.5), and bad UTF-8 fails
        # before a later fault does, since it is looked at fragment by fragment.
        assert code in (0, 1007), (code, expected_code)
        assert seen[: len(expected)] == expected[: len(seen)]
    else:
        assert (seen, code) == (expected, expected_code)


def in_fragments(frames: list[bytes]) -> bool:
    """True when a message is fragmented somewhere."""
    return any(not each[0] & 0x80 for each in frames)


@given(st.lists(FRAMES, min_size=1, max_size=5), st.lists(st.integers(0, 600), max_size=6))
@tries(100)
def test_cuts_do_not_matter(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frames)
    assert ours(data, cuts) == ours(data, [])


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=3))
@tries(200)
def test_no_bytes_raise(data: bytes, cuts: list[int]) -> None:
    ours(data, cuts)
