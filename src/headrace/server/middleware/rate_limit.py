"""A limit for the number of requests of one client."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from headrace.server.connection.exchange import PLAIN_TEXT
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse, Response
from headrace.server.routing.route import Next
from headrace.transport.addresses import client_network

KEPT_CLIENTS = 10_000


def client_key(request: Request) -> str:
    """Return the client's key: the address for IPv4, the /64 network for IPv6 (one customer's share), or `local`."""
    client = request.client
    return "local" if client is None else client_network(client[0])


class RateLimit:
    """Lets each client send `per_second` requests a second on average, and `burst` requests at once; more get 429.

    A client's bucket holds `burst` tokens and is refilled with time; a request takes one. The answer gives the time
    until the next token in `retry-after`, in whole seconds (RFC 6585 §4); a refused request takes none.

    `key` returns a client's key; the default is `client_key` on `request.client`, so put Forwarded before it behind a
    proxy. At most `max_clients` are remembered: the next one replaces the client that has been silent longest, whose
    bucket is the fullest. `clock` gives seconds. Each worker process counts for itself. Raises ValueError for numbers
    that would admit no request.
    """

    def __init__(
        self,
        per_second: float,
        burst: int = 1,
        *,
        key: Callable[[Request], str] = client_key,
        max_clients: int = KEPT_CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (math.isfinite(per_second) and per_second > 0):
            raise ValueError(f"per_second of a RateLimit is {per_second}; it must be above 0")
        if burst < 1 or max_clients < 1:
            raise ValueError(f"burst ({burst}) and max_clients ({max_clients}) of a RateLimit must be 1 or more")
        self._rate = per_second
        self._burst = float(burst)
        self._key = key
        self._max_clients = max_clients
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens, and the time when they were counted; the latest client stands last."""

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        """Take a token and go on, or refuse."""
        wait_s = self.take(self._key(request))
        if wait_s <= 0:
            return await following(request)
        after = (b"retry-after", b"%d" % math.ceil(wait_s))
        return Response(429, [*PLAIN_TEXT, after], b"Too Many Requests\n")

    def take(self, key: str) -> float:
        """Take a token of a client's bucket. Return 0.0 if there was one, else the seconds until there is."""
        now = self._clock()
        buckets = self._buckets
        tokens, counted = buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - counted) * self._rate)
        wait_s = 0.0
        if tokens >= 1.0:
            tokens -= 1.0
        else:
            wait_s = (1.0 - tokens) / self._rate
        buckets[key] = (tokens, max(now, counted))
        buckets.move_to_end(key)
        if len(buckets) > self._max_clients:
            buckets.popitem(last=False)
        return wait_s

    @property
    def clients(self) -> int:
        """Number of clients that are remembered now."""
        return len(self._buckets)
