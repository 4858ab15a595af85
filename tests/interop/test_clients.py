"""Other people's clients against a real server: curl, nghttp and h2load, over TLS and over cleartext (h2c).

Each test skips, and says so, where its program is missing.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.support.process import Served, serving

pytestmark = [pytest.mark.tool, pytest.mark.slow]

BODY = bytes(range(256)) * 39_063  # 10,000,128 bytes
SCHEMES = ["http", "https"]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """The interop app on TLS and cleartext."""
    with serving("tests.interop.app:app", "--no-access-log", tls=True) as running:
        yield running


def curl(served: Served, scheme: str, path: str, *flags: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run curl over HTTP/2; TLS without checking the local certificate."""
    http2 = "--http2-prior-knowledge" if scheme == "http" else "--http2"
    command = [need("curl"), "-sS", "-k", http2, "--max-time", "60", *flags, served.url(path, scheme)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=90)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_get(served: Served, scheme: str) -> None:
    """GET: 200 over HTTP/2, body and fields whole."""
    done = curl(served, scheme, "/hello", "-i")
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200"), head
    assert b"content-type: text/plain" in head
    assert body == b"hello"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_head(served: Served, scheme: str) -> None:
    """HEAD: the fields of GET and no content; curl complains about a body."""
    done = curl(served, scheme, "/hello", "-I")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"HTTP/2 200")
    assert done.stdout.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_uploads_10_mb(served: Served, scheme: str) -> None:
    """POST of 10 MB: every byte arrives."""
    done = curl(served, scheme, "/digest", "--data-binary", "@-", stdin=BODY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"{len(BODY)} {hashlib.sha256(BODY).hexdigest()}"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_downloads_10_mb(served: Served, scheme: str) -> None:
    """GET of 10 MB: every byte arrives, in order."""
    done = curl(served, scheme, "/download")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(BODY).digest()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_echoes_10_mb(served: Served, scheme: str) -> None:
    """Both directions at once: an echo of 10 MB piece by piece."""
    done = curl(served, scheme, "/echo", "--data-binary", "@-", stdin=BODY)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(BODY).digest()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_expects_continue(served: Served, scheme: str) -> None:
    """Expect: 100-continue is answered before the upload begins."""
    done = curl(served, scheme, "/digest", "-v", "-H", "Expect: 100-continue", "--data-binary", "@-", stdin=BODY)
    assert done.returncode == 0, done.stderr
    assert b"HTTP/2 100" in done.stderr
    assert done.stdout.startswith(str(len(BODY)).encode())


def test_early_answer(served: Served, tmp_path: Path) -> None:
    """A final answer while the upload runs: 413 whole, then RST_STREAM(NO_ERROR), which nghttp understands.

    Not with curl: 7.88 takes a RST_STREAM that comes while it writes for a failure, and drops the answer it has.
    """
    body = tmp_path / "body"
    body.write_bytes(BODY)
    command = [need("nghttp"), "-v", "-d", str(body), served.url("/too-large")]
    done = subprocess.run(command, capture_output=True, timeout=60)
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode())
    assert ":status: 413" in text
    assert "too large" in text
    assert re.search(r"recv RST_STREAM frame.*\n.*NO_ERROR", text), text[-2000:]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_shows_trailers(served: Served, scheme: str) -> None:
    """Trailers reach curl, behind the content."""
    done = curl(served, scheme, "/trailers", "-v")
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"content"
    assert b"x-checksum: 7" in done.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
def test_curl_shows_early_hints(served: Served, scheme: str) -> None:
    """A 103 in front of the answer."""
    done = curl(served, scheme, "/hints", "-i")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"HTTP/2 103")
    assert b"HTTP/2 200" in done.stdout


def test_curl_many_on_one_connection(served: Served) -> None:
    """Forty parallel transfers of curl share a connection and all succeed."""
    urls = [served.url(f"/hello?{n}", "https") for n in range(40)]
    command = [need("curl"), "-sS", "-k", "--http2", "--parallel", "--parallel-max", "40", "--max-time", "60"]
    for url in urls:
        command += ["-o", "-", url]
    done = subprocess.run([*command, "-w", "|%{http_code}"], capture_output=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"|200") == 40, done.stdout


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nghttp(served: Served, scheme: str) -> None:
    """`nghttp -nv`: its own reader sees SETTINGS with ACK both ways, HEADERS 200, DATA with END_STREAM, no error."""
    done = subprocess.run([need("nghttp"), "-nv", served.url("/hello", scheme)], capture_output=True, timeout=60)
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode())
    assert done.returncode == 0, done.stderr
    assert "recv SETTINGS frame" in text and ":status: 200" in text
    assert "; END_STREAM" in text
    assert "RST_STREAM" not in text and "error_code=PROTOCOL" not in text


def test_nghttp_uploads_and_multiplexes(served: Served, tmp_path: Path) -> None:
    """nghttp: one upload of 10 MB with padding on the frames."""
    body = tmp_path / "body"
    body.write_bytes(BODY)
    command = [need("nghttp"), "-b", "60", "-d", str(body), served.url("/digest")]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(BODY).hexdigest().encode() in done.stdout


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("path", ["/hello", "/trailers", "/stream"])
def test_h2load(served: Served, scheme: str, path: str) -> None:
    """A small run of h2load: 4,000 requests, 4 connections with 50 streams each: all 2xx."""
    command = [need("h2load"), "-n", "4000", "-c", "4", "-m", "50", served.url(path, scheme)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert "4000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout
    assert "status codes: 4000 2xx" in done.stdout, done.stdout


def test_h2load_over_the_limit_of_streams(served: Served) -> None:
    """h2load asks for 250 streams at once; it keeps to the 100 that we announce, and all succeed."""
    command = [need("h2load"), "-n", "2000", "-c", "1", "-m", "250", served.url("/hello")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert "2000 succeeded, 0 failed" in done.stdout, done.stdout
