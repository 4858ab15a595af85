"""Retries: which requests are sent again and after how long; tests control time, chance and sleep."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from headrace.client import (
    Client,
    ConnectError,
    ConnectionLost,
    ReadTimeout,
    RemoteProtocolError,
    Request,
    RequestError,
    RetryBudget,
    RetryPolicy,
    StreamReset,
    TLSError,
    TotalTimeout,
)
from headrace.client.calls.retry import MAX_BUDGETS, OriginBudgets

from tests.client.support.fake import Answer, FakeTransport
from tests.support.serving import Run

NOW = 1_800_000_000.0


def go(run: Run, *answers: Any, method: str = "GET", content: Any = None, **policy: Any) -> Any:
    """Return the response or the error, how often the request was sent, and the waits between."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    options: dict[str, Any] = {"random": lambda: 1.0, "sleep": sleep, "now": lambda: NOW, "budget": None, **policy}

    async def main() -> Any:
        transport = FakeTransport(*answers)
        async with Client(transport=transport, retry=RetryPolicy(**options)) as client:
            try:
                end: Any = await client.request(method, "https://example.org/", content=content)
            except RequestError as error:
                end = error
        return end, len(transport.sent), waits

    return run(main())


def test_off_by_default(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(Answer(503))
        async with Client(transport=transport) as client:
            assert (await client.get("https://example.org/")).status == 503

    run(main())


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_statuses_that_may_pass(run: Run, status: int) -> None:
    response, sent, waits = go(run, Answer(status), Answer(status), Answer(200))
    assert (response.status, sent, waits) == (200, 3, [0.25, 0.5])


@pytest.mark.parametrize("status", [200, 400, 404, 500, 501])
def test_statuses_that_do_not(run: Run, status: int) -> None:
    response, sent, _ = go(run, Answer(status))
    assert (response.status, sent) == (status, 1)


def test_the_last_attempts_answer_is_the_callers(run: Run) -> None:
    response, sent, _ = go(run, Answer(503), Answer(503), Answer(502))
    assert (response.status, sent) == (502, 3)


@pytest.mark.parametrize(
    "error",
    [ConnectError("x"), ConnectionLost("x"), StreamReset("x", code=2), ReadTimeout("x")],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_may_pass(run: Run, error: RequestError) -> None:
    response, sent, _ = go(run, error, Answer(200))
    assert (response.status, sent) == (200, 2)


@pytest.mark.parametrize(
    "error", [TLSError("x"), TotalTimeout("x"), RemoteProtocolError("x")], ids=lambda error: type(error).__name__
)
def test_errors_that_do_not(run: Run, error: RequestError) -> None:
    assert go(run, error) == (error, 1, [])


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_methods_that_may_have_been_carried_out(run: Run, method: str) -> None:
    lost = ConnectionLost("x")
    assert go(run, lost, method=method) == (lost, 1, [])
    response, sent, _ = go(run, Answer(503), method=method)
    assert (response.status, sent) == (503, 1)
    response, sent, _ = go(run, ConnectionLost("x", retryable=True), Answer(201), method=method)
    assert (response.status, sent) == (201, 2), "certainly not processed: whatever its method"
    response, sent, _ = go(run, Answer(503), Answer(200), method=method, methods={"POST", "PATCH"})
    assert (response.status, sent) == (200, 2)


def test_content_that_is_used_up_is_not_sent_again(run: Run) -> None:
    lost = ConnectionLost("x")
    assert go(run, lost, method="PUT", content=iter([b"a"])) == (lost, 1, [])
    response, sent, _ = go(run, lost, Answer(), method="PUT", content=[b"a"])
    assert (response.status, sent) == (200, 2)


@pytest.mark.parametrize(
    ("value", "waits"),
    [
        ("7", [7.0]),
        (" 0 ", [0.25]),
        (formatdate(NOW + 9, usegmt=True), [9.0]),
        (formatdate(NOW - 9, usegmt=True), [0.25]),
        ("soon", [0.25]),
        ("-1", [0.25]),
        ("1.5", [0.25]),
        ("Fri, 99 Foo 2040", [0.25]),
    ],
)
def test_retry_after(run: Run, value: str, waits: list[float]) -> None:
    assert go(run, Answer(429, [("retry-after", value)]), Answer())[1:] == (2, waits)


def test_a_retry_after_that_is_too_long_is_the_answer(run: Run) -> None:
    for value in ("121", "9" * 5000, formatdate(NOW + 500, usegmt=True)):
        response, sent, waits = go(run, Answer(503, [("retry-after", value)]))
        assert (response.status, sent, waits) == (503, 1, [])


def test_waits_double_up_to_a_limit_and_are_random_below_it(run: Run) -> None:
    answers = [Answer(503)] * 5
    assert go(run, *answers, Answer(), attempts=6, max_backoff_s=1.0)[2] == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert go(run, *answers, Answer(), attempts=6, random=lambda: 0.5)[2] == [0.125, 0.25, 0.5, 1.0, 2.0]


def test_a_budget_keeps_retries_a_fraction() -> None:
    budget = RetryBudget(ratio=0.5, most=2)
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]
    budget.deposit()
    assert not budget.withdraw()
    budget.deposit()
    assert budget.withdraw() and not budget.withdraw()
    for _ in range(100):
        budget.deposit()
    assert [budget.withdraw() for _ in range(3)] == [True, True, False]


def test_a_budget_that_is_empty_ends_it(run: Run) -> None:
    budget = RetryBudget(ratio=0.0, most=1)
    response, sent, _ = go(run, Answer(503), Answer(503), attempts=5, budget=budget)
    assert (response.status, sent) == (503, 2)


@pytest.mark.parametrize("is_shared", [False, True])
def test_each_origin_has_a_budget_of_its_own(run: Run, is_shared: bool) -> None:
    """An origin that always failed took the retries of all others. A budget that the caller gives is shared, as
    documented."""

    async def main() -> None:
        seen: set[str] = set()

        def respond(sent: Any) -> Answer:
            is_first = sent.url not in seen
            seen.add(sent.url)
            return Answer(503 if is_first or sent.origin == "https://bad.example:443" else 200)

        options: dict[str, Any] = {"budget": RetryBudget(ratio=0.0)} if is_shared else {}
        policy = RetryPolicy(backoff_s=0.0, **options)
        async with Client(transport=FakeTransport(respond=respond), retry=policy) as client:
            assert (await client.get("https://good.example/before")).status == 200
            for number in range(20):
                assert (await client.get(f"https://bad.example/{number}")).status == 503
            assert (await client.get("https://good.example/after")).status == (503 if is_shared else 200)

    run(main())


def test_budgets_of_origins_are_bounded_in_number() -> None:
    budgets = OriginBudgets(ratio=0.0, most=1)
    first = Request("GET", "https://first.example/").url.origin
    busy = Request("GET", "https://busy.example/").url.origin
    assert budgets.of(first).withdraw() and budgets.of(busy).withdraw()
    for number in range(MAX_BUDGETS + 10):
        budgets.of(Request("GET", f"https://h{number}.example/").url.origin)
        assert not budgets.of(busy).withdraw(), "what is used is kept"
    assert len(budgets._budgets) == MAX_BUDGETS
    assert budgets.of(first).withdraw(), "what was used longest ago was forgotten"
    with pytest.raises(ValueError, match="retry budget"):
        OriginBudgets(most=0)


def test_numbers_out_of_range() -> None:
    for wrong in ({"attempts": 0}, {"backoff_s": -1}, {"max_retry_after_s": -1}):
        with pytest.raises(ValueError, match="retry policy"):
            RetryPolicy(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="retry budget"):
        RetryBudget(most=0)


def test_for_one_request(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(Answer(503), Answer(200), Answer(503))
        async with Client(transport=transport) as client:
            policy = RetryPolicy(backoff_s=0.0)
            assert (await client.get("https://a.example/", retry=policy)).status == 200
            client.retry = policy
            assert (await client.get("https://a.example/", retry=None)).status == 503
            assert client.retry is policy

    run(main())
