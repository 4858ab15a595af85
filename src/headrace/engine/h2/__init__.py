"""HTTP/2 (RFC 9113): one connection class family for both roles, without I/O.

`server` and `client` have the verbs and messages of a role, `connection` what both have in common, on `parts` that own
their numbers. Frames come in by `reading`, `content` and `control`, faults are answered by `faults`, time by `waiting`;
`heads` checks, encodes and remembers header sections. Rules in tables: `states` (RFC 9113 §5.1), `settings` (§6.5).

PREFACE, SETTINGS, OPEN, DRAINING and ENDED are the values of a connection's `phase`, in this order.
"""

from headrace.engine.h2.client import H2ClientConnection
from headrace.engine.h2.phases import DRAINING, ENDED, OPEN, PREFACE, SETTINGS
from headrace.engine.h2.server import H2ServerConnection

# Names that programs use which embed the engine.
ClientConnection = H2ClientConnection
ServerConnection = H2ServerConnection

__all__ = [
    "DRAINING",
    "ENDED",
    "OPEN",
    "PREFACE",
    "SETTINGS",
    "ClientConnection",
    "H2ClientConnection",
    "H2ServerConnection",
    "ServerConnection",
]
