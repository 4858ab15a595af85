"""The request that is open on a connection, and its response."""

from __future__ import annotations

from headrace.engine.h1.states import IDLE, Role, is_tunnel, is_unanswered


class OpenRequest:
    """A plain record, changed by the connection that owns it. `begin` makes it the next request's: to make a new object
    for each would cost 400 instructions more, of 7,500 (docs/adr/0030).

    "Our message" is the response of a server, the request of a client.
    """

    def __init__(self) -> None:
        self.stream_id: int = -1
        self.state: int = IDLE
        """Where request and response are (`states`)."""
        # the request
        self.is_head: bool = False
        """The method is HEAD, whose response has no content."""
        self.is_http_1_0: bool = False
        self.upgrade_key: bytes = b""
        """The key of an upgrade to WebSocket, b"" for others."""
        self.is_connect: bool = False
        self.awaits_continue: bool = False
        """Server: the client waits for 100 (Continue) before it sends content (RFC 9110 §10.1.1)."""
        self.is_plain: bool = False
        """Server: nothing is special about how its response has to be written."""
        self.discarded: int = 0
        """Server: bytes of its content that were read and forgotten after its response."""
        self.is_begun: bool = False
        """Client: some of it is on its way."""
        # our message
        self.is_chunked: bool = False
        self.is_bodiless: bool = False
        """Its content is left out: HEAD, 204 or 304 (RFC 9110 §6.4.1)."""
        self.send_length: int = -1
        """content-length that we declared, -1 if none."""
        self.sent: int = 0
        """Bytes of content that were handed over."""

    def begin(self, state: int) -> None:
        """Begin the next request: its number is the next odd one, and nothing of the one before is left."""
        self.stream_id += 2
        self.state = state
        self.is_head = False
        self.is_http_1_0 = False
        self.upgrade_key = b""
        self.is_connect = False
        self.awaits_continue = False
        self.is_plain = False
        self.discarded = 0
        self.is_begun = False
        self.is_chunked = False
        self.is_bodiless = False
        self.send_length = -1
        self.sent = 0

    def ends_with_connection(self) -> bool:
        """Tell whether nothing but the end of the connection ends the content of our message (RFC 9112 §6.3)."""
        return self.send_length < 0 and not self.is_chunked and not self.is_bodiless

    def misuse(self, role: Role, step: bytes) -> str:
        """Return why a step of ours, a column of the role's table, is not allowed in this state."""
        if step is role.interim:
            return "an interim response after the final response has begun"
        if step is role.response_head:
            return "the response has begun already"
        if step is role.switch:
            return "there is no upgrade to be accepted"
        if role.is_server:
            if is_unanswered(self.state):
                return "send the headers before the content"
        elif (self.is_connect or self.upgrade_key) and not is_tunnel(self.state):
            return "the tunnel is not open yet"
        return "the message has ended already"
