"""A small blocking HTTP/2 client on python-hyper's `h2`: what an example or an app answers to somebody else's code."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

Fields = list[tuple[str, str]]


@dataclass
class Answer:
    """One response, with the informational ones that came before it."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    informational: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.body.decode()


def fetch(
    port: int, path: str, method: str = "GET", body: bytes | None = None, headers: Fields | None = None
) -> Answer:
    """One request on a connection of its own, in cleartext. Raises ConnectionError when it ends before the answer."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        connection.initiate_connection()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", f"127.0.0.1:{port}"), (":path", path)]
        connection.send_headers(1, [*pseudo, *(headers or [])], end_stream=body is None)
        left, answer, unread = body, Answer(), b""
        while True:
            if left is not None:
                left = send_some(connection, left)
            peer.sendall(connection.data_to_send())
            received = peer.recv(65_536)
            if not received:
                raise ConnectionError("the server closed the connection")
            unread += received
            # One frame at a time: h2 takes nothing more after GOAWAY, which may stand behind the answer in one read.
            while len(unread) >= (end := 9 + int.from_bytes(unread[:3], "big")) and len(unread) >= 9:
                frame, unread = unread[:end], unread[end:]
                for event in connection.receive_data(frame):
                    if take(connection, event, answer):
                        return answer


def send_some(connection: h2.connection.H2Connection, left: bytes) -> bytes | None:
    """Sends what the window allows and returns the rest; None once END_STREAM has gone out."""
    while left:
        room = min(connection.local_flow_control_window(1), connection.max_outbound_frame_size, len(left))
        if not room:
            return left
        connection.send_data(1, left[:room])
        left = left[room:]
    connection.end_stream(1)
    return None


def take(connection: h2.connection.H2Connection, event: h2.events.Event, answer: Answer) -> bool:
    """Puts an event into the answer; True when that was the last one."""
    if isinstance(event, h2.events.InformationalResponseReceived):
        fields = as_text(event.headers)
        answer.informational.append((int(fields.pop(":status")), fields))
    elif isinstance(event, h2.events.ResponseReceived):
        answer.headers = as_text(event.headers)
        answer.status = int(answer.headers.pop(":status"))
    elif isinstance(event, h2.events.DataReceived):
        answer.body += event.data
        connection.acknowledge_received_data(event.flow_controlled_length, 1)
    elif isinstance(event, h2.events.TrailersReceived):
        answer.trailers = as_text(event.headers)
    elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
        raise ConnectionError(f"error code {event.error_code!r}")
    return isinstance(event, h2.events.StreamEnded)


def as_text(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("utf-8") for name, value in headers}
