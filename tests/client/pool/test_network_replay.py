"""Requests are sent again only when the server has certainly not processed them, or the method allows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.client.errors import BodyConsumed, ConnectionLost, StreamReset

from tests.client.support.network_rig import H2C, ask, fetch, network, server_tls, trusting
from tests.client.support.peer import H1Peer, H2Peer, listening
from tests.client.support.rig import Pieces, settled
from tests.support import wire
from tests.support.serving import Run


def test_refused_stream_is_sent_again(run: Run) -> None:
    """RFC 9113 §8.7."""

    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port, "/x", "POST", b"content")))
            peer: H2Peer = await server.accepted()
            first = await peer.whole_request()
            peer.send(wire.rst_stream(first.stream_id, wire.REFUSED_STREAM))
            second = await peer.whole_request()
            assert second.path == b"/x" and second.content == b"content" and second.stream_id > first.stream_id
            peer.respond(second.stream_id, b"done")
            assert await task == b"done"

    run(main())


def test_it_is_not_sent_again_for_ever(run: Run) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C, max_replays=3) as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            peer: H2Peer = await server.accepted()
            for _ in range(4):
                request = await peer.request()
                peer.send(wire.rst_stream(request.stream_id, wire.REFUSED_STREAM))
            with pytest.raises(StreamReset, match="REFUSED_STREAM") as caught:
                await task
            assert caught.value.retryable and len(peer.requests) == 4

    run(main())


@pytest.mark.parametrize("code", [wire.CANCEL, wire.INTERNAL_ERROR, wire.NO_ERROR, wire.ENHANCE_YOUR_CALM])
def test_any_other_reset_is_not(run: Run, code: int) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            peer: H2Peer = await server.accepted()
            request = await peer.request()
            peer.send(wire.rst_stream(request.stream_id, code))
            with pytest.raises(StreamReset) as caught:
                await task
            assert not caught.value.retryable and len(peer.requests) == 1

    run(main())


def test_goaway_above_the_last_id_is_sent_again_elsewhere_and_below_it_finishes(run: Run) -> None:
    """RFC 9113 §6.8."""

    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, f"/{number}"))) for number in range(3)]
            old: H2Peer = await server.accepted()
            requests = [await old.request() for _ in range(3)]
            old.send(wire.goaway(requests[0].stream_id))
            new: H2Peer = await server.accepted()
            again = [await new.request(), await new.request()]
            assert [each.path for each in again] == [b"/1", b"/2"]
            for each in again:
                new.respond(each.stream_id, b"new")
            old.respond(requests[0].stream_id, b"old")
            assert await asyncio.gather(*tasks) == [b"old", b"new", b"new"]
            assert len(old.requests) == 3 and len(new.requests) == 2

    run(main())


def test_a_lost_connection_is_an_error_for_what_may_have_been_processed(run: Run) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            peer: H2Peer = await server.accepted()
            await peer.request()
            peer.drop()
            with pytest.raises(ConnectionLost, match="before the response came") as caught:
                await task
            assert not caught.value.retryable and len(server.peers) == 1

    run(main())


def test_content_that_can_be_opened_again_is(run: Run) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            content = Pieces([b"one", b"two"])
            task = asyncio.create_task(fetch(transport, ask(server.port, "/", "POST", content)))
            peer: H2Peer = await server.accepted()
            request = await peer.whole_request()
            peer.send(wire.rst_stream(request.stream_id, wire.REFUSED_STREAM))
            request = await peer.whole_request()
            assert bytes(request.content) == b"onetwo" and content.opened == 2
            peer.respond(request.stream_id, b"done")
            assert await task == b"done"

    run(main())


def test_content_that_was_not_begun_can_be_sent_even_if_only_once(run: Run) -> None:
    """A request that was refused while it waited for its 100 (Continue) has not touched its content."""

    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            content = Once()
            outgoing = ask(server.port, "/", "POST", content, headers=[(b"expect", b"100-continue")])
            task = asyncio.create_task(fetch(transport, outgoing))
            peer: H2Peer = await server.accepted()
            request = await peer.request()
            peer.send(wire.rst_stream(request.stream_id, wire.REFUSED_STREAM))
            request = await peer.request()
            peer.begin(request.stream_id, 100)
            await peer.until(lambda: request.ended)
            assert bytes(request.content) == b"once"
            peer.respond(request.stream_id, b"done")
            assert await task == b"done"

    run(main())


class Once(Pieces):
    """Content that can be opened once."""

    def __init__(self) -> None:
        super().__init__([b"once"])

    def open(self) -> Any:
        self.is_replayable = False
        return self.open_it()


# -- HTTP/1.1: a connection that the server closed while it was idle (RFC 9112 §9.3.1)


@pytest.mark.parametrize(("method", "is_replayed"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False)])
def test_a_kept_connection_that_ends_without_an_answer(run: Run, method: str, is_replayed: bool) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network() as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            old: H1Peer = await server.accepted()
            await old.request()
            old.respond(b"1")
            await task
            task = asyncio.create_task(fetch(transport, ask(server.port, "/again", method)))
            await old.request()
            old.close()
            if is_replayed:
                new: H1Peer = await server.accepted()
                assert (await new.request()).path == b"/again"
                new.respond(b"2")
                assert await task == b"2"
            else:
                with pytest.raises(ConnectionLost) as caught:
                    await task
                assert not caught.value.retryable and len(server.peers) == 1

    run(main())


def test_a_new_connection_that_ends_without_an_answer_is_an_error(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network() as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            peer: H1Peer = await server.accepted()
            await peer.request()
            peer.close()
            with pytest.raises(ConnectionLost):
                await task
            assert len(server.peers) == 1

    run(main())


def test_a_kept_connection_that_ends_twice_is_an_error(run: Run) -> None:
    async def main() -> None:
        async with listening("http/1.1") as server, network(max_h1_connections_per_origin=2) as transport:
            tasks = [asyncio.create_task(fetch(transport, ask(server.port))) for _ in range(2)]
            peers: list[H1Peer] = [await server.accepted(), await server.accepted()]
            for peer in peers:
                await peer.request()
            for peer in peers:
                peer.respond(b"1")
            await asyncio.gather(*tasks)
            task = asyncio.create_task(fetch(transport, ask(server.port)))
            await settled(lambda: sum(len(peer.requests) for peer in peers) == 3)
            first = next(peer for peer in peers if len(peer.requests) == 2)
            other = next(peer for peer in peers if peer is not first)
            first.close()
            await other.until(lambda: len(other.requests) == 2)
            other.close()
            with pytest.raises(ConnectionLost):
                await task
            assert len(server.peers) == 2

    run(main())


# -- 421 (RFC 9110 §15.5.20)


def test_421_is_asked_once_more_on_a_connection_of_its_own(run: Run) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port, "/x", "POST", b"content")))
            old: H2Peer = await server.accepted()
            request = await old.whole_request()
            old.respond(request.stream_id, b"not here", 421)
            new: H2Peer = await server.accepted()
            request = await new.whole_request()
            assert bytes(request.content) == b"content"
            new.respond(request.stream_id, b"here")
            assert await task == b"here"

    run(main())


@pytest.mark.parametrize("whole", [True, False])
def test_421_from_that_one_too_is_the_answer(run: Run, whole: bool) -> None:
    async def main() -> None:
        async def misdirect(peer: H2Peer) -> None:
            answered = 0
            while not peer.closed:
                await peer.until(lambda: peer.closed or len(peer.requests) > answered)  # noqa: B023
                if len(peer.requests) > answered:
                    peer.respond(peer.requests[answered].stream_id, b"not here", 421)
                    answered += 1

        async with listening(script=misdirect) as server, network(**H2C) as transport:
            for _ in range(3):
                incoming = await transport.send(ask(server.port), whole=whole)
                assert incoming.head.status == 421 and await incoming.read() == b"not here"
            assert len(server.peers) == 2, "it is not tried again with each request"

    run(main())


def test_421_to_content_that_is_used_up_is_the_answer(run: Run) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            task = asyncio.create_task(transport.send(ask(server.port, "/", "POST", Once()), whole=True))
            peer: H2Peer = await server.accepted()
            request = await peer.whole_request()
            peer.respond(request.stream_id, b"not here", 421)
            assert (await task).head.status == 421

    run(main())


# -- one connection for several origins (RFC 9113 §9.1.1)

NAMES = ("a.example", "b.example", "*.wild.example")


async def name_it(peer: H2Peer) -> None:
    """Answer each request with its authority."""
    answered = 0
    while True:
        await peer.until(lambda: peer.closed or len(peer.requests) > answered)  # noqa: B023
        if peer.closed:
            return
        request = peer.requests[answered]
        answered += 1
        peer.respond(request.stream_id, request.field(b":authority") or b"")


@pytest.mark.parametrize(
    ("host", "config", "connections"),
    [
        ("b.example", {}, 1),
        ("x.wild.example", {}, 1),
        ("x.y.wild.example", None, 1),  # the certificate does not cover it: the handshake fails
        ("b.example", {"coalesce": False}, 2),
    ],
)
def test_a_connection_serves_other_origins_when_certificate_and_address_allow(
    run: Run, host: str, config: dict[str, Any] | None, connections: int
) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(*NAMES), script=name_it) as server:
            resolve = {(name, server.port): "127.0.0.1" for name in ("a.example", host)}
            async with network(verify=trusting(), resolve=resolve, **(config or {})) as transport:
                first = ask(server.port, scheme="https", host="a.example")
                second = ask(server.port, scheme="https", host=host)
                assert await fetch(transport, first) == first.authority
                if config is None:
                    with pytest.raises(Exception, match="is for another name"):
                        await fetch(transport, second)
                else:
                    assert await fetch(transport, second) == second.authority
                    assert await fetch(transport, second) == second.authority
                assert len([peer for peer in server.peers if peer.requests]) == connections

    run(main())


def test_another_address_is_another_connection(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(*NAMES), script=name_it) as server:
            resolve = {("a.example", server.port): "127.0.0.1", ("b.example", server.port): "127.0.0.2"}
            async with network(verify=trusting(), resolve=resolve) as transport:
                await fetch(transport, ask(server.port, scheme="https", host="a.example"))
                with pytest.raises(Exception, match=r"127\.0\.0\.2"):
                    await fetch(transport, ask(server.port, scheme="https", host="b.example"))

    run(main())


@pytest.mark.parametrize(("origin", "connections"), [(b"https://b.example:%d", 1), (b"https://c.example", 2)])
def test_an_origin_frame_says_who_is_served(run: Run, origin: bytes, connections: int) -> None:
    """RFC 8336 §2.4."""

    async def main() -> None:
        async def announce(peer: H2Peer) -> None:
            text = origin.replace(b"%d", b"%d" % server.port)
            peer.send(wire.frame(wire.ORIGIN, 0, 0, len(text).to_bytes(2, "big") + text))
            await name_it(peer)

        async with listening(tls=server_tls(*NAMES), script=announce) as server:
            resolve = {(name, server.port): "127.0.0.1" for name in NAMES}
            async with network(verify=trusting(), resolve=resolve) as transport:
                for name in NAMES[:2]:
                    outgoing = ask(server.port, scheme="https", host=name)
                    assert await fetch(transport, outgoing) == outgoing.authority
                assert len(server.peers) == connections

    run(main())


@pytest.mark.parametrize("entries", [b"", b"\x00\x00", b"\x00\x09not an or"], ids=["none", "empty", "nonsense"])
def test_an_origin_frame_without_entries_is_for_its_own_origin_alone(run: Run, entries: bytes) -> None:
    """RFC 8336 §2.3: the first frame makes the Origin Set, which holds the connection's own origin and no other."""

    async def main() -> None:
        async def announce(peer: H2Peer) -> None:
            peer.send(wire.frame(wire.ORIGIN, 0, 0, entries))
            await name_it(peer)

        async with listening(tls=server_tls(*NAMES), script=announce) as server:
            resolve = {(name, server.port): "127.0.0.1" for name in NAMES}
            async with network(verify=trusting(), resolve=resolve) as transport:
                for name in (*NAMES[:2], *NAMES[:2]):
                    outgoing = ask(server.port, scheme="https", host=name)
                    assert await fetch(transport, outgoing) == outgoing.authority
                assert [{request.field(b":authority") for request in peer.requests} for peer in server.peers] == [
                    {b"%s:%d" % (name.encode(), server.port)} for name in NAMES[:2]
                ]

    run(main())


@pytest.mark.parametrize("announced", [b"", b"https://c.example"], ids=["nobody", "somebody else"])
def test_an_origin_frame_that_comes_late_ends_what_is_shared_already(run: Run, announced: bytes) -> None:
    """RFC 8336 §2.4: origins outside of the set get no more requests; running ones go on. A frame can add some."""

    async def main() -> None:
        async with listening(tls=server_tls(*NAMES)) as server:
            resolve = {(name, server.port): "127.0.0.1" for name in NAMES}
            async with network(verify=trusting(), resolve=resolve) as transport:
                first, second = (ask(server.port, scheme="https", host=name) for name in NAMES[:2])
                task = asyncio.create_task(fetch(transport, first))
                shared: H2Peer = await server.accepted()
                shared.respond((await shared.request()).stream_id, b"a")
                assert await task == b"a"
                running = asyncio.create_task(fetch(transport, second))
                request = await shared.request()
                entry = len(announced).to_bytes(2, "big") + announced if announced else b""
                shared.send(wire.frame(wire.ORIGIN, 0, 0, entry))
                await settled(lambda: next(iter(transport.links)).announced_origins is not None)
                task = asyncio.create_task(fetch(transport, second))
                own: H2Peer = await server.accepted()
                own.respond((await own.request()).stream_id, b"own")
                assert await task == b"own"
                shared.respond(request.stream_id, b"shared")
                assert await running == b"shared"
                third = ask(server.port, scheme="https", host="x.wild.example")
                transport.config.resolve[("x.wild.example", server.port)] = "127.0.0.1"  # type: ignore[index]
                text = str(third.origin).encode()
                own.send(wire.frame(wire.ORIGIN, 0, 0, len(text).to_bytes(2, "big") + text))
                await settled(lambda: text in ([*transport.links][1].announced_origins or ()))
                task = asyncio.create_task(fetch(transport, third))
                own.respond((await own.request()).stream_id, b"third")
                assert await task == b"third" and len(server.peers) == 2

    run(main())


def test_an_origin_frame_after_goaway_changes_nothing(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(*NAMES)) as server:
            resolve = {(name, server.port): "127.0.0.1" for name in NAMES}
            async with network(verify=trusting(), resolve=resolve) as transport:
                tasks = []
                for name in NAMES[:2]:
                    tasks.append(asyncio.create_task(fetch(transport, ask(server.port, scheme="https", host=name))))
                    if not server.peers:
                        peer: H2Peer = await server.accepted()
                    request = await peer.request()
                peer.send(wire.goaway(request.stream_id) + wire.frame(wire.ORIGIN, 0, 0, b""))
                for number in (1, 3):
                    peer.respond(number, b"whole")
                assert await asyncio.gather(*tasks) == [b"whole", b"whole"]

    run(main())


def test_421_on_a_shared_connection_gives_the_origin_one_of_its_own(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(*NAMES)) as server:
            resolve = {(name, server.port): "127.0.0.1" for name in NAMES}
            async with network(verify=trusting(), resolve=resolve) as transport:
                task = asyncio.create_task(fetch(transport, ask(server.port, scheme="https", host="a.example")))
                shared: H2Peer = await server.accepted()
                shared.respond((await shared.request()).stream_id, b"a")
                assert await task == b"a"
                task = asyncio.create_task(fetch(transport, ask(server.port, scheme="https", host="b.example")))
                shared.respond((await shared.request()).stream_id, b"", 421)
                own: H2Peer = await server.accepted()
                own.respond((await own.request()).stream_id, b"b")
                assert await task == b"b"
                for host, peer in (("a.example", shared), ("b.example", own)):
                    task = asyncio.create_task(fetch(transport, ask(server.port, scheme="https", host=host)))
                    peer.respond((await peer.request()).stream_id, b"again")
                    assert await task == b"again"

    run(main())


def test_a_lost_connection_is_lost_for_all_who_share_it(run: Run) -> None:
    async def main() -> None:
        async with listening(tls=server_tls(*NAMES)) as server:
            resolve = {(name, server.port): "127.0.0.1" for name in NAMES}
            async with network(verify=trusting(), resolve=resolve) as transport:
                for name in NAMES[:2]:
                    task = asyncio.create_task(fetch(transport, ask(server.port, scheme="https", host=name)))
                    if not server.peers:
                        peer: H2Peer = await server.accepted()
                    peer.respond((await peer.request()).stream_id, b"x")
                    await task
                peer.send(wire.goaway(1_000))  # nothing runs on it, so it is closed
                await settled(lambda: not transport.links)
                assert not transport.pool.places

    run(main())


def test_content_that_is_used_up_is_an_error_that_says_so(run: Run) -> None:
    async def main() -> None:
        async with listening() as server, network(**H2C) as transport:
            task = asyncio.create_task(fetch(transport, ask(server.port, "/", "POST", Once())))
            peer: H2Peer = await server.accepted()
            request = await peer.whole_request()
            peer.send(wire.rst_stream(request.stream_id, wire.REFUSED_STREAM))
            with pytest.raises(BodyConsumed, match="cannot be sent again: its content came from an iterator") as caught:
                await task
            assert isinstance(caught.value.__cause__, StreamReset) and not caught.value.retryable

    run(main())
