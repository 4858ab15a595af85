"""Busy lawful peers, by the clock: what each of them sends in an hour, at the engine in memory.

A script is told by one function a peer; test_hours.py has the table. Requests and responses are real, time is an
argument. Frames that take long to make are made once. Rates are those of the peers where a budget is near; where none
is, they are thinned out, so that an hour takes seconds.

`lawless` is the control: the same frames, but at one moment, and nothing of the work that they came with is done.
"""

from __future__ import annotations

from typing import Any

from headrace.client.connection.owner import CLIENT_LIMITS
from headrace.engine import events as ev
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits

from tests.support import wire

HOUR = 3_600.0
GRPC = [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
GET = wire.literals(wire.request_fields())
CALL = wire.literals(wire.request_fields(method=b"POST", extra=GRPC))
OK = wire.literal(b":status", b"200")
MESSAGE = b"\0\0\0\0\x14" + b"m" * 20
LARGE_WINDOWS = {wire.INITIAL_WINDOW_SIZE: 2**30}


def call_of(timeout: bytes) -> bytes:
    """A call's fields with a deadline."""
    return CALL + wire.literal(b"grpc-timeout", timeout)


class Sim:
    """A connection, its peer's frames, and a clock. `cut` counts what the connection ended of its own accord."""

    conn: Any

    def __init__(self, lawless: bool) -> None:
        self.lawless = lawless
        self.now = 0.0
        self.cut = 0
        self.steps = 1
        """Waits that are left to the control, for which no time passes."""
        self.why: list[str] = []

    @property
    def is_over(self) -> bool:
        """Tell whether the hour is, or the connection."""
        return self.now >= HOUR or bool(self.conn.closed) or self.steps <= 0

    def feed(self, *data: bytes) -> list[Any]:
        """The peer sends."""
        if self.conn.closed:
            return []
        events = list(self.conn.receive_data(b"".join(data), self.now))
        for event in events:
            self._note(event)
        return events

    def _note(self, event: Any) -> None:
        if isinstance(event, ev.StreamReset) and event.initiator == "local":
            self.cut += 1
            self.why.append(event.reason)
        elif isinstance(event, ev.PeerFault):
            self.why.append(event.reason)
        elif isinstance(event, ev.DataReceived) and self.reads:
            self.conn.acknowledge_data(event.stream_id, event.flow_length)

    reads = True
    """Whether content is read as it comes."""

    def out(self) -> None:
        """Everything that is to be written is, and read by the peer."""
        while self.conn.take_output(now=self.now):
            pass
        for event in self.conn.take_events():
            self._note(event)

    def wait(self, seconds: float) -> None:
        """Time passes, and every deadline is kept; not in the control."""
        self.out()
        if self.lawless:
            self.steps -= 1
            return
        until = self.now + seconds
        while self.conn.deadline <= until and not self.conn.closed:
            self.now = max(self.now, self.conn.deadline)
            for event in self.conn.handle_deadline(self.now):
                self._note(event)
        self.now = until
        self.out()


class ServerSim(Sim):
    """Our server."""

    def __init__(self, lawless: bool = False, settings: dict[int, int] | None = None, limits: Limits | None = None):
        super().__init__(lawless)
        self.conn = ServerConnection(limits, now=0.0)
        self.next_id = 1
        self.feed(wire.client_preface(LARGE_WINDOWS if settings is None else settings), wire.settings_ack())
        self.feed(wire.window_update(0, 2**30))
        self.out()

    def request(self, block: bytes = GET, *, end: bool = True) -> int:
        """A request comes; returns its stream."""
        stream_id = self.next_id
        self.next_id += 2
        self.feed(wire.headers(stream_id, block, end_stream=end))
        return stream_id

    def respond(self, stream_id: int, body: bytes = b"x") -> None:
        """The application answers at once, in one piece; not in the control."""
        if not self.lawless and self.conn.has_stream(stream_id):
            self.conn.send_response(stream_id, 200, (), body)

    def begin(self, stream_id: int) -> None:
        """A response of messages begins; not in the control."""
        if not self.lawless:
            self.conn.send_headers(stream_id, 200, ((b"content-type", b"application/grpc"),))

    def say(self, stream_id: int, message: bytes = MESSAGE) -> None:
        """A message of it; not in the control."""
        if not self.lawless and self.conn.has_stream(stream_id):
            self.conn.send_data(stream_id, message)

    def end(self, stream_id: int) -> None:
        """Its trailers; not in the control."""
        if not self.lawless and self.conn.has_stream(stream_id):
            self.conn.send_trailers(stream_id, ((b"grpc-status", b"0"),))

    def cancel(self, *streams: int) -> None:
        """The client resets streams."""
        self.feed(*[wire.rst_stream(each, wire.CANCEL) for each in streams])


class ClientSim(Sim):
    """Our client."""

    def __init__(self, lawless: bool = False, settings: dict[int, int] | None = None):
        super().__init__(lawless)
        self.conn = ClientConnection(CLIENT_LIMITS, now=0.0)
        self.out()
        self.feed(wire.settings(LARGE_WINDOWS if settings is None else settings), wire.settings_ack())
        self.feed(wire.window_update(0, 2**30))
        self.one = 0
        self.out()

    def send(self, *, end: bool = True) -> int:
        """Send a request; in the control there is one for all."""
        if self.conn.closed or (self.lawless and self.one and self.conn.has_stream(self.one)):
            return self.one
        self.one = int(self.conn.send_request(b"GET", b"https", b"example.com", b"/", (), end_stream=end))
        return self.one

    def respond(self, stream_id: int, *content: bytes) -> None:
        """A whole response comes; not in the control."""
        if not self.lawless:
            frames = [wire.data(stream_id, each, end_stream=each is content[-1]) for each in content]
            self.feed(wire.headers(stream_id, OK, end_stream=not content), *frames)


# -- at our server ---------------------------------------------------------------------------------------------


def grpc_core_deadlines(sim: ServerSim) -> None:
    """grpc-core, grpc.aio: unary calls; six times a backend hangs for 10 s, and all calls run into 200 ms."""
    unary, hasty = call_of(b"1S"), call_of(b"200m")
    unrelated = sim.request(CALL)
    sim.begin(unrelated)
    while not sim.is_over:
        for _ in range(8):
            stream_id = sim.request(unary, end=False)
            sim.feed(wire.data(stream_id, MESSAGE, end_stream=True))
            sim.begin(stream_id)
            sim.say(stream_id)
            sim.end(stream_id)
        sim.feed(wire.window_update(0, 200), wire.ping())  # BDP
        sim.say(unrelated)
        sim.wait(1.0)
        if int(sim.now) % 600 == 300:
            for _ in range(50):
                streams = [sim.request(hasty) for _ in range(95)]
                sim.wait(0.2)
                sim.cancel(*streams)


def grpc_go_bandwidth(sim: ServerSim) -> None:
    """grpc-go: messages of 20 bytes, a WINDOW_UPDATE and a PING for each that it reads, SETTINGS as windows grow."""
    stream_id = sim.request(CALL)
    sim.begin(stream_id)
    for n in range(16):
        sim.feed(wire.settings({wire.INITIAL_WINDOW_SIZE: 2**16 << min(n, 8)}))
    while not sim.is_over:
        for n in range(4_000):  # at 2,000 a second, for two seconds in each five minutes
            sim.say(stream_id)
            sim.feed(wire.window_update(0, 25), wire.ping(n.to_bytes(8, "big")))
            sim.wait(0.0005)
        sim.wait(298.0)


def grpc_client_streams(sim: ServerSim) -> None:
    """Calls of client streaming: bursts of 300 messages of 20 bytes that wait for the handler, pauses of a minute."""
    sim.reads = False
    streams = [sim.request(CALL, end=False) for _ in range(5)]
    while not sim.is_over:
        owed: dict[int, int] = {}
        for stream_id in streams:
            for _ in range(6):
                for event in sim.feed(wire.data(stream_id, MESSAGE) * 50):
                    if isinstance(event, ev.DataReceived):
                        owed[event.stream_id] = owed.get(event.stream_id, 0) + event.flow_length
        sim.wait(0.5)
        if not sim.lawless:
            for stream_id, size in owed.items():
                sim.conn.acknowledge_data(stream_id, size)
        sim.wait(59.5)


def grpc_java_keepalive(sim: ServerSim) -> None:
    """grpc-java, Netty: a PING every 10 s, one call a minute with a deadline of 30 s, some of them taken back."""
    while not sim.is_over:
        stream_id = sim.request(call_of(b"30S"))
        for _ in range(6):
            sim.wait(10.0)
            sim.feed(wire.ping())
        if stream_id % 3:
            sim.respond(stream_id)
        else:
            sim.cancel(stream_id)


def hedged_calls(sim: ServerSim) -> None:
    """Hedging through one proxy: three attempts at once, two taken back within 3 ms; 300 calls a second at times."""
    while not sim.is_over:
        for _ in range(300 if int(sim.now) % 300 == 0 else 3):
            attempts = [sim.request(CALL) for _ in range(3)]
            sim.wait(0.003)
            sim.respond(attempts[1])
            sim.cancel(attempts[0], attempts[2])
        sim.wait(1.0)


def envoy_mesh(sim: ServerSim) -> None:
    """Envoy: a try has 250 ms, which a tenth does not keep; of the users behind it one in twenty goes at any time."""
    hasty = GET + wire.literal(b"x-envoy-expected-rq-timeout-ms", b"250")
    while not sim.is_over:
        busy = int(sim.now) % 120 < 2
        streams = [sim.request(hasty) for _ in range(90 if busy else 10)]
        sim.cancel(*streams[::20])
        for n, stream_id in enumerate(streams):
            if n % 10 != 5 and n % 20:
                sim.respond(stream_id)
        sim.wait(0.25)
        sim.cancel(*streams[5::10])
        sim.wait(0.0 if busy else 1.75)


def nghttpx_users(sim: ServerSim) -> None:
    """nghttpx before many users: uploads that are given up, downloads that are, and one user whose requests are bad."""
    bad = GET + wire.literal(b"connection", b"close")
    while not sim.is_over:
        for n in range(20):
            stream_id = sim.request(bad if n == 7 else CALL, end=n % 4 != 0)
            if n % 4 == 0:
                sim.feed(wire.data(stream_id, bytes(1_000)))
            if n in (4, 8):
                sim.cancel(stream_id)
            elif n != 7:
                sim.respond(stream_id, bytes(2_000))
                sim.feed(wire.window_update(0, 2_000))
                if n == 12:
                    sim.feed(wire.data(stream_id, bytes(200)) * 20)  # under way when it was answered
        sim.cut = 0  # those bad requests
        sim.wait(1.0)


def haproxy_pieces(sim: ServerSim) -> None:
    """HAProxy: reads in pieces as its own client does, and gives credit for each piece twice."""
    while not sim.is_over:
        stream_id = sim.request(GET)
        sim.begin(stream_id)
        for _ in range(60):
            sim.say(stream_id, bytes(300))
            sim.out()
            sim.feed(wire.window_update(stream_id, 300), wire.window_update(0, 300))
        sim.end(stream_id)
        sim.wait(3.0)


def chromium_scrolling(sim: ServerSim) -> None:
    """Chromium: 60 images in four seconds, reprioritised as they come in sight; half of them cancelled by scrolling."""
    while not sim.is_over:
        streams = [sim.request(GET) for _ in range(60)]
        for stream_id in streams:
            sim.feed(wire.priority_update(stream_id, b"u=3, i"), wire.priority_update(stream_id, b"u=1, i"))
        sim.wait(0.05)
        sim.cancel(*streams[::2])
        for stream_id in streams[1::2]:
            sim.respond(stream_id, bytes(5_000))
        sim.feed(wire.window_update(0, 150_000), wire.ping())
        sim.wait(3.95)


def firefox_pages(sim: ServerSim) -> None:
    """Firefox: PRIORITY frames for groups and for each request, a page in five seconds, a PING in 58."""
    while not sim.is_over:
        sim.feed(*[wire.priority(2**30 + 1 + 2 * n, 0, 200) for n in range(6)])
        for n in range(40):
            stream_id = sim.request(GET)
            sim.feed(wire.priority(stream_id, 0, n), wire.priority(stream_id, 0, n + 1))
            sim.respond(stream_id, bytes(3_000))
            sim.feed(wire.window_update(0, 3_000))
        sim.feed(wire.ping())
        sim.wait(5.0)


def long_polls(sim: ServerSim) -> None:
    """90 long polls of 25 s; half are answered, the others taken back and asked again."""
    while not sim.is_over:
        streams = [sim.request(GET) for _ in range(90)]
        sim.wait(25.0)
        for stream_id in streams[::2]:
            sim.respond(stream_id)
        sim.cancel(*streams[1::2])


def search_as_you_type(sim: ServerSim) -> None:
    """Each key takes back the search of the one before, after 120 ms; every tenth is answered. Ten users."""
    while not sim.is_over:
        for n in range(10):
            streams = [sim.request(GET) for _ in range(3)]
            sim.wait(0.12)
            if n == 9:
                sim.respond(streams[0])
            sim.cancel(*streams)
        sim.wait(4.0)


def small_writes(sim: ServerSim) -> None:
    """An upload in writes of 40 bytes, 500 a second for a while, which the handler reads every half second."""
    sim.reads = False
    while not sim.is_over:
        stream_id = sim.request(CALL, end=False)
        for _ in range(10):
            owed = 0
            for event in sim.feed(wire.data(stream_id, b"w" * 40) * 250):
                owed += event.flow_length if isinstance(event, ev.DataReceived) else 0
            sim.wait(0.5)
            if not sim.lawless:
                sim.conn.acknowledge_data(stream_id, owed)
        sim.feed(wire.data(stream_id, b"", end_stream=True))
        sim.respond(stream_id)
        sim.wait(55.0)


def watches(sim: ServerSim) -> None:
    """50 watches that last for the hour, as Kubernetes has them: an event in half a minute, a keep-alive PING."""
    streams = [sim.request(GET) for _ in range(50)]
    for stream_id in streams:
        sim.begin(stream_id)
    while not sim.is_over:
        for stream_id in streams:
            sim.say(stream_id, b"event: " + bytes(300))
        sim.feed(wire.ping(), wire.window_update(0, 15_000))
        sim.wait(30.0)


def busy_places(sim: ServerSim) -> None:
    """Handlers that are slow to end: calls are taken back after a second, and new ones refused for want of a place."""
    while not sim.is_over:
        streams = [sim.request(CALL) for _ in range(80)]
        for stream_id in streams[40:]:
            sim.conn.refuse_stream(stream_id)
        sim.wait(1.0)
        sim.cancel(*streams[:40])
        sim.wait(2.0)


def much_metadata(sim: ServerSim) -> None:
    """A mesh with 120 fields a call; one caller in twenty has far too many."""
    usual = CALL + b"".join(wire.literal(b"x-metadata-%d" % n, b"some value") for n in range(120))
    large = CALL + b"".join(wire.literal(b"x-metadata-%d" % n, b"some value") for n in range(600))
    while not sim.is_over:
        for n in range(20):
            block = large if n == 3 else usual
            stream_id = sim.next_id
            sim.next_id += 2
            parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
            sim.feed(wire.headers(stream_id, parts[0], end_stream=True, end_headers=len(parts) == 1))
            for m, part in enumerate(parts[1:], 2):
                sim.feed(wire.continuation(stream_id, part, end_headers=m == len(parts)))
            sim.respond(stream_id)
        sim.wait(20.0)


# -- at our client ---------------------------------------------------------------------------------------------


def early_hints(sim: ClientSim) -> None:
    """103 twice ahead of each response, 2,000 a second at times."""
    hint = OK.replace(b"200", b"103") + wire.literal(b"link", b"</style.css>")
    while not sim.is_over:
        for _ in range(2_000 if int(sim.now) % 600 == 0 else 4):
            stream_id = sim.send()
            sim.feed(wire.headers(stream_id, hint) * 2)
            sim.respond(stream_id)
        sim.wait(1.0)


def processing(sim: ClientSim) -> None:
    """102 every five seconds on 90 requests that take five minutes."""
    step = OK.replace(b"200", b"102")
    while not sim.is_over:
        streams = [sim.send() for _ in range(90)]
        for _ in range(60):
            sim.feed(*[wire.headers(each, step) for each in streams])
            sim.wait(5.0)
        for stream_id in streams:
            sim.respond(stream_id, b"done")


def server_streams(sim: ClientSim) -> None:
    """Ten streams of messages of 20 bytes, 2,000 messages at once, read half a second later."""
    sim.reads = False
    streams = [sim.send() for _ in range(10)]
    sim.feed(*[wire.headers(each, OK) for each in streams])
    while not sim.is_over:
        owed: dict[int, int] = {}
        for stream_id in streams:
            for _ in range(10):
                for event in sim.feed(wire.data(stream_id, MESSAGE) * 20):
                    if isinstance(event, ev.DataReceived):
                        owed[event.stream_id] = owed.get(event.stream_id, 0) + event.flow_length
        sim.wait(0.5)
        if not sim.lawless:
            for stream_id, size in owed.items():
                sim.conn.acknowledge_data(stream_id, size)
        sim.feed(wire.ping())
        sim.wait(59.5)


def overloaded_server(sim: ClientSim) -> None:
    """A server that refuses and resets 60 requests a second, and changes its limit of streams every second."""
    while not sim.is_over:
        streams = [sim.send() for _ in range(15)]
        sim.feed(*[wire.rst_stream(each, wire.REFUSED_STREAM if n % 2 else 2) for n, each in enumerate(streams)])
        sim.feed(wire.settings({wire.MAX_CONCURRENT_STREAMS: 90 + int(sim.now) % 10}))
        sim.wait(1.0)


def hedging_client(sim: ClientSim) -> None:
    """We take back half of our requests while their responses are under way, in small frames; 500 a second at times."""
    while not sim.is_over:
        for _ in range(500 if int(sim.now) % 300 == 0 else 5):
            kept, taken_back = sim.send(), sim.send()
            if not sim.lawless:
                sim.conn.reset_stream(taken_back, wire.CANCEL)
            sim.out()
            sim.respond(kept, b"first")
            late = [wire.data(taken_back, b"late" * 5) * 5, wire.rst_stream(taken_back, 0)]
            sim.feed(wire.headers(taken_back, OK), *late)
        sim.wait(1.0)


def bandwidth_of_our_uploads(sim: ClientSim) -> None:
    """grpc-go as a server: a PING and a WINDOW_UPDATE for each message that we send, 2,000 a second at times."""
    stream_id = sim.send(end=False)
    while not sim.is_over:
        for n in range(4_000):
            if not sim.lawless:
                sim.conn.send_data(stream_id, MESSAGE)
            sim.feed(wire.window_update(0, 25), wire.ping(n.to_bytes(8, "big")))
            sim.wait(0.0005)
        sim.wait(298.0)
