"""What is asked of the servers: shapes of traffic that real users have, each with the answer it must get."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BROWSER_FIELDS: Final = (
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "accept-encoding: gzip, deflate, br, zstd",
    "accept-language: en-GB,en;q=0.9",
    "cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
)
LARGE_WINDOWS: Final = ("-w", "20", "-W", "24")  # 1 MiB a stream, 16 MiB a connection: a client that wants its bytes
VARIED_TARGETS: Final = 50_000


@dataclass(frozen=True)
class Scenario:
    """One shape of traffic."""

    name: str
    what: str
    """One sentence for the report."""
    clients: int
    streams: int
    """Requests that each client keeps open at once."""
    body: int
    """Bytes that every answer must have, so that nobody wins by answering wrong."""
    path: str = "/"
    upload: int = 0
    options: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    varied: bool = False
    """True when every request has a path of its own."""
    tls: bool = False
    protocol: str = "h2"
    """`h2`, or `h1` for HTTP/1.1, where `streams` are pipelined requests."""
    static: bool = False
    """True when a file server can take part too."""

    def targets(self, base: str, folder: Path) -> list[str]:
        """The end of h2load's command line: one URL, or a file of many, written into `folder` once."""
        if not self.varied:
            return [base + self.path]
        file = folder / f"targets-{base.rpartition(':')[2]}-{self.name}.txt"
        if not file.exists():
            rnd = random.Random(9113)  # the same for everybody
            file.write_text("".join(f"{base}{varied_path(rnd, i)}\n" for i in range(VARIED_TARGETS)))
        return ["-i", str(file)]

    def arguments(self, folder: Path) -> list[str]:
        """The rest of h2load's command line. Request bodies are files in `folder`."""
        made = ["-c", str(self.clients), "-m", str(self.streams), *self.options]
        made += ["--h1"] if self.protocol == "h1" else []
        for field in self.fields:
            made += ["-H", field]
        if self.upload:
            file = folder / f"upload-{self.upload}"
            if not file.exists():
                file.write_bytes(bytes(self.upload))
            made += ["-d", str(file)]
        return made


def varied_path(rnd: random.Random, i: int) -> str:
    return f"/api/v1/users/{rnd.randrange(10**6)}/orders?page={i}&token={rnd.getrandbits(64):016x}"


def varied(name: str, *, tls: bool = False, protocol: str = "h2") -> Scenario:
    clients, streams = (8, 20) if protocol == "h2" else (64, 1)
    load = "8 connections with 20 streams" if protocol == "h2" else "64 connections"
    what = f"each request with its own path and a browser's fields, {load}"
    return Scenario(name, what, clients, streams, 13, fields=BROWSER_FIELDS, varied=True, tls=tls, protocol=protocol)


SCENARIOS: Final = (
    Scenario("hello-m1", "13 bytes, 8 connections, one request at a time", 8, 1, 13, static=True),
    Scenario("hello-m10", "13 bytes, 8 connections with 10 streams", 8, 10, 13, static=True),
    Scenario("hello-m100", "13 bytes, 8 connections with 100 streams", 8, 100, 13, static=True),
    varied("varied"),
    Scenario("echo-1k", "1 KiB sent, read and sent back", 8, 10, 1024, path="/echo", upload=1024),
    Scenario("down-64k", "64 KiB in one body", 4, 10, 65_536, path="/64k", options=LARGE_WINDOWS, static=True),
    Scenario("down-1m", "1 MiB in one body", 4, 8, 1_048_576, path="/1m", options=LARGE_WINDOWS, static=True),
    Scenario("up-1m", "1 MiB uploaded and counted", 4, 8, 7, path="/upload", upload=1_048_576),
    Scenario("stream-50", "50 pieces of 100 bytes, each sent by itself", 8, 10, 5_000, path="/stream"),
    Scenario("tls-hello-m1", "hello-m1 over TLS", 8, 1, 13, tls=True, static=True),
    Scenario("tls-hello-m100", "hello-m100 over TLS", 8, 100, 13, tls=True, static=True),
    varied("tls-varied", tls=True),
    Scenario("tls-down-1m", "down-1m over TLS", 4, 8, 1_048_576, "/1m", options=LARGE_WINDOWS, tls=True, static=True),
    Scenario("tls-up-1m", "up-1m over TLS", 4, 8, 7, "/upload", 1_048_576, tls=True),
    Scenario("h1-hello", "HTTP/1.1: 13 bytes, 64 connections, one request at a time", 64, 1, 13, protocol="h1"),
    Scenario("h1-pipelined", "HTTP/1.1: 13 bytes, 64 connections, 16 requests pipelined", 64, 16, 13, protocol="h1"),
    varied("h1-varied", protocol="h1"),
    Scenario("h1-echo-1k", "HTTP/1.1: 1 KiB sent, read and sent back", 64, 1, 1024, "/echo", 1024, protocol="h1"),
    Scenario("h1-down-1m", "HTTP/1.1: 1 MiB in one body, 16 connections", 16, 1, 1_048_576, "/1m", protocol="h1"),
    Scenario("h1-up-1m", "HTTP/1.1: 1 MiB uploaded and counted", 16, 1, 7, "/upload", 1_048_576, protocol="h1"),
    Scenario("h1-tls-hello", "HTTP/1.1 over TLS: 13 bytes, 16 connections", 16, 1, 13, protocol="h1", tls=True),
    Scenario("h1-tls-down-1m", "h1-down-1m over TLS", 16, 1, 1_048_576, "/1m", protocol="h1", tls=True),
)
BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
