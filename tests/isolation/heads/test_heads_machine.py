"""Property: what is read is what was meant, over any history of a connection, in both roles and both protocols.

`HEADRACE_HYPOTHESIS_EXAMPLES=5000 pytest tests/isolation/heads/test_heads_machine.py -k meant` looks further than a
test run does: 5,000 sequences for each role and protocol, 20,000 in all, of up to 50 steps each.
"""

from __future__ import annotations

from typing import Any

import hpack
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from headrace.engine import events as ev

from tests.conftest import engine_is_compiled
from tests.isolation.heads.head_model import Fields, HeadsMachine, place
from tests.isolation.heads.speakers import H1Client, H1Server, H2Client, H2Server, own
from tests.isolation.heads.weakened import WEAKENED
from tests.properties.profile import LONG, tries
from tests.support import wire
from tests.support.h1_rig import read_chunks, read_fields

BATCH = 500  # sequences after which hypothesis begins anew: what it keeps of each is 75 KB
STATUSES = [200, 200, 404, 204]
LENGTHS = ["none", "none", "right", "wrong"]
DEFAULTS = [(), ((b"server", b"s"),), ((b"date", b"1"), (b"server", b"s")), ((b"date", b"2"), (b"server", b"s"))]


def _with_length(headers: Any, length: str, size: int) -> Any:
    if length == "none":
        return headers
    pair = (b"Content-Length", b"%d" % (size if length == "right" else size + 1))
    return (*headers, pair) if isinstance(headers, tuple) else [*headers, pair]


class ServerMachine(HeadsMachine):
    """Responses, over HTTP/2."""

    def connect(self) -> None:
        self.side: Any = H2Server() if self.speaks_h2 else H1Server()
        self.default_fields: Any = ()
        self.held = []

    def request(self, headers: Any) -> int:
        """A request comes with these fields, as its peer would write them."""
        fields = [(name.lower(), value.strip()) for name, value in headers if name != b"keep-alive"]
        side = self.side
        if self.speaks_h2:
            side._stream_id += 2
            pseudo = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")]
            block = self.loose.encode([*pseudo, *fields])
            trailers = self.loose.encode(fields)
            events = side.rig.feed(
                wire.headers(side._stream_id, block), wire.headers(side._stream_id, trailers, end_stream=True)
            )
        else:
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
            head = b"GET / HTTP/1.1\r\nhost: a\r\n" + lines
            if len(fields) == 1:
                head += b"transfer-encoding: chunked\r\n\r\n0\r\n" + lines
            events = side.rig.feed(head + b"\r\n")
        (request,) = [each for each in events if type(each) is ev.RequestReceived]
        assert own([pair for pair in request.headers if pair[0] != b"host"]) == fields
        for each in events:
            if type(each) is ev.TrailersReceived:
                assert each.headers == fields
        return int(request.stream_id)

    def sections(self, stream_id: int) -> list[Fields]:
        """The field sections that were written for a request since the last call, status in front."""
        if self.speaks_h2:
            self.side.rig.take()
            taken: list[Fields] = self.side.rig.fields.pop(stream_id, [])
            return taken
        data = self.side.rig.take()
        found = []
        while data:
            if not data.startswith(b"HTTP/1.1 "):
                found.append(read_chunks(data)[1])
                break
            top, _, data = data.partition(b"\r\n\r\n")
            line, *lines = top.split(b"\r\n")
            found.append([(b":status", line[9:12]), *read_fields(lines)])
            size = dict(found[-1]).get(b"content-length")
            if size is not None and line[9:12] not in (b"204", b"304"):
                data = data[int(size) :]
        return found

    def check(self, section: Fields, status: int, expected: Fields, size: int | None) -> None:
        """Hold one section to what was meant; `size` None: the content's length was not known."""
        assert section[0] == (b":status", b"%d" % status)
        named = {name for name, _ in expected}
        added = [pair for pair in self.default_fields if status >= 200 and pair[0] not in named]
        assert own(section[1:]) == [*expected, *added]
        lengths = [value for name, value in section if name == b"content-length"]
        if size:
            assert lengths == [b"%d" % size]
        else:
            assert lengths in ([], [b"0"])

    @rule(
        at=place,
        of=place,
        status=st.sampled_from(STATUSES),
        size=st.sampled_from([0, 1, 5]),
        length=st.sampled_from(LENGTHS),
    )
    def respond(self, at: int, of: int, status: int, size: int, length: str) -> None:
        """A whole response."""
        if self.held and not self.speaks_h2:
            self.finish(at)
            if self.held:
                return
        stream_id = self.request(self.given(of))
        given = self.given(at)
        bodiless = status in (204, 304)
        expected = self.meant(given)
        if length == "wrong" and not bodiless:
            expected = None
        conn = self.side.conn
        headers = _with_length(given, "none" if bodiless else length, size)
        if self.attempt(expected, lambda: conn.send_response(stream_id, status, headers, b"x" * size)):
            (section,) = self.sections(stream_id)
            assert expected is not None
            self.check(section, status, expected, 0 if bodiless else size)
            self.last = (at, lambda: self.respond(at, of, status, size, length))
        else:
            conn.send_response(stream_id, 500, (), b"")
            assert len(self.sections(stream_id)) == 1

    @rule(at=place, of=place, hint=place, hints=st.booleans())
    def start(self, at: int, of: int, hint: int, hints: bool) -> None:
        """A response whose content follows, perhaps after an informational one."""
        if len(self.held) >= (4 if self.speaks_h2 else 1):
            return
        stream_id = self.request(self.given(of))
        conn = self.side.conn
        if hints:
            early = self.given(hint)
            told = self.meant(early)
            if self.attempt(told, lambda: conn.send_informational(stream_id, 103, early)):
                (section,) = self.sections(stream_id)
                assert told is not None
                self.check(section, 103, told, None)
        given = self.given(at)
        expected = self.meant(given)
        if self.attempt(expected, lambda: conn.send_headers(stream_id, 200, given)):
            (section,) = self.sections(stream_id)
            assert expected is not None
            self.check(section, 200, expected, None)
            self.held.append((stream_id, expected))
        else:
            conn.send_response(stream_id, 500, (), b"")
            self.sections(stream_id)

    @precondition(lambda self: self.held)
    @rule(at=place)
    def finish(self, at: int) -> None:
        """The oldest response ends with trailers."""
        stream_id, _ = self.held[0]
        given = self.given(at)
        expected = self.meant(given)
        conn = self.side.conn
        if self.attempt(expected, lambda: conn.send_trailers(stream_id, given)):
            self.held.pop(0)
            sections = self.sections(stream_id)
            assert (sections or [[]])[-1] == expected

    @rule(which=st.sampled_from(DEFAULTS))
    def defaults(self, which: Any) -> None:
        """The clock has gone on, say."""
        self.default_fields = which
        self.side.conn.set_default_fields(which)


class H1ServerMachine(ServerMachine):
    """Responses, over HTTP/1.1."""

    speaks_h2 = False


class ClientMachine(HeadsMachine):
    """Requests, over HTTP/2."""

    def connect(self) -> None:
        self.side: Any = H2Client() if self.speaks_h2 else H1Client()

    def written(self, stream_id: int) -> Fields:
        """The fields of the request, or of its trailers, that was written last."""
        if self.speaks_h2:
            self.side.rig.take()
            (section,) = self.side.rig.fields.pop(stream_id)
            return list(section)
        top, _, rest = self.side.rig.take().partition(b"\r\n\r\n")
        line, *lines = top.split(b"\r\n")
        method, path, _ = line.split(b" ")
        fields = read_fields(lines)
        self.rest = rest
        return [(b":method", method), (b":path", path), (b":authority", dict(fields)[b"host"]), *fields]

    def answer(self, stream_id: int, headers: Any, trailers: Any, hints: bool) -> None:
        """The response comes, as its peer would write it; what we make of it is what was meant."""
        fields, behind = (
            [(name.lower(), value.strip()) for name, value in each if name != b"keep-alive"]
            for each in (headers, trailers)
        )
        rig = self.side.rig
        if self.speaks_h2:
            data = []
            if hints:
                data.append(wire.headers(stream_id, self.loose.encode([(b":status", b"103"), *behind])))
            data.append(wire.headers(stream_id, self.loose.encode([(b":status", b"200"), *fields])))
            data.append(wire.headers(stream_id, self.loose.encode(behind), end_stream=True))
            events = rig.feed(*data)
        else:
            above, below = (b"".join(n + b": " + v + b"\r\n" for n, v in each) for each in (fields, behind))
            early = b"HTTP/1.1 103 Early Hints\r\n" + below + b"\r\n" if hints else b""
            final = b"HTTP/1.1 200 OK\r\n" + above + b"transfer-encoding: chunked\r\n\r\n0\r\n" + below + b"\r\n"
            events = rig.feed(early + final)
        rig.take()
        if hints:
            (told,) = [each for each in events if type(each) is ev.InformationalReceived]
            assert told.headers == behind
        (response,) = [each for each in events if type(each) is ev.ResponseReceived]
        assert [pair for pair in response.headers if pair[0] != b"transfer-encoding"] == fields
        ends = [each.headers for each in events if type(each) is ev.TrailersReceived]
        assert (ends or [[]]) == [behind]

    @rule(
        at=place,
        of=place,
        end=place,
        method=st.sampled_from([b"GET", b"POST"]),
        path=st.sampled_from([b"/", b"/a", b"/b?c", b"not a path"]),
        authority=st.sampled_from([b"a", b"b"]),
        size=st.sampled_from([-1, 0, 1, 5]),
        hints=st.booleans(),
    )
    def request(
        self, at: int, of: int, end: int, method: bytes, path: bytes, authority: bytes, size: int, hints: bool
    ) -> None:
        """A request, with content of a known length, or of an unknown one and then with trailers."""
        given = self.given(at)
        expected = self.meant(given) if path != b"not a path" else None
        conn = self.side.conn
        ids: list[int] = []

        def send() -> None:
            ids.append(
                conn.send_request(method, b"https", authority, path, given, end_stream=size == 0, content_length=size)
            )

        if not self.attempt(expected, send):
            return
        assert expected is not None
        (stream_id,) = ids
        self.last = (at, lambda: self.request(at, of, end, method, path, authority, size, hints))
        section = self.written(stream_id)
        head = dict(section)
        assert [head.get(each) for each in (b":method", b":path", b":authority")] == [method, path, authority]
        assert own(section) == expected
        assert head.get(b"content-length") == (None if size < 0 else b"%d" % size)
        if size > 0:
            conn.send_data(stream_id, b"x" * size, True)
            self.side.rig.take()
        elif size < 0:
            self._end(stream_id, end)
        self.answer(stream_id, self.given(of), self.given(end), hints)

    def _end(self, stream_id: int, end: int) -> None:
        conn = self.side.conn
        given = self.given(end)
        expected = self.meant(given)
        conn.send_data(stream_id, b"x")
        self.side.rig.take()
        if not self.attempt(expected, lambda: conn.send_trailers(stream_id, given)):
            conn.send_data(stream_id, b"", True)
            self.side.rig.take()
        elif self.speaks_h2:
            self.side.rig.take()
            assert self.side.rig.fields.pop(stream_id, [[]])[-1] == expected
        else:
            assert read_chunks(self.side.rig.take())[1] == expected


class H1ClientMachine(ClientMachine):
    """Requests, over HTTP/1.1."""

    speaks_h2 = False


MACHINES: list[Any] = [ServerMachine, H1ServerMachine, ClientMachine, H1ClientMachine]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda each: each.__name__)
def test_what_is_read_is_what_was_meant(machine: Any) -> None:
    examples = min(LONG, BATCH) or 60
    for _ in range(max(LONG // BATCH, 1)):
        run_state_machine_as_test(machine, settings=settings(tries(60), max_examples=examples))


@pytest.mark.skipif(engine_is_compiled(), reason="a compiled engine takes no other class in the place of its own")
@pytest.mark.parametrize("fault", WEAKENED)
def test_the_property_finds_a_memory_that_outlives_what_it_was_made_from(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, weakened, machine = WEAKENED[fault]
    monkeypatch.setattr(where, weakened)
    # As many as the rarest of them needs, also in `make test`.
    eager = settings(tries(300), max_examples=300, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises((AssertionError, hpack.HPACKError, ValueError, pytest.fail.Exception)):
        run_state_machine_as_test(globals()[machine], settings=eager)
