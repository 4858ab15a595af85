"""A writer that middleware puts around a response's own sees all that each kind sends, and nobody else's."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from headrace import EventStream, FileResponse, LoopResponse, Request, Response, Router, Send, StreamResponse
from headrace.engine.errors import CANCEL
from headrace.server.handlers.loop import STOP
from headrace.server.middleware import AnyResponse, Compression, Next, WrappedWriter, Writer

from tests.support.h1_peer import H1Peer
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving

TEXT = [(b"content-type", b"text/plain")]
PAGE = b"all work and no play makes a server a dull server. " * 4_000  # more than a file is read at once
GZIP = [("accept-encoding", "gzip")]


class Counted(WrappedWriter):
    """Counts the content that goes through, and notes what was called."""

    __slots__ = ("calls", "count")

    def __init__(self, inner: Writer) -> None:
        super().__init__(inner)
        self.count = 0
        self.calls: list[str] = []

    async def respond(self, status: int, headers: Any, body: bytes) -> None:
        self.calls.append("respond")
        self.count += len(body)
        await super().respond(status, headers, body)

    def start(self, status: int, headers: Any, never_indexed: frozenset[bytes] | None = None) -> None:
        self.calls.append("start")
        super().start(status, headers, never_indexed)

    async def write(self, data: bytes, end: bool = False) -> None:
        self.count += len(data)
        await super().write(data, end)

    async def write_trailers(self, headers: Any, never_indexed: frozenset[bytes] | None = None) -> None:
        self.calls.append("trailers")
        await super().write_trailers(headers, never_indexed)

    def reset(self, code: int) -> None:
        self.calls.append("reset")
        super().reset(code)


class Counting:
    """A middleware that puts a writer of its own around every response's."""

    def __init__(self) -> None:
        self.writers: list[Counted] = []

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        return CountedResponse(self, await following(request))


class CountedResponse(AnyResponse):
    """A response that another one is inside."""

    def __init__(self, owner: Counting, inner: Any) -> None:
        self.owner = owner
        self.inner = inner
        self.headers = inner.headers

    async def send_on(self, request: Request, writer: Writer) -> None:
        counted = Counted(writer)
        self.owner.writers.append(counted)
        await self.inner.send_on(request, counted)


class Whole(StreamResponse):
    """A stream that turns out to be whole already."""

    async def send_on(self, request: Request, writer: Writer) -> None:
        await writer.respond(self.status, self.headers, PAGE)  # type: ignore[arg-type]


async def pieces() -> AsyncIterator[bytes]:
    yield PAGE[:100]
    yield PAGE[100:]


async def by_send(send: Send) -> None:
    await send(PAGE[:100])
    await send(PAGE[100:], end=True, trailers=[("x-checked", "yes")])


async def stop(_: Any, push: Any, state: Any) -> Any:
    await push(PAGE)
    return STOP


async def failing() -> AsyncIterator[bytes]:
    yield PAGE
    raise RuntimeError("out of text")


async def fail(*_: Any) -> None:
    raise RuntimeError("out of luck")


def kinds(folder: Path) -> dict[str, Callable[[], AnyResponse]]:
    file = folder / "page.txt"
    file.write_bytes(PAGE)
    return {
        "buffered": lambda: Response(200, TEXT, PAGE),
        "generator": lambda: StreamResponse(200, TEXT, pieces()),
        "send": lambda: StreamResponse(200, TEXT, by_send),
        "whole": lambda: Whole(200, TEXT, pieces),
        "loop": lambda: LoopResponse(200, TEXT, stop, on_start=stop),
        "events": lambda: EventStream(texts(), headers=TEXT),
        "file": lambda: FileResponse(200, TEXT, file),
    }


async def texts() -> AsyncIterator[str]:
    yield "one"


def errors() -> dict[str, Callable[[], AnyResponse]]:
    """Responses that break off, each in another way."""
    return {
        "stream": lambda: StreamResponse(200, TEXT, failing()),
        "loop": lambda: LoopResponse(200, TEXT, fail, on_start=fail),
        "header": lambda: StreamResponse(200, [*TEXT, (b"x-bad", b"a\r\nb")], pieces()),
    }


@pytest.mark.parametrize("peer_of", [H1Peer, H2Peer], ids=["h1", "h2"])
def test_a_writer_around_the_server_s_own_sees_everything(run: Run, tmp_path: Path, peer_of: Any) -> None:
    """Also a file's content, which the kernel would send past it."""
    counting = Counting()
    router = Router(middleware=[counting])
    for kind, make in kinds(tmp_path).items():
        router.get(f"/{kind}")(lambda request, make=make: make())

    async def main() -> None:
        async with serving(router) as server, peer_of.connected(port(server)) as peer:
            for kind in kinds(tmp_path):
                answer = await peer.get(f"/{kind}")
                assert (answer.status, answer.ended) == (200, True)
                assert bytes(answer.body) == (b"data: one\n\n" if kind == "events" else PAGE)
                writer = counting.writers.pop()
                assert (writer.count, writer.is_complete) == (len(answer.body), True)
                assert writer.calls[0] == ("respond" if kind in ("buffered", "whole") else "start")
                assert ("trailers" in writer.calls) == bool(answer.trailers) == (kind == "send")

    run(main())


@pytest.mark.parametrize("peer_of", [H1Peer, H2Peer], ids=["h1", "h2"])
@pytest.mark.parametrize("order", ["compression inside", "compression outside", "twice", "alone"])
def test_compression_nested_and_with_errors_in_between(run: Run, tmp_path: Path, order: str, peer_of: Any) -> None:
    """Each kind arrives whole, before and after responses that broke off: nothing of one stays for the next."""
    counting, compression = Counting(), Compression(["gzip"])
    layers: dict[str, list[Any]] = {
        "compression inside": [counting, compression],
        "compression outside": [compression, counting],
        "twice": [compression, Compression(["gzip"])],
        "alone": [compression],
    }
    router = Router(middleware=layers[order])
    for kind, make in (*kinds(tmp_path).items(), *((f"bad/{kind}", make) for kind, make in errors().items())):
        router.get(f"/{kind}")(lambda request, make=make: make())

    async def main() -> None:
        async with serving(router) as server, peer_of.connected(port(server)) as peer:
            for kind in kinds(tmp_path):
                for bad in errors():
                    broken = await peer.get(f"/bad/{bad}", headers=GZIP)
                    assert broken.status == 500 if bad == "header" else not broken.ended
                for headers in (GZIP, []):
                    check(kind, headers, await peer.get(f"/{kind}", headers=headers))

    def check(kind: str, headers: Any, answer: Any) -> None:
        body = bytes(answer.body)
        is_coded = answer.header(b"content-encoding") == b"gzip"
        # Files are left alone, and so is a response of a class that Compression does not know.
        assert is_coded == (bool(headers) and kind != "file" and order != "compression outside")
        content = b"data: one\n\n" if kind == "events" else PAGE
        assert (answer.status, answer.ended) == (200, True)
        assert (gzip.decompress(body) if is_coded else body) == content
        assert (answer.trailers or []) == ([(b"x-checked", b"yes")] if kind == "send" else [])
        if counting.writers:
            assert counting.writers[-1].count == len(body)  # coded where it is outside of the compression

    run(main())


def test_a_mailbox_that_overflows_resets_through_the_writer(run: Run) -> None:
    """The reset of a loop response that is coded, and watched."""
    counting = Counting()

    def overflow(mailbox: Any, push: Any, state: Any) -> None:
        for number in range(3):
            mailbox.put(number)

    async def handler(request: Request) -> LoopResponse:
        return LoopResponse(200, TEXT, stop, on_start=overflow, mailbox_size=2, overflow="disconnect")

    router = Router(middleware=[counting, Compression(["gzip"])])
    router.get("/")(handler)

    async def main() -> None:
        async with serving(router) as server, H2Peer.connected(port(server)) as peer:
            answer = await peer.get("/", headers=GZIP)
            assert (answer.ended, answer.reset) == (False, CANCEL)
        assert counting.writers[0].calls == ["start", "reset"]

    run(main())
