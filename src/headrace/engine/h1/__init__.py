"""HTTP/1.1 (RFC 9112): connections without I/O of both roles, with the verbs and events of `engine/contract.py`.

`connection.H1Connection` has the members that are the same for both roles, `server` and `client` the others. `states`
says what may follow what; `open_request` is the record of the request that is open. All else are parts, which own their
numbers and know nothing of the connection: README.md has the list.
"""

from headrace.engine.h1.client import H1ClientConnection
from headrace.engine.h1.server import H1ServerConnection

__all__ = ["H1ClientConnection", "H1ServerConnection"]
