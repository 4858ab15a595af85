"""The state of a TCP connection, as the kernel knows it while its input is not read."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_CLOSE: Final = 7  # of Linux (include/net/tcp_states.h): a reset has come
_CLOSE_WAIT: Final = 8  # the peer's FIN has come
_HAS_TCP_INFO: Final = sys.platform == "linux" and hasattr(socket, "TCP_INFO")


def peer_has_closed(transport: asyncio.BaseTransport | None) -> bool:
    """Return whether the peer has closed its side, also while earlier input is unread. False where the system
    cannot say: outside of Linux, and on unix sockets."""
    sock = None if transport is None or not _HAS_TCP_INFO else transport.get_extra_info("socket")
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in (_CLOSE, _CLOSE_WAIT)
    except OSError:  # the socket is closed already, by us
        return False
