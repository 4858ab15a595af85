"""The pool's policy for WebSockets and tunnels, and for connections that serve several origins or come back."""

from __future__ import annotations

import pytest

from headrace.client.pool.place import CONNECT, WEBSOCKET

from tests.client.support.pool_model import PLAIN, A, B, C, FakeMember, Rig


@pytest.mark.parametrize(
    ("takes", "opened"),
    [
        (True, []),  # it goes over HTTP/2
        (False, ["http/1.1"]),  # RFC 8441 is not offered
        (None, []),  # the server's SETTINGS decide
    ],
)
def test_how_a_websocket_finds_its_connection(takes: bool | None, opened: list[str]) -> None:
    rig = Rig()
    rig.ask()
    member = rig.succeed(FakeMember(takes_websockets=takes))
    rig.ask(kind=WEBSOCKET)
    assert [step.protocols for step in rig.opening] == opened
    assert len(member.live) == (2 if takes else 1)


def test_requests_do_not_wait_for_a_websocket_that_waits() -> None:
    rig = Rig()
    rig.ask(kind=WEBSOCKET)
    rig.ask(count=3)
    member = rig.succeed(FakeMember(takes_websockets=None))
    assert len(member.live) == 3 and rig.pool.waiting == 1
    member.takes_websockets = False
    rig.serve(rig.pool.place(A))
    assert [step.protocols for step in rig.opening] == ["http/1.1"]
    spare = rig.succeed(FakeMember("1.1"))
    assert len(spare.live) == 1 and rig.pool.waiting == 0
    rig.ask()
    assert len(member.live) == 4, "a connection for a WebSocket is not for requests"


def test_a_websocket_takes_its_turn_where_it_can_go_where_requests_go() -> None:
    rig = Rig(max_h2_connections_per_origin=1)
    rig.ask()
    member = rig.succeed(FakeMember(capacity=1))
    kinds = [0, WEBSOCKET, 0]
    tickets = [rig.ask(kind=kind)[0] for kind in kinds]
    for _ in range(3):
        rig.end(member)
    assert [ticket for ticket, _ in rig.began[1:]] == tickets


def test_a_websocket_over_http_1_takes_its_connection_and_does_not_count_against_the_limit() -> None:
    rig = Rig(max_h1_connections_per_origin=1)
    rig.ask(PLAIN, WEBSOCKET)
    tunnel = rig.succeed(FakeMember("1.1"))
    rig.ask(PLAIN)
    assert len(rig.opening) == 1 and rig.pool.open == 2
    rig.succeed(FakeMember("1.1"))
    tunnel.live.clear()  # the server refused it
    rig.pool.return_connection(tunnel)
    rig.ask(PLAIN)
    assert len(tunnel.live) == 1


def test_a_connection_that_comes_back_after_its_origin_was_forgotten_is_found_again() -> None:
    rig = Rig()
    rig.ask(PLAIN, CONNECT)
    member = rig.succeed(FakeMember("1.1"))
    assert PLAIN not in rig.pool.places, "a tunnel is nobody's connection"
    rig.ask(PLAIN)
    other = rig.succeed(FakeMember("1.1"))
    member.live.clear()
    rig.pool.return_connection(member)
    rig.ask(PLAIN)
    assert len(member.live) == len(other.live) == 1


def test_without_http_1_a_websocket_that_http_2_does_not_take_is_refused() -> None:
    rig = Rig(http1=False)
    ticket = rig.ask(kind=WEBSOCKET)[0]
    rig.succeed(FakeMember(takes_websockets=False))
    assert rig.refused == [ticket] and not rig.opening and not rig.pool.waiting


def test_a_failed_connection_for_a_websocket_fails_that_websocket_alone() -> None:
    rig = Rig(max_h2_connections_per_origin=1)
    rig.ask()
    rig.succeed(FakeMember(capacity=1, takes_websockets=False))
    rig.ask()
    first, second = rig.ask(kind=WEBSOCKET, count=2)
    assert len(rig.opening) == 2
    assert rig.fail() == [first]
    assert rig.pool.waiting == 2 and second in rig.pool.place(A).tunnels


def test_a_failed_connection_for_a_websocket_that_has_given_up_fails_nobody() -> None:
    rig = Rig()
    (request,) = rig.ask()
    rig.succeed(FakeMember(takes_websockets=False))
    (websocket,) = rig.ask(kind=WEBSOCKET)
    assert rig.give_up(websocket) and [step.is_spare for step in rig.opening] == [True]
    assert rig.fail() == [] and rig.pool.waiting == 0 and rig.began == [(request, rig.began[0][1])]
    rig.ask(kind=WEBSOCKET)
    assert [step.is_spare for step in rig.opening] == [True], "the next one tries again"


def test_a_connection_is_given_up_only_by_origins_that_borrow_it() -> None:
    """Its own origin keeps it, and for one that is lost there is nothing to give up."""
    rig = Rig()
    rig.ask(A)
    member = rig.succeed(FakeMember())
    rig.ask(B)
    rig.pool.shared(rig.opening.pop(), member)
    for origin in (A, C):
        rig.pool.unshare(rig.pool.place(origin), member)
    rig.ask(A)
    rig.ask(B)
    assert not rig.opening and rig.pool.open == 1
    borrower = rig.pool.place(B)
    rig.go_away(member)
    rig.pool.unshare(borrower, member)
    rig.lose(member)
    rig.pool.unshare(borrower, member)
    rig.ask(B)
    assert [step.place.origin for step in rig.opening] == [B]


@pytest.mark.parametrize("end", ["lose", "go_away"])
def test_a_connection_that_ended_meanwhile_does_not_come_back(end: str) -> None:
    """A WebSocket was refused on it, and the server has closed it: the next request gets another one."""
    rig = Rig()
    rig.ask(PLAIN, CONNECT)
    member = rig.succeed(FakeMember("1.1"))
    member.live.clear()
    getattr(rig, end)(member)
    rig.pool.return_connection(member)
    rig.ask(PLAIN)
    assert not member.live and len(rig.opening) == 1


def test_a_connection_comes_back_once() -> None:
    rig = Rig(max_h1_connections_per_origin=1)
    rig.ask(PLAIN, CONNECT)
    member = rig.succeed(FakeMember("1.1"))
    member.live.clear()
    for _ in range(2):
        rig.pool.return_connection(member)
    rig.ask(PLAIN, count=2)
    assert len(member.live) == 1 and rig.pool.waiting == 1
    rig.go_away(member)
    assert len(rig.opening) == 1, "nothing of it is left"
