"""What a peer did wrong in a message, with the answer that a client gets for it."""

from __future__ import annotations

from headrace.engine.errors import NO_ERROR, PROTOCOL_ERROR, ProtocolError


class MessageFault(ProtocolError):
    """Ends the connection. A server does so after an answer of `status` where no other one has begun; 0: without one.

    `budget` names the limit that was passed (an attribute of Limits), "" for other faults.
    """

    def __init__(self, status: int, reason: str, section: str, budget: str = "") -> None:
        super().__init__(NO_ERROR if budget else PROTOCOL_ERROR, reason, section)
        self.status = status
        self.budget = budget
