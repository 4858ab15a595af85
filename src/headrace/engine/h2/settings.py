"""SETTINGS (RFC 9113 §6.5, RFC 8441 §3, RFC 9218 §2.1): the peer's values, and how an entry is checked and applied."""

from __future__ import annotations

from typing import Final

from headrace.engine.errors import FLOW_CONTROL_ERROR, PROTOCOL_ERROR, ConnectionFault
from headrace.engine.h2 import frames
from headrace.engine.limits import DEFAULT_FRAME_SIZE, DEFAULT_WINDOW, LARGEST_FRAME_SIZE, MAX_WINDOW, Limits

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6
ENABLE_CONNECT_PROTOCOL: Final = 0x8
NO_RFC7540_PRIORITIES: Final = 0x9

UNLIMITED: Final = 2**32 - 1
DEFAULT_TABLE_SIZE: Final = 4_096  # RFC 9113 §6.5.2


def opening(limits: Limits, own: list[tuple[int, int]], is_server: bool) -> bytes:
    """Return the connection preface (RFC 9113 §3.4): SETTINGS, with the entries of the role, `own`, before those that
    both have, and the connection's window. They count once acknowledged (RFC 9113 §6.5.3)."""
    entries = [*own]
    if limits.header_table_size != DEFAULT_TABLE_SIZE:
        entries.append((HEADER_TABLE_SIZE, limits.header_table_size))
    if limits.initial_stream_window != DEFAULT_WINDOW:
        entries.append((INITIAL_WINDOW_SIZE, limits.initial_stream_window))
    if limits.max_frame_size != DEFAULT_FRAME_SIZE:
        entries.append((MAX_FRAME_SIZE, limits.max_frame_size))
    entries.append((MAX_HEADER_LIST_SIZE, limits.max_field_section_size))
    data = frames.write_settings(entries)
    more = limits.initial_connection_window - DEFAULT_WINDOW
    if more > 0:
        data += frames.write_window_update(0, more)
    return data if is_server else frames.PREFACE + data


class Settings:
    """The values in force for one side, from the defaults of RFC 9113 §6.5.2 on. A frame changes what it names only."""

    def __init__(self) -> None:
        self.received: bool = False
        """The first SETTINGS have come, and all of their entries count."""
        self.header_table_size: int = DEFAULT_TABLE_SIZE
        self.enable_push: int = 1
        self.max_concurrent_streams: int = UNLIMITED
        self.initial_window_size: int = DEFAULT_WINDOW
        self.max_frame_size: int = DEFAULT_FRAME_SIZE
        self.max_header_list_size: int = UNLIMITED  # advisory (RFC 9113 §6.5.2): kept for the owner, never enforced
        self.enable_connect_protocol: int = 0
        self.no_rfc7540_priorities: int = -1

    def complete(self) -> None:
        """Note that all entries of a frame count."""
        self.received = True

    def apply(self, key: int, value: int, from_server: bool) -> None:
        """Check one entry and make it count. Unknown settings are ignored (RFC 9113 §6.5.2).

        Raises ConnectionFault with the code that the RFC names for a value out of its range.
        """
        if key == INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE above 2^31-1", "RFC 9113 §6.5.2")
            self.initial_window_size = value
        elif key == MAX_CONCURRENT_STREAMS:
            self.max_concurrent_streams = value
        elif key == HEADER_TABLE_SIZE:
            self.header_table_size = value
        elif key == MAX_FRAME_SIZE:
            if value < DEFAULT_FRAME_SIZE or value > LARGEST_FRAME_SIZE:
                raise ConnectionFault(PROTOCOL_ERROR, "MAX_FRAME_SIZE out of its range", "RFC 9113 §6.5.2")
            self.max_frame_size = value
        elif key == ENABLE_PUSH:
            if value > 1 or (from_server and value == 1):
                raise ConnectionFault(PROTOCOL_ERROR, "ENABLE_PUSH with a value that is not allowed", "RFC 9113 §6.5.2")
            self.enable_push = value
        elif key == MAX_HEADER_LIST_SIZE:
            self.max_header_list_size = value
        elif key == ENABLE_CONNECT_PROTOCOL:
            if value > 1 or (from_server and value < self.enable_connect_protocol):
                raise ConnectionFault(
                    PROTOCOL_ERROR, "ENABLE_CONNECT_PROTOCOL other than 0, or 1 for good", "RFC 8441 §3"
                )
            self.enable_connect_protocol = value
        elif key == NO_RFC7540_PRIORITIES:
            if value > 1 or self.no_rfc7540_priorities not in (-1, value):
                raise ConnectionFault(PROTOCOL_ERROR, "NO_RFC7540_PRIORITIES changed or above 1", "RFC 9218 §2.1")
            self.no_rfc7540_priorities = value
