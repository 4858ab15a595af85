"""Requests that run at once: the content of each is its own, and what goes wrong with one is said of that one."""

from __future__ import annotations

import asyncio
import gzip
import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace.client import BodyConsumed, Client, Request, SyncClient
from headrace.client.message.content import FileContent
from headrace.client.testing.mock import Answer, MockRequest, MockTransport
from headrace.server.handlers.request import Request as Served
from headrace.server.handlers.response import Response

from tests.support.serving import Run, port, serving

BOTH = pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
CONTENT = bytes(range(256)) * 4_000  # about a megabyte, in which no two places look alike for long


class Packed(io.BytesIO):
    """Not one of the files that we know: all that is certain is that it reads and seeks."""


def files(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "file"
    path.write_bytes(b"skipped" + CONTENT)
    plain = path.open("rb")
    plain.read(7)
    yield plain
    bare = path.open("rb", buffering=0)
    bare.seek(7)
    yield bare
    both = tempfile.TemporaryFile()  # noqa: SIM115
    both.write(CONTENT)
    both.seek(0)
    yield both
    yield io.BytesIO(CONTENT)
    yield Packed(CONTENT)
    packed = tmp_path / "file.gz"
    packed.write_bytes(gzip.compress(CONTENT, 1))
    yield gzip.open(packed)  # noqa: SIM115


KINDS = ["a file", "an unbuffered file", "a temporary file", "BytesIO", "a kind of BytesIO", "gzip"]


async def echo(request: Served) -> Response:
    return Response(200, (), await request.read())


@BOTH
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_sent_several_times_at_once(run: Run, http2: bool, kind: str, tmp_path: Path) -> None:
    """One request three times, and three requests with one file; each send has a position of its own."""

    async def main() -> None:
        async with serving(echo) as server, Client(http1=not http2, http2=http2, trust_env=False) as client:
            url = f"http://127.0.0.1:{port(server)}/"
            for name, file in zip(KINDS, files(tmp_path), strict=True):
                with file:
                    if name != kind:
                        continue
                    request = Request("POST", url, content=file)
                    answers = await asyncio.gather(*(client.send(request) for _ in range(3)))
                    assert [answer.content == CONTENT for answer in answers] == [True] * 3
                    if kind in ("a file", "an unbuffered file"):
                        assert file.tell() == 7
                    file.seek(7 if kind in ("a file", "an unbuffered file") else 0)
                    several = [Request("POST", url, content=file) for _ in range(3)]
                    answers = await asyncio.gather(*(client.send(each) for each in several))
                    assert [answer.content == CONTENT for answer in answers] == [True] * 3

    run(main())


def test_a_form_with_a_file_is_sent_several_times_at_once(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)

    async def main() -> None:
        async with serving(echo) as server, Client(http1=False, trust_env=False) as client:
            with path.open("rb") as file, path.open("rb") as other:
                form = {"one": ("one", file), "same": ("same", file), "other": ("other", other)}
                request = Request("POST", f"http://127.0.0.1:{port(server)}/", files=form)
                answers = await asyncio.gather(*(client.send(request) for _ in range(3)))
                assert [answer.content.count(CONTENT) for answer in answers] == [3] * 3
                assert len({answer.content for answer in answers}) == 1

    run(main())


def test_threads_send_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    with path.open("rb") as file, ThreadPoolExecutor(4) as pool:

        async def taking(request: MockRequest) -> Answer:
            return Answer(200, content=await request.read())

        with SyncClient(transport=MockTransport(taking)) as client:
            request = Request("POST", "http://a.example/", content=file)
            answers = list(pool.map(lambda _: client.send(request).content == CONTENT, range(8)))
            assert answers == [True] * 8


def test_a_file_is_sent_as_it_was_when_the_request_was_made(run: Run, tmp_path: Path) -> None:
    """Its length is in the head: what is written behind it meanwhile is not sent."""
    path = tmp_path / "log"
    path.write_bytes(b"before")

    async def main() -> None:
        with path.open("rb") as file:
            content = FileContent(file)
            with path.open("ab") as more:
                more.write(b" and after")
            assert b"".join([piece async for piece in content.open()]) == b"before"

    run(main())


def test_an_iterator_is_the_content_of_one_request(run: Run) -> None:
    """The second one would be sent without content, or with half of it, as if that were all."""

    def plain() -> Iterator[bytes]:
        yield b"a"

    async def waiting() -> AsyncIterator[bytes]:
        yield b"a"

    async def taking(request: MockRequest) -> Answer:
        return Answer(200, content=await request.read())

    async def main() -> None:
        async with Client(transport=MockTransport(taking)) as client:
            for make in (plain, waiting):
                iterator: Any = make()
                assert (await client.post("http://a.example/", content=iterator)).content == b"a"
                with pytest.raises(BodyConsumed, match="already the content of another request"):
                    await client.post("http://a.example/", content=iterator)
                request = Request("POST", "http://a.example/", content=make())
                outcomes = await asyncio.gather(*(client.send(request) for _ in range(3)), return_exceptions=True)
                assert sorted(type(each).__name__ for each in outcomes) == [
                    "BodyConsumed",
                    "BodyConsumed",
                    "ClientResponse",
                ]
                for _ in range(2):
                    assert (await client.post("http://a.example/", content=make)).content == b"a"

    run(main())


@pytest.mark.parametrize("http_version", ["1.1", "2"])
def test_what_a_handler_of_mock_transport_raises_is_its_own_requests(run: Run, http_version: Any) -> None:
    """Ten requests at once, whose handlers end in the opposite order; each caller gets its own error or answer."""

    async def main() -> None:
        started = 0
        all_are_here = asyncio.Event()

        async def handler(request: MockRequest) -> Answer:
            nonlocal started
            number = int(request.path[1:])
            started += 1
            if started == 10:
                all_are_here.set()
            await all_are_here.wait()
            for _ in range(10 - number):
                await asyncio.sleep(0)
            if number % 3 == 2:
                return Answer(200, content=request.path.encode())
            raise LookupError(request.path)

        async with Client(transport=MockTransport(handler, http_version=http_version)) as client:
            urls = [f"http://a.example/{number}" for number in range(10)]
            outcomes = await asyncio.gather(*(client.get(url) for url in urls), return_exceptions=True)
            for number, outcome in enumerate(outcomes):
                if number % 3 == 2:
                    assert not isinstance(outcome, BaseException)
                    assert outcome.content == f"/{number}".encode()
                else:
                    assert isinstance(outcome, LookupError)
                    assert outcome.args == (f"/{number}",)
            assert not client.transport._errors  # type: ignore[attr-defined]

    run(main())
