"""The parts of the bridges to httpx2 and httpx that no whole request needs: full caches, URLs, contents, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from headrace.client import LoopThread, errors
from headrace.client.timeouts import DEFAULT_TIMEOUTS
from headrace.client.transports import bridge
from headrace.client.transports.bridge import BridgeContent, SyncBridgeContent, map_error, to_outgoing

BOTH = pytest.mark.parametrize("api", [httpx, httpx2], ids=["httpx", "httpx2"])


@BOTH
def test_a_full_memory_of_origins_and_timeouts_costs_only_time(
    api: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "_origins", dict.fromkeys(range(1_000)))
    monkeypatch.setattr(bridge, "_timeouts", dict.fromkeys(range(bridge._MOST_TIMEOUTS)))
    request = api.Request("GET", "https://example.org/a", extensions={"timeout": {"connect": 1.0, "read": None}})
    for _ in range(2):
        outgoing = to_outgoing(request, api, BridgeContent)
        assert (outgoing.origin.host, outgoing.origin.port) == ("example.org", 443)
        assert (outgoing.timeouts.connect, outgoing.timeouts.read) == (1.0, None)
    assert len(bridge._origins) == 1_000
    assert len(bridge._timeouts) == bridge._MOST_TIMEOUTS


@BOTH
def test_a_request_without_timeouts_has_ours(api: ModuleType) -> None:
    assert to_outgoing(api.Request("GET", "http://a.example/"), api, BridgeContent).timeouts is DEFAULT_TIMEOUTS


@BOTH
@pytest.mark.parametrize(
    ("url", "words"), [("ftp://a.example/", "the scheme 'ftp'"), ("/path", "no scheme"), ("http:///path", "no host")]
)
def test_a_url_that_no_request_can_have(api: ModuleType, url: str, words: str) -> None:
    with pytest.raises(api.UnsupportedProtocol, match=words):
        to_outgoing(api.Request("GET", url), api, BridgeContent)


def test_an_error_of_somebody_else_stays_itself() -> None:
    error: Exception = LookupError("of a hook")
    assert map_error(error, httpx2) is error
    assert isinstance(map_error(errors.ConnectTimeout("slow"), httpx2), httpx2.ConnectTimeout)


async def later() -> AsyncIterator[bytes]:
    yield b"a"


def at_once() -> Iterator[bytes]:
    yield b"a"


@pytest.mark.parametrize(("kind", "source"), [(BridgeContent, later), (SyncBridgeContent, at_once)])
def test_a_stream_is_sent_once(kind: type[BridgeContent], source: Any) -> None:
    async def main() -> None:
        content = kind(source(), None)
        before = content.is_replayable
        assert [piece async for piece in content.open()] == [b"a"]
        assert (before, content.is_replayable) == (True, False)
        assert content.trailers() == []
        with pytest.raises(errors.BodyConsumed, match="sent in part already"):
            content.open()

    asyncio.run(main())


@BOTH
def test_what_is_closed_after_its_thread_is_no_error(api: ModuleType) -> None:
    """The interpreter's end may come first."""
    from headrace.client.transports import httpx as over_httpx
    from headrace.client.transports import httpx2 as over_httpx2

    module: Any = over_httpx if api is httpx else over_httpx2
    thread = LoopThread()
    transport = module.Transport(thread=thread)

    class Incoming:
        closed = 0

        def close(self) -> None:
            self.closed += 1

    incoming: Any = Incoming()
    content = module.Transport.stream_type(thread, incoming)
    content.close()
    assert incoming.closed == 1
    thread.stop()
    content.close()
    transport.close()
    assert incoming.closed == 1


def test_the_former_paths_of_the_testing_transports_work() -> None:
    from headrace.client.testing.asgi import ASGITransport
    from headrace.client.testing.mock import MockTransport
    from headrace.client.transports import asgi, mock

    assert asgi.ASGITransport is ASGITransport
    assert mock.MockTransport is MockTransport
