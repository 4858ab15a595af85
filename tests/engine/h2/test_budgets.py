"""What costs an HTTP/2 peer its stream or its connection, at the first unit beyond each limit."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig, connection_error, stream_error

pytestmark = pytest.mark.engine

LARGE = [(b"x-%d" % number, b"y") for number in range(20)]


def test_streams_that_its_faults_end_cost_the_connection() -> None:
    """`provoked_reset_burst` (MadeYouReset): WINDOW_UPDATE of 0, a stream error, on each request."""
    rig = ServerRig(Limits(provoked_reset_burst=5, provoked_reset_rate=0))
    for stream_id in range(1, 11, 2):
        rig.feed(wire.request(stream_id, end_stream=False), wire.window_update(stream_id, 0))
        assert rig.outcome(stream_id) == stream_error(wire.PROTOCOL_ERROR)
    rig.feed(wire.request(11, end_stream=False), wire.window_update(11, 0))
    assert rig.outcome(11) == connection_error(wire.ENHANCE_YOUR_CALM)
    assert rig.of(ev.PeerFault)[-1].budget == "provoked_resets"


def test_the_last_stream_of_a_drain_ends_it_also_where_its_reset_is_one_too_many() -> None:
    """One end, not two: the connection has ended, in order, before the budget is asked."""
    rig = ServerRig(Limits(provoked_reset_burst=0, early_reset_burst=0))
    rig.feed(wire.request(1, end_stream=False), wire.goaway())
    rig.feed(wire.window_update(1, 0))
    (ended,) = rig.of(ev.ConnectionEnded)
    assert ended.code == 0
    rig = ServerRig(Limits(early_reset_burst=0, early_reset_rate=0))
    rig.feed(wire.request(1, end_stream=False), wire.goaway(), wire.rst_stream(1))
    (ended,) = rig.of(ev.ConnectionEnded)
    assert ended.code == 0


def test_small_pieces_that_nobody_reads_cost_their_stream() -> None:
    """`small_data_budget`: each DATA frame below 256 bytes is charged 256; what is read counts no more."""
    rig = ServerRig(Limits(small_data_budget=2_560))
    rig.feed(wire.request(1, end_stream=False), wire.data(1, b"x") * 10)
    rig.conn.acknowledge_data(1, 10)
    rig.feed(wire.data(1, b"x") * 10)
    assert rig.outcome(1) == OK
    rig.feed(wire.data(1, b"x"))
    assert rig.outcome(1) == stream_error(wire.ENHANCE_YOUR_CALM)


def test_answers_that_are_not_read_end_the_connection() -> None:
    """`control_queue_end`."""
    rig = ServerRig(Limits(control_queue_end=50))
    rig.feed(wire.ping() * 50)
    assert not rig.conn.closed and rig.conn.output_pending
    rig.feed(wire.ping())
    assert rig.outcome(0) == connection_error(wire.ENHANCE_YOUR_CALM)
    assert rig.of(ev.PeerFault)[-1].budget == "control_queue_end"


def test_a_block_that_decodes_to_far_too_much_costs_the_connection() -> None:
    """RFC 7541 §7.3: one indexed field, sent a thousand times."""
    rig = ServerRig(Limits(max_field_section_size=1_024))
    block = wire.literals(wire.request_fields()) + wire.literal(b"bomb", b"x" * 900, index=True)
    rig.feed(wire.headers(1, block + wire.indexed(62) * 1_000, end_stream=True))
    assert rig.outcome(1) == connection_error(wire.ENHANCE_YOUR_CALM)
    assert rig.of(ev.PeerFault)[-1].budget == "max_field_section_size"


def test_too_many_fields_get_431_and_the_connection_goes_on() -> None:
    """RFC 6585 §5."""
    rig = ServerRig(Limits(max_fields=8))
    rig.request(1, extra=LARGE)
    rig.take()
    assert rig.fields[1][0][0] == (b":status", b"431") and not rig.of(ev.RequestReceived)
    rig.assert_siblings_go_on()


def test_grpc_gets_its_own_words_for_too_many_fields() -> None:
    """RESOURCE_EXHAUSTED is 8: gRPC clients make of 431 an internal error."""
    rig = ServerRig(Limits(max_fields=8))
    rig.request(1, extra=[(b"content-type", b"application/grpc+proto"), *LARGE], end_stream=False)
    rig.take()
    assert (b":status", b"200") in rig.fields[1][0] and (b"grpc-status", b"8") in rig.fields[1][0]
    rig.assert_siblings_go_on()


def test_a_response_with_too_many_fields_costs_its_request() -> None:
    rig = ClientRig(Limits(max_fields=8))
    stream_id = rig.send()
    rig.feed(wire.response(stream_id, extra=LARGE))
    assert rig.outcome(stream_id) == stream_error(wire.ENHANCE_YOUR_CALM)
    rig.assert_siblings_go_on()


def test_fields_of_all_open_requests_together_are_bounded() -> None:
    """`max_connection_fields_size`: a request beyond it is refused, and safe to send again."""
    rig = ServerRig(Limits(max_connection_fields_size=1_024))
    for stream_id in (1, 3):
        rig.request(stream_id, extra=[(b"x", b"y" * 500)])
    assert rig.outcome(1) == OK and rig.outcome(3) == stream_error(wire.REFUSED_STREAM)
    rig.respond(1)
    rig.request(5, extra=[(b"x", b"y" * 500)])
    assert rig.outcome(5) == OK


@pytest.mark.parametrize("room", [0, -1])
def test_fields_of_exactly_the_bound_are_taken(room: int) -> None:
    """The size of a field is that of RFC 7541 §4.1: name, value, and 32."""
    extra = [(b"x", b"y" * 1_000)]
    size = sum(len(name) + len(value) + 32 for name, value in [*wire.request_fields(), *extra])
    rig = ServerRig(Limits(max_connection_fields_size=size + room))
    rig.request(1, extra=extra)
    assert rig.outcome(1) == (OK if room == 0 else stream_error(wire.REFUSED_STREAM))


def test_refusals_of_our_own_are_paid_for_by_the_request() -> None:
    """An owner may refuse each of a thousand requests: the client cannot know that its handlers are slow to end."""
    rig = ServerRig(Limits(odd_frame_burst=0, odd_frame_rate=0))
    for stream_id in range(1, 2_001, 2):
        rig.request(stream_id)
        rig.conn.refuse_stream(stream_id)
        rig.take()
    assert not rig.conn.closed and rig.conn.streams_refused == 1_000


def pinged(count: int) -> ServerRig:
    """A connection without a budget for odd frames, whose client has sent a request and `count` PINGs."""
    rig = ServerRig(Limits(odd_frame_burst=0, odd_frame_rate=0))
    rig.request(1)
    rig.feed(wire.ping() * count)
    rig.take()
    return rig


def test_a_refusal_that_nothing_has_paid_for_ends_the_connection() -> None:
    """A client that has used up what its requests paid: the owner's call does not raise, and the connection ends."""
    most = next(count for count in range(1_000) if pinged(count + 1).conn.closed)
    rig = pinged(most)
    rig.conn.refuse_stream(1)
    rig.events += rig.conn.take_events()
    assert rig.outcome(1) == connection_error(wire.ENHANCE_YOUR_CALM)
    assert len(rig.of(ev.StreamRefused)) == 1


def test_priority_updates_of_streams_that_are_over_change_nothing() -> None:
    """RFC 9218 §7.1: they may have been under way."""
    rig = ServerRig()
    rig.request(1)
    rig.respond(1)
    rig.take()
    rig.feed(wire.priority_update(1, b"u=1"))
    assert rig.outcome(1) == OK
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("role", [ServerRig, ClientRig])
def test_a_priority_of_an_idle_stream_that_is_wrong_costs_the_connection(role: type[ServerRig | ClientRig]) -> None:
    """RFC 9113 §5.1: no RST_STREAM can be sent on an idle stream."""
    rig = role()
    rig.feed(wire.priority(7, 7))
    assert rig.outcome(7) == connection_error(wire.PROTOCOL_ERROR)


@pytest.mark.parametrize(("values", "is_wrong"), [((0,), False), ((1, 1), False), ((2,), True), ((1, 0), True)])
def test_what_a_client_says_of_priorities_it_says_once(values: tuple[int, ...], is_wrong: bool) -> None:
    """RFC 9218 §2.1.1: NO_RFC7540_PRIORITIES is 0 or 1, and does not change."""
    rig = ServerRig()
    rig.feed(*(wire.settings({wire.NO_RFC7540_PRIORITIES: value}) for value in values))
    assert rig.outcome(0) == (connection_error(wire.PROTOCOL_ERROR) if is_wrong else OK)


def test_windows_become_large_again_when_little_is_unread() -> None:
    """`max_unread`: while it is reached, all streams have small windows."""
    rig = ServerRig(Limits(max_unread=1_000, initial_stream_window=60_000, small_stream_window=1_024))
    rig.feed(wire.request(1, end_stream=False), wire.data(1, bytes(1_000)))
    assert (wire.INITIAL_WINDOW_SIZE, 1_024) in rig.take()[-1].settings
    rig.feed(wire.settings_ack())
    rig.conn.acknowledge_data(1, 1_000)
    rig.now = 100.0
    rig.feed(wire.data(1, b"x"))
    (frame,) = [frame for frame in rig.take() if frame.type == wire.SETTINGS]
    assert frame.settings == [(wire.INITIAL_WINDOW_SIZE, 60_000)]
