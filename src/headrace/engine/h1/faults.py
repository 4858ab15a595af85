"""What a client did wrong, with the answer that it gets."""

from __future__ import annotations

from headrace.engine.errors import NO_ERROR, PROTOCOL_ERROR, ProtocolError


class RequestFault(ProtocolError):
    """Ends the connection, after an answer of `status` where no other one has begun; 0: without an answer.

    `budget` names the limit that was passed (an attribute of Limits), "" for other faults.
    """

    def __init__(self, status: int, reason: str, section: str, budget: str = "") -> None:
        super().__init__(NO_ERROR if budget else PROTOCOL_ERROR, reason, section)
        self.status = status
        self.budget = budget
