"""The bus within one process: a table of topics, and no task of its own."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from headrace.bus.interface import Bus, Subscription, check_topic
from headrace.server.handlers.mailbox import MAILBOX_SIZE, Mailbox, Overflow

# A dict as a set that keeps its order: the first subscriber gets a message first.
Subscribers = dict[Subscription, None]


class LocalBus(Bus):
    """A bus that reaches the subscribers of this process, on one event loop.

    It belongs to the event loop on which it is first used or started, and raises RuntimeError when `publish` or
    `subscribe` is called in another thread. A message is passed on without a copy: do not change it afterwards.
    Publishing costs one entry in each subscriber's mailbox; a topic without subscribers costs nothing.
    """

    def __init__(self) -> None:
        self._exact: dict[str, Subscribers] = {}
        self._below: dict[str, Subscribers] = {}
        """Subscribers of patterns, by the text before the `*`."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    async def start(self) -> None:
        """Bind the bus to the running event loop. Not needed: the first subscription does it, too."""
        self._bind()

    async def stop(self) -> None:
        """End every subscription, and forget the event loop."""
        for table in (self._exact, self._below):
            for subscribers in list(table.values()):
                for each in list(subscribers):
                    each.close()
        self._loop = None
        self._thread = 0

    def publish(self, topic: str, message: Any) -> int:
        """Put `message` into the mailboxes of all subscribers of `topic`; see `Bus.publish`."""
        exact = self._exact.get(topic)
        if exact is None or self._below:
            check_topic(topic)
        if self._thread and threading.get_ident() != self._thread:
            raise RuntimeError("publish was called in another thread than the bus's; there, use publish_threadsafe")
        reached = 0
        for each in list(exact or ()) if not self._below else self._subscribers(topic):
            if each.mailbox.put(message):
                reached += 1
        return reached

    def publish_threadsafe(self, topic: str, message: Any) -> None:
        """Publish from any thread; see `Bus.publish_threadsafe`."""
        check_topic(topic)
        if self._loop is None:
            raise RuntimeError("the bus has no event loop yet; start it, or subscribe, in the loop's thread first")
        self._loop.call_soon_threadsafe(self.publish, topic, message)

    def subscribe(
        self,
        *topics: str,
        mailbox: Mailbox | None = None,
        mailbox_size: int = MAILBOX_SIZE,
        overflow: Overflow = "drop_oldest",
    ) -> Subscription:
        """Subscribe from now on; see `Bus.subscribe`. A message that matches several `topics` comes once."""
        if not topics:
            raise ValueError("there is no topic to subscribe to")
        for topic in topics:
            check_topic(topic, is_pattern=True)
        self._bind()
        owned = mailbox if mailbox is not None else Mailbox(mailbox_size, overflow)
        subscription = Subscription(topics, owned, mailbox is None, self._leave)
        for topic in topics:
            table, key = self._place(topic)
            table.setdefault(key, {})[subscription] = None
        return subscription

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None or self._loop.is_closed():
            self._loop = loop
            self._thread = threading.get_ident()
        elif self._loop is not loop:
            raise RuntimeError("the bus belongs to another event loop")

    def _place(self, topic: str) -> tuple[dict[str, Subscribers], str]:
        return (self._below, topic[:-1]) if topic.endswith("*") else (self._exact, topic)

    def _subscribers(self, topic: str) -> Subscribers:
        """Return all subscribers of `topic`, by name or by a pattern: one look-up for each of its parts."""
        found = dict(self._exact.get(topic, ()))
        end = len(topic)
        while (end := topic.rfind(".", 0, end)) >= 0:
            found.update(self._below.get(topic[: end + 1], ()))
        found.update(self._below.get("", ()))
        return found

    def _leave(self, subscription: Subscription) -> None:
        for topic in subscription.topics:
            table, key = self._place(topic)
            subscribers = table.get(key)
            if subscribers is not None:
                subscribers.pop(subscription, None)
                if not subscribers:
                    del table[key]
