"""State races: any interleaving of a peer's frames and an application's calls, held to a simple model."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.engine import events as ev
from headrace.engine.errors import LocalError, LocalProtocolError, StreamClosedError
from headrace.engine.limits import Limits

from tests.properties.profile import tries
from tests.support import wire
from tests.support.rig import ServerRig


class ServerMachine(RuleBasedStateMachine):
    """A model with three facts a stream: has the peer ended, have we ended, is it dead."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = ServerRig(
            Limits(
                max_concurrent_streams=5, provoked_reset_burst=10_000, early_reset_burst=10_000, odd_frame_burst=10_000,
                small_data_budget=10_000_000,
            )
        )  # fmt: skip
        self.next_id = 1
        self.streams: dict[int, dict[str, bool]] = {}
        self.refused: set[int] = set()
        self.ended = False

    def live(self) -> list[int]:
        """Streams that hold a slot."""
        return [n for n, s in self.streams.items() if not s["dead"]]

    def feed(self, data: bytes) -> list[Any]:
        """Feed and book what the events say."""
        got = self.rig.feed(data)
        for event in got:
            assert not isinstance(event, ev.ConnectionEnded), event
            if isinstance(event, ev.StreamReset):
                assert not self.streams[event.stream_id]["dead"], "a dead stream died again"
                self.streams[event.stream_id]["dead"] = True
        return got

    def settle(self, stream_id: int) -> None:
        """A stream that both sides have ended is dead; an early answer ends both."""
        s = self.streams[stream_id]
        if s["we"] and not self.rig.conn.has_stream(stream_id):
            s["dead"] = True

    @rule(end=st.booleans())
    def request(self, end: bool) -> None:
        """The peer opens a stream."""
        stream_id, self.next_id = self.next_id, self.next_id + 2
        full = len(self.live()) >= 5
        # What the owner has refused since the last input comes along.
        got = [each for each in self.feed(wire.request(stream_id, end_stream=end)) if each.stream_id == stream_id]
        if full:
            self.refused.add(stream_id)
            assert [type(each) for each in got] == [ev.StreamRefused]
        else:
            assert [type(e) for e in got] == [ev.RequestReceived]
            self.streams[stream_id] = {"peer": end, "we": False, "dead": False, "head": False}

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), size=st.sampled_from([0, 1, 300]), end=st.booleans())
    def peer_data(self, data: st.DataObject, size: int, end: bool) -> None:
        """The peer sends DATA on any stream that it ever opened and did not reset."""
        stream_id = data.draw(st.sampled_from(sorted(self.streams)))
        s = self.streams[stream_id]
        if s.get("peer_reset") or (s["dead"] and s["peer"]):
            return
        got = self.feed(wire.data(stream_id, b"x" * size, end_stream=end))
        delivered = [e for e in got if isinstance(e, ev.DataReceived)]
        if s["dead"] and not s["peer"]:
            assert delivered == [] or got[-1].kind == ev.RESET
            s["peer"] = end  # it does not know yet that the stream is dead, but after its own end it sends nothing more
        if not s["dead"] and not s["peer"]:
            assert sum(len(e.data) for e in delivered) == size
            s["peer"] = s["peer"] or end
            for event in delivered:
                self.rig.conn.acknowledge_data(stream_id, event.flow_length)

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def peer_reset(self, data: st.DataObject) -> None:
        """The peer resets a live stream."""
        stream_id = data.draw(st.sampled_from(self.live()))
        self.feed(wire.rst_stream(stream_id, wire.CANCEL))
        assert self.streams[stream_id]["dead"]
        self.streams[stream_id]["peer_reset"] = True

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), step=st.sampled_from([1, 1000]))
    def peer_window(self, data: st.DataObject, step: int) -> None:
        """WINDOW_UPDATE on any stream, dead or alive, and on the connection."""
        stream_id = data.draw(st.sampled_from([0, *sorted(self.streams)]))
        self.feed(wire.window_update(stream_id, step))

    @rule(size=st.sampled_from([0, 10, 65_535]))
    def peer_settings(self, size: int) -> None:
        """INITIAL_WINDOW_SIZE moves."""
        self.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: size}))

    @precondition(lambda self: self.streams)
    @rule(data=st.data(), size=st.sampled_from([0, 5, 100_000]))
    def respond(self, data: st.DataObject, size: int) -> None:
        """The app answers a stream, dead or alive, begun or not."""
        stream_id = data.draw(st.sampled_from(sorted(self.streams)))
        s = self.streams[stream_id]
        try:
            self.rig.respond(stream_id, b"y" * size)
        except StreamClosedError:
            assert s["dead"] or s["we"]
        except LocalProtocolError:
            assert s["head"]
        else:
            assert not s["dead"] and not s["head"]
            s["we"] = s["head"] = True
        self.settle(stream_id)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), verb=st.sampled_from(["head", "data", "end", "trailers", "interim", "reset", "refuse"]))
    def app(self, data: st.DataObject, verb: str) -> None:
        """The app calls one of the other verbs."""
        stream_id = data.draw(st.sampled_from(self.live()))
        s = self.streams[stream_id]
        conn = self.rig.conn
        try:
            if verb == "head":
                conn.send_headers(stream_id, 200, [(b"a", b"b")])
                assert not s["head"]
                s["head"] = True
            elif verb == "data":
                conn.send_data(stream_id, b"z" * 500)
                assert s["head"] and not s["we"]
            elif verb == "end":
                conn.send_data(stream_id, b"z", end_stream=True)
                assert s["head"] and not s["we"]
                s["we"] = True
            elif verb == "trailers":
                conn.send_trailers(stream_id, [(b"t", b"v")])
                assert s["head"] and not s["we"]
                s["we"] = True
            elif verb == "interim":
                conn.send_informational(stream_id, 103, [])
                assert not s["head"]
            elif verb == "reset":
                conn.reset_stream(stream_id, wire.CANCEL)
                s["dead"] = True
            else:
                conn.refuse_stream(stream_id)
                s["dead"] = True
        except StreamClosedError:
            assert s["dead"] or s["we"]
        except LocalError:
            assert s["head"] or verb in ("data", "end", "trailers")
        self.settle(stream_id)

    @rule()
    def take(self) -> None:
        """The owner writes; streams may end by it."""
        self.rig.take()
        for stream_id in self.live():
            self.settle(stream_id)

    @invariant()
    def slots(self) -> None:
        """The engine holds exactly the streams that the model holds alive, within the limit."""
        for stream_id in self.live():
            self.settle(stream_id)
        assert not self.rig.conn.closed
        assert self.rig.conn.open_streams == len(self.live()) <= 5

    def teardown(self) -> None:
        """At the end: all that was written is legal, nothing follows END_STREAM or RST_STREAM on a stream."""
        self.rig.take()
        over: set[int] = set()
        for frame in self.rig.sent:
            if frame.stream_id and frame.type in (wire.DATA, wire.HEADERS):
                assert frame.stream_id not in over, f"{frame.name} on stream {frame.stream_id} after its end"
                if frame.end_stream:
                    over.add(frame.stream_id)
            elif frame.type == wire.RST_STREAM:
                over.add(frame.stream_id)
        for stream_id in self.refused:
            assert self.rig.reset_code(stream_id) == wire.REFUSED_STREAM
        self.rig.eof()
        assert self.rig.conn.open_streams == 0


ServerMachine.TestCase.settings = tries(120)
TestServerMachine = ServerMachine.TestCase
