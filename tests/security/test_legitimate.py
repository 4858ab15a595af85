"""What no defence may cut: browsers that cancel, uploads that are given up, small messages, silence.

The legitimate controls to test_exhaustion.py, against the engine in memory, with the clock turned by hand.
"""

from __future__ import annotations

from headrace.engine import events as ev

from tests.security.support import attacks
from tests.support import wire
from tests.support.rig import ServerRig


def test_a_browser_cancelling_100_of_200_images() -> None:
    """Legitimate control: 200 images, every second one cancelled after its answer began or before, within 10 s."""
    rig = ServerRig()
    stream_id = 1
    for burst in range(4):
        rig.advance(2.5)
        ids = []
        for _ in range(50):
            rig.request(stream_id, path=b"/%d.png" % stream_id)
            ids.append(stream_id)
            stream_id += 2
        for n, each in enumerate(ids):
            if n % 4 == 0:
                rig.feed(wire.rst_stream(each, wire.CANCEL))
            else:
                rig.respond(each, b"x" * 20_000)
        for n, each in enumerate(ids):
            if n % 4 == 2:
                rig.feed(wire.rst_stream(each, wire.CANCEL))
        rig.take()
        rig.feed(wire.window_update(0, 1_000_000))
        rig.take()
        assert not rig.conn.closed, burst
    assert rig.goaway_code() is None
    rig.assert_siblings_go_on()


def test_a_hundred_cancels_at_once_stay_open() -> None:
    """Legitimate control: 100 cancels before any answer, in one go (a tab is closed): the connection lives."""
    rig = ServerRig()
    rig.feed(attacks.open_streams(100))
    rig.feed(*[wire.rst_stream(1 + 2 * n, wire.CANCEL) for n in range(100)])
    assert rig.goaway_code() is None and not rig.conn.closed
    rig.assert_siblings_go_on()


def test_a_gigabyte_upload_given_up() -> None:
    """Legitimate control: an upload of 1 GB is cancelled by us midway; the DATA under way is swallowed."""
    rig = ServerRig()
    window = 1_048_576
    rig.request(1, method=b"POST", end_stream=False, extra=[(b"content-length", b"1000000000")])
    frame = wire.data(1, b"x" * 16_384)
    spent = booked = 0
    for n in range(600):
        while window - spent + booked < 16_384:
            raise AssertionError("the connection window stalls")
        for event in rig.feed(frame):
            if isinstance(event, ev.DataReceived):
                rig.conn.acknowledge_data(1, event.flow_length)
        rig.events.clear()
        spent += 16_384
        if n == 300:
            rig.conn.reset_stream(1, wire.CANCEL)
        booked += sum(f.increment for f in rig.take() if f.type == wire.WINDOW_UPDATE and f.stream_id == 0)
    assert rig.goaway_code() is None and not rig.conn.closed
    rig.assert_siblings_go_on()


def test_small_messages_at_1_khz() -> None:
    """Legitimate control: gRPC-like messages of 40 bytes, 1,000 a second for a minute, read and answered at once."""
    rig = ServerRig(settings={wire.INITIAL_WINDOW_SIZE: 2**30})
    rig.feed(wire.window_update(0, 2**30))
    rig.request(1, method=b"POST", end_stream=False)
    rig.conn.send_headers(1, 200, [])
    message = wire.data(1, b"m" * 40)
    for _ in range(60_000):
        rig.now += 0.001
        for event in rig.feed(message):
            rig.conn.acknowledge_data(1, event.flow_length)
        rig.conn.send_data(1, b"r" * 40)
        rig.conn.take_output()
        rig.events.clear()
    rig.advance(0.01)
    assert not rig.conn.closed and rig.conn.open_streams == 1


def test_window_updates_of_a_careful_client() -> None:
    """Legitimate control: a client that returns credit for each small DATA frame is no flood."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [])
    for _ in range(20_000):
        rig.now += 0.001
        rig.conn.send_data(1, b"r" * 300)
        rig.conn.take_output()
        rig.feed(wire.window_update(1, 300), wire.window_update(0, 300))
    assert not rig.conn.closed


def test_ten_idle_minutes() -> None:
    """Legitimate control: ten minutes of silence on a running request (server push of events, long poll): no cut."""
    rig = ServerRig()
    rig.request(1)
    rig.conn.send_headers(1, 200, [(b"content-type", b"text/event-stream")])
    rig.conn.send_data(1, b"data: hello\n\n")
    rig.take()
    rig.advance(600)
    assert not rig.conn.closed and rig.conn.open_streams == 1
    rig.conn.send_data(1, b"data: still here\n\n", end_stream=True)
    rig.take()
    assert bytes(rig.content[1]).endswith(b"still here\n\n")


def test_ten_minutes_of_a_busy_proxy() -> None:
    """Budgets refill with time: 5 cancels and 20 PINGs a second for ten minutes are no attack."""
    rig = ServerRig()
    stream_id = 1
    for _ in range(600):
        rig.advance(1)
        for _ in range(5):
            rig.request(stream_id)
            rig.feed(wire.rst_stream(stream_id, wire.CANCEL))
            stream_id += 2
        rig.feed(*[wire.ping()] * 20)
        rig.events.clear()
        rig.take()
        rig.sent.clear()
    assert not rig.conn.closed
