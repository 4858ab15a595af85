"""Passes the events of a batch of input to the exchanges of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.client.connection import failures
from headrace.client.connection.exchange import STREAMED, WHOLE, ClientExchange
from headrace.client.errors import too_large_error
from headrace.client.interface import ResponseHead
from headrace.engine.events import ACCEPTED, DATA, INFORMATIONAL, RESET, RESPONSE, TRAILERS

if TYPE_CHECKING:
    from collections.abc import Sequence

MISDIRECTED: Final = 421
_tuple: Final = tuple.__new__  # makes a NamedTuple in half the time


class Delivers(failures.Fate, Protocol):
    """A connection as the delivery of its events sees it: see `ClientDriver`."""

    live: dict[int, ClientExchange]
    now: float

    def on_connection_event(self, event: Any) -> None:
        """Handle an event that belongs to no exchange."""

    def on_exchanges_ended(self, completed: int) -> None:
        """Handle that exchanges have ended, of which `completed` have a complete response."""


def deliver(driver: Delivers, events: Sequence[Any]) -> None:
    """Pass each event to its exchange, or to the connection."""
    # Typed loosely: `kind` says which event it is, and an isinstance for mypy costs 30 ns an event.
    live = driver.live
    now = driver.now
    version = driver.http_version
    if version != "2":
        version = driver.engine.http_version
    completed = 0
    failed = 0
    for event in events:
        kind = event.kind
        if kind == RESPONSE:
            exchange = live.get(event.stream_id)
            if exchange is None:
                continue
            exchange.status = status = event.status
            exchange.head = _tuple(ResponseHead, (status, event.headers, version))
            if event.never_indexed is not None:
                exchange.note_never_indexed(event.never_indexed)
            if event.end_stream:
                del live[event.stream_id]
                completed += 1
                exchange.on_complete()
            else:
                if status != 200 and exchange.mode == WHOLE:
                    outgoing = exchange.outgoing
                    if status == MISDIRECTED or status in outgoing.on_the_way:
                        exchange.mode = STREAMED  # most likely the reader wants only the head
                if not exchange.is_plain or exchange.mode == STREAMED:
                    _on_head(exchange)
                if not exchange.is_sending:
                    exchange.since = now
        elif kind == DATA:
            stream_id = event.stream_id
            exchange = live.get(stream_id)
            if exchange is None:
                driver.engine.acknowledge_data(stream_id, event.flow_length)
                continue
            is_last = event.end_stream
            if exchange.mode == WHOLE:
                if exchange.buffer is not None:
                    exchange.buffer.write(event.data)
                    if exchange.most and exchange.buffer.tell() > exchange.most:
                        exchange.fail(too_large_error(exchange.most))
                        continue
                elif not exchange.chunks:
                    exchange.chunks.append(event.data)
                elif not exchange.gather(event.data):
                    continue
                if not is_last:
                    driver.engine.acknowledge_data(stream_id, event.flow_length)
            else:
                exchange.on_data(event.data, event.flow_length)
            if not is_last:
                if not exchange.is_sending:
                    exchange.since = now
            elif exchange.is_tunnel:
                exchange.on_peer_ended()
            else:
                del live[stream_id]
                completed += 1
                exchange.on_complete()
        elif kind == RESET:
            exchange = live.pop(event.stream_id, None)
            if exchange is not None:
                failed += 1
                exchange.on_failed(failures.stream_error(driver, exchange, event))
        elif kind == TRAILERS:
            exchange = live.pop(event.stream_id, None)
            if exchange is not None:
                completed += 1
                exchange.trailers = event.headers
                if event.never_indexed is not None:
                    exchange.note_never_indexed(event.never_indexed)
                exchange.on_complete()
        elif kind == ACCEPTED:
            exchange = live.get(event.stream_id)
            if exchange is not None:
                if exchange.upload is not None:
                    exchange.upload.on_accepted()
                elif exchange.tunnel_writer is not None:
                    exchange.tunnel_writer.on_accepted()
        elif kind == INFORMATIONAL:
            exchange = live.get(event.stream_id)
            if exchange is not None:
                _on_informational(exchange, event)
        else:
            driver.on_connection_event(event)
    if completed or failed:
        driver.on_exchanges_ended(completed)


def _on_head(exchange: ClientExchange) -> None:
    """Handle the head of a response when a task waits for it, or when the request is not a plain one."""
    if exchange.has_content and exchange.outgoing.method == b"CONNECT":
        if exchange.status < 300:
            exchange.is_tunnel = True
        else:
            exchange.is_sending = False
    if exchange.mode == STREAMED:
        exchange.wake()


def _on_informational(exchange: ClientExchange, event: Any) -> None:
    if event.never_indexed is not None:
        exchange.note_never_indexed(event.never_indexed)
    if event.status == 100 and exchange.upload is not None:
        exchange.upload.on_continue()
    on_informational = exchange.outgoing.on_informational
    if on_informational is not None:
        try:
            on_informational(event.status, event.headers)
        except Exception as error:
            exchange.fail(error)
