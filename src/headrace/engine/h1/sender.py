"""The verbs by which an owner answers: heads, content, trailers; and the answers that a connection gives by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headrace.engine.errors import InvalidFieldError, LocalProtocolError, StreamClosedError
from headrace.engine.events import PeerFault, StreamRefused, StreamReset
from headrace.engine.h1.content import CONTENT, HEAD, TUNNEL, UPGRADING
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.heads.response import CHUNKED, CLOSE, KEEP_ALIVE, WrittenHead, status_line
from headrace.engine.h1.output import Output
from headrace.engine.h1.upgrade import accept_value
from headrace.engine.message import BEFORE, STREAMING, octets_of

Fields = Sequence[tuple[bytes, bytes]]

DISCARDED: Final = 65_536  # octets of a request that are read and forgotten after its response


class Sender(Output):
    """The writing half of a connection."""

    octets_out: int

    def _set_drops(self, drops: bool) -> None:
        self._heads.cache.set_drops(drops)

    def set_default_fields(self, default_fields: tuple[tuple[bytes, bytes], ...]) -> None:
        """Set fields that every final response gets unless the application names them, such as `date` and `server`.

        Pairs of lowercase name and value, not checked. What was remembered of earlier heads is forgotten.
        """
        self._heads.cache.set_default_fields(default_fields)

    # -- heads -------------------------------------------------------------------------------------------------

    def _check_open(self, stream_id: int) -> None:
        if self._is_open and stream_id == self._stream_id:
            return
        if self.closed:
            raise StreamClosedError(stream_id, "the connection has ended")
        raise StreamClosedError(stream_id, "it has ended")

    def _check_beginning(self, stream_id: int, status: int) -> None:
        self._check_open(stream_id)
        if self._progress != BEFORE:
            raise LocalProtocolError(f"stream {stream_id}: the response has begun already")
        if status < 200:
            raise InvalidFieldError(f"status {status} is not a final one (RFC 9110 §15)")

    def _write_head(self, head: WrittenHead, framing: bytes) -> None:
        """Write a final response's head with the fields that concern framing and connection."""
        if self._closing:
            ending = framing + CLOSE + b"\r\n"
        elif self._is_http_1_0:
            ending = framing + KEEP_ALIVE + b"\r\n"
        elif framing:
            ending = framing + b"\r\n"
        else:
            self._out.append(head.plain)
            self._out_size += head.size
            return
        self._write(head.block)
        self._write(ending)

    def _decide_end(self, head: WrittenHead, is_whole: bool) -> None:
        """Decide whether the connection ends with this response, as its head has to say so (RFC 9112 §9.6).

        It does when one side wants it, when an upgrade is refused (what follows may not be HTTP), when the client
        still waits for 100 (Continue), as it may send its content or not (RFC 9110 §10.1.1), and when more content is
        left than is read for nothing.
        """
        if (
            head.asks_to_close
            or self._draining
            or self._awaits_continue
            or self._receiving == UPGRADING
            or (is_whole and self._receiving == CONTENT and self._recv_left > DISCARDED)
        ):
            self._closing = True

    def send_response(self, stream_id: int, status: int, headers: Fields, body: bytes) -> bool:
        """Send a whole response in one go.

        `headers` are pairs of name and value; names are lowered, content-length and the default fields are added where
        they are missing. Connection-specific fields are refused or left out (`drop_connection_fields`), but for
        `connection: close`, which is obeyed. For HEAD, 204 and 304 the body is left out. Returns True when accepted, as
        `send_data`. Raises StreamClosedError when the request is gone; InvalidFieldError for fields that must not be
        sent; LocalProtocolError when the response has begun already or a content-length differs from the body. Nothing
        is written when it raises.
        """
        self._check_beginning(stream_id, status)
        size = octets_of(body)
        if self._is_plain and status != 204 and status != 304:
            head = self._heads.response(status, headers, size)
            if not head.asks_to_close:
                self._out.append(head.plain)
                if size:
                    self._out.append(body)
                self._out_size += head.size + size
                self._progress = STREAMING
                self._send_length = head.content_length
                self._end_queued = True
                return self._accepted()
        bodiless = self._is_head or status == 204 or status == 304
        # HEAD says the length that GET would have, where the application gives the content (RFC 9110 §8.6).
        counted = -1 if bodiless and (size == 0 or not self._is_head) else size
        head = self._heads.response(status, headers, counted)
        self._decide_end(head, True)
        self._begin(head, bodiless)
        self._end_queued = True
        self._write_head(head, b"")
        if size and not bodiless:
            self._write(body)
        return self._accepted()

    def _begin(self, head: WrittenHead, bodiless: bool) -> None:
        self._bodiless = bodiless
        self._send_length = head.content_length
        self._progress = STREAMING

    def send_headers(
        self,
        stream_id: int,
        status: int,
        headers: Fields,
        end_stream: bool = False,
        never_indexed: frozenset[bytes] | None = None,
    ) -> None:
        """Send the final response's header section, to be followed by `send_data`. Raises as `send_response` does.

        Without content-length the content is chunked; to a client of HTTP/1.0 it ends with the connection.
        """
        self._check_beginning(stream_id, status)
        bodiless = self._is_head or status == 204 or status == 304
        size = 0 if end_stream and not bodiless else -1
        head = self._heads.response(status, headers, size)
        self._decide_end(head, end_stream)
        self._begin(head, bodiless)
        framing = b""
        if not bodiless and head.content_length < 0:
            if self._is_http_1_0:
                self._closing = True
            else:
                self._is_chunked = True
                framing = CHUNKED
        self._write_head(head, framing)
        if end_stream:
            self._end_queued = True
            self._finish()

    def send_informational(
        self, stream_id: int, status: int, headers: Fields, never_indexed: frozenset[bytes] | None = None
    ) -> None:
        """Send a 1xx response before the final one (RFC 9110 §15.2), such as 100 or 103. HTTP/1.0 does not get it.

        Raises InvalidFieldError for another status, for 101, which is `accept_tunnel`'s, or for fields that must not be
        sent; LocalProtocolError after the final response has begun; StreamClosedError.
        """
        self._check_open(stream_id)
        if status < 100 or status > 199 or status == 101:
            raise InvalidFieldError(f"status {status} is not an interim one (RFC 9110 §15.2)")
        if self._progress != BEFORE:
            raise LocalProtocolError(f"stream {stream_id}: {status} after the final response has begun")
        head = self._heads.response(status, headers, -1)
        if self._is_http_1_0:
            return
        if status == 100:
            self._awaits_continue = False
            self._upload_at = self._stamp()
            self._quiet_since = -1.0
        self._write(head.plain)

    def accept_tunnel(self, stream_id: int, headers: Fields, never_indexed: frozenset[bytes] | None = None) -> None:
        """Say yes to an upgrade: 101 with what WebSocket's handshake asks for, and `headers` (RFC 6455 §4.2.2).

        From then on content goes both ways until each side has ended its own. Raises LocalProtocolError when the
        request is no upgrade or has been answered, InvalidFieldError, and StreamClosedError.
        """
        self._check_open(stream_id)
        if self._receiving != UPGRADING or self._progress != BEFORE:
            raise LocalProtocolError(f"stream {stream_id}: there is no upgrade to be accepted")
        head = self._heads.response(101, headers, -1)
        accept = accept_value(self._upgrade_key)
        self._write(head.block)
        self._write(b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: " + accept + b"\r\n\r\n")
        self._progress = STREAMING
        self._is_tunnel = True
        self._closing = True
        self._receiving = TUNNEL

    # -- content -----------------------------------------------------------------------------------------------

    def _check_sending(self, stream_id: int) -> None:
        self._check_open(stream_id)
        if self._progress == BEFORE:
            raise LocalProtocolError(f"stream {stream_id}: send the headers before the content")
        if self._end_queued:
            raise LocalProtocolError(f"stream {stream_id}: the message has ended already")

    def content_sent(self, stream_id: int, count: int) -> None:
        """Take note that `count` octets of content went out past this connection (the kernel's sendfile), behind all
        that `take_output` had given. The response ends when its content-length is reached.

        Raises LocalProtocolError when the content is chunked or has no content-length, when output is pending, or for
        more octets than were declared; StreamClosedError.
        """
        self._check_sending(stream_id)
        if self._send_length < 0 or self._bodiless or self._out:
            raise LocalProtocolError(f"stream {stream_id}: content can go past only by length, and in its turn")
        self._check_length(stream_id, count, False)
        self._sent += count
        self.octets_out += count
        if self._sent == self._send_length:
            self._end_queued = True
            self._finish()

    def written(self, stream_id: int) -> int:
        """Bytes that have gone out on the connection, which has one response at a time."""
        return self.octets_out

    # -- ends --------------------------------------------------------------------------------------------------

    def reset_stream(self, stream_id: int, code: int) -> None:
        """End a request before its time, and the connection with it; a no-op when it is over. No StreamReset follows.

        Before the response's head nothing is sent; after it the client sees a response that is cut off.
        """
        if not self._is_open or stream_id != self._stream_id:
            return
        self._is_open = False
        self._cut()
        self._end(code, "local", "a request was ended before its time", "RFC 9112 §9.6")

    def refuse_stream(self, stream_id: int) -> None:
        """Refuse a request that has been announced but not begun: 503, and the end; a no-op when it is gone."""
        if self._is_open and stream_id == self._stream_id and self._progress == BEFORE:
            self._closing = True
            self._is_plain = False
            self._events.append(StreamRefused(stream_id))
            self.send_response(stream_id, 503, ((b"retry-after", b"1"),), b"")

    def _fail(self, fault: MessageFault) -> None:
        """The client broke a rule: the answer, where none has begun, and the end (RFC 9112 §9.6)."""
        if self.closed:
            return
        stream_id = self._stream_id if self._is_open else 0
        scope = "stream" if self._is_open else "connection"
        self._events.append(PeerFault(fault.code, scope, stream_id, fault.reason, fault.section, fault.budget))
        if fault.status and (not self._is_open or self._progress == BEFORE) and not self._discarding:
            self._write_answer(fault)
        if self._is_open:
            self._is_open = False
            self._cut()
            self._events.append(StreamReset(stream_id, fault.code, "local", fault.reason, fault.section, fault.cause))
        self._end(fault.code, "local", fault.reason, fault.section, fault.cause)

    def _write_answer(self, fault: MessageFault) -> None:
        """Write an answer of our own: a short text, and the end of the connection."""
        text = (fault.reason + "\n").encode("ascii", "replace")
        parts = [status_line(fault.status)]
        for name, value in self._heads.cache.default_fields:
            parts.append(name + b": " + value + b"\r\n")
        if fault.status == 426:
            parts.append(b"upgrade: websocket\r\nsec-websocket-version: 13\r\n")
        parts.append(b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(text))
        parts.append(b"connection: close, upgrade\r\n\r\n" if fault.status == 426 else CLOSE + b"\r\n")
        if not self._asked_for_head():
            parts.append(text)
        self._write(b"".join(parts))

    def _asked_for_head(self) -> bool:
        """Tell whether the request that is answered is a HEAD, whose answer has no content."""
        if self._receiving != HEAD:
            return self._is_head
        return self._input[self._position : self._position + 5] == b"HEAD "
