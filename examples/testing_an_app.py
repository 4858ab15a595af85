"""Tests of your own code over HTTP/2, with frames and a clock instead of sockets and waiting.

pytest examples/testing_an_app.py
"""

from headrace.engine.events import RequestReceived
from headrace.engine.h2 import ServerConnection
from headrace.testing import ServerUnderTest


def answer(connection: ServerConnection, request: RequestReceived) -> None:
    """The code under test: an application directly on the engine."""
    if request.method != b"GET":
        connection.send_response(request.stream_id, 405, [(b"allow", b"GET")], b"")
    else:
        connection.send_response(request.stream_id, 200, [], b"Hello")


def test_a_refused_method_is_told_what_is_allowed() -> None:
    server = ServerUnderTest()
    server.handshake()
    for event in server.request(1, "DELETE", "/"):
        assert isinstance(event, RequestReceived)
        answer(server.connection, event)
    (headers,) = server.frames()  # no DATA frame: an empty body puts END_STREAM on HEADERS
    assert headers.end_stream
    assert server.decode(headers.payload)[:2] == [(b":status", b"405"), (b"allow", b"GET")]


def test_the_server_gives_up_on_a_silent_client() -> None:
    server = ServerUnderTest()
    server.advance(9.9)
    assert [frame.kind for frame in server.frames()] == ["SETTINGS", "WINDOW_UPDATE"]
    server.advance(0.2)  # past preface_timeout_s
    assert [frame.kind for frame in server.frames()] == ["GOAWAY"]
    assert server.connection.closed
