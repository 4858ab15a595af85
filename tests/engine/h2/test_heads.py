"""Heads of HTTP/2 that are written again and again, and those that no memory may keep; the frames around content."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import InvalidFieldError, LocalProtocolError
from headrace.engine.server_names import ServerNames

from tests.support import wire
from tests.support.rig import ClientRig, ServerRig, connection_error, stream_error

pytestmark = pytest.mark.engine

NEVER = frozenset([b"x-token"])


def answered(rig: ServerRig, stream_id: int, status: int, headers: Any, body: bytes = b"") -> list[tuple[bytes, bytes]]:
    """The fields of a response as the client reads them."""
    rig.request(stream_id)
    rig.respond(stream_id, body, status, headers)
    rig.take()
    return rig.fields[stream_id][-1]


def test_responses_with_the_same_fields_differ_in_status_and_length() -> None:
    rig = ServerRig()
    fields = [(b"x", b"1")]
    cases = [(200, b"a"), (200, b"a"), (200, b"bc"), (404, b"a"), (200, b"a"), (200, b"bc"), (200, b"")]
    for number, (status, body) in enumerate(cases):
        wanted = [(b":status", b"%d" % status), (b"x", b"1")]
        if body:
            wanted.append((b"content-length", b"%d" % len(body)))
        assert [pair for pair in answered(rig, 2 * number + 1, status, fields, body) if pair[1] != b"0"] == wanted


def test_a_setting_that_heads_depend_on_makes_them_anew() -> None:
    rig = ServerRig()
    fields = ((b"x", b"1"),)
    assert (b"server", b"s") not in answered(rig, 1, 200, fields)
    rig.conn.set_default_fields(((b"server", b"s"),))
    assert (b"server", b"s") in answered(rig, 3, 200, fields)
    own = answered(rig, 5, 200, ((b"server", b"own"),))
    assert [pair for pair in own if pair[0] == b"server"] == [(b"server", b"own")]


def test_a_length_that_was_declared_is_held_to_for_every_response() -> None:
    rig = ServerRig()
    fields = [(b"content-length", b"2")]
    for stream_id in (1, 3, 5):
        answered(rig, stream_id, 200, fields, b"ab")
    rig.request(7)
    with pytest.raises(LocalProtocolError, match="content-length says 2, the content has 3"):
        rig.respond(7, b"abc", headers=fields)


def test_a_status_that_has_no_content_has_no_length() -> None:
    """RFC 9110 §8.6: no content-length in 1xx and 204, also if the application gives one."""
    rig = ServerRig()
    fields = [(b"content-length", b"5"), (b"x", b"1")]
    rig.request(1)
    rig.conn.send_informational(1, 103, fields)
    rig.conn.send_headers(1, 204, fields, True)
    rig.take()
    assert rig.fields[1] == [[(b":status", b"103"), (b"x", b"1")], [(b":status", b"204"), (b"x", b"1")]]


def test_a_head_of_the_largest_frame_is_one_frame() -> None:
    """RFC 9113 §4.3: CONTINUATION is for what does not fit, and 16,384 bytes fit (RFC 9113 §4.2)."""
    rig = ServerRig()
    counts = {}
    for number, size in enumerate(range(16_340, 16_400)):
        rig.request(2 * number + 1)
        rig.conn.send_headers(2 * number + 1, 200, [(b"x", b"\x7e" * size)], True, frozenset([b"x"]))
        taken = rig.take()
        counts[sum(len(frame.payload) for frame in taken)] = [frame.type for frame in taken]
    assert counts[16_384] == [wire.HEADERS]
    assert counts[16_385] == [wire.HEADERS, wire.CONTINUATION]


@pytest.mark.parametrize("length", [b"2", None])
def test_fields_that_no_table_may_hold_stand_in_no_memory_either(length: bytes | None) -> None:
    """RFC 7541 §6.2.3: a never-indexed literal each time, in requests, responses and trailers."""
    server, client = ServerRig(), ClientRig()
    headers = [(b"x-token", b"secret"), *([(b"content-length", length)] if length else [])]
    for stream_id in (1, 3):
        server.request(stream_id)
        server.conn.send_headers(stream_id, 200, headers, False, NEVER)
        server.conn.send_data(stream_id, b"ok")
        server.conn.send_trailers(stream_id, [(b"x-token", b"secret")], NEVER)
        heads = [frame for frame in server.take() if frame.type == wire.HEADERS]
        assert len(heads) == 2 and all(b"\x10" in frame.payload for frame in heads)
        assert (b"x-token", b"secret") in server.fields[stream_id][0]
        client.send(headers=headers, end_stream=False, never_indexed=NEVER)
        assert (b"x-token", b"secret") in client.fields[stream_id][0]


def test_a_response_may_be_a_head_alone_and_a_tunnel_is_accepted_by_one() -> None:
    rig = ServerRig(enable_connect_protocol=True)
    rig.request(1)
    rig.conn.send_headers(1, 204, (), True)
    rig.feed(wire.headers(3, [(b":protocol", b"websocket"), *wire.request_fields(method=b"CONNECT")]))
    rig.conn.accept_tunnel(3, ())
    rig.take()
    assert rig.fields[1] == [[(b":status", b"204")]] and not rig.conn.has_stream(1)
    assert rig.fields[3] == [[(b":status", b"200")]] and rig.conn.has_stream(3)


def test_requests_for_another_host_are_misdirected() -> None:
    """RFC 9110 §7.4: 421, and the connection goes on."""
    rig = ServerRig()
    rig.conn.server_names = ServerNames(["example.com"])
    rig.request(1, authority=b"other.example")
    rig.take()
    assert rig.fields[1][0][0] == (b":status", b"421") and not rig.of(ev.RequestReceived)
    rig.assert_siblings_go_on()


def test_a_request_need_not_have_an_authority() -> None:
    """RFC 9113 §8.3.1: for schemes that have none."""
    rig = ClientRig()
    stream_id = rig.conn.send_request(b"GET", b"urn", b"", b"/x", [], end_stream=True)
    rig.take()
    assert rig.fields[stream_id][0] == [(b":method", b"GET"), (b":scheme", b"urn"), (b":path", b"/x")]


@pytest.mark.parametrize(
    "target",
    [
        (b"CONNECT", b"https", b"a:1", b""),
        (b"CONNECT", b"", b"a:1", b"/"),
        (b"CONNECT", b"", b"", b""),
        (b"GET", b"", b"a", b"/"),
        (b"GET", b"https", b"a", b""),
    ],
)
def test_a_target_is_whole(target: tuple[bytes, bytes, bytes, bytes]) -> None:
    """RFC 9113 §8.3.1, §8.5."""
    rig = ClientRig()
    with pytest.raises(InvalidFieldError):
        rig.conn.send_request(*target, [], end_stream=False)
    assert rig.take() == []


def test_a_tunnel_is_asked_for_by_host_and_port_alone() -> None:
    rig = ClientRig()
    stream_id = rig.conn.send_request(b"CONNECT", b"", b"a:1", b"", [], end_stream=False)
    rig.take()
    assert rig.fields[stream_id][0] == [(b":method", b"CONNECT"), (b":authority", b"a:1")]


def test_a_host_field_in_a_response_means_nothing() -> None:
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, extra=[(b"host", b"not a host")]))
    (response,) = rig.of(ev.ResponseReceived)
    assert response.headers == [(b"host", b"not a host")]


def test_content_length_twice_in_a_response_is_malformed() -> None:
    """RFC 9110 §8.6."""
    rig = ClientRig()
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, extra=[(b"content-length", b"2")] * 2))
    assert rig.outcome(stream_id) == stream_error(wire.PROTOCOL_ERROR)


def test_a_message_that_its_application_cuts_short_is_reset() -> None:
    """No peer may take it for whole."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [(b"content-length", b"10")])
    rig.conn.send_data(1, b"12345")
    with pytest.raises(LocalProtocolError, match="5 bytes for a content-length of 10: reset"):
        rig.conn.send_data(1, b"", end_stream=True)
    assert rig.outcome(1) == stream_error(wire.INTERNAL_ERROR)
    rig.request(3)
    rig.conn.send_headers(3, 200, [(b"content-length", b"10")])
    with pytest.raises(LocalProtocolError, match="11 bytes for a content-length of 10"):
        rig.conn.send_data(3, bytes(11))
    rig.conn.send_data(3, bytes(10), end_stream=True)
    rig.take()
    assert len(rig.content[3]) == 10


def test_every_length_of_content_has_its_own_frame() -> None:
    """Frame headers are remembered, but not for ever."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**31 - 1})
    rig.feed(wire.window_update(0, 2**30))
    rig.request(1)
    rig.conn.send_headers(1, 200, ())
    for length in range(1, 16_384, 3):
        rig.conn.send_data(1, bytes(length))
        rig.take()
    assert [len(frame.payload) for frame in rig.frames(wire.DATA)] == list(range(1, 16_384, 3))


def test_a_table_of_many_entries_is_referred_to_by_large_indices() -> None:
    """RFC 7541 §5.1: an index above 126 takes more than a byte."""
    rig = ServerRig()
    for number in range(90):
        for stream_id in (4 * number + 1, 4 * number + 3):  # a field goes into the table when it comes again
            assert answered(rig, stream_id, 200, [(b"x-%d" % number, b"y")])[1] == (b"x-%d" % number, b"y")
    assert answered(rig, 361, 200, [(b"x-0", b"y")])[1] == (b"x-0", b"y")
    assert rig.sent[-1].payload.startswith(b"\x88\xff"), "a status and an index of two bytes"


def test_a_table_that_is_out_of_step_ends_the_connection() -> None:
    """RFC 9113 §4.3: COMPRESSION_ERROR."""
    rig = ServerRig()
    rig.feed(wire.headers(1, wire.indexed(99), end_stream=True))
    assert rig.outcome(1) == connection_error(wire.COMPRESSION_ERROR)


def test_fields_with_an_underscore_are_left_out_of_heads_and_trailers() -> None:
    """A gateway to CGI reads `x_a` and `x-a` as the same name. Sections that come again are those that came before."""
    rig = ServerRig()
    rig.conn.drop_underscore_fields = True
    pairs = [(b"x_a", b"1"), (b"x-a", b"2")]
    for stream_id in (1, 3, 5):
        rig.request(stream_id, extra=pairs, end_stream=False)
        rig.feed(wire.headers(stream_id, pairs, end_stream=True))
    assert [request.headers for request in rig.of(ev.RequestReceived)] == [[(b"x-a", b"2")]] * 3
    assert [trailers.headers for trailers in rig.of(ev.TrailersReceived)] == [[(b"x-a", b"2")]] * 3


def test_nothing_follows_the_end_of_a_message() -> None:
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 0})
    rig.request(1)
    rig.conn.send_headers(1, 200, ())
    rig.conn.send_data(1, b"waits", end_stream=True)
    with pytest.raises(LocalProtocolError, match="has ended already"):
        rig.conn.send_data(1, b"more")
