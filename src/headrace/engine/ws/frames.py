"""The layout of frames (RFC 6455 §5.2) and the rules for close codes (RFC 6455 §7.4)."""

from __future__ import annotations

from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

FIN: Final = 0x80
RSV1: Final = 0x40
MASK: Final = 0x80
CONTROL: Final = 0x08  # the bit that control opcodes have, and no other that is defined
LONGEST_CONTROL: Final = 125
LONGEST_REASON: Final = 123  # bytes of UTF-8 behind the close code

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_DATA: Final = 1007
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
TRY_AGAIN_LATER: Final = 1013

_SHORT: Final = 126


def write_unmasked(first: int, payload: bytes) -> bytes:
    """Return a frame as a server sends it; `first` is FIN, reserved bits and opcode."""
    size = len(payload)
    if size < _SHORT:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126, size >> 8, size & 0xFF)) + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def check_close(code: int, reason: str) -> None:
    """Raise ValueError unless a close frame may have this code and reason (RFC 6455 §7.4, and IANA's registry)."""
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, NO_STATUS, ABNORMAL):
        raise ValueError(f"{code} is no close code to send; use 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    if len(reason.encode()) > LONGEST_REASON:
        raise ValueError(f"a close reason has at most {LONGEST_REASON} octets of UTF-8 (RFC 6455 §5.5)")
