"""The interface of every bus, whether its messages stay in this process or come from a broker.

`publish` and `subscribe` return at once, so that a handler can always call them. `start`, `stop`, and entering a
subscription with `async with` may wait for a broker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from headrace.server.handlers.mailbox import MAILBOX_SIZE, Mailbox, Overflow


class Bus(ABC):
    """Topics that any code can publish and subscribe to.

    A topic is text of parts separated by dots, such as `orders.eu.paid`. A subscription may end with `.*`, for all
    topics with that beginning (`orders.*` has `orders.eu` and `orders.eu.paid`, not `orders`), or be `*`, for all
    topics.
    """

    @abstractmethod
    async def start(self) -> None:
        """Make the bus ready on the running event loop. Raises OSError when a broker cannot be reached."""

    @abstractmethod
    async def stop(self) -> None:
        """End every subscription. Idempotent."""

    @abstractmethod
    def publish(self, topic: str, message: Any) -> int:
        """Give `message` to all subscribers of `topic`, and return their number in this process.

        Never waits: a slow reader loses messages or its subscription, as its mailbox says. Call it on the bus's event
        loop; from elsewhere use `publish_threadsafe`. Raises ValueError for an invalid topic.
        """

    @abstractmethod
    def publish_threadsafe(self, topic: str, message: Any) -> None:
        """Publish from any thread; the event loop does it soon. Raises RuntimeError when there is no event loop, or it
        is closed."""

    @abstractmethod
    def subscribe(
        self,
        *topics: str,
        mailbox: Mailbox | None = None,
        mailbox_size: int = MAILBOX_SIZE,
        overflow: Overflow = "drop_oldest",
    ) -> Subscription:
        """Subscribe to `topics` with `mailbox`, or with a new one of `mailbox_size` messages (see `Mailbox`).

        Lasts until the subscription is closed. Raises ValueError without a topic, or for an invalid one.
        """


class Subscription:
    """A reader's subscription to topics. `close`, or the end of a `with` or `async with`, ends it.

    Read its messages in order with `async for`; a `Dropped` among them says that earlier ones were lost. The iteration
    ends when the subscription is closed, and with MailboxOverflow when the mailbox's policy gave it up.
    """

    __slots__ = ("_leave", "_owns_mailbox", "mailbox", "topics")

    def __init__(
        self, topics: tuple[str, ...], mailbox: Mailbox, owns_mailbox: bool, leave: Callable[[Subscription], None]
    ) -> None:
        """Made by `Bus.subscribe`. `leave` is called once, when it is closed."""
        self.topics: tuple[str, ...] = topics
        self.mailbox: Mailbox = mailbox
        self._owns_mailbox = owns_mailbox
        self._leave: Callable[[Subscription], None] | None = leave

    @property
    def is_closed(self) -> bool:
        """True once no further message arrives."""
        return self._leave is None

    def close(self) -> None:
        """End the subscription. A mailbox of the caller stays open and keeps its messages. Idempotent."""
        leave = self._leave
        if leave is not None:
            self._leave = None
            leave(self)
            if self._owns_mailbox:
                self.mailbox.close("the subscription has ended")

    async def aclose(self) -> None:
        """Close it; the same method as an async generator's, so that it can replace one."""
        self.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.close()

    def __aiter__(self) -> Mailbox:
        return self.mailbox


def check_topic(topic: str, *, is_pattern: bool = False) -> None:
    """Raise ValueError unless `topic` has a name in each of its parts; a pattern may have `*` as its last one."""
    parts = topic.split(".") if isinstance(topic, str) else [""]
    if is_pattern and parts[-1] == "*":
        parts.pop()
    for part in parts:
        if not part or "*" in part:
            kind = "a topic to subscribe to" if is_pattern else "a topic"
            raise ValueError(f"{topic!r} is not {kind}: its parts have a name each, with dots between")
