"""A bounded queue of messages for one consumer, which never makes a sender wait.

One policy handles a consumer that is slower than its senders: it loses the oldest messages and gets their number
(`Dropped`), or the mailbox is closed (`overflow="disconnect"`). So one slow reader costs a bounded amount of memory,
and no sender has to know.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from headrace.transport.log import get_logger

Overflow = Literal["drop_oldest", "disconnect"]

MAILBOX_SIZE: Final = 128
error_log: Final = get_logger("headrace.error")
OVERFLOWS: Final = ("drop_oldest", "disconnect")


@dataclass(frozen=True, slots=True)
class Dropped:
    """Stands in a mailbox in front of the remaining messages after others were lost, because it was full."""

    count: int
    """Number of messages that were lost since the last `Dropped`."""


class MailboxOverflow(Exception):
    """A mailbox with the policy `disconnect` was full when one more message came: its consumer is too slow."""


class Mailbox:
    """Messages of any kind, in order, for one consumer.

    Holds at most `size` messages. When one more comes, `overflow` decides: with `drop_oldest` the oldest is lost, and
    the consumer gets a `Dropped` with the number first; with `disconnect` the mailbox is closed, and the consumer gets
    MailboxOverflow. Raises ValueError for a size below 1 or another policy.

    It belongs to the event loop on which it is made or first read; from other threads use `put_threadsafe`. One
    consumer takes messages with `async for`, or a LoopResponse does.
    """

    __slots__ = (
        "_dropped",
        "_loop",
        "_messages",
        "_waiter",
        "closed",
        "has_overflowed",
        "on_overflow",
        "overflow",
        "size",
    )

    def __init__(self, size: int = MAILBOX_SIZE, overflow: Overflow = "drop_oldest") -> None:
        if size < 1:
            raise ValueError(f"a mailbox holds at least 1 message, not {size}")
        if overflow not in OVERFLOWS:
            raise ValueError(f"overflow is {overflow!r}; it must be one of {', '.join(OVERFLOWS)}")
        self.size: int = size
        self.overflow: Overflow = overflow
        self.closed: str | None = None
        """The reason why it takes no more messages; None while it does."""
        self.has_overflowed: bool = False
        """True once the policy `disconnect` has closed it."""
        self.on_overflow: Callable[[], None] | None = None
        """Called once when the policy `disconnect` closes the mailbox, from within `put`; an exception that it raises
        is logged."""
        self._messages: deque[Any] = deque()
        self._dropped = 0
        self._waiter: asyncio.Future[None] | None = None
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def __len__(self) -> int:
        return len(self._messages)

    # -- putting in --------------------------------------------------------------------------------------------

    def put(self, message: Any) -> bool:
        """Add a message. Never waits. Return False if the mailbox is closed, or is closed by this message."""
        if self.closed is not None:
            return False
        messages = self._messages
        if len(messages) >= self.size:
            if self.overflow == "disconnect":
                self._give_up()
                return False
            messages.popleft()
            self._dropped += 1
        messages.append(message)
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)
        return True

    def put_threadsafe(self, message: Any) -> None:
        """Add a message from any thread. Raises RuntimeError if no event loop is known yet, or if it has ended."""
        if self._loop is None:
            raise RuntimeError("this mailbox was made outside of an event loop, and was not read from yet")
        self._loop.call_soon_threadsafe(self.put, message)

    def close(self, reason: str = "it was closed") -> None:
        """Take no more messages, and drop those that are here. The consumer's `async for` ends. Idempotent."""
        if self.closed is None:
            self.closed = reason
        self._messages.clear()
        self._dropped = 0
        self.wake()

    def _give_up(self) -> None:
        self.has_overflowed = True
        self.close(f"it was full with {self.size} messages")
        if self.on_overflow is not None:
            try:
                self.on_overflow()
            except Exception:  # the sender may have other mailboxes to reach
                error_log.exception("the on_overflow of a mailbox failed")

    # -- taking out --------------------------------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Return True if there is nothing to take."""
        return not self._messages and not self._dropped

    def take(self) -> Any:
        """Return the oldest message, or a `Dropped` if some were lost before it. Raises IndexError if there is none."""
        if self._dropped:
            dropped = Dropped(self._dropped)
            self._dropped = 0
            return dropped
        return self._messages.popleft()

    def waiter(self) -> asyncio.Future[None]:
        """Return a future that is done when a message comes or the mailbox is closed.

        Raises RuntimeError for a second reader.
        """
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("another task already waits for this mailbox; only one may read it")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiter = waiter
        return waiter

    def wake(self) -> None:
        """Let the reader look again."""
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def get(self) -> Any:
        """Wait for the next message, or a `Dropped`, and return it. Raises MailboxOverflow, and EOFError once it is
        closed."""
        while self.is_empty:
            if self.closed is not None:
                if self.has_overflowed:
                    raise MailboxOverflow(f"the mailbox's reader is too slow: {self.closed}")
                raise EOFError(f"the mailbox is closed: {self.closed}")
            await self.waiter()
        return self.take()

    def __aiter__(self) -> Mailbox:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.get()
        except EOFError:
            raise StopAsyncIteration from None
