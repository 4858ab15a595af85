"""Nothing of one request reaches another: a live mixture, in which each carries its user everywhere.

The long runs are `python -m tests.isolation.mixture` and `python -m tests.isolation.client.mixture`.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.isolation import mixture
from tests.isolation.client import mixture as client_mixture
from tests.isolation.mixture import Request
from tests.support.h2_peer import Answer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("server", mixture.SERVERS, ids="-".join)
def test_nothing_crosses_between_requests(server: tuple[str, str]) -> None:
    served, wrong = asyncio.run(mixture.run(500, 1, (server,)))
    assert not wrong
    assert served.total() >= 500


def test_nothing_crosses_between_the_calls_of_one_client() -> None:
    served, wrong = asyncio.run(client_mixture.run(600, 1))
    assert not wrong
    assert served.total() >= 600


def _request(what: str) -> tuple[Request, Answer]:
    """A request of one user, and the answer that is right."""
    request = Request(random.Random(1), 0)
    request.user, request.what, request.times, request.content = "u001", what, 1, b""
    answer = Answer()
    answer.status = 200
    answer.headers = [(b"x-user", b"u001")]
    answer.body += b"|u001||u001\nu001"
    answer.trailers = [(b"x-end", b"u001")] if what == "trailers" else None
    answer.ended = True
    return request, answer


@pytest.mark.parametrize("what", ["plain", "hints", "trailers"])
def test_the_oracle_is_content_with_what_is_right(what: str) -> None:
    request, answer = _request(what)
    assert request.check("asgi", answer) == []


@pytest.mark.parametrize("part", ["informational", "headers", "body", "trailers", "missing"])
def test_the_oracle_sees_what_crossed(part: str) -> None:
    request, answer = _request("trailers")
    if part == "informational":
        answer.informational.append({b"link": b"</u002>"})
    elif part == "headers":
        answer.headers.append((b"etag", b"u002"))
    elif part == "body":
        answer.body[1:5] = b"u002"
    elif part == "trailers":
        answer.trailers = [(b"x-end", b"u002")]
    else:
        del answer.body[-4:]
    assert request.check("asgi", answer)
