"""The timeout that is over all of a request: `Timeouts.total`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from headrace.client.errors import TotalTimeout

T = TypeVar("T")


async def until(deadline: float, awaitable: Awaitable[T], url: str) -> T:
    """Await it, at most until `deadline` of the loop's clock. Raises TotalTimeout, for which it is cancelled."""
    try:
        async with asyncio.timeout_at(deadline) as limit:
            return await awaitable
    except TimeoutError as error:
        if limit.expired() and not isinstance(error, TotalTimeout):
            raise TotalTimeout("the request took longer than its timeout for all of it", url=url) from None
        raise
