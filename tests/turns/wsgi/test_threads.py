"""WSGI: one client, by one connection or by twenty, does not keep others from their threads.

`THREADS` is few, so that an attack that holds threads at all holds every one. Each attack is judged by whether somebody
else's request is answered while it goes on; the controls show that it would not be, without what is under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import h2.settings
import pytest

from headrace.server.app import Server
from headrace.transport.addresses import client_network
from headrace.transport.tls import local_certificate
from headrace.wsgi.addresses import ClientRecord, ClientRecords
from headrace.wsgi.application import WSGIApplication
from headrace.wsgi.threads import Threads

from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, live_handlers, port, run, serving, settled

__all__ = ["run"]

THREADS = 2
LIMIT_S = 10.0
CONTENT = bytes(range(251)) * 6_000  # 1.5 MB: more than is kept in memory
PAGE = 300_000  # more than goes its way without a file: two pieces of 64 KiB in the engine, one before it, and a tail
NO_WINDOW = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}
NO_SPOOL: dict[str, Any] = {"wsgi_spool_memory": 0, "wsgi_spool_size": 0}
ENDLESS: dict[str, Any] = {"wsgi_threads": 4, "wsgi_spool_memory": 65_536, "wsgi_spool_size": 65_536}


def application(server: Server) -> WSGIApplication:
    assert server.service is not None
    found: Any = server.service.application
    assert isinstance(found, WSGIApplication)
    return found


class Site:
    """A WSGI application whose answers come in every way there is; `seen` has the paths in the order of their calls."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.seen: list[str] = []
        self.go_on = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        self.seen.append(path)
        if path == "/echo":
            content = environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [content]
        start_response("200 OK", [])
        match path.split("/")[1]:
            case "pieces":
                return (CONTENT[start : start + 10_000] for start in range(0, len(CONTENT), 10_000))
            case "page":
                return [CONTENT[:PAGE]]
            case "list":
                return [CONTENT]
            case "file":
                assert self.file is not None
                return environ["wsgi.file_wrapper"](self.file.open("rb"))
            case "endless":
                return iter(lambda: bytes(16_384), b"")
            case "crumbs":
                return iter(lambda: b"x", b"")
            case "working":
                return self.working()
            case "gate":
                assert self.go_on.wait(LIMIT_S)
        return [b"here"]

    def working(self) -> Iterator[bytes]:
        """Give some content, work on, and give the rest."""
        yield from (CONTENT[start : start + 10_000] for start in range(0, len(CONTENT), 10_000))
        assert self.go_on.wait(LIMIT_S)
        yield b"rest"


@contextlib.asynccontextmanager
async def reader(server: Server, address: str = "127.0.0.1") -> AsyncIterator[H2Peer]:
    """A client at `address` that takes nothing of any response."""
    streams = await asyncio.open_connection("127.0.0.1", port(server), local_addr=(address, 0))
    peer = H2Peer(*streams, NO_WINDOW, gives_credit=False)
    try:
        yield peer
    finally:
        await peer.close()


def let_go(peer: H2Peer, streams: list[int]) -> None:
    """Take everything from now on."""
    peer.gives_credit = True
    peer.conn.increment_flow_control_window(2**30)
    for stream_id in streams:
        peer.conn.increment_flow_control_window(2**30, stream_id)
    peer.flush()


async def answered(server: Server, tls: ssl.SSLContext | None = None) -> None:
    """A bystander asks, over a connection of each kind, and is answered."""
    async with H2Peer.connected(port(server), tls=tls) as other:
        assert (await other.get("/")).body == b"here"
    if tls is None:
        async with H1Peer.connected(port(server)) as first:
            assert (await first.get("/")).body == b"here"


def unspooled(server: Server) -> bool:
    return application(server).spools.usage() == (0, 0, 0) and live_handlers(server) == 0


# -- uploads


@pytest.mark.parametrize("length", [True, False], ids=["content-length", "without"])
@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"])
def test_six_slow_uploads_of_one_connection_hold_no_thread(run: Run, tls: bool, length: bool, tmp_path: Path) -> None:
    site = Site()

    async def main() -> None:
        settings: dict[str, Any] = {"wsgi_threads": THREADS}
        context = None
        if tls:
            certificate = local_certificate(tmp_path)
            settings["tls_cert"] = str(certificate)
            context = ssl.create_default_context(cafile=tmp_path / "localhost-ca.pem")
            context.set_alpn_protocols(["h2"])
        fields = [("content-length", str(len(CONTENT)))] if length else []
        async with serving(site, **settings) as server, H2Peer.connected(port(server), tls=context) as peer:
            streams = [peer.open("/echo", "POST", fields, end=False) for _ in range(6)]
            for stream_id in streams:
                await peer.send(stream_id, CONTENT[:1_200_000])
            await answered(server, context)
            assert "/echo" not in site.seen
            for stream_id in streams:
                await peer.send(stream_id, CONTENT[1_200_000:], end=True)
                assert (await peer.over(stream_id)).body == CONTENT
            await settled(lambda: unspooled(server))

    run(main())


def test_slow_uploads_over_http_1_hold_no_thread(run: Run) -> None:
    site = Site()

    async def main() -> None:
        async with serving(site, wsgi_threads=THREADS) as server, contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(H1Peer.connected(port(server))) for _ in range(6)]
            for index, peer in enumerate(peers):
                fields = [("content-length", str(len(CONTENT)))] if index % 2 else []
                await peer.open("/echo", "POST", fields, end=False)
                await peer.send(0, CONTENT[:1_200_000])
            await answered(server)
            assert "/echo" not in site.seen
            for peer in peers:
                await peer.send(0, CONTENT[1_200_000:], end=True)
                assert (await peer.over(0)).body == CONTENT
            await settled(lambda: unspooled(server))

    run(main())


@pytest.mark.parametrize("spare", [4, 0])
def test_uploads_that_threads_wait_for_leave_some_for_others(run: Run, spare: int) -> None:
    # More than is gathered, or a client that waits for 100 (Continue): the thread reads as the client sends.
    site = Site()

    async def main() -> None:
        settings = {**ENDLESS, "wsgi_spare_threads": spare}
        async with serving(site, **settings) as server, H2Peer.connected(port(server)) as peer:
            fields = [("content-length", str(len(CONTENT)))]
            streams = [peer.open("/echo", "POST", [*fields, ("expect", "100-continue")], end=False) for _ in range(4)]
            streams += [peer.open("/echo", "POST", fields, end=False) for _ in range(4)]
            for stream_id in streams[4:]:
                await peer.send(stream_id, CONTENT[:250_000])
            await settled(lambda: application(server).threads.stats()["waiting"] == 4)
            async with H2Peer.connected(port(server)) as other:
                stream_id = other.open("/")
                if spare:
                    assert (await other.over(stream_id)).body == b"here"
                else:  # the control
                    await other.ping()
                    assert "/" not in site.seen
            # Those that have no thread yet come last: of the clients that wait for 100 it is only half of them.
            for each in (*streams[:2], *streams[4:], *streams[2:4]):
                await peer.send(each, CONTENT[250_000 * (each in streams[4:]) :], end=True)
                assert (await peer.over(each)).body == CONTENT
            await settled(lambda: unspooled(server))

    run(main())


@pytest.mark.parametrize("wire", ["h2", "http/1.1"])
def test_clients_that_wait_for_100_hold_half_of_the_threads(run: Run, wire: str) -> None:
    # The others are invited, and what they send is gathered.
    site = Site()
    expecting = [("expect", "100-continue"), ("content-length", str(len(CONTENT)))]

    async def main() -> None:
        settings: dict[str, Any] = {"wsgi_threads": 4, "wsgi_spare_threads": 0, "wsgi_stall_s": 0}
        async with serving(site, **settings) as server, contextlib.AsyncExitStack() as stack:
            peers: list[Any] = []
            for _ in range(20):
                if wire == "h2":
                    peers.append(await stack.enter_async_context(H2Peer.connected(port(server))))
                else:
                    peers.append(await stack.enter_async_context(H1Peer.connected(port(server))))
            numbers = []
            for peer in peers:
                opened = peer.open("/echo", "POST", expecting, end=False)
                numbers.append(opened if wire == "h2" else await opened or 0)
            await settled(lambda: live_handlers(server) == 20)
            await settled(lambda: application(server).threads.stats()["waiting"] == 2)
            await answered(server)
            assert site.seen.count("/echo") == 2
            for peer, number in zip(peers, numbers, strict=True):
                await peer.send(number, CONTENT, end=True)
                answer = await peer.over(number)
                assert answer.body == CONTENT
                assert wire != "h2" or len(answer.informational) == 1
            await settled(lambda: unspooled(server))

    run(main())


@pytest.mark.parametrize("threads", [1, 2])
def test_an_application_may_refuse_before_100_while_threads_are_free(run: Run, threads: int) -> None:
    # The control of the test above. With one thread there is never another one.
    site = Site()

    async def main() -> None:
        expecting = [("expect", "100-continue"), ("content-length", "4")]
        async with serving(site, wsgi_threads=threads) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/", "POST", expecting, end=False)
            if threads == 1:
                await peer.until(lambda: bool(peer.answers[stream_id].informational))
                assert site.seen == []
                await peer.send(stream_id, b"1234", end=True)
            answer = await peer.over(stream_id)
            assert answer.body == b"here"
            assert len(answer.informational) == (1 if threads == 1 else 0)

    run(main())


# -- responses


@pytest.mark.parametrize("path", ["/pieces", "/list", "/file"])
@pytest.mark.parametrize("count", [6, 100])
def test_responses_that_are_not_read_hold_no_thread(run: Run, path: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    site = Site(tmp_path / "file")

    async def main() -> None:
        async with serving(site, wsgi_threads=THREADS) as server, reader(server) as peer:
            streams = [peer.open(path) for _ in range(count)]
            await settled(lambda: site.seen.count(path) == count)
            await settled(lambda: application(server).threads.stats()["running"] == 0)
            await answered(server)
            let_go(peer, streams)
            for stream_id in streams:
                answer = await peer.over(stream_id)
                assert (answer.status, answer.body == CONTENT) == (200, True)
            await settled(lambda: unspooled(server))

    run(main())


@pytest.mark.parametrize("path", ["/pieces", "/list", "/file"])
def test_twenty_connections_that_do_not_read_hold_no_thread(run: Run, path: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    site = Site(tmp_path / "file")

    async def main() -> None:
        async with serving(site, wsgi_threads=THREADS) as server, contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(reader(server)) for _ in range(20)]
            streams = [peer.open(path) for peer in peers]
            await settled(lambda: site.seen.count(path) == 20)
            await answered(server)
            for peer, stream_id in zip(peers, streams, strict=True):
                let_go(peer, [stream_id])
                assert (await peer.over(stream_id)).body == CONTENT
            await settled(lambda: unspooled(server))

    run(main())


@pytest.mark.parametrize("path", ["/pieces", "/list", "/file"])
def test_slow_readers_over_http_1_hold_no_thread(run: Run, path: str, tmp_path: Path) -> None:
    large = tmp_path / "file"
    content = CONTENT * 5  # more than the kernel takes for a socket that nobody reads
    large.write_bytes(content)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/":
            return site(environ, start_response)
        start_response("200 OK", [("Content-Length", str(len(content)))])
        if path == "/file":
            return environ["wsgi.file_wrapper"](large.open("rb"))
        return [content] if path == "/list" else iter([content[:7_000_001], content[7_000_001:]])

    site = Site()

    async def main() -> None:
        async with serving(app, wsgi_threads=THREADS) as server, contextlib.AsyncExitStack() as stack:
            streams = [await asyncio.open_connection("127.0.0.1", port(server), limit=1024) for _ in range(6)]
            for _, writer in streams:
                stack.callback(writer.close)
                writer.write(b"GET %b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % path.encode())
            await settled(lambda: live_handlers(server) == 6)
            await settled(lambda: application(server).threads.stats()["running"] == 0)
            await answered(server)
            for source, _ in streams:
                found = await source.read(-1)
                assert found.partition(b"\r\n\r\n")[2] == content
            await settled(lambda: unspooled(server))

    run(main())


def test_without_a_spool_six_streams_hold_all_threads(run: Run) -> None:
    # The control of the tests above.
    site = Site()

    async def main() -> None:
        settings = {**NO_SPOOL, "wsgi_threads": THREADS, "wsgi_spare_threads": 0}
        async with serving(site, **settings) as server, reader(server) as peer:
            streams = [peer.open("/pieces") for _ in range(6)]
            await settled(lambda: application(server).threads.stats()["waiting"] == THREADS)
            async with H2Peer.connected(port(server)) as other:
                stream_id = other.open("/")
                await other.ping()
                assert site.seen == ["/pieces"] * THREADS
                let_go(peer, streams)
                assert (await other.over(stream_id)).body == b"here"

    run(main())


# -- responses that never end


@pytest.mark.parametrize("spare", [4, 0])
def test_one_connection_that_takes_all_threads_leaves_some_for_others(run: Run, spare: int) -> None:
    site = Site()

    async def main() -> None:
        async with serving(site, **{**ENDLESS, "wsgi_spare_threads": spare}) as server, reader(server) as peer:
            for _ in range(100):
                peer.open("/endless")
            await settled(lambda: application(server).threads.stats()["waiting"] == 4)
            await peer.ping()
            assert site.seen == ["/endless"] * 4  # a connection that holds half of the threads gets no spare one
            async with H2Peer.connected(port(server)) as other:
                stream_id = other.open("/")
                if spare:
                    assert (await other.over(stream_id)).body == b"here"
                else:  # the control
                    await other.ping()
                    assert "/" not in site.seen

    run(main())


def test_an_endless_generator_of_bytes_waits_soon(run: Run) -> None:
    # With the sizes of spools that are the default: what it makes is nowhere near them.
    site = Site()

    async def main() -> None:
        # Nobody is ended here for standing still, however long the threads take to come to their wait.
        settings: dict[str, Any] = {"wsgi_threads": 4, "wsgi_spare_threads": 4, "wsgi_stall_s": 0}
        async with serving(site, **settings) as server, reader(server) as peer:
            for _ in range(100):
                peer.open("/crumbs")
            threads = application(server).threads
            await settled(lambda: threads.stats()["waiting"] >= 4)  # for room, or for the connection to take some
            await answered(server)
            assert application(server).spools.usage()[1] < 2**20

    run(main())


@pytest.mark.parametrize("spare", [4, 0])
def test_a_thread_that_makes_what_is_not_taken_counts_as_waiting(run: Run, spare: int) -> None:
    site = Site()

    async def main() -> None:
        settings: dict[str, Any] = {"wsgi_threads": 2, "wsgi_spool_memory": 100_000, "wsgi_spare_threads": spare}
        async with serving(site, **settings, wsgi_stall_s=0) as server, reader(server) as peer:
            streams = [peer.open("/working") for _ in range(2)]
            await settled(lambda: application(server).spools.usage()[1] > 2 * (len(CONTENT) - 200_000))
            async with H2Peer.connected(port(server)) as other:
                stream_id = other.open("/")
                if spare:
                    assert (await other.over(stream_id)).body == b"here"
                else:  # the control
                    await other.ping()
                    assert "/" not in site.seen
            site.go_on.set()
            let_go(peer, streams)
            for each in streams:
                assert (await peer.over(each)).body == CONTENT + b"rest"
            await settled(lambda: unspooled(server))
            assert application(server).threads.stats()["waiting"] == 0

    run(main())


def test_twenty_connections_of_one_address_leave_a_thread_for_another_address(run: Run) -> None:
    site = Site()

    async def main() -> None:
        async with serving(site, **ENDLESS) as server, contextlib.AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(reader(server)) for _ in range(20)]
            for peer in peers:
                peer.open("/endless")
            await settled(lambda: application(server).threads.stats()["waiting"] >= 6)
            for peer in peers:
                await peer.ping()
            assert application(server).threads.stats()["waiting"] == 6  # four, and half of the spare ones
            async with reader(server, "127.0.0.2") as other:
                stream_id = other.open("/")
                await other.started(stream_id)
                assert other.answers[stream_id].status == 200

    run(main())


def test_what_waits_no_longer_lets_the_next_one_in(run: Run) -> None:
    site = Site()

    async def main() -> None:
        settings = {**ENDLESS, "wsgi_spare_threads": 0}
        async with serving(site, **settings) as server, reader(server) as peer:
            streams = [peer.open("/endless") for _ in range(4)]
            await settled(lambda: application(server).threads.stats()["waiting"] == 4)
            waiting = peer.open("/list")
            await peer.ping()
            assert "/list" not in site.seen
            peer.reset(streams[0])
            await settled(lambda: "/list" in site.seen)
            assert waiting not in streams

    run(main())


def test_there_are_no_more_spare_threads_than_the_setting_says() -> None:
    """Ten addresses whose clients keep a thread waiting each: four threads and two spare ones take six of them."""
    threads = Threads(4, 2)
    taken, ended = threading.Semaphore(0), threading.Semaphore(0)
    clients_go_on = threading.Event()

    def job(address: ClientRecord) -> Callable[[], None]:
        def run() -> None:
            threads.wait_began(address, address)
            taken.release()
            assert clients_go_on.wait(LIMIT_S)
            threads.wait_ended(address, address)
            ended.release()

        return run

    for number in range(10):
        address = ClientRecord(str(number))
        threads.start(job(address), address, address)
    for _ in range(6):
        assert taken.acquire(timeout=LIMIT_S)
    assert {**threads.stats(), "idle": 0} == {"idle": 0, "running": 6, "waiting": 6, "queued": 4}
    clients_go_on.set()
    for _ in range(10):
        assert ended.acquire(timeout=LIMIT_S)
    threads.close()


@pytest.mark.parametrize("is_idle", [True, False], ids=["a thread is idle", "a thread is made"])
def test_a_connection_that_leaves_much_unread_is_held_back_until_there_is_room(is_idle: bool) -> None:
    is_short = threading.Event()
    threads = Threads(2, is_short=lambda address: is_short.is_set())
    seen: SimpleQueue[str] = SimpleQueue()
    address = ClientRecord("one")

    def start(connection: str) -> bool:
        return threads.start(lambda: seen.put(connection), address, connection)

    if is_idle:
        start("first")
        assert seen.get(timeout=LIMIT_S) == "first"
    address.unread["a"] = 1
    is_short.set()
    assert start("a")
    assert threads.held_back() == {"a": 1}
    assert start("b")  # "a" waits still
    assert seen.get(timeout=LIMIT_S) == "b"
    threads.look()
    assert threads.held_back() == {"a": 1}
    is_short.clear()
    assert threads.held_back() == {}
    threads.look()
    assert seen.get(timeout=LIMIT_S) == "a"
    is_short.set()
    start("a")
    del address.unread["a"]  # what it had was read; the others have as much as before
    threads.look()
    assert seen.get(timeout=LIMIT_S) == "a"
    threads.close()


def test_while_room_is_short_a_connection_has_one_request_at_a_time() -> None:
    """All that it asks for could have begun before the first response is in a file."""
    threads = Threads(4, is_short=lambda address: True)
    seen: SimpleQueue[str] = SimpleQueue()
    go_on = threading.Semaphore(0)
    address = ClientRecord("one")
    address.unread["a"] = 1

    def start(connection: str) -> None:
        def job() -> None:
            seen.put(connection)
            assert go_on.acquire(timeout=LIMIT_S)

        threads.start(job, address, connection)

    for connection in ("b", "b", "b", "c"):
        start(connection)
    assert {seen.get(timeout=LIMIT_S) for _ in range(2)} == {"b", "c"}
    assert {**threads.stats(), "idle": 0} == {"idle": 0, "running": 2, "waiting": 0, "queued": 2}
    assert threads.held_back() == {address: 2}
    for _ in range(4):
        go_on.release()
    assert [seen.get(timeout=LIMIT_S) for _ in range(2)] == ["b", "b"]
    threads.close()


# -- whose turn it is


def test_a_hundred_requests_of_one_connection_delay_another_by_one(run: Run) -> None:
    site = Site()

    async def main() -> None:
        async with serving(site, wsgi_threads=1) as server, contextlib.AsyncExitStack() as stack:
            peer, other, third = [await stack.enter_async_context(H2Peer.connected(port(server))) for _ in range(3)]
            peer.open("/gate")
            await settled(lambda: site.seen == ["/gate"])
            streams = [peer.open("/one") for _ in range(99)]
            await peer.ping()
            others = [other.open("/other"), other.open("/other")]
            await other.ping()
            last = third.open("/third")
            await third.ping()
            site.go_on.set()
            await third.over(last)
            for stream_id in others:
                await other.over(stream_id)
            for stream_id in streams:
                await peer.over(stream_id)
        turns = site.seen[1:7]
        assert sorted(turns[:3]) == ["/one", "/other", "/third"]
        assert sorted(turns[3:5]) == ["/one", "/other"]
        assert site.seen[6:] == ["/one"] * 97

    run(main())


def test_addresses_take_turns_whatever_the_number_of_their_connections() -> None:
    threads = Threads(1)
    done = threading.Semaphore(0)
    seen: list[str] = []
    gate = threading.Event()

    def job(name: str) -> Callable[[], None]:
        def run() -> None:
            assert gate.wait(LIMIT_S)
            seen.append(name)
            done.release()

        return run

    many, few = ClientRecord("many"), ClientRecord("few")
    for number in range(20):
        threads.start(job("many"), many, number)
    threads.start(job("few"), few, 0)
    threads.start(job("few"), few, 1)
    gate.set()
    for _ in range(22):
        assert done.acquire(timeout=LIMIT_S)
    assert sorted(seen[1:5]) == ["few", "few", "many", "many"]
    threads.close()


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(one: str, other: str, are_one: bool) -> None:
    assert (client_network(one) == client_network(other)) is are_one


def test_addresses_are_forgotten_with_their_last_request() -> None:
    addresses = ClientRecords()
    first, second = addresses.enter("192.0.2.1", 1), addresses.enter("192.0.2.1", 2)
    assert first is second
    assert addresses.enter("::ffff:192.0.2.1", 3) is first
    assert addresses.enter(None, 4) is not addresses.enter(None, 5)
    for _ in range(3):
        addresses.leave(first)
    assert addresses.enter("192.0.2.1", 6) is not first


def test_pieces_still_leave_as_they_come(run: Run) -> None:
    # PEP 3333: a spool must not delay what the application has given.
    go_on = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        assert go_on.wait(LIMIT_S)
        yield b"two"

    async def main() -> None:
        async with serving(app) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/")
            await peer.until(lambda: peer.answers[stream_id].body == b"one")
            go_on.set()
            assert (await peer.over(stream_id)).body == b"onetwo"

    run(main())
