"""RateLimit: buckets that are filled by a clock that is turned by hand."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Request, Response, Route, Router
from headrace.server.middleware import Forwarded, RateLimit
from headrace.server.middleware.rate_limit import client_key

from tests.support.requests import answer, fields, request


class Hand:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def app(limit: RateLimit) -> Router:
    return Router([Route("/", lambda _: Response(200))], middleware=[limit])


def ask(router: Router, host: str = "192.0.2.1") -> int:
    status: int = answer(router, request(peer=(host, 1))).status
    return status


def test_a_burst_then_so_many_a_second() -> None:
    clock = Hand()
    router = app(RateLimit(2.0, burst=3, clock=clock))
    assert [ask(router) for _ in range(5)] == [200, 200, 200, 429, 429]
    clock.now += 0.49
    assert ask(router) == 429
    clock.now += 0.01
    assert [ask(router), ask(router)] == [200, 429]
    clock.now += 1000.0
    assert [ask(router) for _ in range(4)] == [200, 200, 200, 429]


def test_retry_after_says_when() -> None:
    clock = Hand()
    router = app(RateLimit(0.1, clock=clock))
    assert ask(router) == 200
    refused = answer(router, request())
    assert (refused.status, fields(refused)["retry-after"], refused.body) == (429, "10", b"Too Many Requests\n")
    clock.now += 9.5
    refused = answer(router, request())
    assert fields(refused)["retry-after"] == "1"  # rounded up: 0 would ask for another refusal
    clock.now += 0.5
    assert ask(router) == 200


def test_clients_have_buckets_of_their_own() -> None:
    router = app(RateLimit(1.0, clock=Hand()))
    assert [ask(router, host) for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.2")] == [200, 200, 429, 429]


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::"),
        (("2001:db8:1:2:ffff::", 1), "2001:db8:1:2::"),
        (("fe80::1%eth0", 1), "fe80::"),
        (("testclient", 1), "testclient"),
        (None, "local"),
    ],
)
def test_who_a_client_is(peer: Any, key: str) -> None:
    assert client_key(request(peer=peer)) == key


def test_behind_a_proxy_the_client_counts() -> None:
    limit = RateLimit(1.0, clock=Hand())
    router = Router([Route("/", lambda _: Response(200))], middleware=[Forwarded(["10.0.0.0/8"]), limit])

    def asked(client: str) -> int:
        headers = [("x-forwarded-for", client)]
        status: int = answer(router, request(peer=("10.0.0.1", 1), headers=headers)).status
        return status

    assert [asked("192.0.2.1"), asked("192.0.2.2"), asked("192.0.2.1")] == [200, 200, 429]


def test_a_key_of_ones_own() -> None:
    def key(request: Request) -> str:
        return request.header("x-api-key") or ""

    router = app(RateLimit(1.0, key=key, clock=Hand()))
    statuses = [answer(router, request(headers=[("x-api-key", each)])).status for each in "aba"]
    assert statuses == [200, 200, 429]


def test_the_number_of_clients_is_bounded_and_the_longest_silent_is_forgotten() -> None:
    clock = Hand()
    limit = RateLimit(0.001, max_clients=100, clock=clock)
    router = app(limit)
    for number in range(1000):
        clock.now += 0.001
        assert ask(router, f"192.0.{number // 250}.{number % 250}") == 200
        assert ask(router, "198.51.100.1") == (200 if number == 0 else 429)  # asks on, and is remembered
    assert limit.clients == 100


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    clock = Hand()
    router = app(RateLimit(1.0, clock=clock))
    assert ask(router) == 200
    clock.now -= 100.0
    assert ask(router) == 429
    clock.now += 101.0
    assert ask(router) == 200  # and takes nothing away


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"per_second": 0}, "per_second of a RateLimit is 0; it must be above 0"),
        ({"per_second": float("nan")}, "per_second of a RateLimit is nan"),
        ({"per_second": 1, "burst": 0}, r"burst \(0\) and max_clients \(10000\) of a RateLimit must be 1 or more"),
        ({"per_second": 1, "max_clients": 0}, r"max_clients \(0\)"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        RateLimit(**options)
