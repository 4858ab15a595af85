"""The protocols that a client offers in ALPN, read from its ClientHello before OpenSSL gets it.

Python's OpenSSL layer continues without a protocol if none of them is served, although RFC 7301 §3.2 requires a fatal
alert. So this module reads the first message. OpenSSL still judges it: anything odd is left to OpenSSL.
"""

from __future__ import annotations

from typing import Final

NO_APPLICATION_PROTOCOL: Final = b"\x15\x03\x03\x00\x02\x02\x78"
"""The record with that fatal alert (RFC 8446 §5.1, §6), which goes out in the clear, ahead of any key."""

_LIMIT: Final = 65_536  # bytes that are looked at; a ClientHello has some 2,000
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_ALPN: Final = 16
_RECORD_HEAD: Final = 5
_MESSAGE_HEAD: Final = 4


class ClientHello:
    """Takes a connection's first bytes, in pieces of any size, and reads each once."""

    def __init__(self) -> None:
        self.is_over: bool = False
        """True once the message has been read."""
        self._head = b""  # of a record, as far as it has come
        self._left = 0  # bytes of the record that are still to come
        self._message = bytearray()
        self._seen = 0

    def feed(self, data: bytes) -> list[bytes] | None:
        """Return the protocols that the client offers, once they are known; None before, and when it offers none."""
        self._seen += len(data)
        position = 0
        while position < len(data) and not self.is_over:
            if not self._left:
                taken = data[position : position + _RECORD_HEAD - len(self._head)]
                self._head += taken
                position += len(taken)
                if len(self._head) == _RECORD_HEAD:
                    self._left = _length(self._head, 3)
                    self.is_over = self._head[0] != _HANDSHAKE
                    self._head = b""
                continue
            taken = data[position : position + self._left]
            self._message += taken
            self._left -= len(taken)
            position += len(taken)
            message = self._message
            if message[0] != _CLIENT_HELLO:
                self.is_over = True
            elif len(message) >= _MESSAGE_HEAD:
                end = _MESSAGE_HEAD + int.from_bytes(message[1:_MESSAGE_HEAD])
                if len(message) >= end:
                    self.is_over = True
                    return _offered(bytes(message[_MESSAGE_HEAD:end]))
        self.is_over = self.is_over or self._seen > _LIMIT
        return None


def _offered(hello: bytes) -> list[bytes] | None:
    """Return the names in the extension application_layer_protocol_negotiation (RFC 7301 §3.1); None without it, and
    when the message is shorter than its lengths say."""
    try:
        return _names(hello)
    except IndexError:
        return None


def _names(hello: bytes) -> list[bytes] | None:
    position = 34  # version and random (RFC 8446 §4.1.2)
    position += 1 + hello[position]  # session id
    position += 2 + _length(hello, position)  # cipher suites
    position += 1 + hello[position]  # compression methods
    end = position + 2 + _length(hello, position)
    position += 2
    while position + 4 <= end:
        kind, size = _length(hello, position), _length(hello, position + 2)
        position += 4
        if kind == _ALPN:
            names = []
            stop = position + 2 + _length(hello, position)
            position += 2
            while position < stop:
                names.append(hello[position + 1 : position + 1 + hello[position]])
                position += 1 + hello[position]
            return names
        position += size
    return None


def _length(data: bytes, position: int) -> int:
    return (data[position] << 8) | data[position + 1]
