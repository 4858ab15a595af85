"""The pool against nginx, which ends each connection after a few requests: by GOAWAY, or by `connection: close`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.support.network_rig import ask, authority, fetch, network, trusting
from tests.conftest import need
from tests.support.serving import Run

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 7;
  server {{
    listen 127.0.0.1:{port} ssl {http2};
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.pem;
    location / {{ return 200 "$uri"; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, http2: str) -> Iterator[int]:
    """nginx on a free port of 127.0.0.1."""
    program = need("nginx")
    leaf = authority().issue_cert("localhost")
    (folder / "server.pem").write_bytes(
        leaf.private_key_pem.bytes() + b"".join(each.bytes() for each in leaf.cert_chain_pems)
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, http2=http2))
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until_it_listens(port, process, folder)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    import time

    end = time.monotonic() + 20
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError((folder / "log").read_text() + (folder / "error.log").read_text())


@pytest.mark.tool
@pytest.mark.parametrize(("http2", "config"), [("http2", {}), ("", {"max_h1_connections_per_origin": 5})])
def test_200_requests_while_connections_end_after_7(
    run: Run, tmp_path: Path, http2: str, config: dict[str, Any]
) -> None:
    async def main(port: int) -> None:
        async with network(verify=trusting(), **config) as transport:
            paths = [f"/{number}" for number in range(200)]
            left = iter(paths)
            answers: dict[str, bytes] = {}

            async def work() -> None:
                for path in left:
                    answers[path] = await fetch(transport, ask(port, path, scheme="https", host="localhost"))

            await asyncio.gather(*(work() for _ in range(20)))
            assert answers == {path: path.encode() for path in paths}

    with nginx(tmp_path, http2) as port:
        run(main(port))
