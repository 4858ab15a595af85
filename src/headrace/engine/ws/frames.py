"""The layout of frames (RFC 6455 §5.2) and the rules for close codes (RFC 6455 §7.4)."""

from __future__ import annotations

from typing import Final

from websockets.frames import apply_mask

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


def payload_ahead(partial: bytearray, checked: int, is_masked: bool) -> bytes:
    """Return the payload of an incomplete frame from `checked` on, as far as it is there, unmasked."""
    length = partial[1] & 0x7F
    start = (2 if length < _SHORT else 4 if length == _SHORT else 10) + (4 if is_masked else 0)
    piece = bytes(partial[start + checked :])
    if piece and is_masked:
        mask = bytes(partial[start - 4 : start])
        turn = checked % 4
        piece = apply_mask(piece, mask[turn:] + mask[:turn])
    return piece


def header_fault(first: int, second: int, is_client: bool, deflates: bool, continues: bool) -> str:
    """Return the fault in the first two bytes of a received frame, or "" (RFC 6455 §5.2, §5.4, §5.5).

    `is_client` is True for a frame that a client receives. `deflates`: RSV1 has a meaning. `continues`: a message is in
    progress.
    """
    opcode = first & 0x0F
    if opcode & CONTROL:
        if opcode > PONG:
            return "a reserved opcode"
        if first & 0x70:
            return "a reserved bit on a control frame"
        if not first & FIN or (second & 0x7F) > LONGEST_CONTROL:
            return "a control frame that is fragmented or too long"
    else:
        if opcode > BINARY:
            return "a reserved opcode"
        if first & 0x70 and (first & 0x70 != RSV1 or not deflates or opcode == CONTINUATION):
            return "a reserved bit that no extension gave a meaning"
        if (opcode == CONTINUATION) != continues:
            return "a continuation of nothing, or a message within a message"
    if (second & MASK == 0) != is_client:
        return "a masked frame of a server" if is_client else "a frame that is not masked"
    return ""


def check_close(code: int, reason: str) -> None:
    """Raise ValueError unless a close frame may have this code and reason (RFC 6455 §7.4, and IANA's registry)."""
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, NO_STATUS, ABNORMAL):
        raise ValueError(f"{code} is no close code to send; use 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    if len(reason.encode()) > LONGEST_REASON:
        raise ValueError(f"a close reason has at most {LONGEST_REASON} bytes of UTF-8 (RFC 6455 §5.5)")
