"""HTTP/1.1 (RFC 9112): connections without I/O of both roles, with the verbs and events of `engine/contract.py`.

A server's read path: `server.H1ServerConnection` finds the end of a head; `reader` takes it apart and remembers it.
Write path: `sender.Sender` has the verbs, `heads` checks, encodes and remembers response heads, `output.Output` knows
how a response ends. Time: `deadlines.Deadlines`.

A client's read path: `client.H1ClientConnection` and `response_reader`. Write path and time: `client_sender`, with
`request_heads`. Both stand on `content` (the message that is open, its content both ways) and `queue` (octets to
write), and share `field_lines` (by llhttp), `memory` and `chunked`.
"""

from headrace.engine.h1.client import H1ClientConnection
from headrace.engine.h1.server import H1ServerConnection

__all__ = ["H1ClientConnection", "H1ServerConnection"]
