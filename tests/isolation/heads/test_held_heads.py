"""What is held between a call and its encoding is ours: the caller's changes in between reach nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from headrace.asgi.answer import ASGIAnswer
from headrace.client.interface import Origin, Outgoing
from headrace.wsgi.call import WSGICall
from headrace.wsgi.line import Line

from tests.isolation.heads.speakers import SPEAKERS, own
from tests.support import wire
from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.rig import ServerRig
from tests.support.serving import Run, port, serving

BOB = b"bob"


def change_list(headers: list[Any]) -> None:
    headers[0] = (b"x-user", BOB)


def change_inner_list(headers: list[Any]) -> None:
    headers[0][1] = BOB


def empty(headers: list[Any]) -> None:
    headers.clear()


FORMS: list[tuple[Callable[[], list[Any]], Callable[[list[Any]], None]]] = [
    (lambda: [(b"x-user", b"alice")], change_list),
    (lambda: [[b"x-user", b"alice"]], change_list),
    (lambda: [[b"x-user", b"alice"]], change_inner_list),
    (lambda: [(b"x-user", b"alice")], empty),
]


@pytest.mark.parametrize("speaker", SPEAKERS[:2], ids=lambda each: each.__name__)
@pytest.mark.parametrize(("made", "change"), FORMS)
@pytest.mark.parametrize("is_whole", [True, False])
def test_the_start_of_an_asgi_response_is_held_as_it_was(speaker: Any, made: Any, change: Any, is_whole: bool) -> None:
    """`http.response.start` waits for the first piece of content; its list changes in between."""
    side = speaker()
    for _ in range(3):
        headers = made()
        answer = ASGIAnswer(side.conn, side._request())
        answer.take({"type": "http.response.start", "status": 200, "headers": headers})
        change(headers)
        answer.take({"type": "http.response.body", "body": b"x", "more_body": not is_whole})
        if not is_whole:
            answer.take({"type": "http.response.body"})
        if isinstance(side.rig, ServerRig):
            side.rig.take()
            ((fields,),) = side.rig.fields.values()
            side.rig.fields.clear()
            assert own(fields) == [(b"x-user", b"alice")]
        else:
            assert own(side.rig.responses()[-1].headers) == [(b"x-user", b"alice")]


def test_the_pairs_of_an_asgi_start_may_be_any_iterable() -> None:
    """ASGI: an iterable of two-item iterables. What is none is told where it is said, at the start."""
    side = SPEAKERS[0]()
    stream_id = side._request()
    answer = ASGIAnswer(side.conn, stream_id)
    with pytest.raises(TypeError):
        answer.take({"type": "http.response.start", "status": 200, "headers": [5]})
    pairs = (iter((b"x-user", b"alice")) for _ in range(1))
    answer.take({"type": "http.response.start", "status": 200, "headers": pairs})
    answer.take({"type": "http.response.body"})
    side.rig.take()
    assert own(side.rig.fields[stream_id][0]) == [(b"x-user", b"alice")]


class Text(bytes):
    """A value that says it is equal to any other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def test_fields_that_were_held_are_not_taken_for_others() -> None:
    """What says of its equality what it likes, and lists with the same beginning."""
    side = SPEAKERS[0]()
    x, y = (b"x-user", b"alice"), (b"x-other", b"1")
    for headers in ([x], [x], [(b"x-user", Text(b"bob"))], [x, y], [x], [(b"x-user", b"bob")], [], [y], [x]):
        stream_id = side._request()
        answer = ASGIAnswer(side.conn, stream_id)
        answer.take({"type": "http.response.start", "status": 200, "headers": headers})
        answer.take({"type": "http.response.body", "body": b"x"})
        side.rig.take()
        meant = [(name, bytes(memoryview(value))) for name, value in headers]
        assert own(side.rig.fields[stream_id][0]) == meant


@pytest.mark.parametrize("peer_class", [H2Peer, H1Peer])
def test_two_asgi_requests_with_one_list(run: Run, peer_class: Any) -> None:
    """Through sockets: alice's response has begun and waits, bob's changes the list that both start with."""
    shared: list[Any] = [[b"x-user", b"-"]]

    async def main() -> None:
        bob_is_done = asyncio.Event()
        alice_waits = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                raise ValueError("no lifespan here")
            user = scope["path"][1:].encode()
            shared[0][1] = user
            await send({"type": "http.response.start", "status": 200, "headers": shared})
            if user == b"alice":
                alice_waits.set()
                await bob_is_done.wait()
            await send({"type": "http.response.body", "body": user})

        async with (
            serving(app) as server,
            peer_class.connected(port(server)) as first,
            peer_class.connected(port(server)) as second,
        ):
            alice = asyncio.ensure_future(first.get("/alice"))
            await alice_waits.wait()
            for answer in (await second.get("/bob"), await second.get("/bob")):
                assert (answer.header(b"x-user"), bytes(answer.body)) == (b"bob", b"bob")
            bob_is_done.set()
            answer = await alice
            assert (answer.header(b"x-user"), bytes(answer.body)) == (b"alice", b"alice")

    run(main())


def test_the_trailers_of_an_asgi_response_are_held_as_they_were(run: Run) -> None:
    """`more_trailers` waits for the rest."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError("no lifespan here")
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        pair = [b"x-user", b"alice"]
        await send({"type": "http.response.trailers", "headers": [pair], "more_trailers": True})
        pair[1] = BOB
        await send({"type": "http.response.trailers", "headers": []})

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/", headers=[("te", "trailers")])
            assert answer.trailers == [(b"x-user", b"alice")]

    run(main())


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda each: each.__name__)
def test_trailers_that_wait_for_their_turn_are_held_as_they_were(speaker: Any) -> None:
    """Over HTTP/2 content that found no window stands before them."""
    side = speaker()
    pair = [b"x-user", b"alice"]
    trailers: Any = [pair]
    if side.conn.__class__.__name__ in ("H2ServerConnection", "H1ServerConnection"):
        stream_id = side._request()
        side.conn.send_headers(stream_id, 200, ())
    else:
        stream_id = side._send((), b"")
    side.rig.take()
    side.conn.send_data(stream_id, b"x" * 70_000)
    side.conn.send_trailers(stream_id, trailers)
    pair[1] = BOB
    trailers.clear()
    if side.multiplexes:
        side.rig.exchange(wire.window_update(0, 100_000), wire.window_update(stream_id, 100_000))
        assert side.rig.fields[stream_id][-1] == [(b"x-user", b"alice")]
    else:
        assert side.rig.take().endswith(b"0\r\nx-user: alice\r\n\r\n")


@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda each: each.__name__)
def test_content_that_its_owner_can_change_is_refused(speaker: Any) -> None:
    """Content may wait for a window as the very object that was given: a buffer that is used again would cross over."""
    for data in (bytearray(b"alice"), memoryview(b"alice")):
        side = speaker()
        if hasattr(side, "_request"):
            stream_id = side._request()
            with pytest.raises(TypeError, match="bytes object expected"):
                side.conn.send_response(stream_id, 200, (), data)
            side.conn.send_headers(stream_id, 200, ())
        else:
            stream_id = side._send((), b"")
        with pytest.raises(TypeError, match="bytes object expected"):
            side.conn.send_data(stream_id, data, True)
        side.conn.send_data(stream_id, bytes(data), True)
        side.rig.take()


class Recorder:
    """In a line's place: keeps what is handed over."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def ask(self, verb: str, *arguments: Any) -> bytes:
        self.told.append((verb, *arguments))
        return b""

    tell = ask


def test_the_fields_of_start_response_are_held_as_they_were() -> None:
    """WSGI: the head waits for the first piece of content."""

    def app(environ: Any, start_response: Any) -> Any:
        headers: list[Any] = [("X-User", "alice")]
        start_response("200 OK", headers)
        headers[0] = ("X-User", "bob")
        yield b"x"

    recorder = Recorder()
    WSGICall(app, {"REQUEST_METHOD": "GET"}, cast("Line", recorder), has_body=False).run()
    assert recorder.told[0] == ("send_piece", b"x", (200, [(b"x-user", b"alice")]))


def test_a_request_of_the_client_is_held_as_it_was() -> None:
    """An Outgoing may wait for a connection in the pool: the list that it was made from is the caller's."""
    pair: Any = [b"x-user", b"alice"]
    headers: Any = [pair]
    outgoing = Outgoing(b"GET", Origin("http", "a.example", 80), b"a.example", b"/", headers)
    pair[1] = BOB
    headers.clear()
    assert outgoing.headers == [(b"x-user", b"alice")]
