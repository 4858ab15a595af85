"""The former path of the mock transport, now in `headrace.client.testing`; both paths work."""

from headrace.client.testing.mock import (
    Answer,
    Drain,
    Fault,
    GoAway,
    Lost,
    MockRequest,
    MockTransport,
    Raw,
    Refused,
    Reset,
    Stall,
    Truncated,
)

__all__ = [
    "Answer",
    "Drain",
    "Fault",
    "GoAway",
    "Lost",
    "MockRequest",
    "MockTransport",
    "Raw",
    "Refused",
    "Reset",
    "Stall",
    "Truncated",
]
