"""Headless Chromium, spoken to by its DevTools protocol: pages are looked at when they say that they are ready."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.conftest import need

PATIENCE_S = 60.0  # for what must come; a test only waits that long when it fails
LOOK = """new Promise((resolve) => {
  const end = Date.now() + PATIENCE;
  const look = () => {
    let good = false;
    try { good = Boolean(CONDITION); } catch {}
    if (good || Date.now() > end) resolve(good); else setTimeout(look, 20);
  };
  look();
})"""
ADDRESS = re.compile(rb"DevTools listening on (ws://\S+)")


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


class Page:
    """One open page."""

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket = socket
        self._session = session
        self._last_id = 100

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """What a method of the DevTools protocol returns."""
        self._last_id += 1
        return command(self._socket, self._last_id, method, params, self._session)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page; of a promise, once it is kept."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_until(self, condition: str) -> Attributes:
        """Wait until an expression is true in the page; then its elements' attributes."""
        became = self.evaluate(LOOK.replace("PATIENCE", str(PATIENCE_S * 1000)).replace("CONDITION", condition))
        page = Attributes(self.evaluate("document.documentElement.outerHTML"))
        assert became, (condition, page.of)
        return page

    def screenshot(self) -> bytes:
        """The page as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])


def command(
    socket: ClientConnection, number: int, method: str, params: dict[str, Any], session: str | None = None
) -> dict[str, Any]:
    message = {"id": number, "method": method, "params": params}
    socket.send(json.dumps(message | {"sessionId": session} if session else message))
    while True:
        answer = json.loads(socket.recv(timeout=2 * PATIENCE_S))
        if answer.get("id") == number:
            assert "error" not in answer, answer
            return dict(answer["result"])


@contextlib.contextmanager
def browsing(url: str, folder: Path, certificate: Path | None = None, *flags: str) -> Iterator[Page]:
    """`url` in a browser of its own, with its profile in `folder`; `certificate` is one that it is to trust."""
    trust = [f"--ignore-certificate-errors-spki-list={key_fingerprint(certificate)}"] if certificate else []
    process = subprocess.Popen(
        [
            need("chromium"),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--proxy-server=direct://",
            "--remote-debugging-port=0",
            *trust,
            *flags,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        with connect(devtools_address(process.stderr), max_size=None, compression=None) as socket:
            target = command(socket, 1, "Target.createTarget", {"url": "about:blank"})["targetId"]
            session = command(socket, 2, "Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
            page = Page(socket, session)
            page.call("Page.navigate", url=url)
            yield page
            command(socket, 99, "Browser.close", {})
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def devtools_address(stderr: IO[bytes]) -> str:
    """Where the browser listens, from what it prints; the rest that it prints is read and forgotten."""
    said = b""
    for line in stderr:
        said += line
        found = ADDRESS.search(line)
        if found is not None:
            threading.Thread(target=stderr.read, daemon=True).start()
            return found[1].decode()
    raise AssertionError(said.decode("utf-8", "replace")[-2000:])


def key_fingerprint(certificate: Path) -> str:
    """What `--ignore-certificate-errors-spki-list` wants: base64 of SHA-256 of the public key."""
    x509 = pytest.importorskip("cryptography.x509")
    serialization = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    data = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
