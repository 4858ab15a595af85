"""Engines with one rule taken out: the negative controls of rows whose defence is a rule, which no limit turns off.

Each function here is one weakening. Inside `weakened(...)` the engine lacks that rule, and the row's own test must
fail (test_controls.py). Only the pure engine can be changed like that; what the compiled one does is the same source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from headrace.engine import errors, fields
from headrace.engine.events import RequestReceived
from headrace.engine.fields import grammar, kinds, received
from headrace.engine.h2 import ServerConnection, control, frames, reading, server
from headrace.engine.h2.heads import response as heads
from headrace.engine.h2.parts.send_window import SendWindows
from headrace.engine.hpack import decoder, encoder, integer
from headrace.engine.limits import MAX_WINDOW
from headrace.engine.message import UNKNOWN

from tests.conftest import engine_is_compiled

Weakening = Callable[[pytest.MonkeyPatch], None]


@contextlib.contextmanager
def weakened(weaken: Weakening) -> Iterator[None]:
    """The engine without a rule, for the length of the block; skips the test where the engine is compiled."""
    if engine_is_compiled():
        pytest.skip("a compiled engine cannot be weakened; this control runs on the pure one")
    with pytest.MonkeyPatch.context() as patch:
        weaken(patch)
        yield


# --- resources ----------------------------------------------------------------------------------------------------


def empty_names_pass(patch: pytest.MonkeyPatch) -> None:
    """A field name may be empty."""
    sound = grammar.is_field_name
    patch.setattr(kinds, "is_field_name", lambda name: not name or sound(name))


def list_size_is_enforced(patch: pytest.MonkeyPatch) -> None:
    """An answer larger than the peer's MAX_HEADER_LIST_SIZE fails, as in Netty, instead of taking it for advice."""
    send = ServerConnection.send_response

    def send_response(self: Any, stream_id: int, status: int, headers: Any, body: bytes) -> bool:
        if 42 + sum(len(name) + len(value) + 32 for name, value in headers) > self.peer.max_header_list_size:
            self.reset_stream(stream_id, errors.INTERNAL_ERROR)
            return True
        return send(self, stream_id, status, headers, body)

    patch.setattr(ServerConnection, "send_response", send_response)


def push_promise_is_unknown(patch: pytest.MonkeyPatch) -> None:
    """PUSH_PROMISE from a client is ignored like a frame of an unknown type."""
    patch.setattr(frames, "PUSH_PROMISE", 0xFB)


def settings_cost_by_the_stream(patch: pytest.MonkeyPatch) -> None:
    """INITIAL_WINDOW_SIZE is applied to each open stream at once."""

    def set_initial(self: Any, size: int, streams: Any) -> None:
        self.initial = size
        for stream in streams.values():
            if size + stream.send_credit > MAX_WINDOW:
                raise AssertionError("not in this test")

    patch.setattr(SendWindows, "set_initial", set_initial)


def ended_connections_are_kept(patch: pytest.MonkeyPatch) -> None:
    """Something holds on to each connection that has ended."""
    kept: list[Any] = []
    end = ServerConnection.receive_eof

    def receive_eof(self: Any, now: float) -> list[Any]:
        kept.append(self)
        return end(self, now)

    patch.setattr(ServerConnection, "receive_eof", receive_eof)


# --- HPACK --------------------------------------------------------------------------------------------------------


def integers_never_end(patch: pytest.MonkeyPatch) -> None:
    """An HPACK integer may be as long as its block."""
    patch.setattr(integer, "MAX_CONTINUATION_BYTES", 1 << 40)
    patch.setattr(integer, "MAX_INTEGER", 1 << 80)


def encoder_follows_the_peer(patch: pytest.MonkeyPatch) -> None:
    """Our encoder's table is as large as the peer allows."""
    follow = encoder.Encoder.set_max_table_size

    def set_max_table_size(self: Any, size: int) -> None:
        self._cap = size
        follow(self, size)

    patch.setattr(encoder.Encoder, "set_max_table_size", set_max_table_size)


def blocks_of_dead_streams_are_skipped(patch: pytest.MonkeyPatch) -> None:
    """The field blocks of streams 3 and 5, which test_hpack.py resets or refuses, never meet the decoder."""
    take = ServerConnection._take_block

    def take_block(self: Any, stream_id: int, end_stream: bool, block: bytes) -> None:
        if stream_id not in (3, 5):
            take(self, stream_id, end_stream, block)

    patch.setattr(ServerConnection, "_take_block", take_block)


def table_sizes_are_believed(patch: pytest.MonkeyPatch) -> None:
    """The peer sets the size of its table as often and as high as it likes, wherever that stands."""

    def apply(self: Any, block: bytes) -> int:
        return len(block) - len(block.lstrip(bytes(range(0x20, 0x40)) + b"\xe2\x1f"))

    patch.setattr(decoder.Decoder, "_apply_size_updates", apply)


def huffman_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    """Whatever the Huffman code, something comes out of it."""

    class Lenient:
        @staticmethod
        def decode(block: bytes, position: int, stop: int) -> bytes:
            return b"x"

    patch.setattr(decoder, "huffman", Lenient)


def resets_refund_twice(patch: pytest.MonkeyPatch) -> None:
    """What a reset stream had not read goes back to the connection's window a second time."""
    receive = control.recv_rst_stream

    def recv_rst_stream(conn: Any, stream_id: int, data: bytes, start: int, end: int) -> None:
        stream = conn._streams.open.get(stream_id)
        if stream is not None and stream.window is not None:
            conn._windows.connection.credit += stream.window.unread
        receive(conn, stream_id, data, start, end)

    patch.setattr(reading, "recv_rst_stream", recv_rst_stream)


def secrets_are_indexed(patch: pytest.MonkeyPatch) -> None:
    """Credentials are indexed like any other field."""
    patch.setattr(encoder, "_NEVER", -1)


# --- messages -----------------------------------------------------------------------------------------------------


def fields_are_believed(patch: pytest.MonkeyPatch) -> None:
    """A request's fields are taken as they come: no table of bytes, no order, no duplicates, no forbidden ones."""

    def parse_request(stream_id: int, section: Any, *_: Any) -> Any:
        headers: list[Any] = []
        head = fields.RequestHead(headers)
        head.method, head.scheme, head.path = b"GET", b"http", b"/"
        for each in section.fields:
            if each.name in (b":method", b":scheme", b":authority", b":path"):
                setattr(head, each.name[1:].decode(), each.value)
            else:
                headers.append((each.name, each.value))
        return head

    patch.setattr(server, "parse_request", parse_request)


def lengths_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    """content-length is a field like any other, which nobody compares with DATA."""
    for module in (kinds, received):
        patch.setattr(module, "parse_content_length", lambda value: UNKNOWN)


def lengths_are_reserved(patch: pytest.MonkeyPatch) -> None:
    """The declared length is reserved before a byte of it has come (but for what would not fit here at all)."""
    open_stream = ServerConnection._open

    def reserve(self: Any, stream_id: int, head: Any, *rest: Any) -> None:
        self.reserved = bytearray(min(head.content_length, 10_000_000))
        open_stream(self, stream_id, head, *rest)

    patch.setattr(ServerConnection, "_open", reserve)


def answers_are_not_checked(patch: pytest.MonkeyPatch) -> None:
    """What the application sends goes out as it is."""
    patch.setattr(heads, "check_outgoing", lambda headers, drop: (list(headers), UNKNOWN))


def values_are_text(patch: pytest.MonkeyPatch) -> None:
    """Field values are decoded as ASCII, as if nobody ever sent anything else."""
    sound = RequestReceived.__init__

    def init(self: Any, *arguments: Any) -> None:
        sound(self, *arguments)
        self.text = [(name.decode("ascii"), value.decode("ascii")) for name, value in self.headers]

    patch.setattr(RequestReceived, "__init__", init)


def trailer_names_are_mapped(patch: pytest.MonkeyPatch) -> None:
    """Each name that `trailer` announces gets its place in a map at once, as in Go."""
    parse = fields.parse_request

    def parse_request(stream_id: int, section: Any, *rest: Any) -> Any:
        head = parse(stream_id, section, *rest)
        names = b",".join(value for name, value in head.headers if name == b"trailer").split(b",")
        head.memo = {name: [b"%d" % place] for place, name in enumerate(names)}
        return head

    patch.setattr(server, "parse_request", parse_request)
