"""Uploads whose request ends, or whose source fails, between two pieces; the connection is a fake."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from headrace.client.connection import upload as upload_module
from headrace.client.connection.upload import PIECE, BytesUpload, ContentUpload
from headrace.client.errors import RequestError
from headrace.engine.errors import LocalError, StreamClosedError

from tests.client.support.two_pieces import TwoPieces


class Engine:
    """Accepts as the test says, or raises."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []
        self.trailers: Any = None
        self.accepts = True
        self.error: Exception | None = None

    def send_data(self, stream_id: int, data: bytes, end: bool) -> bool:
        if self.error is not None:
            raise self.error
        self.sent.append((bytes(data), end))
        return self.accepts

    def send_trailers(self, stream_id: int, trailers: Any, never_indexed: Any) -> bool:
        self.trailers = trailers
        return self.accepts


class Driver:
    """The connection."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        self.flushes = 0

    def schedule_flush(self) -> None:
        self.flushes += 1


class Sent:
    """The request's description."""

    never_indexed = frozenset[bytes]()

    def __init__(self, on_sent: Callable[[int], None] | None = None) -> None:
        self.on_sent = on_sent


class Exchange:
    """The request; keeps how its upload ended."""

    stream_id = 1
    since = 0.0
    is_over = False

    def __init__(self, on_sent: Callable[[int], None] | None = None) -> None:
        self.driver = Driver()
        self.outgoing = Sent(on_sent)
        self.ends: list[Any] = []

    def fail(self, error: Exception) -> None:
        self.is_over = True
        self.ends.append(error)

    def on_sent(self) -> None:
        self.ends.append("sent")


class Content:
    """Content of a test's iterator."""

    is_replayable = False

    def __init__(self, iterator: Any, length: int | None = None, trailers: Any = ()) -> None:
        self.length = length
        self._iterator = iterator
        self._trailers = trailers

    def open(self) -> Any:
        if isinstance(self._iterator, Exception):
            raise self._iterator
        return self._iterator

    def trailers(self) -> Any:
        return list(self._trailers)


def of_bytes(exchange: Exchange, content: bytes) -> BytesUpload:
    return BytesUpload(cast(Any, exchange), content)


def of_content(exchange: Exchange, *arguments: Any, **options: Any) -> ContentUpload:
    return ContentUpload(cast(Any, exchange), cast(Any, Content(*arguments, **options)))


async def pieces(*given: Any) -> AsyncIterator[Any]:
    for each in given:
        yield each


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_bytes_go_in_pieces_as_they_are_accepted() -> None:
    async def main() -> None:
        counted: list[int] = []
        exchange = Exchange(counted.append)
        engine = exchange.driver.engine
        engine.accepts = False
        upload = of_bytes(exchange, bytes(PIECE) + b"rest")
        upload.begin(False)
        assert [(len(data), end) for data, end in engine.sent] == [(PIECE, False)]
        assert upload.is_blocked
        upload.on_accepted()
        assert [(len(data), end) for data, end in engine.sent] == [(PIECE, False), (4, True)]
        assert exchange.ends == []
        upload.on_accepted()
        assert exchange.ends == ["sent"]
        assert counted == [PIECE, 4]

    asyncio.run(main())


@pytest.mark.parametrize("error", [StreamClosedError(1, "reset"), LookupError("of a callback")])
def test_bytes_that_the_stream_does_not_take(error: Exception) -> None:
    """An event says why a stream is closed; other errors are the request's."""

    async def main() -> None:
        exchange = Exchange()
        exchange.driver.engine.error = error
        of_bytes(exchange, b"x").begin(False)
        assert exchange.ends == ([] if isinstance(error, StreamClosedError) else [error])

    asyncio.run(main())


@pytest.mark.parametrize("comes", ["answer", "time", "end"])
def test_content_waits_for_100_continue_or_for_its_time(comes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "CONTINUE_S", 3600.0 if comes != "time" else 0.0)

    async def main() -> None:
        exchange = Exchange()
        upload = of_bytes(exchange, b"x")
        upload.begin(True)
        assert exchange.ends == []
        if comes == "answer":
            upload.on_continue()
        elif comes == "time":
            await asyncio.sleep(0.001)
        else:
            upload.stop()
        upload.on_continue()
        upload.stop()
        assert exchange.ends == ([] if comes == "end" else ["sent"])

    asyncio.run(main())


# -- iterators ---------------------------------------------------------------------------------------------------------


def test_an_iterator_without_aclose_is_fine() -> None:
    async def main() -> None:
        exchange = Exchange()
        of_content(exchange, TwoPieces()).begin(False)
        await turns()
        assert exchange.driver.engine.sent == [(b"x", False), (b"x", False), (b"", True)]
        assert exchange.ends == ["sent"]

    asyncio.run(main())


@pytest.mark.parametrize("trailers", [[], [(b"x-sum", b"1")]])
def test_the_end_waits_until_it_is_accepted(trailers: Any) -> None:
    async def main() -> None:
        exchange = Exchange()
        engine = exchange.driver.engine
        engine.accepts = False
        upload = of_content(exchange, pieces(), trailers=trailers)
        upload.begin(False)
        await turns()
        assert upload.is_blocked
        assert exchange.ends == []
        assert (engine.sent, engine.trailers) == ([], trailers) if trailers else ([(b"", True)], None)
        upload.on_accepted()
        upload.on_accepted()
        await turns()
        assert exchange.ends == ["sent"]

    asyncio.run(main())


def test_a_request_that_ends_between_two_pieces_takes_no_more_of_them() -> None:
    asked: list[int] = []

    async def main() -> None:
        exchange = Exchange()

        async def source() -> AsyncIterator[bytes]:
            for number in range(3):
                asked.append(number)
                if number == 1:
                    exchange.is_over = True
                yield b"x"

        of_content(exchange, source()).begin(False)
        await turns()
        assert exchange.driver.engine.sent == [(b"x", False)]
        assert exchange.ends == []

    asyncio.run(main())
    assert asked == [0, 1]


def test_a_request_that_is_over_when_its_upload_starts_is_not_sent() -> None:
    async def main() -> None:
        exchange = Exchange()
        exchange.is_over = True
        of_content(exchange, pieces(b"x")).begin(False)
        await turns()
        assert exchange.driver.engine.sent == []

    asyncio.run(main())


@pytest.mark.parametrize("is_over", [True, False])
def test_a_cancelled_upload_fails_a_request_that_still_runs(is_over: bool) -> None:
    async def main() -> None:
        exchange = Exchange()
        waiting = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            yield b"x"
            await waiting.wait()

        upload = of_content(exchange, source())
        upload.begin(False)
        await turns()
        exchange.is_over = is_over
        upload.stop()
        await turns()
        if is_over:
            assert exchange.ends == []
        else:
            (error,) = exchange.ends
            assert isinstance(error, RequestError)
            assert "cancelled" in str(error)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("length", "sentence"), [(None, "no"), (1, "no"), (5, "the request's content has 1 bytes, but 5 were announced")]
)
def test_what_the_engine_refuses_is_the_requests_error(length: int | None, sentence: str) -> None:
    async def main() -> None:
        exchange = Exchange()

        async def source() -> AsyncIterator[bytes]:
            yield b"x"
            exchange.driver.engine.error = LocalError("no")

        of_content(exchange, source(), length).begin(False)
        await turns()
        (error,) = exchange.ends
        assert str(error) == sentence

    asyncio.run(main())


def test_content_that_cannot_be_opened_or_is_no_bytes() -> None:
    async def main() -> None:
        for given, kind in ((LookupError("used up"), LookupError), (pieces("text"), TypeError)):
            exchange = Exchange()
            of_content(exchange, given).begin(False)
            await turns()
            assert [type(each) for each in exchange.ends] == [kind]

    asyncio.run(main())


def test_a_stream_that_closes_ends_the_upload_in_silence() -> None:
    async def main() -> None:
        exchange = Exchange()
        exchange.driver.engine.error = StreamClosedError(1, "reset")
        of_content(exchange, pieces(b"x")).begin(False)
        await turns()
        assert exchange.ends == []

    asyncio.run(main())
