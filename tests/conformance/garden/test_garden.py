"""The differential garden with the servers that need no socket; with all: `python -m tests.conformance.garden.run`."""

from __future__ import annotations

import pytest

from tests.conformance.garden.corpus import NEXT, corpus
from tests.conformance.garden.inside import Message, Reading, by_h11, by_headrace, read_reports
from tests.conformance.garden.run import Difference, compare, differences, read_inside
from tests.conformance.garden.verdicts import ALL, EXPLAINED


@pytest.fixture(scope="module")
def found() -> list[Difference]:
    return differences(read_inside())


def test_the_corpus_is_large_enough() -> None:
    assert len(corpus()) >= 150


def test_every_difference_is_explained(found: list[Difference]) -> None:
    assert [each for each in found if each.verdict is None] == []


def test_nothing_is_taken_that_every_peer_refuses(found: list[Difference]) -> None:
    refusals = [each.name for each in found if each.kind == "refused"]
    assert [name for name in set(refusals) if refusals.count(name) == 4] == []


def test_what_is_explained_is_in_the_corpus() -> None:
    names = {name for verdict in EXPLAINED for name in verdict.names}
    assert names <= set(corpus()), names - set(corpus())
    assert {peer for verdict in EXPLAINED for peer in verdict.peers} <= set(ALL.split())
    assert all("RFC" in verdict.reason for verdict in EXPLAINED)


def test_a_difference_is_seen() -> None:
    """The control: a server that took more, or read otherwise, would show."""
    one = Message("GET", "/", b"")
    refused, taken, other = (
        Reading((), "refused 400"),
        Reading((one,), "open"),
        Reading((one._replace(target="/x"),), ""),
    )
    assert [getattr(compare("n", "p", taken, theirs), "kind", None) for theirs in (refused, taken, other)] == [
        "refused", None, "otherwise",
    ]  # fmt: skip
    assert getattr(compare("n", "p", taken, Reading((), "open")), "kind", None) == "waits"


def test_readings() -> None:
    """Two sound requests are two for us and for h11; and reports are read back."""
    data = b"POST /?a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + NEXT
    messages = (Message("POST", "/?a", b"abc"), Message("GET", "/next", b""))
    assert by_headrace(data) == by_h11(data) == Reading(messages, "open")
    answers = b"HTTP/1.1 200 OK\r\nX-Report: GET /2f ."  # as the servers of peers.py write it
    assert read_reports(answers + b"\r\n\r\n.HTTP/1.1 400 Bad\r\n\r\n", True) == Reading(
        (Message("GET", "/", b""),), "refused 400"
    )
