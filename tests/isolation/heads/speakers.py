"""One connection of ours for each role and protocol, and somebody independent who reads what it says.

`say` sends a message with some fields and returns the fields that were read: those of our own making (pseudo-header
fields, framing) taken out. HTTP/2 is read by python-hyper's hpack, HTTP/1.1 by `tests.support.h1_rig`.
"""

from __future__ import annotations

from typing import Any

import pytest

from headrace.engine import events as ev
from headrace.engine.errors import InvalidFieldError
from headrace.engine.limits import Limits

from tests.support import wire
from tests.support.h1_rig import H1ClientRig, H1Rig, head, read_fields
from tests.support.rig import ClientRig, ServerRig

Fields = list[tuple[bytes, bytes]]

PATIENT = Limits(odd_frame_burst=1_000_000, early_reset_burst=1_000_000)
_FRAMING = (b"host", b"content-length", b"transfer-encoding")


def own(fields: Fields) -> Fields:
    """The fields without those that say where a message goes, or where it ends."""
    return [pair for pair in fields if pair[0][:1] != b":" and pair[0] not in _FRAMING]


class H2Server:
    """Responses over HTTP/2."""

    multiplexes = True

    def __init__(self) -> None:
        self.rig = ServerRig(PATIENT)
        self.conn = self.rig.conn
        self._stream_id = -1

    def _request(self) -> int:
        self._stream_id += 2
        self.rig.request(self._stream_id)
        return self._stream_id

    def say(self, fields: Any, body: bytes = b"") -> Fields:
        """Answer a new request."""
        stream_id = self._request()
        self.conn.send_response(stream_id, 200, fields, body)
        return self._read(stream_id)

    def refuse(self) -> None:
        """Try to send what may not be sent."""
        stream_id = self._request()
        for status, fields in ((200, [(b"x", b"a\nb")]), (103, [(b"link", b"\0")])):
            send = self.conn.send_informational if status < 200 else self.conn.send_headers
            with pytest.raises(InvalidFieldError):
                send(stream_id, status, fields)
        self.conn.reset_stream(stream_id, 2)
        self.rig.take()

    def begin(self, fields: Any) -> int:
        """Begin to answer a new request; `trailers` is its end."""
        stream_id = self._request()
        self.conn.send_headers(stream_id, 200, fields)
        self.conn.send_data(stream_id, b"x")
        assert self._read(stream_id) == list(fields)
        return stream_id

    def trailers(self, stream_id: int, fields: Any) -> Fields:
        """End the response of a stream with trailers."""
        self.conn.send_trailers(stream_id, fields)
        return self._read(stream_id)

    def _read(self, stream_id: int) -> Fields:
        self.rig.take()
        return own(self.rig.fields.pop(stream_id)[-1])

    def resize(self, size: int) -> None:
        """The peer allows another size of the table."""
        self.rig.feed(wire.settings({wire.HEADER_TABLE_SIZE: size}))
        self.rig.reader.decoder.max_allowed_table_size = size
        self.rig.take()


class H1Server:
    """Responses over HTTP/1.1."""

    multiplexes = False

    def __init__(self) -> None:
        self.rig = H1Rig()
        self.conn = self.rig.conn

    def _request(self) -> int:
        (request,) = self.rig.feed(head())
        return int(request.stream_id)

    def say(self, fields: Any, body: bytes = b"") -> Fields:
        """Answer a new request."""
        self.conn.send_response(self._request(), 200, fields, body)
        return self._read()

    def refuse(self) -> None:
        """Try to send what may not be sent."""
        stream_id = self._request()
        for status, fields in ((200, [(b"x", b"a\nb")]), (103, [(b"link", b"\0")])):
            send = self.conn.send_informational if status < 200 else self.conn.send_headers
            with pytest.raises(InvalidFieldError):
                send(stream_id, status, fields)
        self.conn.send_response(stream_id, 204, (), b"")
        self.rig.take()

    def _read(self) -> Fields:
        top, _, _ = self.rig.take().partition(b"\r\n\r\n")
        return own(read_fields(top.split(b"\r\n")[1:]))


class H2Client:
    """Requests over HTTP/2."""

    multiplexes = True

    def __init__(self) -> None:
        self.rig = ClientRig(PATIENT)
        self.conn = self.rig.conn

    def _send(self, fields: Any, body: bytes, path: bytes = b"/") -> int:
        stream_id = self.conn.send_request(
            b"POST", b"https", b"a.example", path, fields, end_stream=False, content_length=len(body) if body else -1
        )
        return int(stream_id)

    def say(self, fields: Any, body: bytes = b"") -> Fields:
        """Send a POST."""
        stream_id = self._send(fields, body)
        self.conn.send_data(stream_id, body, True)
        return self._read(stream_id)

    def refuse(self) -> None:
        """Try to send what may not be sent."""
        for fields, path in (([(b"x", b"a\nb")], b"/"), ([], b"a b")):
            with pytest.raises(InvalidFieldError):
                self._send(fields, b"", path)

    def begin(self, fields: Any) -> int:
        """Begin to send a POST; `trailers` is its end."""
        stream_id = self._send(fields, b"")
        self.conn.send_data(stream_id, b"x")
        self.rig.take()
        assert own(self.rig.fields.pop(stream_id)[-1]) == list(fields)
        return stream_id

    def trailers(self, stream_id: int, fields: Any) -> Fields:
        """End a POST with trailers."""
        self.conn.send_trailers(stream_id, fields)
        return self._read(stream_id)

    def _read(self, stream_id: int) -> Fields:
        self.rig.take()
        self.rig.feed(wire.response(stream_id, end_stream=True))
        return own(self.rig.fields.pop(stream_id)[-1])

    def resize(self, size: int) -> None:
        """The peer allows another size of the table."""
        self.rig.feed(wire.settings({wire.HEADER_TABLE_SIZE: size}))
        self.rig.reader.decoder.max_allowed_table_size = size
        self.rig.take()


class H1Client:
    """Requests over HTTP/1.1."""

    multiplexes = False

    def __init__(self) -> None:
        self.rig = H1ClientRig()
        self.conn = self.rig.conn

    def _send(self, fields: Any, body: bytes, path: bytes = b"/") -> int:
        stream_id = self.conn.send_request(
            b"POST", b"http", b"a.example", path, fields, end_stream=False, content_length=len(body) if body else -1
        )
        return int(stream_id)

    def say(self, fields: Any, body: bytes = b"") -> Fields:
        """Send a POST."""
        stream_id = self._send(fields, body)
        self.conn.send_data(stream_id, body, True)
        top, _, _ = self.rig.take().partition(b"\r\n\r\n")
        self._answered()
        return own(read_fields(top.split(b"\r\n")[1:]))

    def refuse(self) -> None:
        """Try to send what may not be sent."""
        for fields, path in (([(b"x", b"a\nb")], b"/"), ([], b"a b")):
            with pytest.raises(InvalidFieldError):
                self._send(fields, b"", path)

    def _answered(self) -> None:
        events = self.rig.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        assert type(events[0]) is ev.ResponseReceived
        assert self.conn.can_send_request


SPEAKERS: list[Any] = [H2Server, H1Server, H2Client, H1Client]
MULTIPLEXING: list[Any] = [H2Server, H2Client]
