"""The page of `make serve` in a real browser: headless Chromium loads it, and the page's own figures are read.

The page writes what it sees into data-* attributes: how many tiles came, by which protocol (`nextHopProtocol`), over
how many connections (each tile's `Server-Timing` names the one that brought it), and what the live panel shows.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import need
from tests.process import Served, serving

pytestmark = [pytest.mark.tool, pytest.mark.slow]

TILES = 200
PATIENCE_S = 120
SHAPES = {"desktop": (1280, 1000, ()), "dark": (1280, 1000, ("--force-dark-mode",)), "phone": (500, 2200, ())}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps its local certificate."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def demo(state: Path) -> Iterator[Served]:
    with serving("headrace.demo:app", tls=True, env={"XDG_STATE_HOME": str(state)}) as served:
        yield served


class Attributes(HTMLParser):
    """The attributes of the elements that have an id, and of `html` under its name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.of: dict[str, dict[str, str]] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        key = "html" if tag == "html" else found.get("id")
        if key is not None:
            self.of[key] = found


def key_fingerprint(certificate: Path) -> str:
    """What `--ignore-certificate-errors-spki-list` wants: base64 of SHA-256 of the public key."""
    x509 = pytest.importorskip("cryptography.x509")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    octets = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(octets).digest()).decode()


def browse(url: str, state: Path, profile: Path, *flags: str) -> str:
    """What Chromium prints after it has shown `url` for some seconds of its own time."""
    command = [
        need("chromium"),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--proxy-server=direct://",
        f"--ignore-certificate-errors-spki-list={key_fingerprint(state / 'headrace' / 'localhost.pem')}",
        "--virtual-time-budget=10000",
        *flags,
        url,
    ]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
    return done.stdout.decode("utf-8", "replace")


def test_two_hundred_tiles_come_over_one_h2_connection_while_the_panel_is_live(
    demo: Served, state: Path, tmp_path: Path
) -> None:
    page = Attributes(browse(demo.url(scheme="https"), state, tmp_path, "--dump-dom"))
    figures, live = page.of["figures"], page.of["live"]
    assert page.of["html"]["data-state"] == "ready", (figures, live)

    assert int(figures["data-tiles-wanted"]) == TILES
    assert int(figures["data-tiles-loaded"]) == TILES
    assert int(figures["data-tiles-failed"]) == 0
    assert figures["data-protocols"] == "h2"
    assert int(figures["data-connections"]) == 1
    assert int(figures["data-elapsed-ms"]) > 0

    assert int(live["data-lines"]) >= 2
    assert live["data-connection"] == figures["data-connection-ids"]
    # The page, its script and style, the panel's stream, and the tiles; an icon may come as well.
    assert TILES + 4 <= int(live["data-streams-opened"]) <= TILES + 6
    assert int(live["data-open-streams"]) >= 1
    assert int(live["data-frames-in"]) > TILES
    assert int(live["data-frames-out"]) > 2 * TILES
    assert int(live["data-highest-rate"]) > 0
    assert int(live["data-send-window"]) > 0


@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_of_the_page_can_be_taken(demo: Served, state: Path, tmp_path: Path, shape: str) -> None:
    width, height, flags = SHAPES[shape]
    picture = tmp_path / f"{shape}.png"
    window = (f"--window-size={width},{height}", "--hide-scrollbars", f"--screenshot={picture}")
    browse(demo.url(scheme="https"), state, tmp_path / "profile", *window, *flags)
    octets = picture.read_bytes()
    assert octets.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", octets[16:24]) == (width, height)
    # An empty page of this size takes a tenth of it: PNG packs flat areas well.
    assert len(octets) > 100_000
