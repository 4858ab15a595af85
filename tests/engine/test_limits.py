"""What a caller of the engine gives it: limits, content and text, checked at once."""

from __future__ import annotations

import re
from typing import Any

import pytest

from headrace.engine.h1 import H1ClientConnection, H1ServerConnection
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits
from headrace.engine.text import utf8

from tests.support import wire
from tests.support.h1_rig import GET


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_concurrent_streams", 0, "max_concurrent_streams is 0; it must be between 1 and 2147483647"),
        ("max_frame_size", 16_383, "max_frame_size is 16383; it must be between 16384 and 1048576"),
        ("idle_timeout_s", 86_400.5, "idle_timeout_s is 86400.5; it must be between 0.001 and 86400"),
        ("odd_frame_burst", -1, "odd_frame_burst is -1; it must be between 0 and 2147483647"),
    ],
)
def test_a_limit_out_of_its_range_is_told_with_the_range(name: str, value: int, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        Limits(**{name: value})


def opened() -> list[Any]:
    """A connection of each protocol and role, with a message begun on stream 1."""
    h1_server, h2_server = H1ServerConnection(), ServerConnection()
    h1_server.receive_data(GET, 0.0)
    h2_server.receive_data(wire.client_preface() + wire.request(1), 0.0)
    for server in (h1_server, h2_server):
        server.send_headers(1, 200, ())
    h1_client, h2_client = H1ClientConnection(), ClientConnection()
    for client in (h1_client, h2_client):
        client.send_request(b"POST", b"http", b"a", b"/", (), end_stream=False)
    return [h1_server, h2_server, h1_client, h2_client]


@pytest.mark.parametrize("content", ["text", bytearray(b"may change while it waits"), None])
def test_content_is_bytes(content: object) -> None:
    for conn in opened():
        with pytest.raises(TypeError, match="bytes"):
            conn.send_data(1, content)
        assert conn.send_data(1, b"x")


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("é", b"\xc3\xa9"),
        ("\ud83d\ude00", "😀".encode()),  # a pair of surrogates is its character
        ("a\ud800b", b"a\xef\xbf\xbdb"),  # one alone is U+FFFD, as in browsers
    ],
)
def test_text_becomes_utf8(text: str, encoded: bytes) -> None:
    assert utf8(text) == encoded
