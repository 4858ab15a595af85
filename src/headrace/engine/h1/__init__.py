"""HTTP/1.1 (RFC 9112): a server's connection without I/O, with the verbs and events of `engine/contract.py`.

Read path: `server.H1ServerConnection` finds the end of a head; `reader` takes it apart (field lines by llhttp) and
remembers it; `chunked` decodes content. Write path: `sender.Sender` has the verbs, `heads` checks, encodes and
remembers response heads, `output.Output` holds what is to be written. Time: `deadlines.Deadlines`.
"""

from headrace.engine.h1.server import H1ServerConnection

__all__ = ["H1ServerConnection"]
