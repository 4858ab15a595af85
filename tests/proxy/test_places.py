"""How places are shared out, without a network."""

from __future__ import annotations

import asyncio

import pytest

from headrace.client.errors import PoolTimeout
from headrace.proxy.places import Hold, UpstreamPlaces

from tests.support.serving import Run


def taking(places: UpstreamPlaces, connection: str, address: str = "a") -> asyncio.Task[Hold]:
    return asyncio.ensure_future(places.take(connection, address, None, ""))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_place_at_least_in_order_and_none_is_left_over(run: Run) -> None:
    async def main() -> None:
        places = UpstreamPlaces(lambda: 1, 0.25, 0.5)
        tasks = [taking(places, "c") for _ in range(4)]
        await turns()
        assert [task.done() for task in tasks] == [True, False, False, False]
        tasks[1].cancel()
        tasks[0].result().give_back()
        tasks[0].result().give_back()  # a second time is nothing
        await turns()
        assert [task.done() for task in tasks] == [True, True, True, False]
        tasks[2].result().give_back()
        (await tasks[3]).give_back()
        assert (places.held, places.waiting, places.visitors) == (0, 0, 0)

    run(main())


def test_connections_of_an_address_take_turns(run: Run) -> None:
    async def main() -> None:
        places = UpstreamPlaces(lambda: 4, 0.5, 0.5)
        first = [await taking(places, "c") for _ in range(2)]
        waiting = [taking(places, "c") for _ in range(3)]
        await turns()
        other = taking(places, "d")
        elsewhere = await taking(places, "e", "b")
        await turns()
        first[0].give_back()
        await turns()
        assert other.done() != waiting[0].done()
        first[1].give_back()
        await turns()
        assert other.done() and waiting[0].done() and not waiting[1].done()
        for each in (other, *waiting):
            (await each).give_back()
        elsewhere.give_back()
        assert (places.held, places.waiting, places.visitors) == (0, 0, 0)

    run(main())


def test_an_address_that_is_not_known_has_no_share(run: Run) -> None:
    async def main() -> None:
        places = UpstreamPlaces(lambda: 4, 0.25, 0.5)
        holds = [await taking(places, str(number), "") for number in range(4)]
        assert places.held == 4
        for hold in holds:
            hold.give_back()
        assert places.visitors == 0

    run(main())


def test_a_place_that_is_given_to_one_who_has_just_gone_comes_back(run: Run) -> None:
    async def main() -> None:
        places = UpstreamPlaces(lambda: 1, 1.0, 1.0)
        hold = await taking(places, "c")
        task = taking(places, "c")
        await turns()
        hold.give_back()  # to the task, which does not know yet
        assert places.held == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (places.held, places.waiting, places.visitors) == (0, 0, 0)

    run(main())


def test_who_gives_up_leaves_nothing(run: Run) -> None:
    async def main() -> None:
        places = UpstreamPlaces(lambda: 2, 1.0, 0.5)
        hold = await taking(places, "c")
        gone = taking(places, "d")
        await turns()
        gone.cancel()
        await turns()
        with pytest.raises(PoolTimeout):
            await places.take("e", "a", 0.01, "")
        hold.give_back()
        assert (places.held, places.waiting, places.visitors) == (0, 0, 0)

    run(main())


def test_a_response_that_nobody_sends_gives_its_place_back(run: Run) -> None:
    async def main() -> None:
        places = UpstreamPlaces(lambda: 2, 1.0, 1.0)
        hold = await places.take("c", "a", None, "")
        assert places.held == 1
        del hold
        await turns()
        assert (places.held, places.visitors) == (0, 0)

    run(main())
