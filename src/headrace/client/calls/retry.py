"""Decides whether a request is sent again, and after how long (RFC 9110 §9.2.2, §10.2.3). Off without a policy."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Final

from headrace.client.errors import (
    BodyConsumed,
    ConnectError,
    ConnectionLost,
    RequestError,
    RequestTimeout,
    StreamReset,
    TLSError,
    TotalTimeout,
    TruncatedBody,
)

if TYPE_CHECKING:
    from headrace.client.interface import Origin
    from headrace.client.message.base_response import BaseResponse
    from headrace.client.message.request import ClientRequest

IDEMPOTENT: Final = frozenset(("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"))
STATUSES: Final = frozenset((429, 502, 503, 504))
MAX_BUDGETS: Final = 1_024
"""Largest number of origins whose budgets are kept: as many as the pool remembers."""


class RetryBudget:
    """Limits retries to a fraction of requests, so that a service in trouble does not get more load.

    Each request adds `ratio` of a retry, up to `most`; each retry takes one. The budget begins with `most`. Several
    policies may share one budget, and all origins share it.
    """

    __slots__ = ("_left", "_most", "_ratio")

    def __init__(self, ratio: float = 0.2, most: float = 10.0) -> None:
        if ratio < 0 or most < 1:
            raise ValueError("a retry budget has a ratio of 0 or more, and holds 1 retry or more")
        self._ratio = ratio
        self._most = most
        self._left = most

    def of(self, origin: Origin) -> RetryBudget:
        """Return the budget for an origin: this one."""
        return self

    def deposit(self) -> None:
        """Count a new request."""
        self._left = min(self._left + self._ratio, self._most)

    def withdraw(self) -> bool:
        """Take one retry. Return False when there is none."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


class OriginBudgets:
    """A `RetryBudget` for each origin, so that a failing origin takes no retries of another. The 1,024 that were
    used last are kept; an origin beyond them begins anew. Several threads may use it."""

    __slots__ = ("_budgets", "_lock", "_most", "_ratio")

    def __init__(self, ratio: float = 0.2, most: float = 10.0) -> None:
        """Make budgets with this `ratio` and `most`. Raises ValueError for numbers out of range."""
        RetryBudget(ratio, most)  # raises for numbers out of range
        self._ratio = ratio
        self._most = most
        self._budgets: dict[Origin, RetryBudget] = {}
        self._lock = Lock()

    def of(self, origin: Origin) -> RetryBudget:
        """Return the budget for an origin."""
        with self._lock:
            budget = self._budgets.pop(origin, None)
            if budget is None:
                budget = RetryBudget(self._ratio, self._most)
                if len(self._budgets) >= MAX_BUDGETS:
                    del self._budgets[next(iter(self._budgets))]
            self._budgets[origin] = budget
            return budget


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The requests that are sent again, how often, and after how long. Raises ValueError for numbers out of range.

    A request is sent again when its method is in `methods` and it ended in one of `statuses`, a lost connection, a
    reset or a timeout, even after its response had begun; and with any method when the server has certainly not
    processed it. So a POST that may have been processed is sent again only if you add it to `methods`. Content that
    cannot be sent again is an exception, and so is everything after an invalid certificate.
    """

    attempts: int = 3
    """Most times that a request is sent, including the first."""
    methods: Collection[str] = IDEMPOTENT
    statuses: Collection[int] = STATUSES
    backoff_s: float = 0.25
    """Seconds before the second attempt; twice as many before each further one, up to `max_backoff_s`. The wait is a
    random part of that, so that clients do not return all at once."""
    max_backoff_s: float = 30.0
    max_retry_after_s: float = 120.0
    """A `retry-after` of more seconds than this ends the attempts."""
    budget: RetryBudget | OriginBudgets | None = field(default_factory=OriginBudgets)
    """By default each origin has a `RetryBudget` of its own; one that is given here is shared by all origins. None:
    only `attempts` is a limit."""
    random: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now: Callable[[], float] = time.time
    """Returns seconds since the epoch, for a `retry-after` that is a date."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.backoff_s < 0 or self.max_backoff_s < 0 or self.max_retry_after_s < 0:
            raise ValueError("a retry policy has at least 1 attempt, and no negative seconds")

    def begin(self, request: ClientRequest) -> None:
        """Count a new request in its budget."""
        if self.budget is not None:
            self.budget.of(request.url.origin).deposit()

    def wait_after_error(self, request: ClientRequest, error: RequestError, attempt: int) -> float | None:
        """Return the seconds to wait before attempt number `attempt` + 1 after this error, or None to give up."""
        if isinstance(error, (TLSError, TotalTimeout, BodyConsumed)):
            return None
        is_safe = error.retryable or (
            request.method in self.methods
            and isinstance(error, (ConnectError, ConnectionLost, StreamReset, RequestTimeout, TruncatedBody))
        )
        return self._wait(request, attempt, None) if is_safe else None

    def wait_after_response(self, request: ClientRequest, response: BaseResponse, attempt: int) -> float | None:
        """Return the seconds to wait before attempt number `attempt` + 1 after this response, or None to keep it."""
        if response.status not in self.statuses or request.method not in self.methods:
            return None
        return self._wait(request, attempt, self.retry_after(response.headers.get("retry-after")))

    def _wait(self, request: ClientRequest, attempt: int, asked: float | None) -> float | None:
        if attempt >= self.attempts or not request.is_replayable:
            return None
        if asked is not None and asked > self.max_retry_after_s:
            return None
        if self.budget is not None and not self.budget.of(request.url.origin).withdraw():
            return None
        longest = min(self.backoff_s * 2.0 ** min(attempt - 1, 60), self.max_backoff_s)
        return max(longest * self.random(), asked or 0.0)

    def retry_after(self, value: str | None) -> float | None:
        """Return the seconds of a `retry-after`, a number or a date (RFC 9110 §10.2.3), or None for an invalid
        value."""
        if value is None:
            return None
        value = value.strip()
        if value.isascii() and value.isdigit():
            return float(value[:18])
        try:
            return max(parsedate_to_datetime(value).timestamp() - self.now(), 0.0)
        except (TypeError, ValueError, OverflowError):
            return None
