"""HTTP/2: the engine of either role, its peer's frames written beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from headrace.engine.events import DataReceived
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.hpack import Encoder
from headrace.engine.limits import Limits
from headrace.testing import (
    PREFACE,
    SETTINGS_ACK,
    data_frame,
    headers_frame,
    ping_frame,
    settings_frame,
    window_update_frame,
)

from benchmarks.micro.case import Case, Work
from benchmarks.micro.cases.hpack import blocks
from benchmarks.micro.cases.messages import (
    BODY,
    BROWSER,
    HELLO,
    PATHS,
    PIECES,
    POST,
    REQUESTS,
    RESPONSE,
    SAME,
    VARIED,
    Fields,
    section,
)

WIDE: Final = 2**31 - 1
UNMETERED: Final[dict[str, Any]] = {"odd_frame_burst": 10**9, "early_reset_burst": 10**9, "frames_per_turn": 0}
STREAMED: Final = 10  # responses in pieces at a time
SMALL_PIECES: Final = 50
PINGS: Final = 1_000


def server(window: int = WIDE) -> ServerConnection:
    """Return a server after the handshake; its client's windows for streams have `window` bytes."""
    conn = ServerConnection(Limits(**UNMETERED))
    conn.receive_data(PREFACE + settings_frame([(4, window)]) + SETTINGS_ACK, 0.0)
    conn.take_output()
    return conn


def client() -> ClientConnection:
    """Return a client after the handshake; its server's windows are wide open."""
    conn = ClientConnection(Limits(**UNMETERED))
    conn.receive_data(settings_frame([(4, WIDE), (3, 1_000)]) + SETTINGS_ACK + window_update_frame(0, 2**30), 0.0)
    conn.take_output()
    return conn


def consume(conn: ServerConnection | ClientConnection, data: bytes) -> None:
    """Receive content, and consume it at once."""
    for event in conn.receive_data(data, 0.0):
        if isinstance(event, DataReceived):
            conn.acknowledge_data(event.stream_id, event.flow_length)


def handshakes() -> Work:
    data = PREFACE + settings_frame([(4, 6_291_456), (3, 100)]) + window_update_frame(0, 2**24)
    limits = Limits()

    def work() -> None:
        for _ in range(REQUESTS):
            conn = ServerConnection(limits)
            conn.receive_data(data, 0.0)
            conn.take_output()
            conn.receive_data(SETTINGS_ACK, 0.0)

    return work


def pings() -> Work:
    data = b"".join(ping_frame(b"%08d" % i, ack=True) for i in range(PINGS))
    conn = server()
    return lambda: conn.receive_data(data, 0.0)


def requests(sections: list[Fields]) -> Callable[[], Work]:
    encoded = blocks(sections)
    data = b"".join(headers_frame(2 * i + 1, block, end_stream=True) for i, block in enumerate(encoded))

    def make() -> Work:
        conn = server()

        def work() -> None:
            for event in conn.receive_data(data, 0.0):
                conn.send_response(event.stream_id, 200, RESPONSE, HELLO)
            conn.take_output()

        return work

    return make


def echoes() -> Work:
    """Requests with a body, a read each; the answer is the same body."""
    encoded = blocks([section(b"/echo", b"POST")] * REQUESTS)
    reads = [headers_frame(2 * i + 1, b) + data_frame(2 * i + 1, POST, end_stream=True) for i, b in enumerate(encoded)]
    conn = server()

    def work() -> None:
        for data in reads:
            for event in conn.receive_data(data, 0.0):
                if isinstance(event, DataReceived):
                    conn.acknowledge_data(event.stream_id, event.flow_length)
                    conn.send_response(event.stream_id, 200, RESPONSE[:1], event.data)
            conn.take_output()

    return work


def receiving(conn: ServerConnection | ClientConnection) -> Work:
    """Receive a megabyte on stream 1, and give its credit back."""
    reads = [data_frame(1, piece, end_stream=i == len(PIECES) - 1) for i, piece in enumerate(PIECES)]

    def work() -> None:
        for data in reads:
            consume(conn, data)
            conn.take_output()

    return work


def upload() -> Work:
    conn = server()
    conn.receive_data(headers_frame(1, Encoder().encode(section(b"/"))), 0.0)
    return receiving(conn)


def download() -> Work:
    conn = server()
    ask = headers_frame(1, Encoder().encode(section(b"/")), end_stream=True) + window_update_frame(0, 2 * len(BODY))
    conn.receive_data(ask, 0.0)

    def work() -> None:
        conn.send_response(1, 200, [], BODY)
        sent = 0
        while piece := conn.take_output():
            sent += len(piece)
        assert sent > len(BODY)

    return work


def streamed() -> Work:
    """Responses in pieces, several at a time, to a client that opens its windows bit by bit."""
    conn = server(window=500)
    numbers = [2 * i + 1 for i in range(STREAMED)]
    heads = blocks([section(b"/")] * STREAMED)
    conn.receive_data(b"".join(headers_frame(n, b, end_stream=True) for n, b in zip(numbers, heads, strict=True)), 0.0)
    opens = b"".join(window_update_frame(number, 250) for number in numbers) + window_update_frame(0, 2_500)
    piece = b"a" * 100

    def work() -> None:
        for number in numbers:
            conn.send_headers(number, 200, RESPONSE[:1])
        for i in range(SMALL_PIECES):
            for number in numbers:
                conn.send_data(number, piece, i == SMALL_PIECES - 1)
            conn.take_output()
            if i % 2:
                conn.receive_data(opens, 0.0)
        for _ in range(4):
            conn.receive_data(opens, 0.0)
            conn.take_output()
        assert conn.open_streams == 0

    return work


def answers() -> bytes:
    encoded = blocks([[(b":status", b"200"), *RESPONSE]] * REQUESTS)
    return b"".join(
        headers_frame(2 * i + 1, block) + data_frame(2 * i + 1, HELLO, end_stream=True)
        for i, block in enumerate(encoded)
    )


def client_requests() -> Work:
    conn = client()
    data = answers()

    def work() -> None:
        for path in PATHS:
            conn.send_request(b"GET", b"https", b"example.com", path, BROWSER, end_stream=True)
        conn.take_output()
        consume(conn, data)
        conn.take_output()
        assert conn.open_streams == 0

    return work


def client_download() -> Work:
    conn = client()
    conn.send_request(b"GET", b"https", b"example.com", b"/", BROWSER, end_stream=True)
    conn.receive_data(headers_frame(1, Encoder().encode([(b":status", b"200"), *RESPONSE[:1]])), 0.0)
    return receiving(conn)


CASES: Final = (
    Case("h2: a handshake", handshakes, REQUESTS),
    Case("h2: parse a PING", pings, PINGS),
    Case("h2: a request and its answer, repeated", requests(SAME), REQUESTS),
    Case("h2: a request and its answer, new paths", requests(VARIED), REQUESTS),
    Case("h2: a request with 1 KiB and its echo", echoes, REQUESTS),
    Case("h2: receive 1 MiB", upload),
    Case("h2: send 1 MiB", download),
    Case("h2: a response in pieces, through small windows", streamed, STREAMED),
    Case("h2: client, a request and its answer", client_requests, REQUESTS),
    Case("h2: client, receive 1 MiB", client_download),
)
