"""The cases. Run by `python -m benchmarks.micro`, or alone, with pyperf's own options.

Each case counts one unit of work: a field section, a frame, a request, a transfer. What a case needs is made before its
clock starts, fresh for every loop, so that remembered state helps as it does on a real connection and no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import pyperf

from headrace.engine.events import DataReceived
from headrace.engine.h1 import H1ServerConnection
from headrace.engine.h2 import ServerConnection
from headrace.engine.hpack import Decoder, Encoder
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

REQUESTS: Final = 100  # one full set of streams
BODY: Final = b"x" * 1_048_576
FRAME: Final = 16_384
WIDE: Final = 2**31 - 1
UNMETERED: Final = {"odd_frame_burst": 10**9, "early_reset_burst": 10**9, "frames_per_turn": 0}
RESPONSE: Final = [
    (b"content-type", b"text/plain"),
    (b"content-length", b"13"),
    (b"date", b"Sat, 21 Nov 2026 10:00:00 GMT"),
]
BROWSER: Final = [
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-GB,en;q=0.9"),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef; theme=dark"),
]
Timed = Callable[[int], float]
Case = tuple[str, Timed, int]


def section(path: bytes) -> list[tuple[bytes, bytes]]:
    pseudo = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"example.com"), (b":path", path)]
    return [*pseudo, *BROWSER]


SAME: Final = [section(b"/")] * REQUESTS
VARIED: Final = [section(b"/api/v1/users/%d/orders?page=%d" % (i * 7919, i)) for i in range(REQUESTS)]


def blocks(sections: Iterable[list[tuple[bytes, bytes]]]) -> list[bytes]:
    encoder = Encoder()
    return [encoder.encode(each) for each in sections]


def decoding(sections: list[list[tuple[bytes, bytes]]]) -> Timed:
    encoded = blocks(sections)

    def timed(loops: int) -> float:
        spent = 0.0
        for _ in range(loops):
            decoder = Decoder()
            begin = time.perf_counter()
            for block in encoded:
                decoder.decode(block)
            spent += time.perf_counter() - begin
        return spent

    return timed


def encoding(sections: list[list[tuple[bytes, bytes]]]) -> Timed:
    def timed(loops: int) -> float:
        spent = 0.0
        for _ in range(loops):
            encoder = Encoder()
            begin = time.perf_counter()
            for each in sections:
                encoder.encode(each)
            spent += time.perf_counter() - begin
        return spent

    return timed


def opened(**settings: Any) -> ServerConnection:
    """A server connection after the handshake, with a client whose windows are wide open."""
    server = ServerConnection(Limits(**{**UNMETERED, **settings}))
    server.receive_data(PREFACE + settings_frame([(4, WIDE)]) + SETTINGS_ACK, 0.0)
    server.take_output()
    return server


def frames(loops: int) -> float:
    data = b"".join(ping_frame(b"%08d" % i, ack=True) for i in range(REQUESTS))
    spent = 0.0
    for _ in range(loops):
        server = opened()
        begin = time.perf_counter()
        server.receive_data(data, 0.0)
        spent += time.perf_counter() - begin
    return spent


def requests(sections: list[list[tuple[bytes, bytes]]]) -> Timed:
    encoded = blocks(sections)
    data = b"".join(headers_frame(2 * i + 1, block, end_stream=True) for i, block in enumerate(encoded))

    def timed(loops: int) -> float:
        spent = 0.0
        for _ in range(loops):
            server = opened()
            begin = time.perf_counter()
            for event in server.receive_data(data, 0.0):
                server.send_response(event.stream_id, 200, RESPONSE, b"Hello, World!")
            server.take_output()
            spent += time.perf_counter() - begin
        return spent

    return timed


def upload(loops: int) -> float:
    head = headers_frame(1, Encoder().encode(section(b"/")), end_stream=False)
    pieces = [BODY[i : i + FRAME] for i in range(0, len(BODY), FRAME)]
    data = [data_frame(1, piece, end_stream=i == len(pieces) - 1) for i, piece in enumerate(pieces)]
    spent = 0.0
    for _ in range(loops):
        server = opened()
        server.receive_data(head, 0.0)
        begin = time.perf_counter()
        for each in data:
            for event in server.receive_data(each, 0.0):
                if isinstance(event, DataReceived):
                    server.acknowledge_data(1, event.flow_length)
            server.take_output()
        spent += time.perf_counter() - begin
    return spent


def download(loops: int) -> float:
    ask = headers_frame(1, Encoder().encode(section(b"/")), end_stream=True) + window_update_frame(0, 2 * len(BODY))
    spent = 0.0
    for _ in range(loops):
        server = opened()
        server.receive_data(ask, 0.0)
        begin = time.perf_counter()
        server.send_response(1, 200, [], BODY)
        sent = 0
        while piece := server.take_output():
            sent += len(piece)
        spent += time.perf_counter() - begin
        assert sent > len(BODY)
    return spent


def http1_head(path: bytes) -> bytes:
    """A request of HTTP/1.1 with the fields that `section` has."""
    lines = b"".join(name.title() + b": " + value + b"\r\n" for name, value in BROWSER)
    return b"GET " + path + b" HTTP/1.1\r\nHost: example.com\r\n" + lines + b"\r\n"


SAME_HTTP1: Final = [http1_head(b"/")] * REQUESTS
VARIED_HTTP1: Final = [http1_head(b"/api/v1/users/%d/orders?page=%d" % (i * 7919, i)) for i in range(REQUESTS)]


def http1_requests(batches: list[bytes]) -> Timed:
    """Requests of HTTP/1.1, a batch a read: each is answered, and each batch's answers are taken at once."""

    def timed(loops: int) -> float:
        spent = 0.0
        for _ in range(loops):
            server = H1ServerConnection(Limits(frames_per_turn=0))
            begin = time.perf_counter()
            for data in batches:
                events = server.receive_data(data, 0.0)
                while events:
                    for event in events:
                        server.send_response(event.stream_id, 200, RESPONSE, b"Hello, World!")
                    events = server.take_events()
                server.take_output()
            spent += time.perf_counter() - begin
        return spent

    return timed


def http1_upload(loops: int) -> float:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"%x\r\n" % FRAME + BODY[i : i + FRAME] + b"\r\n" for i in range(0, len(BODY), FRAME)]
    spent = 0.0
    for _ in range(loops):
        server = H1ServerConnection()
        server.receive_data(head, 0.0)
        begin = time.perf_counter()
        for chunk in chunks:
            for event in server.receive_data(chunk, 0.0):
                if isinstance(event, DataReceived):
                    server.acknowledge_data(1, event.flow_length)
        server.receive_data(b"0\r\n\r\n", 0.0)
        spent += time.perf_counter() - begin
    return spent


CASES: Final[tuple[Case, ...]] = (
    ("hpack: decode a repeated section", decoding(SAME), REQUESTS),
    ("hpack: decode a section with a new path", decoding(VARIED), REQUESTS),
    ("hpack: encode a repeated section", encoding(SAME), REQUESTS),
    ("hpack: encode a section with a new path", encoding(VARIED), REQUESTS),
    ("frames: parse a PING", frames, REQUESTS),
    ("connection: a request and its answer, repeated", requests(SAME), REQUESTS),
    ("connection: a request and its answer, new paths", requests(VARIED), REQUESTS),
    ("connection: receive 1 MiB", upload, 1),
    ("connection: send 1 MiB", download, 1),
    ("HTTP/1.1: a request and its answer, repeated", http1_requests(SAME_HTTP1), REQUESTS),
    ("HTTP/1.1: a request and its answer, new paths", http1_requests(VARIED_HTTP1), REQUESTS),
    ("HTTP/1.1: sixteen at a time, repeated", http1_requests([SAME_HTTP1[0] * 16] * 6), 96),
    ("HTTP/1.1: receive 1 MiB in chunks", http1_upload, 1),
)


def main() -> None:
    runner = pyperf.Runner(processes=3, values=5)
    runner.metadata["description"] = "the protocol engine of headrace"
    for name, timed, units in CASES:
        runner.bench_time_func(name, timed, inner_loops=units)


if __name__ == "__main__":
    main()
