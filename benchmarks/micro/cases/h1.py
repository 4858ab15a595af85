"""HTTP/1.1: the engine of either role, its peer's messages written beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headrace.engine.events import DataReceived
from headrace.engine.h1 import H1ClientConnection, H1ServerConnection
from headrace.engine.limits import Limits

from benchmarks.micro.case import Case, Work
from benchmarks.micro.cases.messages import BROWSER, FRAME, HELLO, PATHS, PIECES, POST, REQUESTS, RESPONSE, head

SAME: Final = [head(b"/")] * REQUESTS
VARIED: Final = [head(path) for path in PATHS]
ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n"
    b"Date: Sat, 21 Nov 2026 10:00:00 GMT\r\n\r\nHello, World!"
)
CHUNKED: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nHello, World!\r\n0\r\n\r\n"
)


def server() -> H1ServerConnection:
    return H1ServerConnection(Limits(frames_per_turn=0))


def requests(batches: list[bytes]) -> Callable[[], Work]:
    """Return a case of requests, a batch a read: each is answered, and each batch's answers are taken at once."""

    def make() -> Work:
        conn = server()

        def work() -> None:
            for data in batches:
                events = conn.receive_data(data, 0.0)
                while events:
                    for event in events:
                        conn.send_response(event.stream_id, 200, RESPONSE, HELLO)
                    events = conn.take_events()
                conn.take_output()

        return work

    return make


def upload() -> Work:
    conn = server()
    conn.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 0.0)
    chunks = [b"%x\r\n" % FRAME + piece + b"\r\n" for piece in PIECES]

    def work() -> None:
        for chunk in chunks:
            for event in conn.receive_data(chunk, 0.0):
                if isinstance(event, DataReceived):
                    conn.acknowledge_data(1, event.flow_length)
        conn.receive_data(b"0\r\n\r\n", 0.0)

    return work


def echoes() -> Work:
    conn = server()
    data = head(b"/echo", b"POST", len(POST)) + POST

    def work() -> None:
        for _ in range(REQUESTS):
            for event in conn.receive_data(data, 0.0):
                if isinstance(event, DataReceived):
                    conn.acknowledge_data(event.stream_id, event.flow_length)
                    if event.end_stream:
                        conn.send_response(event.stream_id, 200, RESPONSE[:1], event.data)
            conn.take_output()

    return work


def streamed() -> Work:
    conn = server()
    piece = b"a" * 100

    def work() -> None:
        for data in SAME:
            for event in conn.receive_data(data, 0.0):
                conn.send_headers(event.stream_id, 200, RESPONSE[:1])
                conn.send_data(event.stream_id, piece)
                conn.send_data(event.stream_id, piece)
                conn.send_data(event.stream_id, b"", True)
            conn.take_output()

    return work


def client(answer: bytes) -> Callable[[], Work]:
    """Return a case of a client's requests, one after the other."""

    def make() -> Work:
        conn = H1ClientConnection(Limits(frames_per_turn=0))

        def work() -> None:
            for path in PATHS:
                stream_id = conn.send_request(b"GET", b"http", b"example.com", path, BROWSER, end_stream=True)
                conn.take_output()
                for event in conn.receive_data(answer, 0.0):
                    if isinstance(event, DataReceived):
                        conn.acknowledge_data(stream_id, event.flow_length)

        return work

    return make


CASES: Final = (
    Case("h1: a request and its answer, repeated", requests(SAME), REQUESTS),
    Case("h1: a request and its answer, new paths", requests(VARIED), REQUESTS),
    Case("h1: sixteen at a time, repeated", requests([SAME[0] * 16] * 6), 96),
    Case("h1: a request with 1 KiB and its echo", echoes, REQUESTS),
    Case("h1: receive 1 MiB in chunks", upload),
    Case("h1: a response in chunks", streamed, REQUESTS),
    Case("h1: client, a request and its answer", client(ANSWER), REQUESTS),
    Case("h1: client, an answer in chunks", client(CHUNKED), REQUESTS),
)
