"""RFC 9113 §8 for a client: the requests that it writes, and what it remembers of them; ORIGIN frames (RFC 8336)."""

from __future__ import annotations

from typing import Any

import hpack
import pytest

from headrace.engine import events as ev
from headrace.engine.errors import REFUSED_STREAM, InvalidFieldError, LocalProtocolError
from headrace.engine.h2 import ServerConnection

from tests.support import wire
from tests.support.rig import ClientRig

ORIGIN = 0xC
ALTSVC = 0xA


def decoded(rig: ClientRig, decoder: Any) -> list[tuple[bytes, bytes]]:
    """The fields of the one request that was sent since the last look."""
    (frame,) = [frame for frame in rig.sent if frame.type == wire.HEADERS]
    rig.sent.clear()
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(frame.payload, raw=True)]


def test_requests_that_are_alike() -> None:
    """The memory of heads: each request is what it says, however alike it is to those before it, and the peer's HPACK
    table stays in step."""
    rig = ClientRig()
    decoder = hpack.Decoder()
    headers = [(b"user-agent", b"x"), (b"x-custom", b"1")]
    for _ in range(3):
        for method, path, authority, fields, length in [
            (b"GET", b"/1", b"a", headers, -1),
            (b"GET", b"/1", b"a", headers, -1),
            (b"GET", b"/2", b"a", headers, -1),
            (b"HEAD", b"/2", b"a", headers, -1),
            (b"GET", b"/2", b"b", headers, -1),
            (b"GET", b"/2", b"b", tuple(headers), -1),
            (b"GET", b"/3", b"b", (), -1),
            (b"POST", b"/3", b"b", (), 0),
            (b"GET", b"/3", b"b", [[b"x-custom", b"2"]], -1),
            (b"GET", b"/", b"a", headers, -1),
            (b"GET", b"/1", b"a", [*headers, (b"authorization", b"secret")], -1),
        ]:
            stream_id = rig.conn.send_request(
                *(method, b"https", authority, path, fields), end_stream=True, content_length=length
            )
            rig.take()
            wanted = [
                *((b":method", method), (b":scheme", b"https"), (b":authority", authority), (b":path", path)),
                *[(name, value) for name, value in fields],
                *([(b"content-length", b"0")] if length == 0 else []),
            ]
            assert decoded(rig, decoder) == wanted
            rig.feed(wire.response(stream_id, end_stream=True))
    headers.append((b"more", b"3"))  # the caller's own, to change as it likes
    rig.conn.send_request(b"GET", b"https", b"a", b"/1", headers, end_stream=True)
    rig.take()
    assert decoded(rig, decoder)[-1] == (b"more", b"3")


def test_requests_while_the_peers_table_changes() -> None:
    """A smaller table, a larger one: what was remembered of heads is not used past it."""
    rig = ClientRig()
    decoder = hpack.Decoder()
    for size in (4_096, 100, 0, 4_096, 50, 4_096):
        rig.feed(wire.settings({wire.HEADER_TABLE_SIZE: size}))
        rig.take()
        rig.sent.clear()
        decoder.max_allowed_table_size = size
        for n in range(4):
            rig.conn.send_request(b"GET", b"https", b"a", b"/%d" % n, [(b"x-custom", b"1")], end_stream=True)
            rig.take()
            assert decoded(rig, decoder)[3:] == [(b":path", b"/%d" % n), (b"x-custom", b"1")]


def test_what_differs_only_in_its_path_costs_little() -> None:
    """That the memory works at all: a request with another path is as small as HPACK can make it."""
    rig = ClientRig()
    sizes = []
    for n in range(10):
        rig.conn.send_request(b"GET", b"https", b"example.com", b"/%d" % n, [(b"x-custom", b"1")], end_stream=True)
        sizes.append(len(rig.conn.take_output()))
    assert sizes[4:] == [sizes[3]] * 6 and sizes[3] <= 9 + 3 + 4 + 1


@pytest.mark.parametrize("path", [b"", b"a b", b"/a\r\n", b"/a#b", b"/\x7f"])
def test_a_bad_path_after_a_good_one(path: bytes) -> None:
    """A remembered head lets no path through that a fresh one would not."""
    rig = ClientRig()
    for _ in range(3):
        with pytest.raises(InvalidFieldError):
            rig.send(path)
        rig.send(b"/good")
    assert rig.conn.open_streams == 3


@pytest.mark.parametrize(
    ("length", "headers", "end_stream", "found"),
    [
        (5, [], False, [b"5"]),
        (0, [], True, [b"0"]),
        (0, [], False, [b"0"]),
        (5, [(b"content-length", b"5")], False, [b"5"]),
        (-1, [(b"content-length", b"5")], False, [b"5"]),
        (-1, [], True, []),
        (5, [(b"content-length", b"6")], False, None),
        (5, [], True, None),
        (-1, [(b"content-length", b"6")], True, None),
    ],
)
def test_content_length(length: int, headers: Any, end_stream: bool, found: list[bytes] | None) -> None:
    """The contract's `content_length` becomes the field, or has to agree with it."""
    rig = ClientRig()
    if found is None:
        with pytest.raises(InvalidFieldError):
            rig.send(method=b"POST", headers=headers, end_stream=end_stream, content_length=length)
        assert rig.conn.open_streams == 0
        return
    rig.sent.clear()
    stream_id = rig.send(method=b"POST", headers=headers, end_stream=end_stream, content_length=length)
    fields = decoded(rig, hpack.Decoder())
    assert [value for name, value in fields if name == b"content-length"] == found
    if length == 5:
        with pytest.raises(LocalProtocolError):
            rig.conn.send_data(stream_id, b"123456")
        rig.conn.send_data(stream_id, b"12345", True)


def test_http_version() -> None:
    """The contract's word for which protocol it is."""
    assert ClientRig().conn.http_version == "2"


@pytest.mark.parametrize("taken", [0, 1, 2, 3])
def test_requests_that_were_never_sent(taken: int) -> None:
    """§8.7: what certainly was not processed may be sent again: a request that never left us is such a one."""
    rig = ClientRig()
    streams = []
    for n in range(3):
        if n == taken:
            rig.conn.take_output()
        streams.append(rig.conn.send_request(b"POST", b"https", b"a", b"/", (), end_stream=True))
    if taken == 3:
        rig.conn.take_output()
    rig.conn.send_ping(b"12345678")  # what stands behind them does not count
    rig.events += rig.conn.receive_eof(rig.now)
    refused = [event.stream_id for event in rig.of(ev.StreamReset) if event.code == REFUSED_STREAM]
    assert refused == streams[taken:]
    assert sorted(event.stream_id for event in rig.of(ev.StreamReset)) == streams
    assert type(rig.events[-1]) is ev.ConnectionEnded


# -- ORIGIN (RFC 8336), ALTSVC (RFC 7838) ----------------------------------------------------------------------


def origin_frame(*origins: bytes, stream_id: int = 0, more: bytes = b"") -> bytes:
    payload = b"".join(len(each).to_bytes(2, "big") + each for each in origins)
    return wire.frame(ORIGIN, 0, stream_id, payload + more)


def test_origins_that_a_server_names() -> None:
    """RFC 8336 §2: each frame adds to the set; what is known already is no news, but for the first frame."""
    rig = ClientRig()
    rig.feed(origin_frame(b"https://a.example", b"https://b.example:8443"))
    rig.feed(origin_frame(b"https://b.example:8443", b"https://c.example"))
    rig.feed(origin_frame(b"https://a.example"))
    found = [event.origins for event in rig.of(ev.OriginReceived)]
    assert found == [[b"https://a.example", b"https://b.example:8443"], [b"https://c.example"]]
    assert rig.conn.origins == [b"https://a.example", b"https://b.example:8443", b"https://c.example"]
    assert rig.of(ev.OriginReceived)[0].stream_id == 0 and "a.example" in repr(rig.events[0])


def test_an_empty_origin_frame_says_something() -> None:
    """RFC 8336 §2.3: the set is closed, and has only the connection's own origin."""
    rig = ClientRig()
    rig.feed(origin_frame(), origin_frame())
    assert [event.origins for event in rig.of(ev.OriginReceived)] == [[]]


@pytest.mark.parametrize(
    "origin",
    [
        *(b"", b"a.example", b"https://", b"://a.example", b"https://a.example/", b"https://a b", b"https://user@a"),
        *(b"https://a.example\r\n", b"https://\xe9.example", b"ht tps://a", b"*"),
    ],
)
def test_what_is_no_origin_is_left_out(origin: bytes) -> None:
    """RFC 8336 §2.1: entries that cannot be parsed are ignored, the others count."""
    rig = ClientRig()
    rig.feed(origin_frame(origin, b"https://good.example"))
    assert rig.conn.origins == [b"https://good.example"] and not rig.conn.closed


def test_an_origin_frame_that_is_cut_short() -> None:
    """What is left of a payload is ignored with its last entry."""
    for more in (b"\x00", b"\x00\x05abc", b"\xff\xff"):
        rig = ClientRig()
        rig.feed(origin_frame(b"https://good.example", more=more))
        assert rig.conn.origins == [b"https://good.example"] and not rig.conn.closed


def test_an_origin_frame_on_a_stream_is_ignored() -> None:
    """RFC 8336 §2.1."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(origin_frame(b"https://a.example", stream_id=stream_id))
    assert not rig.of(ev.OriginReceived) and not rig.conn.closed
    rig.assert_siblings_go_on()


def test_origins_are_bounded() -> None:
    """64 of them, and 4,096 bytes in all, whatever comes."""
    rig = ClientRig()
    for n in range(200):
        rig.feed(origin_frame(b"https://%d.example" % n))
    assert len(rig.conn.origins) == 64
    rig = ClientRig()
    for n in range(20):
        rig.feed(origin_frame(b"https://" + b"a" * 1_000 + b"%d.example" % n))
    assert len(rig.conn.origins) == 4
    rig.assert_siblings_go_on()


def test_altsvc_and_unknown_frames_are_ignored() -> None:
    """RFC 9113 §4.1: wherever they stand, but not within a field block."""
    rig = ClientRig()
    stream_id = rig.send()
    for kind in (ALTSVC, 0xEE):
        rig.feed(wire.frame(kind, 0xFF, stream_id, b"abc"), wire.frame(kind, 0, 0, b""))
        rig.feed(wire.frame(kind, 0, 999, b"\x00" * 9))
    assert rig.events == []
    rig.assert_siblings_go_on()


def test_a_server_does_not_listen_to_origin_frames() -> None:
    """RFC 8336 §2.1: servers send them, to clients they are nothing."""
    server = ServerConnection()
    server.receive_data(wire.client_preface() + wire.settings_ack(), 0.0)
    assert server.receive_data(origin_frame(b"https://a.example"), 0.0) == []
    assert not server.closed


def test_a_large_head_is_cut_into_frames() -> None:
    """§4.3: HEADERS and CONTINUATION, none beyond what the peer takes; also from memory, and with another path."""
    rig = ClientRig()
    decoder = hpack.Decoder(max_header_list_size=1_000_000)
    large = [(b"x-%d" % n, b"\xfe" * 3_000) for n in range(10)]
    for path in (b"/1", b"/1", b"/1", b"/2", b"/3"):
        rig.conn.send_request(b"GET", b"https", b"a", path, large, end_stream=True)
        rig.take()
        assert [frame.type for frame in rig.sent] == [wire.HEADERS, wire.CONTINUATION]
        assert all(len(frame.payload) <= 16_384 for frame in rig.sent)
        fields = decoder.decode(b"".join(frame.payload for frame in rig.sent), raw=True)
        rig.sent.clear()
        assert [*map(tuple, fields)][3:] == [(b":path", path), *large]
