"""The loop response, through real sockets: messages in, content out, and every way that it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.bus import LocalBus
from headrace.server.handlers.loop import STOP, Drain, Idle, LoopResponse
from headrace.server.handlers.mailbox import Dropped, Mailbox
from headrace.server.handlers.request import Request

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, serving, settled

pytestmark = pytest.mark.smoke

INTERNAL_ERROR = 2
CANCEL = 8


async def echo(message: Any, push: Any, state: Any) -> Any:
    if message == "stop":
        return STOP
    await push(f"{message};".encode())
    return None


class Loops:
    """An application of one loop response, and what became of it."""

    def __init__(self, on_message: Any = echo, **options: Any) -> None:
        self.on_message = on_message
        self.options = options
        self.mailboxes: list[Mailbox] = []
        self.ends: list[tuple[str, Any]] = []

    async def __call__(self, request: Request) -> LoopResponse:
        headers = [(b"x-kind", b"loop")]
        response = LoopResponse(
            200, headers, self.on_message, request.path, on_end=lambda *end: self.ends.append(end), **self.options
        )
        self.mailboxes.append(response.mailbox)
        return response

    def put(self, *messages: Any) -> None:
        for each in messages:
            self.mailboxes[0].put(each)


def test_messages_become_content_until_one_says_stop(run: Run) -> None:
    app = Loops()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/here")
            answer = await peer.started(stream_id)
            assert (answer.status, answer.header(b"x-kind"), bytes(answer.body)) == (200, b"loop", b"")
            app.put(1, 2)
            await peer.until(lambda: answer.body == b"1;2;")
            await asyncio.to_thread(app.mailboxes[0].put_threadsafe, 3)
            await peer.until(lambda: answer.body == b"1;2;3;")
            app.put("stop", 4)
            await peer.over(stream_id)
            assert (bytes(answer.body), answer.ended, answer.reset) == (b"1;2;3;", True, None)
            assert app.ends == [("stopped", "/here")]
            assert not app.mailboxes[0].put(5)

    run(main())


def test_on_start_pushes_first_and_may_stop(run: Run) -> None:
    async def on_start(mailbox: Mailbox, push: Any, state: Any) -> Any:
        await push(b"hello;")
        mailbox.put("from the start")
        return STOP if state == "/once" else None

    app = Loops(on_start=on_start)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/once")).body == b"hello;"
            stream_id = peer.open("/more")
            await peer.until(lambda: peer.answers[stream_id].body == b"hello;from the start;")
            app.mailboxes[1].put("stop")
            assert (await peer.over(stream_id)).ended

    run(main())


def test_plain_functions_serve_too(run: Run) -> None:
    seen: list[Any] = []

    def on_message(message: Any, push: Any, state: Any) -> Any:
        seen.append(message)
        return STOP if message == "stop" else None

    app = Loops(on_message, on_start=lambda mailbox, push, state: None)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            app.put("go", "stop")
            assert (await peer.over(stream_id)).body == b""
            assert seen == ["go", "stop"]

    run(main())


def test_an_idle_loop_has_no_task_beyond_its_worker(run: Run) -> None:
    app = Loops()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            await peer.ping()
            before = len(asyncio.all_tasks())
            ids = [peer.open("/") for _ in range(20)]
            for each in ids:
                await peer.started(each)
            assert len(asyncio.all_tasks()) == before + 20
            for mailbox in app.mailboxes:
                mailbox.put("stop")
            for each in ids:
                await peer.over(each)
            await settled(lambda: len(asyncio.all_tasks()) == before)

    run(main())


@pytest.mark.parametrize("leaves", ["reset", "close"])
def test_a_client_that_goes_ends_the_loop_and_it_is_told(run: Run, leaves: str) -> None:
    app = Loops()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            if leaves == "reset":
                peer.reset(stream_id)
            else:
                peer.writer.transport.abort()
            await settled(lambda: live_handlers(server) == 0)
            assert app.ends == [("disconnected", "/")]
            assert not app.mailboxes[0].put("too late")

    run(main())


def test_a_client_that_goes_is_noticed_also_where_it_cancels_nothing(run: Run) -> None:
    app = Loops()

    async def handler(request: Request) -> LoopResponse:
        request.cancel_on_disconnect = False
        return await app(request)

    async def main() -> None:
        async with serving(handler) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            peer.reset(stream_id)
            await settled(lambda: live_handlers(server) == 0)
            assert app.ends == [("disconnected", "/")]

    run(main())


def test_waiting_leaves_nothing_behind(run: Run) -> None:
    app = Loops()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            for number in range(10):
                app.put(number)
                await peer.until(lambda number=number: answer.body.endswith(b"%d;" % number))  # type: ignore[misc]
            assert server.service is not None
            (driver,) = server.service.drivers
            exchange: Any = next(iter(driver.live.values()))
            assert len(exchange.waiters or ()) == 1
            app.put("stop")
            await peer.over(stream_id)

    run(main())


def test_a_client_that_goes_while_a_message_is_worked_on(run: Run) -> None:
    """Work that is not a wait for the client is cancelled."""
    working = asyncio.Event()

    async def on_message(message: Any, push: Any, state: Any) -> None:
        working.set()
        await asyncio.Event().wait()

    app = Loops(on_message)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            app.put(1)
            await working.wait()
            peer.reset(stream_id)
            await settled(lambda: live_handlers(server) == 0)
            assert app.ends == [("disconnected", "/")]

    run(main())


def test_a_drain_ends_idle_loops_at_once(run: Run) -> None:
    app = Loops()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            server.begin_drain()
            answer = await peer.over(stream_id)
            assert (answer.ended, answer.reset) == (True, None)
            await peer.until_closed()
            await server.wait_closed()
            assert app.ends == [("drained", "/")]

    run(main())


def test_a_drain_is_told_with_its_deadline_and_the_loop_says_goodbye(run: Run) -> None:
    told: list[Any] = []

    async def on_notice(notice: Any, push: Any, state: Any) -> Any:
        told.append(notice)
        await push(b"going;")

    app = Loops(on_notice=on_notice)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            now = asyncio.get_running_loop().time()
            server.begin_drain()
            await peer.until(lambda: peer.answers[stream_id].body == b"going;")
            assert isinstance(told[0], Drain)
            assert told[0].deadline > now
            app.put("last", "stop")
            answer = await peer.over(stream_id)
            assert (bytes(answer.body), answer.ended) == (b"going;last;", True)
            assert len(told) == 1

    run(main())


def test_a_loop_that_does_not_end_is_ended_by_the_drain(run: Run) -> None:
    app = Loops(on_notice=lambda notice, push, state: None)

    async def main() -> None:
        async with serving(app, limits={"drain_timeout_s": 0.1}) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            server.begin_drain()
            assert (await peer.over(stream_id)).reset == CANCEL
            await server.wait_closed()
            assert len(app.ends) == 1

    run(main())


def test_a_slow_client_loses_the_oldest_and_the_loop_is_told(run: Run) -> None:
    """The mailbox is all that a client costs which does not read."""
    notices: list[Any] = []
    piece = bytes(40_000)
    taken: list[int] = []

    async def on_message(message: Any, push: Any, state: Any) -> Any:
        taken.append(message)
        await push(piece)
        return STOP if message == 999 else None

    app = Loops(on_message, mailbox_size=4, on_notice=lambda notice, push, state: notices.append(notice))

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            for number in range(1000):
                app.put(number)
                await asyncio.sleep(0)
            assert len(app.mailboxes[0]) == 4
            peer.conn.increment_flow_control_window(2**24)
            peer.conn.increment_flow_control_window(2**24, stream_id)
            peer.flush()
            await peer.over(stream_id)
            assert answer.ended
            (dropped,) = notices
            assert isinstance(dropped, Dropped)
            assert taken[-4:] == [996, 997, 998, 999]
            assert len(taken) + dropped.count == 1000
            assert len(answer.body) == len(taken) * len(piece)

    run(main())


def test_a_slow_client_is_given_up_when_the_policy_says_so(run: Run) -> None:
    async def on_message(message: Any, push: Any, state: Any) -> None:
        await push(bytes(40_000))

    app = Loops(on_message, mailbox_size=4, overflow="disconnect")

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            for number in range(20):
                app.put(number)
                await asyncio.sleep(0)
            assert (await peer.over(stream_id)).reset == CANCEL
            await settled(lambda: live_handlers(server) == 0)
            assert app.ends == [("overflowed", "/")]

    run(main())


def test_a_mailbox_that_overflowed_before_the_answer_began(run: Run) -> None:
    app = Loops(mailbox_size=1, overflow="disconnect")

    async def handler(request: Request) -> LoopResponse:
        response = await app(request)
        app.put(1, 2)
        return response

    async def main() -> None:
        async with serving(handler) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).reset == CANCEL
            assert app.ends == [("overflowed", "/")]

    run(main())


def test_closing_the_mailbox_ends_the_response(run: Run) -> None:
    app = Loops()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            app.mailboxes[0].close()
            assert (await peer.over(stream_id)).ended
            assert app.ends == [("stopped", "/")]

    run(main())


def test_silence_is_told(run: Run) -> None:
    notices: list[Any] = []

    async def on_notice(notice: Any, push: Any, state: Any) -> Any:
        notices.append(notice)
        await push(b".")
        return STOP if len(notices) == 3 else None

    app = Loops(on_notice=on_notice, idle_s=0.001)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).body == b"..."
            assert notices == [Idle()] * 3

    run(main())


@pytest.mark.parametrize(
    ("on_message", "said"),
    [
        (lambda message, push, state: 1 // 0, "ZeroDivisionError"),
        (lambda message, push, state: "more", "on_message returns None to go on or STOP to end the response, not str"),
        (lambda message, push, state: push("text"), "push takes bytes, not str"),
    ],
    ids=["raises", "returns nonsense", "pushes nonsense"],
)
def test_a_loop_that_fails_resets_its_stream_only(
    run: Run, on_message: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Loops(on_message)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            failing, sibling = peer.open("/"), peer.open("/sibling")
            await peer.started(failing)
            await peer.started(sibling)
            app.put(1)
            assert (await peer.over(failing)).reset == INTERNAL_ERROR
            assert app.ends == [("failed", "/")]
            app.mailboxes[1].close()
            assert (await peer.over(sibling)).ended

    run(main())
    (line,) = [each for each in caplog.records if each.name == "headrace.error"]
    assert "GET / " in line.getMessage()
    assert line.exc_info is not None
    assert said in f"{type(line.exc_info[1]).__name__}: {line.exc_info[1]}"


def test_head_gets_the_headers_and_no_loop(run: Run) -> None:
    app = Loops()

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/", "HEAD")
            assert (answer.status, answer.header(b"x-kind"), bytes(answer.body)) == (200, b"loop", b"")
            assert app.ends == [("stopped", "/")]

    run(main())


def test_topics_of_a_bus_are_subscribed_to_while_it_runs(run: Run) -> None:
    bus = LocalBus()
    app = Loops(topics=["news", "sport.*"], bus=bus)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            answer = await peer.started(stream_id)
            assert [bus.publish(topic, topic) for topic in ("news", "sport.golf", "weather")] == [1, 1, 0]
            await peer.until(lambda: answer.body == b"news;sport.golf;")
            assert bus.publish("news", "stop") == 1
            await peer.over(stream_id)
            assert bus.publish("news", "nobody is there") == 0

    run(main())


def test_one_loop_answers_one_request(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    response = LoopResponse(on_message=echo)
    response.mailbox.put("stop")

    async def main() -> None:
        async with serving(lambda request: response) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 200
            assert (await peer.get("/")).status == 500

    run(main())
    assert "answers one request" in caplog.text


def test_many_messages_at_once_leave_others_their_turn(run: Run) -> None:
    """A loop that puts into its own mailbox would otherwise keep the event loop for itself."""

    async def on_message(message: Any, push: Any, state: Any) -> None:
        app.put(message + 1)

    app = Loops(on_message)

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.started(stream_id)
            app.put(0)
            await peer.ping()
            app.mailboxes[0].close()
            assert (await peer.over(stream_id)).ended

    run(main())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_message": None}, "needs on_message"),
        ({"topics": ["a"]}, "no bus"),
        ({"topics": "a", "bus": LocalBus()}, "not one text"),
        ({"idle_s": 0}, "above 0"),
    ],
)
def test_what_makes_no_loop_response(options: dict[str, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        LoopResponse(**{"on_message": echo, **options})
