"""TLS between a socket's transport and a protocol, on `ssl.MemoryBIO`: one batch in, one record and one write out.

asyncio's and uvloop's own layers answer at the end of the loop turn, keep a buffer of 256 KiB a connection, and learn
from an exception that there is nothing left to read. This one writes at once, keeps only the data on its way, and
checks first. ADR 0014 has the figures.

The layer is the transport of the protocol above, and the protocol of the transport below:

    engine <- Connection <- TLSTransport <- asyncio's transport <- socket
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from headrace.transport.client_hello import NO_APPLICATION_PROTOCOL, ClientHello
from headrace.transport.log import get_logger
from headrace.transport.tls_records import HEADER, MOST_OVERHEAD, RECORD, SLICE, Records

protocol_log: Final = get_logger("headrace.protocol")


class TLSTransport(asyncio.Transport, asyncio.Protocol):
    """Give this to the event loop as a connection's protocol; it makes the handshake and then serves `protocol`.

    `on_handshake` is called once: with None after a successful handshake, right before `protocol.connection_made`;
    otherwise with a sentence that says why it failed, or was not done within `handshake_timeout_s`. `protocol` is then
    never called, nor when `on_handshake` aborts the transport because it does not accept the agreed protocol.
    """

    __slots__ = (
        "_bio",
        "_hello",
        "_incoming",
        "_is_at_end",
        "_is_blocked",
        "_is_open",
        "_is_paused",
        "_loop",
        "_on_handshake",
        "_on_turn",
        "_outgoing",
        "_protocol",
        "_protocols",
        "_raw",
        "_records",
        "_rest",
        "_timer",
        "_turn_due",
        "cut",
        "error",
    )

    def __init__(
        self,
        protocol: asyncio.Protocol,
        context: ssl.SSLContext,
        *,
        server_side: bool = True,
        server_hostname: str | None = None,
        handshake_timeout_s: float = 10.0,
        protocols: Sequence[str] | None = None,
        on_handshake: Callable[[TLSTransport, str | None], None],
    ) -> None:
        """`protocols` are those of a server: a client that offers only others gets the alert that RFC 7301 §3.2
        requires. None accepts every client."""
        super().__init__()
        self._protocol = protocol
        self._on_turn: Callable[[int], None] | None = getattr(protocol, "on_turn", None)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._bio = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._records = Records(self._bio, self._incoming)
        self._protocols = protocols
        self._hello: ClientHello | None = ClientHello() if protocols is not None else None
        self._raw: asyncio.Transport | None = None
        self._is_open = False
        self._is_blocked = False
        self._is_at_end = False  # the peer has said close_notify
        self._is_paused = False  # the protocol above has paused reading
        self._rest = b""  # input that is not decrypted yet: records beyond this turn's, or a part of a header
        self._turn_due = False
        self.error: ssl.SSLError | None = None
        """OpenSSL's error for invalid bytes of the peer; None before, and for every other end."""
        self.cut: str = ""
        """Why TLS ended without the peer's close_notify, so that a third party may have ended it; "" otherwise. Set
        before `protocol.eof_received`, and there as `get_extra_info("cut")`."""
        self._on_handshake: Callable[[TLSTransport, str | None], None] | None = on_handshake
        loop = self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = loop.call_later(handshake_timeout_s, self._on_timeout)

    # -- calls of the transport below --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = cast("asyncio.Transport", transport)  # uvloop's is not one by descent
        if self._timer is None:  # cancelled before it could begin
            self._raw.abort()
            return
        self._raw.set_write_buffer_limits(0)
        self._do_handshake()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self._is_open:
            if len(data) > SLICE:
                data, self._rest = data[:SLICE], data[SLICE:]
                self._wait_for_turn()
            if self._hello is not None and not self._offers_protocol(self._hello, data):
                return
            self._incoming.write(data)
            if not (self._do_handshake() and (self._incoming.pending or self._rest)):
                return
            data = self._incoming.read() + self._rest
            self._rest = b""
        elif self.is_closing():
            return
        records = self._records
        size = len(data)
        if records.left or size < HEADER or size != HEADER + (data[3] << 8 | data[4]):  # not one whole record
            size = records.end_of_turn(data)
            if size < len(data):
                self._rest = data[size:]
                data = data[:size]
                if len(self._rest) >= HEADER:
                    self._wait_for_turn()
        content: list[bytes] = []
        try:
            at_end = records.read(data, content) if size <= SLICE else records.read_in_slices(data, content)
        except ssl.SSLError as error:
            self._fail(error)
            return
        if records.overhead > MOST_OVERHEAD:
            self._end("records without content (RFC 8446 §4.6.3, §5.4)")
            return
        if content:
            self._protocol.data_received(content[0] if len(content) == 1 else b"".join(content))
        if self._outgoing.pending:  # an answer of TLS itself, such as to a key update (RFC 8446 §4.6.3)
            if not self._is_blocked:
                self._send()
            elif self._outgoing.pending > RECORD:
                self.abort()  # a flood of questions whose answers are not read
        if at_end:
            self._is_at_end = True
            self._end_in_order()

    def _wait_for_turn(self) -> None:
        """Leave the rest for the next turn of the event loop, and read nothing meanwhile."""
        if not self._turn_due and self._raw is not None:
            self._turn_due = True
            if self._on_turn is not None:
                self._on_turn(1)
            self._raw.pause_reading()
            self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turn_due = False
        if self._on_turn is not None:
            self._on_turn(-1)
        if self._raw is None or self._is_paused or self.is_closing():
            return
        self.data_received(b"")
        if not self._turn_due and not self._is_paused and not self.is_closing():
            self._raw.resume_reading()

    def eof_received(self) -> bool:
        """Handle an end of input without close_notify. It matters only where the end of the connection is the end of a
        message (RFC 9112 §9.8); otherwise HTTP itself says which message is complete."""
        if self._is_open and not self.is_closing() and not self._is_at_end:
            self.cut = "TLS ended without close_notify (RFC 8446 §6.1)"
        return self._end_in_order()

    def _end_in_order(self) -> bool:
        """Handle the peer's end of input; return True when the protocol above still reads, and closes later."""
        if self._is_open:
            if self._protocol.eof_received():
                return True
            self.close()
        return False

    def pause_writing(self) -> None:
        self._is_blocked = True
        if self._is_open:
            self._protocol.pause_writing()
        elif self._raw is not None:
            self._raw.pause_reading()  # do not answer a handshake faster than the peer reads

    def resume_writing(self) -> None:
        self._is_blocked = False
        if self._is_open:
            self._protocol.resume_writing()
        elif self._raw is not None:
            self._raw.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._raw = None
        if self._is_open:
            self._protocol.connection_lost(exc)
        else:
            self._give_up("the peer went away in the TLS handshake")

    # -- calls of the protocol above ---------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt `data` and write it at once. Unaccepted bytes wait; see `get_write_buffer_size`."""
        raw = self._raw
        if raw is None or not data:
            return
        try:
            written = self._bio.write(data)
            while written < len(data):
                data = memoryview(data)[written:]
                written = self._bio.write(data)
        except ssl.SSLError as error:
            self._fail(error)
            return
        raw.write(self._outgoing.read())

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return `ssl_object`, `sslcontext` or `cut`; everything else comes from the socket's transport."""
        if name == "ssl_object":
            return self._bio
        if name == "cut":
            return self.cut
        if name == "sslcontext":
            return self._bio.context
        return default if self._raw is None else self._raw.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that the kernel has not accepted yet."""
        return 0 if self._raw is None else self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._raw is not None:
            self._raw.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        self._is_paused = True
        if self._raw is not None:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        if len(self._rest) >= HEADER:
            self._wait_for_turn()
        elif self._raw is not None:
            self._raw.resume_reading()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Announce the end of output, in TLS (close_notify, RFC 8446 §6.1) and in TCP; continue reading."""
        self._notify_close()
        if self._raw is not None:
            self._raw.write_eof()

    def is_closing(self) -> bool:
        return self._raw is None or self._raw.is_closing()

    def close(self) -> None:
        """Write the remaining output and a close_notify, then close the socket without waiting for the peer's."""
        raw = self._raw
        if raw is not None and not raw.is_closing():
            self._notify_close()
            raw.close()

    def abort(self) -> None:
        """Close the socket at once."""
        if self._raw is not None:
            self._raw.abort()

    # -- the handshake -----------------------------------------------------------------------------------------

    def _do_handshake(self) -> bool:
        """Continue the handshake; return True when it is done and the protocol above has been connected."""
        try:
            self._bio.do_handshake()
        except ssl.SSLWantReadError:
            self._send()
            return False
        except ssl.SSLError as error:
            self._fail(error)
            return False
        self._send()
        self._report(None)
        if self.is_closing():
            return False
        self._is_open = True
        self._protocol.connection_made(self)
        return True

    def _offers_protocol(self, hello: ClientHello, data: bytes) -> bool:
        """Read the client's first message; return False when it offers no served protocol, which ends the handshake."""
        offered = hello.feed(data)
        if hello.is_over:
            self._hello = None
        if offered is None or any(each.encode() in offered for each in self._protocols or ()):
            return True
        if self._raw is not None and not self._raw.is_closing():
            self._raw.write(NO_APPLICATION_PROTOCOL)
        self._give_up("the TLS handshake failed: ALPN offers no protocol that is served (RFC 7301 §3.2)")
        return False

    def _on_timeout(self) -> None:
        self._give_up("the TLS handshake took too long (limit tls_handshake_timeout_s)")

    def break_off(self, reason: str) -> None:
        """End a handshake that is under way; an open connection continues."""
        if not self._is_open:
            self._give_up(f"the TLS handshake was broken off: {reason}")

    # -- the end -----------------------------------------------------------------------------------------------

    def _send(self) -> None:
        raw = self._raw
        if raw is not None and self._outgoing.pending:
            raw.write(self._outgoing.read())

    def _notify_close(self) -> None:
        try:
            self._bio.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # it waits for the peer's, or has failed before; our output is in the buffer
        self._send()

    def _fail(self, error: ssl.SSLError) -> None:
        """Handle invalid bytes of the peer: send the TLS alert, and end."""
        self.error = error
        self._send()
        reason = (error.reason or str(error) or type(error).__name__).replace("_", " ").lower()
        if not self._is_open:
            self._give_up(f"the TLS handshake failed: {reason}")
            return
        self._end(reason)

    def _end(self, reason: str) -> None:
        if protocol_log.isEnabledFor(logging.DEBUG):
            protocol_log.debug("a TLS connection ended: %s", reason)
        self.cut = reason
        self._protocol.eof_received()
        if self._raw is not None:
            self._raw.close()

    def _give_up(self, reason: str) -> None:
        raw = self._raw
        if raw is not None:
            if raw.get_write_buffer_size():
                raw.abort()  # a peer that does not read our handshake would not read an alert either
            else:
                raw.close()
        self._report(reason)

    def _report(self, reason: str | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        on_handshake, self._on_handshake = self._on_handshake, None
        if on_handshake is not None:
            on_handshake(self, reason)
