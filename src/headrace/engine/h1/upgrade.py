"""The opening handshake of WebSocket over HTTP/1.1 (RFC 6455 §4.2)."""

from __future__ import annotations

from binascii import b2a_base64
from hashlib import sha1
from typing import Final

from headrace.engine.h1.faults import MessageFault

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Upgrade:
    """What a request's fields say of an upgrade."""

    def __init__(self) -> None:
        self.is_option = False
        """`connection` names `upgrade`; else the field `upgrade` means nothing (RFC 9110 §7.8)."""
        self.key: bytes = b""
        self.version: bytes = b""
        self._names_websocket = False
        self._keys: int = 0
        self._versions: int = 0

    def add_protocols(self, value: bytes) -> None:
        """A field `upgrade`."""
        for protocol in value.lower().split(b","):
            if protocol.strip(b" \t") == b"websocket":
                self._names_websocket = True

    def add_key(self, value: bytes) -> None:
        """A field `sec-websocket-key`."""
        self.key = value
        self._keys += 1

    def add_version(self, value: bytes) -> None:
        """A field `sec-websocket-version`."""
        self.version = value
        self._versions += 1

    def is_wanted(self, method: bytes, is_http_1_0: bool) -> bool:
        """Tell whether the client asks for WebSocket. In HTTP/1.0 an upgrade is ignored (RFC 9110 §7.8)."""
        return self._names_websocket and self.is_option and method == b"GET" and not is_http_1_0

    def check(self, has_content: bool) -> None:
        """Raise MessageFault for what RFC 6455 §4.2.1 does not allow: 400, or 426 for another version (§4.2.2)."""
        if has_content:
            raise MessageFault(400, "an upgrade with content", "RFC 6455 §4.1")
        if self._versions != 1 or self.version != b"13":
            raise MessageFault(426, "a version of WebSocket other than 13", "RFC 6455 §4.2.2")
        if self._keys != 1 or not _is_key(self.key):
            raise MessageFault(400, "sec-websocket-key is not 16 bytes in base64", "RFC 6455 §4.2.1")


def _is_key(key: bytes) -> bool:
    """Tell whether this is base64 of 16 bytes: 22 characters, and two for padding."""
    return len(key) == 24 and key[22:] == b"==" and not key[:22].translate(None, _ALPHABET)


def accept_value(key: bytes) -> bytes:
    """Return the value of `sec-websocket-accept` for a key (RFC 6455 §4.2.2)."""
    return b2a_base64(sha1(key + _GUID, usedforsecurity=False).digest(), newline=False)
