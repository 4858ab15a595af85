"""The mailbox: bounded, never makes a sender wait, and tells its reader what was lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from headrace.server.handlers.mailbox import Dropped, Mailbox, MailboxOverflow


def test_messages_come_in_order() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        assert all(mailbox.put(number) for number in range(3))
        assert [await mailbox.get() for _ in range(3)] == [0, 1, 2]
        assert mailbox.is_empty

    asyncio.run(main())


def test_a_reader_that_waits_gets_what_comes() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        reader = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        mailbox.put("late")
        assert await reader == "late"

    asyncio.run(main())


def test_the_oldest_go_when_it_is_full_and_the_reader_is_told_how_many() -> None:
    async def main() -> None:
        mailbox = Mailbox(2)
        assert all(mailbox.put(number) for number in range(5))
        assert [mailbox.take() for _ in range(3)] == [Dropped(3), 3, 4]
        for number in range(3):
            mailbox.put(number)
        assert mailbox.take() == Dropped(1)
        assert len(mailbox) == 2

    asyncio.run(main())


def test_a_mailbox_that_disconnects_is_closed_by_the_message_too_many() -> None:
    async def main() -> None:
        told: list[str] = []
        mailbox = Mailbox(2, "disconnect")
        mailbox.on_overflow = lambda: told.append("overflow")
        assert [mailbox.put(number) for number in range(4)] == [True, True, False, False]
        assert told == ["overflow"]
        assert mailbox.has_overflowed
        with pytest.raises(MailboxOverflow, match="full with 2 messages"):
            await anext(mailbox)  # what it held is forgotten

    asyncio.run(main())


def test_closing_ends_the_iteration_also_of_a_reader_that_waits() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        got: list[object] = []

        async def read() -> None:
            async for message in mailbox:
                got.append(message)

        reader = asyncio.create_task(read())
        mailbox.put(1)
        await asyncio.sleep(0)
        mailbox.close()
        mailbox.close()
        await reader
        assert got == [1]
        assert not mailbox.put(2)
        with pytest.raises(EOFError, match="it was closed"):
            await mailbox.get()

    asyncio.run(main())


def test_messages_from_other_threads() -> None:
    async def main() -> None:
        mailbox = Mailbox(1000)

        def put() -> None:
            for number in range(100):
                mailbox.put_threadsafe(number)

        threads = [threading.Thread(target=put) for _ in range(4)]
        for thread in threads:
            thread.start()
        got = [await mailbox.get() for _ in range(400)]
        for thread in threads:
            thread.join()
        assert sorted(got) == sorted([*range(100)] * 4)

    asyncio.run(main())


def test_a_mailbox_from_outside_of_a_loop_belongs_to_the_one_that_reads() -> None:
    mailbox = Mailbox()
    with pytest.raises(RuntimeError, match="outside of an event loop"):
        mailbox.put_threadsafe(1)
    mailbox.put(1)

    async def main() -> None:
        assert await mailbox.get() == 1
        reader = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(mailbox.put_threadsafe, 2)
        assert await reader == 2

    asyncio.run(main())


def test_it_has_one_reader() -> None:
    async def main() -> None:
        mailbox = Mailbox()
        first = asyncio.create_task(mailbox.get())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="only one may read it"):
            await mailbox.get()
        first.cancel()
        await asyncio.wait((first,))
        mailbox.put(1)
        assert await mailbox.get() == 1

    asyncio.run(main())


@pytest.mark.parametrize(("size", "overflow"), [(0, "drop_oldest"), (1, "block")])
def test_what_makes_no_mailbox(size: int, overflow: str) -> None:
    with pytest.raises(ValueError, match=r"at least 1 message|must be one of drop_oldest, disconnect"):
        Mailbox(size, overflow)  # type: ignore[arg-type]
