"""The page of `make serve` in a real browser: headless Chromium loads it, and the page's own figures are read.

The page writes what it sees into data-* attributes: how many tiles came, by which protocol (`nextHopProtocol`), over
how many connections (each tile's `Server-Timing` names the one that brought it), what the live panel shows, and what
came of the chat, the events and the file in parts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.browser import browsing
from tests.support.process import Served, serving

pytestmark = [pytest.mark.tool, pytest.mark.slow]

TILES = 200
READY = "document.documentElement.dataset.state === 'ready' && document.getElementById('live').dataset.lines >= 2"
GREETED = (
    "['right', 'wrong', 'failed'].includes(document.getElementById('download').dataset.state)"
    " && document.getElementById('chat').dataset.messages >= 1 && document.getElementById('events').dataset.events >= 2"
)
SHAPES = {"desktop": (1280, 1300, ()), "dark": (1280, 1300, ("--force-dark-mode",)), "phone": (500, 2900, ())}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps its local certificate."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def certificate(state: Path) -> Path:
    return state / "headrace" / "localhost.pem"


@pytest.fixture(scope="module")
def demo(state: Path) -> Iterator[Served]:
    with serving("headrace.demo:app", tls=True, env={"XDG_STATE_HOME": str(state)}) as served:
        yield served


def test_two_hundred_tiles_come_over_one_h2_connection_while_the_panel_is_live(
    demo: Served, certificate: Path, tmp_path: Path
) -> None:
    with browsing(demo.url(scheme="https"), tmp_path / "profile", certificate) as shown:
        page = shown.wait_until(READY)
    figures, live = page.of["figures"], page.of["live"]
    assert int(figures["data-tiles-wanted"]) == TILES
    assert int(figures["data-tiles-loaded"]) == TILES
    assert int(figures["data-tiles-failed"]) == 0
    assert figures["data-protocols"] == "h2"
    assert int(figures["data-connections"]) == 1
    assert int(figures["data-elapsed-ms"]) > 0

    assert int(live["data-lines"]) >= 2
    assert live["data-connection"] == figures["data-connection-ids"]
    # The page, its scripts and style, the panel's stream, addresses, events, the chat and the tiles; perhaps an icon.
    assert TILES + 4 <= int(live["data-streams-opened"]) <= TILES + 10
    assert int(live["data-open-streams"]) >= 1
    assert int(live["data-frames-in"]) > TILES
    assert int(live["data-frames-out"]) > 2 * TILES
    assert int(live["data-highest-rate"]) > 0
    assert int(live["data-send-window"]) > 0


def test_chat_events_and_ranges_over_the_same_h2_connection(demo: Served, certificate: Path, tmp_path: Path) -> None:
    """With #greet the page says something in its chat and downloads its file."""
    log = tmp_path / "net.json"
    flags = (f"--log-net-log={log}", "--net-log-capture-mode=Everything")
    with browsing(demo.url("/#greet", scheme="https"), tmp_path / "profile", certificate, *flags) as shown:
        page = shown.wait_until(GREETED)
    chat, events, download = page.of["chat"], page.of["events"], page.of["download"]
    assert page.of["protocols"]["data-current"] == "h2"
    assert (chat["data-state"], chat["data-version"]) == ("open", "2"), "WebSocket over HTTP/2, RFC 8441"
    assert events["data-state"] == "open"
    assert (download["data-state"], download["data-statuses"]) == ("right", "206 206 206 206"), download
    assert int(download["data-bytes"]) == 4 * 1_048_576
    assert ":protocol: websocket" in log.read_text(), "the extended CONNECT as the browser's own frame log has it"


def test_the_same_page_over_http_1_1(state: Path, tmp_path: Path) -> None:
    """Browsers speak HTTP/1.1 where there is no TLS: the switch of the page leads there."""
    with (
        serving("headrace.demo:app", env={"XDG_STATE_HOME": str(state)}) as served,
        browsing(served.url("/#greet"), tmp_path / "profile") as shown,
    ):
        shown.wait_until(READY)
        page = shown.wait_until(GREETED)
    assert page.of["protocols"]["data-current"] == "http/1.1"
    assert page.of["figures"]["data-protocols"] == "http/1.1"
    assert int(page.of["figures"]["data-tiles-loaded"]) == TILES
    assert int(page.of["figures"]["data-connections"]) > 1
    assert (page.of["chat"]["data-state"], page.of["chat"]["data-version"]) == ("open", "1.1")
    assert (page.of["download"]["data-state"], page.of["download"]["data-statuses"]) == ("right", "206 206 206 206")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_of_the_page_can_be_taken(demo: Served, certificate: Path, tmp_path: Path, shape: str) -> None:
    width, height, flags = SHAPES[shape]
    window = f"--window-size={width},{height}"
    with browsing(demo.url("/#greet", scheme="https"), tmp_path / "profile", certificate, window, *flags) as shown:
        shown.wait_until(READY)
        shown.wait_until(GREETED)
        data = shown.screenshot()
    (tmp_path / f"{shape}.png").write_bytes(data)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24])[0] == width
    # An empty page of this size takes a tenth of it: PNG packs flat areas well.
    assert len(data) > 100_000
