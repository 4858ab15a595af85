"""The demo without a browser: its files, its tiles, and the live response, which ends when a drain begins."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import socket
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import pytest

from headrace.client import Client
from headrace.demo import download, site
from headrace.demo.tiles import COUNT, picture
from headrace.server.handlers.mailbox import Dropped

from tests.cli.command import Running, serving
from tests.support import wire
from tests.support.fetch import fetch
from tests.support.serving import port, settled
from tests.support.serving import serving as serving_here

DEMO = ("headrace.demo:app", "--bind", "127.0.0.1:0")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    with serving(*DEMO, cwd=tmp_path) as server:
        yield server


def test_the_page_is_there_for_get_and_post_with_more_than_a_kilobyte(demo: Running) -> None:
    port = demo.port()
    for method, body in (("GET", None), ("POST", b"a=b")):
        answer = fetch(port, "/", method, body)
        assert answer.status == 200
        assert len(answer.body) > 1024
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_everything_that_the_page_asks_for_is_there_and_nothing_else(demo: Running) -> None:
    port = demo.port()
    for path, kind in (
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/tile/0.svg?round=1", "image/svg+xml"),
        (f"/tile/{COUNT - 1}.svg", "image/svg+xml"),
    ):
        answer = fetch(port, path)
        assert (answer.status, answer.headers["content-type"]) == (200, kind), path
    for path in ("/page.html", "/tile/", f"/tile/{COUNT}.svg", "/tile/-1.svg", "/tile/%C2%B2", "/tile/0001.svg"):
        assert fetch(port, path).status == 404, path


def test_the_page_uses_nothing_from_elsewhere() -> None:
    for name in ("page.html", "page.js", "style.css"):
        text = (files("headrace.demo") / name).read_text("utf-8")
        assert "http://" not in text, name
        assert "https://" not in text, name


def test_every_tile_is_a_picture_with_its_number() -> None:
    seen = set()
    for index in range(COUNT):
        root = ElementTree.fromstring(picture(index, 1000 + index))
        (text,) = root.findall("{http://www.w3.org/2000/svg}text")
        assert text.text == str(1000 + index)
        seen.add(root[0].get("fill"))
    assert len(seen) > COUNT / 2


def test_the_live_response_tells_the_connections_figures_and_ends_when_a_drain_begins(demo: Running) -> None:
    reader = wire.FrameReader()
    content = b""
    ended = False
    with socket.create_connection(("127.0.0.1", demo.port()), timeout=20) as client:
        client.sendall(wire.client_preface() + wire.settings_ack() + wire.request(1, b"/live"))
        signalled = False
        while data := client.recv(65_536):
            for frame in reader.feed(data):
                if frame.type == wire.DATA:
                    content += frame.content
                    ended = ended or frame.end_stream
            if content.count(b"\n") >= 2 and not signalled:
                demo.signal(signal.SIGTERM)
                signalled = True
    assert ended
    assert demo.wait() == 0
    lines = [json.loads(line) for line in content.splitlines()]
    assert lines[0]["at"] < lines[1]["at"]
    assert lines[0]["encrypted"] is False
    for line in lines:
        assert line["stats"]["streams_opened"] == 1
        assert line["stats"]["open_streams"] == 1
        assert line["stats"]["frames_out"] > 0


# -- the demo in this process ------------------------------------------------------------------------------------------


def test_visitors_talk_and_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of one visitor come to both, and as an event to whoever watches; empty ones come to nobody."""
    monkeypatch.setattr(site, "EVENT_EVERY_S", 0.01)

    async def main() -> None:
        async with serving_here(site.app) as server, Client() as client:
            here = f"127.0.0.1:{port(server)}"
            async with client.sse(f"http://{here}/events") as source:
                events = aiter(source)
                assert (await anext(events)).event == "tick"
                async with (
                    client.websocket(f"ws://{here}/chat") as one,
                    client.websocket(f"ws://{here}/chat") as other,
                ):
                    for each in (one, other):
                        assert json.loads(str(await each.receive())) == {"hello": True, "version": "1.1"}
                    await settled(lambda: len(site.bus._subscribers("chat")) == 3)
                    await one.send("   ")
                    await one.send(" good " + "x" * 600)
                    for each in (one, other):
                        said = json.loads(str(await each.receive()))
                        assert said["text"] == ("good " + "x" * 600)[: site.LONGEST_WORDS - 1]
                        assert int(said["from"]) > 0
                    async for event in events:
                        if event.event == "said":
                            assert json.loads(event.data)["text"].startswith("good ")
                            break
                        assert event.event == "tick"

    asyncio.run(main())


def test_a_page_learns_its_other_addresses_and_slow_tiles_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def recorded(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", recorded)

    async def main() -> None:
        async with serving_here(site.app) as server, Client() as client:
            here = f"http://127.0.0.1:{port(server)}"
            addresses = await client.get(f"{here}/addresses")
            assert str(port(server)) in addresses.text
            assert addresses.headers["cache-control"] == "no-store"
            slept.clear()
            quick, slow = await client.get(f"{here}/tile/50.svg"), await client.get(f"{here}/tile/50.svg?a&slow")
            assert (quick.status, slow.status) == (200, 200)
            assert [each for each in slept if each >= site.SLOW_MOTION_S] == [site.SLOW_MOTION_S * (1 + 50 / COUNT)]
            assert slow.headers["server-timing"].startswith("connection;desc=")

    asyncio.run(main())


def test_the_file_for_download_has_its_digest() -> None:
    folder = download.folder()
    assert download.folder() == folder
    content = (folder / download.NAME).read_bytes()
    assert len(content) == download.SIZE
    assert (folder / f"{download.NAME}.sha256").read_text() == hashlib.sha256(content).hexdigest()


def test_a_visitor_who_is_too_slow_misses_words_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mailbox of such a visitor was full: what it lost is no message."""
    monkeypatch.setattr(site, "EVENT_EVERY_S", 3600.0)
    told: list[Any] = []

    class Visitor:
        async def send(self, message: Any) -> None:
            told.append(message)

    class Heard:
        """A subscription that has lost something."""

        def __init__(self, *messages: Any) -> None:
            self.messages = list(messages)

        async def __aenter__(self) -> Heard:
            return self

        async def __aexit__(self, *_: object) -> None: ...

        def __aiter__(self) -> Heard:
            return self

        async def __anext__(self) -> Any:
            if not self.messages:
                await asyncio.Event().wait()
            return self.messages.pop(0)

    class Bus:
        def subscribe(self, topic: str) -> Heard:
            return Heard(*words)

    words = [Dropped(3), '{"text": "one"}']
    monkeypatch.setattr(site, "bus", Bus())

    async def main() -> None:
        telling = asyncio.ensure_future(site._tell(cast(Any, Visitor()), Heard(*words)))
        await settled(lambda: bool(told))
        telling.cancel()
        ticks = site._ticks()
        assert [(await anext(ticks)).event for _ in range(2)] == ["tick", "tick"]
        assert (await anext(ticks)).data == '{"text": "one"}'
        await ticks.aclose()  # type: ignore[attr-defined] # it is a generator
        words.clear()
        monkeypatch.setattr(site, "EVENT_EVERY_S", 0.0)
        ticks = site._ticks()
        assert [(await anext(ticks)).id for _ in range(3)] == ["1", "2", "3"]  # nobody says anything
        await ticks.aclose()  # type: ignore[attr-defined] # likewise

    asyncio.run(main())
    assert told == ['{"text": "one"}']
