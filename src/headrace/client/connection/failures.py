"""Makes the error that a caller gets from the event with which the engine ended a request.

Each error is a sentence: what happened, with which code, and which section has the rule. Its class and `retryable`
depend on the event's cause and code, never on its text. `retryable` is True only when it is certain that the server has
processed nothing of the request: the server says so (REFUSED_STREAM, or GOAWAY with a lower last identifier: RFC 9113
§8.7), or no byte of the request was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from headrace.client.errors import (
    ConnectionLost,
    HeadersTimeout,
    ReadTimeout,
    RemoteProtocolError,
    RequestError,
    StreamReset,
    TruncatedBody,
    WriteTimeout,
)
from headrace.engine.causes import (
    CLOSED,
    CONNECTION_LOST,
    CONTENT_TOO_SHORT,
    NOT_PROCESSED,
    RESET_BY_PEER,
    TIMED_OUT,
)
from headrace.engine.errors import NO_ERROR, REFUSED_STREAM, error_name
from headrace.engine.h1 import H1ClientConnection

if TYPE_CHECKING:
    from headrace.client.connection.exchange import ClientExchange
    from headrace.engine import events
    from headrace.engine.contract import ClientEngine

_SENT_AGAIN: Final = "it may be sent again (RFC 9113 §8.7)"


class Fate(Protocol):
    """The facts about a connection that explain why its requests fail: see `ClientDriver`."""

    cause: str
    completed: int
    engine: ClientEngine
    goaway_text: str
    bytes_before_idle: int
    http_version: str


def stream_error(driver: Fate, exchange: ClientExchange, event: events.StreamReset) -> RequestError:
    """Return the error for a StreamReset of the engine."""
    cause = event.cause
    if cause == RESET_BY_PEER:
        return _reset_by_server(event.code, exchange.status > 0)
    if cause == NOT_PROCESSED:
        if exchange.status:  # the server says so of a request that it has answered
            return connection_lost_error(driver, exchange, event.reason)
        why = driver.goaway_text or event.reason
        return ConnectionLost(f"the server did not process the request: {why}; {_SENT_AGAIN}", retryable=True)
    if cause in (CONNECTION_LOST, CLOSED):
        return connection_lost_error(driver, exchange, event.reason)
    if cause == TIMED_OUT:
        if exchange.status == 0 or exchange.is_sending:
            return WriteTimeout(f"the server accepted none of the request's content: {event.reason}")
        return ReadTimeout(f"the response did not go on: {event.reason}")
    if cause == CONTENT_TOO_SHORT:
        if driver.cause and event.initiator == "remote":  # over HTTP/1.1: the transport has failed
            return connection_lost_error(driver, exchange, event.reason)
        if exchange.status:
            return TruncatedBody(f"the response's content is cut off: {_reason_of(driver, event)}")
    is_unsent = True if event.code == REFUSED_STREAM and not exchange.status else None
    return RemoteProtocolError(f"the server broke the protocol: {_reason_of(driver, event)}", retryable=is_unsent)


def _reason_of(driver: Fate, event: events.StreamReset | events.ConnectionEnded) -> str:
    """Return the engine's reason, with the code where HTTP/2 has one, and the section."""
    where = [error_name(event.code)] if driver.http_version == "2" else []
    if event.section:
        where.append(event.section)
    return f"{event.reason} ({', '.join(where)})" if where else event.reason


def _joined(*parts: str) -> str:
    """Join the known reasons of an end, each part once."""
    return "; ".join(dict.fromkeys(filter(None, parts)))


def _reset_by_server(code: int, is_answered: bool) -> StreamReset:
    name = error_name(code)
    if code == REFUSED_STREAM and not is_answered:
        return StreamReset(
            f"the server refused the request before processing it ({name}); {_SENT_AGAIN}", code=code, retryable=True
        )
    if code == NO_ERROR:
        return StreamReset(f"the server ended the request before its response was complete ({name})", code=code)
    return StreamReset(f"the server reset the request with {name} (RFC 9113 §6.4)", code=code)


def connection_lost_error(driver: Fate, exchange: ClientExchange, reason: str) -> ConnectionLost:
    """Return the error of an exchange whose connection is lost."""
    when = "was complete" if exchange.status else "came"
    why = _joined(reason, driver.cause, driver.goaway_text)
    error = ConnectionLost(f"the connection ended before the response {when}: {why}")
    engine = driver.engine
    if isinstance(engine, H1ClientConnection) and driver.completed and engine.bytes_in == driver.bytes_before_idle:
        error.is_stale = True
    return error


def connection_error(driver: Fate, event: events.ConnectionEnded) -> RequestError | None:
    """Return the error of the whole connection, or None when it ended properly."""
    if event.initiator == "local":
        if event.code == NO_ERROR:
            return None
        return RemoteProtocolError(f"the server broke the protocol: {_reason_of(driver, event)}")
    return ConnectionLost("the connection ended: " + _joined(event.reason, driver.cause, driver.goaway_text))


def goaway_text(code: int, debug: bytes) -> str:
    """Return the text of a GOAWAY, for an error message."""
    said = debug[:256].decode("ascii", "backslashreplace")
    said = "".join(each if each.isprintable() else "?" for each in said)
    return f"the server had said GOAWAY({error_name(code)}){f': {said!r}' if said else ''} (RFC 9113 §6.8)"


def timeout_error(exchange: ClientExchange) -> RequestError:
    """Return the error for an exchange whose timeout is over."""
    timeouts = exchange.outgoing.timeouts
    upload = exchange.upload
    if upload is not None and upload.is_blocked:
        return WriteTimeout(f"the server accepted none of the request's content for {timeouts.write:g} s")
    if not exchange.status:
        return HeadersTimeout(f"no response began within {timeouts.headers:g} s of the request")
    return ReadTimeout(f"nothing more of the response came for {timeouts.read:g} s")
