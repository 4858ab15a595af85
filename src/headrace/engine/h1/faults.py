"""What a peer did wrong in a message, with the answer that a client gets for it."""

from __future__ import annotations

from typing import Final

from headrace.engine.causes import PROTOCOL, TIMED_OUT
from headrace.engine.errors import NO_ERROR, PROTOCOL_ERROR, ProtocolError

REQUEST_TIMEOUT: Final = 408  # RFC 9110 §15.5.9


class MessageFault(ProtocolError):
    """Ends the connection. A server does so after an answer of `status` where no other one has begun; 0: without one.

    `budget` names the limit that was passed (an attribute of Limits), "" for other faults.
    """

    def __init__(self, status: int, reason: str, section: str, budget: str = "") -> None:
        cause = TIMED_OUT if status == REQUEST_TIMEOUT else PROTOCOL
        super().__init__(NO_ERROR if budget else PROTOCOL_ERROR, reason, section, cause)
        self.status = status
        self.budget = budget
