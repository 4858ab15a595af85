"""The bus within a process: who gets what, once, in order, and at what cost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.bus import LocalBus
from headrace.server.handlers.mailbox import Dropped, Mailbox, MailboxOverflow


def test_a_message_reaches_all_who_subscribe() -> None:
    async def main() -> None:
        bus = LocalBus()
        with bus.subscribe("a") as one, bus.subscribe("a", "b") as two:
            assert [bus.publish("a", 1), bus.publish("b", 2), bus.publish("c", 3)] == [2, 1, 0]
            assert [one.mailbox.take()] == [1]
            assert [two.mailbox.take(), two.mailbox.take()] == [1, 2]
            assert one.mailbox.is_empty
        assert bus.publish("a", 4) == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("orders.*", "orders.eu", True),
        ("orders.*", "orders.eu.paid", True),
        ("orders.eu.*", "orders.eu.paid", True),
        ("orders.*", "orders", False),
        ("orders.*", "ordersx.eu", False),
        ("orders.us.*", "orders.eu.paid", False),
        ("orders", "orders.eu", False),
        ("*", "orders.eu", True),
        ("*", "orders", True),
    ],
)
def test_patterns(pattern: str, topic: str, matches: bool) -> None:
    async def main() -> None:
        bus = LocalBus()
        with bus.subscribe(pattern) as subscription:
            assert bus.publish(topic, 1) == matches
            assert len(subscription.mailbox) == matches
        assert bus.publish(topic, 2) == 0

    asyncio.run(main())


def test_what_matches_twice_comes_once() -> None:
    async def main() -> None:
        bus = LocalBus()
        with bus.subscribe("a.b", "a.*", "*", "a.b") as subscription:
            assert bus.publish("a.b", 1) == 1
            assert len(subscription.mailbox) == 1

    asyncio.run(main())


def test_messages_are_iterated_over_until_the_subscription_ends() -> None:
    async def main() -> None:
        bus = LocalBus()
        got: list[Any] = []

        async def read() -> None:
            async with bus.subscribe("a") as messages:
                async for message in messages:
                    got.append(message)

        reader = asyncio.create_task(read())
        await asyncio.sleep(0)
        for number in range(3):
            bus.publish("a", number)
        while len(got) < 3:
            await asyncio.sleep(0)
        await bus.stop()
        await reader
        assert got == [0, 1, 2]
        assert bus.publish("a", 4) == 0

    asyncio.run(main())


def test_a_slow_reader_is_bounded_and_told_and_the_others_do_not_notice() -> None:
    async def main() -> None:
        bus = LocalBus()
        slow, strict, quick = (
            bus.subscribe("a", mailbox_size=2),
            bus.subscribe("a", mailbox_size=2, overflow="disconnect"),
            bus.subscribe("a", mailbox_size=100),
        )
        assert [bus.publish("a", number) for number in range(5)] == [3, 3, 2, 2, 2]
        assert [slow.mailbox.take() for _ in range(3)] == [Dropped(3), 3, 4]
        with pytest.raises(MailboxOverflow):
            await strict.mailbox.get()
        assert [quick.mailbox.take() for _ in range(5)] == [0, 1, 2, 3, 4]

    asyncio.run(main())


def test_a_mailbox_of_ones_own_stays_open() -> None:
    async def main() -> None:
        bus = LocalBus()
        mailbox = Mailbox()
        first, second = bus.subscribe("a", mailbox=mailbox), bus.subscribe("b", mailbox=mailbox)
        bus.publish("a", 1)
        first.close()
        first.close()
        assert (first.is_closed, second.is_closed) == (True, False)
        bus.publish("a", 2)
        bus.publish("b", 3)
        assert [mailbox.take(), mailbox.take()] == [1, 3]
        assert mailbox.is_empty

    asyncio.run(main())


def test_from_other_threads() -> None:
    async def main() -> None:
        bus = LocalBus()
        with pytest.raises(RuntimeError, match="no event loop yet"):
            bus.publish_threadsafe("a", 0)
        await bus.start()
        async with bus.subscribe("a") as messages:

            def publish() -> str:
                bus.publish_threadsafe("a", 1)
                with pytest.raises(RuntimeError, match="use publish_threadsafe"):
                    bus.publish("a", 2)
                with pytest.raises(RuntimeError):
                    bus.subscribe("a")
                return "done"

            assert await asyncio.to_thread(publish) == "done"
            assert await messages.mailbox.get() == 1

    asyncio.run(main())


def test_a_bus_serves_one_event_loop_after_another() -> None:
    bus = LocalBus()

    async def main() -> None:
        with bus.subscribe("a") as subscription:
            assert bus.publish("a", 1) == 1
            assert subscription.mailbox.take() == 1

    asyncio.run(main())
    asyncio.run(main())


def test_a_subscriber_that_leaves_while_messages_go_out() -> None:
    async def main() -> None:
        bus = LocalBus()
        mailbox = Mailbox(1, "disconnect")
        leaving, staying = bus.subscribe("a", mailbox=mailbox), bus.subscribe("a")
        mailbox.on_overflow = leaving.close
        assert [bus.publish("a", number) for number in range(3)] == [2, 1, 1]
        assert (leaving.is_closed, len(staying.mailbox)) == (True, 3)

    asyncio.run(main())


def test_publishing_makes_no_task() -> None:
    async def main() -> None:
        bus = LocalBus()
        subscriptions = [bus.subscribe("a") for _ in range(1000)]
        before = asyncio.all_tasks()
        assert bus.publish("a", 1) == 1000
        assert asyncio.all_tasks() == before
        assert all(len(each.mailbox) == 1 for each in subscriptions)
        await bus.stop()
        assert all(each.is_closed for each in subscriptions)

    asyncio.run(main())


@pytest.mark.parametrize("topic", ["", ".", "a.", ".a", "a..b", "*", "a.*", "a.*.b", "a*"])
def test_what_is_no_topic(topic: str) -> None:
    async def main() -> None:
        bus = LocalBus()
        await bus.start()
        with bus.subscribe("*"):
            for publish in (bus.publish, bus.publish_threadsafe):
                with pytest.raises(ValueError, match="is not a topic"):
                    publish(topic, 1)

    asyncio.run(main())


@pytest.mark.parametrize("topics", [(), ("",), ("a", "b."), ("a.*.b",), ("a*",), ("*.a",), ("**",)])
def test_what_cannot_be_subscribed_to(topics: tuple[str, ...]) -> None:
    async def main() -> None:
        bus = LocalBus()
        with pytest.raises(ValueError, match=r"no topic to subscribe to|is not a topic to subscribe to"):
            bus.subscribe(*topics)
        assert bus.publish("a", 1) == 0

    asyncio.run(main())


def test_a_bus_belongs_to_one_event_loop_at_a_time() -> None:
    """A second loop, as of another thread, is refused while the first one lives; a loop that has ended is replaced."""
    bus = LocalBus()

    async def publish() -> int:
        return bus.publish("news", "x")

    async def subscribe() -> None:
        async with bus.subscribe("news"):
            pass

    loop = asyncio.new_event_loop()
    loop.run_until_complete(subscribe())
    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(subscribe())
    loop.close()
    asyncio.run(subscribe())
    assert asyncio.run(publish()) == 0
