"""Responses on their way out: their heads, and how their content is framed (RFC 9112 §6.3, §9.6)."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engine.errors import InvalidFieldError
from headrace.engine.h1.content import DISCARDED, ContentReader
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.heads.response import (
    CHUNKED,
    CLOSE,
    KEEP_ALIVE,
    Heads,
    WrittenHead,
    status_line,
    write_fields,
)
from headrace.engine.h1.open_request import OpenRequest
from headrace.engine.h1.persistence import Persistence
from headrace.engine.h1.queue import OutputQueue
from headrace.engine.h1.states import REQUEST, UPGRADE
from headrace.engine.h1.upgrade import accept_value
from headrace.engine.message import bytes_of

Fields = Sequence[tuple[bytes, bytes]]


class ResponseWriter:
    """Writes the responses of one connection to its queue. The caller has checked that a response may be sent, and
    moves the request to its next state."""

    def __init__(self, out: OutputQueue, content: ContentReader, persistence: Persistence) -> None:
        self._out = out
        self._content = content
        self._persistence = persistence
        self.heads: Heads = Heads()

    def write_whole(self, request: OpenRequest, status: int, headers: Fields, body: bytes) -> None:
        """Write a response in one go. Raises InvalidFieldError, and LocalProtocolError for another content-length than
        the body's; nothing is written then."""
        if status < 200:
            raise _not_final(status)
        size = bytes_of(body)
        if request.is_plain and status != 204 and status != 304:
            head = self.heads.response(status, headers, size)
            if not head.asks_to_close:
                request.send_length = head.content_length
                self._out.write_message(head.plain, head.size, body, size)
                return
        is_bodiless = request.is_head or status == 204 or status == 304
        # HEAD says the length that GET would have, where the application gives the content (RFC 9110 §8.6).
        counted = -1 if is_bodiless and (size == 0 or not request.is_head) else size
        head = self.heads.response(status, headers, counted)
        self._begin(request, head, is_bodiless, True)
        self._write_head(request, head, b"")
        if size and not is_bodiless:
            self._out.write(body)

    def write_head(self, request: OpenRequest, status: int, headers: Fields, is_whole: bool) -> None:
        """Write the head of a response whose content follows, unless it `is_whole`. Raises InvalidFieldError.

        Without content-length the content is chunked; to a client of HTTP/1.0 it ends with the connection.
        """
        if status < 200:
            raise _not_final(status)
        is_bodiless = request.is_head or status == 204 or status == 304
        head = self.heads.response(status, headers, 0 if is_whole and not is_bodiless else -1)
        self._begin(request, head, is_bodiless, is_whole)
        framing = b""
        if request.ends_with_connection():
            if request.is_http_1_0:
                self._persistence.end_with_response()
            else:
                request.is_chunked = True
                framing = CHUNKED
        self._write_head(request, head, framing)

    def write_interim(self, request: OpenRequest, status: int, headers: Fields) -> bool:
        """Write a 1xx response; return False where it is left out, as HTTP/1.0 has none. Raises InvalidFieldError."""
        if status < 100 or status > 199 or status == 101:
            raise InvalidFieldError(f"status {status} is not an interim one (RFC 9110 §15.2)")
        head = self.heads.response(status, headers, -1)
        if request.is_http_1_0:
            return False
        self._out.write(head.plain)
        return True

    def write_switch(self, request: OpenRequest, headers: Fields) -> None:
        """Write 101 with the fields of WebSocket's handshake (RFC 6455 §4.2.2). The connection is the tunnel's."""
        head = self.heads.response(101, headers, -1)
        self._out.write(head.block)
        accept = accept_value(request.upgrade_key)
        self._out.write(b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: " + accept + b"\r\n\r\n")
        self._persistence.end_with_response()

    def write_answer(self, fault: MessageFault, is_head: bool) -> None:
        """Write an answer of our own to a faulty request: a short text, and the end of the connection. That to HEAD has
        no content."""
        text = (fault.reason + "\n").encode("ascii", "replace")
        parts = [status_line(fault.status)]
        write_fields(parts, self.heads.cache.default_fields)
        if fault.status == 426:
            parts.append(b"upgrade: websocket\r\nsec-websocket-version: 13\r\n")
        parts.append(b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(text))
        parts.append(b"connection: close, upgrade\r\n\r\n" if fault.status == 426 else CLOSE + b"\r\n")
        if not is_head:
            parts.append(text)
        self._out.write(b"".join(parts))

    def _begin(self, request: OpenRequest, head: WrittenHead, is_bodiless: bool, is_whole: bool) -> None:
        """Decide whether the connection ends with this response, as its head has to say so (RFC 9112 §9.6).

        It does when one side wants it, when an upgrade is refused (the bytes behind it may not be HTTP), when the
        client still waits for 100 (Continue), as it may send its content or not (RFC 9110 §10.1.1), and when more
        content is left than is read for nothing.
        """
        request.is_bodiless = is_bodiless
        request.send_length = head.content_length
        if (
            head.asks_to_close
            or self._persistence.is_draining
            or request.awaits_continue
            or request.state == UPGRADE
            or (is_whole and request.state == REQUEST and self._content.left > DISCARDED)
        ):
            self._persistence.end_with_response()

    def _write_head(self, request: OpenRequest, head: WrittenHead, framing: bytes) -> None:
        """Write a head with the fields that concern framing and connection. HTTP/1.0 is told that the connection
        persists, HTTP/1.1 that it does not (RFC 9112 §9.3)."""
        if self._persistence.closes:
            lines = framing + CLOSE + b"\r\n"
        elif request.is_http_1_0:
            lines = framing + KEEP_ALIVE + b"\r\n"
        elif framing:
            lines = framing + b"\r\n"
        else:
            self._out.write(head.plain)
            return
        self._out.write(head.block)
        self._out.write(lines)


def _not_final(status: int) -> InvalidFieldError:
    return InvalidFieldError(f"status {status} is not a final one (RFC 9110 §15)")
