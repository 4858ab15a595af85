"""The timeout of a whole request: `Timeouts.total`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from headrace.client.errors import TotalTimeout

T = TypeVar("T")


async def await_until(deadline: float, awaitable: Awaitable[T], url: str) -> T:
    """Await until `deadline` on the event loop's clock at the latest. Raises TotalTimeout, and cancels the
    awaitable."""
    try:
        async with asyncio.timeout_at(deadline) as limit:
            return await awaitable
    except TimeoutError as error:
        if limit.expired() and not isinstance(error, TotalTimeout):
            raise TotalTimeout("the request took longer than its total timeout", url=url) from None
        raise
