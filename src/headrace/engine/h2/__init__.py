"""HTTP/2 (RFC 9113): one connection class family for both roles, without I/O.

Read path: `connection.Connection.receive_data` walks the frames; `server` and `client` say what a field section means.
Write path: `sender.Sender` has the verbs, `output.Output` the queues and what leaves them, by the turns of `scheduler`;
`heads` checks, encodes and remembers header sections. Time: `deadlines.Deadlines`. Rules in tables: `states` (RFC 9113
§5.1), `settings` (RFC 9113 §6.5).

PREFACE, SETTINGS, OPEN, DRAINING and ENDED are the values of a connection's `phase`, in this order.
"""

from headrace.engine.h2.client import ClientConnection
from headrace.engine.h2.output import DRAINING, ENDED, OPEN, PREFACE, SETTINGS
from headrace.engine.h2.server import ServerConnection

__all__ = ["DRAINING", "ENDED", "OPEN", "PREFACE", "SETTINGS", "ClientConnection", "ServerConnection"]
