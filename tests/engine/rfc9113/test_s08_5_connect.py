"""RFC 9113 §8.5: CONNECT; RFC 8441: extended CONNECT."""

from __future__ import annotations

import pytest

from headrace.engine import errors
from headrace.engine import events as ev

from tests.support import wire
from tests.support.rig import OK, ClientRig, ServerRig

MALFORMED = ("stream", wire.PROTOCOL_ERROR)

M = (b":method", b"CONNECT")
S, P = (b":scheme", b"https"), (b":path", b"/chat")
A = (b":authority", b"example.com:443")
W = (b":protocol", b"websocket")


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ([M, A], True),
        ([A, M], True),
        ([M, A, (b"x", b"y")], True),
        ([M], False),
        ([M, A, S], False),
        ([M, A, P], False),
        ([M, A, S, P], False),
        ([M, (b":authority", b"")], False),
        ([M, (b":authority", b"example.com")], False),
        ([M, (b":authority", b"user@example.com:443")], False),
        ([M, (b":authority", b"https://example.com:443")], False),
        ([M, (b"host", b"example.com:443")], False),
    ],
)
def test_connect(fields: list[tuple[bytes, bytes]], good: bool) -> None:
    """§8.5 CONNECT: :scheme and :path MUST be omitted, :authority holds host and port; else malformed."""
    rig = ServerRig()
    rig.feed(wire.headers(1, fields))
    assert rig.outcome(1) == (OK if good else MALFORMED)
    if good:
        (event,) = rig.of(ev.RequestReceived)
        assert (event.method, event.authority, event.protocol) == (b"CONNECT", b"example.com:443", None)
    else:
        assert rig.of(ev.RequestReceived) == []


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ([M, S, A, P, W], True),
        ([W, M, P, A, S], True),
        ([M, A, P, W], False),
        ([M, S, A, W], False),
        ([M, S, P, W], False),
        ([M, A, W], False),
        ([M, S, A, P, W, W], False),
        ([M, S, A, P, (b":protocol", b"")], False),
        ([M, S, A, P, (b":protocol", b"web socket")], False),
        ([M, S, A, P, (b"x", b"y"), W], False),
        ([(b":method", b"GET"), S, A, P, W], False),
        ([M, S, A, (b":path", b""), W], False),
    ],
)
def test_extended_connect(fields: list[tuple[bytes, bytes]], good: bool) -> None:
    """RFC 8441 §4 With :protocol, :scheme and :path MUST be included as well; :protocol only with CONNECT, once."""
    rig = ServerRig(enable_connect_protocol=True)
    rig.feed(wire.headers(1, fields))
    assert rig.outcome(1) == (OK if good else MALFORMED)
    if good:
        (event,) = rig.of(ev.RequestReceived)
        assert (event.method, event.protocol, event.path) == (b"CONNECT", b"websocket", b"/chat")
        rig.conn.send_headers(1, 200, [])
        rig.conn.send_data(1, b"frame")
        rig.feed(wire.data(1, b"frame"))
        rig.take()
        assert bytes(rig.content[1]) == b"frame"
        assert [e.data for e in rig.of(ev.DataReceived)] == [b"frame"]


def test_extended_connect_without_the_setting() -> None:
    """RFC 8441 §4 Without SETTINGS_ENABLE_CONNECT_PROTOCOL a request with :protocol is malformed."""
    rig = ServerRig()
    rig.feed(wire.headers(1, [M, S, A, P, W]))
    assert rig.outcome(1) == MALFORMED
    assert rig.of(ev.RequestReceived) == []
    rig.assert_siblings_go_on()


@pytest.mark.parametrize("enabled", [False, True])
def test_the_setting_is_advertised_when_it_is_served(enabled: bool) -> None:
    """RFC 8441 §3: SETTINGS_ENABLE_CONNECT_PROTOCOL=1 is sent when, and only when, it is served."""
    rig = ServerRig(start=False, enable_connect_protocol=enabled)
    assert dict(rig.take()[0].settings).get(wire.ENABLE_CONNECT_PROTOCOL, 0) == int(enabled)


@pytest.mark.parametrize(("value", "outcome"), [(0, OK), (1, OK), (2, ("connection", wire.PROTOCOL_ERROR))])
def test_the_setting_at_the_client(value: int, outcome: tuple[str, int]) -> None:
    """RFC 8441 §3 The value MUST be 0 or 1."""
    rig = ClientRig()
    rig.feed(wire.settings({wire.ENABLE_CONNECT_PROTOCOL: value}))
    assert rig.outcome(0) == outcome


def test_client_opens_a_tunnel_only_where_it_may() -> None:
    """RFC 8441 §3 A client MAY use :protocol after it received the setting with value 1; before, it is refused."""
    rig = ClientRig()
    with pytest.raises(errors.LocalError):
        rig.send(b"/chat", method=b"CONNECT", end_stream=False, protocol=b"websocket")
    rig.feed(wire.settings({wire.ENABLE_CONNECT_PROTOCOL: 1}))
    stream_id = rig.send(b"/chat", method=b"CONNECT", end_stream=False, protocol=b"websocket")
    assert dict(rig.fields[stream_id][0])[b":protocol"] == b"websocket"
    assert dict(rig.fields[stream_id][0])[b":path"] == b"/chat"


def test_trailers_on_a_connected_stream() -> None:
    """§8.5 Frames other than DATA and stream management MUST be treated as a stream error on a connected stream."""
    rig = ServerRig()
    rig.feed(wire.headers(1, [M, A]))
    rig.conn.send_headers(1, 200, [])
    rig.take()
    rig.feed(wire.headers(1, [(b"t", b"v")], end_stream=True))
    assert rig.outcome(1)[0] == "stream"
    rig.assert_siblings_go_on()


def test_trailers_on_a_connected_stream_at_the_client() -> None:
    """§8.5 The same at the client: HEADERS after the 2xx of a CONNECT MUST be treated as a stream error."""
    rig = ClientRig()
    stream_id = int(rig.conn.send_request(b"CONNECT", b"", b"example.com:443", b"", [], end_stream=False))
    rig.take()
    rig.feed(wire.response(stream_id), wire.data(stream_id, b"x"))
    rig.feed(wire.headers(stream_id, [(b"t", b"v")], end_stream=True))
    assert rig.outcome(stream_id)[0] == "stream"
    assert rig.of(ev.TrailersReceived) == []


def test_a_refused_connect_is_an_ordinary_response() -> None:
    """§8.5: a CONNECT that the app refuses gets its 4xx; early data is discarded."""
    rig = ServerRig()
    rig.feed(wire.headers(1, [M, A]), wire.data(1, b"early"))
    rig.respond(1, b"no", status=405)
    rig.take()
    assert rig.fields[1][0][0] == (b":status", b"405")
    rig.assert_siblings_go_on()


def test_content_length_means_nothing_in_a_tunnel() -> None:
    """RFC 9110 §9.3.6 A CONNECT request has no content: bytes of the tunnel are not held against a length."""
    rig = ServerRig(enable_connect_protocol=True)
    rig.feed(wire.headers(1, [M, S, A, P, W]))
    rig.conn.send_headers(1, 200, [])
    for _ in range(10):
        rig.feed(wire.data(1, b"x" * 100))
    rig.feed(wire.data(1, b"", end_stream=True))
    assert rig.outcome(1) == OK
    rig.conn.send_data(1, b"", end_stream=True)
    rig.take()
    assert rig.frames(wire.DATA, 1)[-1].end_stream
