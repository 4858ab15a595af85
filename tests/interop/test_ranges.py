"""Ranges and conditions as others use them: curl, nginx as a caching proxy that fetches slices, and Chromium."""

from __future__ import annotations

import contextlib
import email.parser
import email.policy
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import missing, need
from tests.interop.browser import browsing
from tests.support.process import Served, free_port, serving

pytestmark = [pytest.mark.tool, pytest.mark.slow]

BODY = bytes(range(256)) * 3_907  # 1,000,192 bytes
SLICE = 131_072
PATIENCE_S = 60.0
SECONDS = 60
RATE = 8_000

NGINX = """
{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 128; }}
http {{
  log_format seen '$uri $upstream_cache_status $upstream_status'; access_log {folder}/seen.log seen;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=kept:1m;
  proxy_cache kept; proxy_http_version 1.1; proxy_set_header Connection "";
  add_header x-cache $upstream_cache_status;
  upstream ours {{ server 127.0.0.1:{back}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location /sliced/ {{
      slice {slice}; proxy_cache_key $uri$slice_range; proxy_set_header Range $slice_range;
      proxy_cache_valid 200 206 1h; proxy_pass http://ours/;
    }}
    location /whole/ {{
      proxy_cache_valid 200 1s; proxy_cache_revalidate on; proxy_force_ranges on; proxy_pass http://ours/;
    }}
  }}
}}
"""

PAGE = """<!doctype html><title>a</title><link rel="icon" href="data:,"><audio id="a" preload="auto" src="/sound.wav">
</audio><script>
const a = document.getElementById("a");
const say = (name, value) => { document.documentElement.dataset[name] = value; };
a.onloadedmetadata = () => { say("seekable", a.seekable.length ? a.seekable.end(0) : 0); a.currentTime = SEEK; };
a.onseeked = () => say("at", a.currentTime);
a.onerror = () => say("at", "failed");
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    (folder / "file.bin").write_bytes(BODY)
    (folder / "index.html").write_text(PAGE.replace("SEEK", str(SECONDS - 2)))
    samples = bytes(2 * RATE * SECONDS)
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    (folder / "sound.wav").write_bytes(head + struct.pack("<4sI", b"data", len(samples)) + samples)
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(str(folder), "--access-log") as running:
        yield running


@pytest.fixture(params=["--http1.1", "--http2-prior-knowledge"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def curl(version: str, url: str, *flags: str) -> tuple[int, bytes, bytes]:
    """Status, content and header section of curl's transfer."""
    command = [need("curl"), version, "-sS", "--max-time", "60", "-D", "/dev/stderr", *flags, url]
    done = subprocess.run(command, capture_output=True, timeout=90)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split(b" ", 2)[1]), done.stdout, done.stderr.lower()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("0-9", BODY[:10]), ("500-", BODY[500:]), ("-7", BODY[-7:]), ("0-", BODY), ("1000000-9999999", BODY[1_000_000:])],
)
def test_curl_one_range(served: Served, version: str, wanted: str, expected: bytes) -> None:
    status, content, head = curl(version, served.url("/file.bin"), "-r", wanted)
    assert (status, content) == (206, expected)
    assert b"content-range: bytes " in head and b"/%d" % len(BODY) in head


def test_curl_several_ranges(served: Served, version: str) -> None:
    """Python's own reader of MIME finds the parts."""
    status, content, head = curl(version, served.url("/file.bin"), "-r", "0-9,100-119,-5")
    assert status == 206
    kind = next(line for line in head.split(b"\r\n") if line.startswith(b"content-type: "))
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(kind + b"\r\n\r\n" + content)
    parts = list(message.iter_parts())
    assert [part["content-range"] for part in parts] == [
        f"bytes {each}/{len(BODY)}" for each in ("0-9", "100-119", f"{len(BODY) - 5}-{len(BODY) - 1}")
    ]
    assert [part.get_payload(decode=True) for part in parts] == [BODY[:10], BODY[100:120], BODY[-5:]]


def test_curl_beyond_the_end(served: Served, version: str) -> None:
    status, content, head = curl(version, served.url("/file.bin"), "-r", "2000000-")
    assert (status, content) == (416, b"Range Not Satisfiable\n")
    assert b"content-range: bytes */%d" % len(BODY) in head


@pytest.mark.parametrize("have", [0, 1, 400_000, len(BODY) - 1, len(BODY)])
def test_curl_resumes(served: Served, version: str, tmp_path: Path, have: int) -> None:
    """`-C -`: only what is missing is sent; a file that is complete stays so."""
    part = tmp_path / "part"
    part.write_bytes(BODY[:have])
    status, _, _ = curl(version, served.url("/file.bin"), "-C", "-", "-o", str(part))
    assert status == (200 if have == 0 else 206 if have < len(BODY) else 416)
    assert part.read_bytes() == BODY


def test_curl_only_if_newer(served: Served, folder: Path, version: str, tmp_path: Path) -> None:
    """`-z` with a date and with a file, whose time is the one that `-R` took from `last-modified`."""
    url = served.url("/file.bin")
    assert curl(version, url, "-z", "1 Jan 2024 00:00:00 GMT")[:2] == (304, b"")
    assert curl(version, url, "-z", "1 Jan 2020 00:00:00 GMT")[:2] == (200, BODY)
    copy = tmp_path / "copy"
    assert curl(version, url, "-R", "-o", str(copy))[0] == 200
    assert copy.stat().st_mtime == (folder / "file.bin").stat().st_mtime
    assert curl(version, url, "-z", str(copy))[:2] == (304, b"")


def test_curl_only_if_another_etag(served: Served, folder: Path, version: str, tmp_path: Path) -> None:
    changing = folder / f"changing{version}.txt"
    changing.write_text("one")
    etag, url = str(tmp_path / "etag"), served.url(f"/{changing.name}")
    assert curl(version, url, "--etag-save", etag)[:2] == (200, b"one")
    assert curl(version, url, "--etag-compare", etag)[:2] == (304, b"")
    changing.write_text("two, which is longer")
    assert curl(version, url, "--etag-compare", etag, "--etag-save", etag)[:2] == (200, b"two, which is longer")
    assert curl(version, url, "--etag-compare", etag)[:2] == (304, b"")


# -- nginx


@contextlib.contextmanager
def nginx(served: Served, folder: Path) -> Iterator[str]:
    """nginx in front of the server; its address."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        missing("nginx")
    port = free_port()
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # else it gives itself up for one who may not write here
    config.write_text(NGINX.format(user=user, folder=folder, port=port, back=served.ports["http"], slice=SLICE))
    process = subprocess.Popen([found, "-e", str(folder / "error.log"), "-c", str(config)])
    try:
        end = time.monotonic() + PATIENCE_S
        while not (folder / "nginx.pid").exists() or not (folder / "nginx.pid").read_text():
            assert process.poll() is None and time.monotonic() < end, (folder / "error.log").read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def seen(folder: Path, lines: int) -> list[str]:
    """nginx's log, which is written when a response has gone."""
    end = time.monotonic() + PATIENCE_S
    while len(found := (folder / "seen.log").read_text().splitlines()) < lines and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_nginx_fetches_slices(folder: Path, tmp_path: Path) -> None:
    """Each slice is a request with a range of its own, whose entity tags must agree; then they come from the cache."""
    with serving(str(folder), "--access-log") as served, nginx(served, tmp_path) as front:
        url = f"{front}/sliced/file.bin"
        assert curl("--http1.1", url)[:2] == (200, BODY)
        assert curl("--http1.1", url)[:2] == (200, BODY)
        assert curl("--http1.1", url, "-r", "200000-500000")[:2] == (206, BODY[200_000:500_001])
        first, again, part = seen(tmp_path, 3)
        served.stop()
        asked = [line for line in served.log.splitlines() if "GET /file.bin" in line and " 206 " in line]
        assert len(asked) == -(-len(BODY) // SLICE), served.log
    assert [first, again, part] == ["/sliced/file.bin MISS 206", "/sliced/file.bin HIT -", "/sliced/file.bin HIT -"]


def test_nginx_revalidates(served: Served, tmp_path: Path) -> None:
    """What is stale is asked for with its entity tag and date, answered with 304, and served from the cache."""
    with nginx(served, tmp_path) as front:
        url = f"{front}/whole/file.bin"
        assert curl("--http1.1", url)[:2] == (200, BODY)
        end = time.monotonic() + PATIENCE_S
        while True:
            status, content, head = curl("--http1.1", url)
            assert (status, content) == (200, BODY)
            if b"x-cache: hit" not in head:
                break
            assert time.monotonic() < end, "it never becomes stale"
            time.sleep(0.1)
        assert b"x-cache: revalidated" in head, head
        assert seen(tmp_path, 3)[-1] == "/whole/file.bin REVALIDATED 304"


# -- Chromium


def test_chromium_seeks_and_revalidates(served: Served, tmp_path: Path) -> None:
    """A sound is asked for with a range, can be sought in because that is answered, and a page that is loaded again is
    asked for with its entity tag."""
    there = "document.documentElement.dataset.at"
    with browsing(served.url("/"), tmp_path / "profile", None, "--autoplay-policy=no-user-gesture-required") as page:
        figures = page.wait_until(there).of["html"]
        assert float(figures["data-seekable"]) == SECONDS
        assert float(figures["data-at"]) == SECONDS - 2
        page.call("Page.reload")
        page.wait_until(f"performance.getEntriesByType('navigation')[0].type === 'reload' && {there}")
    lines = served.log.splitlines()
    assert any("GET /sound.wav" in line and " 206 " in line for line in lines), served.log
    assert any("GET / " in line and " 304 " in line for line in lines), served.log
