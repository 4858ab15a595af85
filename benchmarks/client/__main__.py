"""`make bench-client`: HTTP/2 clients side by side, against nghttpd on another core.

Each client is a process of its own, pinned to one core; nghttpd, in C, has the other one, and is faster than any of
them. They take turns, round after round, so that whatever else the machine does hits all alike. What counts is the
median of the ratios within each round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"hello": b"hello, world", "1m": bytes(1_048_576)}
RACES = {  # scenario, contenders, whom each is compared with
    "one-at-a-time": (["headrace", "pyreqwest", "httpx2", "httpx2-headrace"], "pyreqwest"),
    "50-at-a-time": (["headrace", "pyreqwest", "httpx2", "httpx2-headrace"], "pyreqwest"),
    "download-1m": (["headrace", "pyreqwest", "httpx2"], "pyreqwest"),
    "download-1m-8": (["headrace", "pyreqwest", "httpx2"], "pyreqwest"),
    "sync": (["headrace-sync", "httpx2-sync"], "httpx2-sync"),
}


@contextlib.contextmanager
def nghttpd(core: int) -> Iterator[int]:
    """nghttpd in cleartext, with the pages; its port."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in PAGES.items():
            Path(folder, name).write_bytes(content)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        command = ["taskset", "-c", str(core), "nghttpd", "--no-tls", "-d", folder, "-a", "127.0.0.1", str(port)]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > until or server.poll() is not None:
                        raise SystemExit("nghttpd does not start") from None
                    time.sleep(0.05)
            yield port
        finally:
            server.terminate()
            server.wait()


def run(core: int, name: str, scenario: str, port: int, amount: str) -> dict[str, float]:
    """One contender's turn; what it printed."""
    page = "1m" if "1m" in scenario else "hello"
    arguments = [name, scenario, f"http://127.0.0.1:{port}/{page}", amount]
    command = ["taskset", "-c", str(core), sys.executable, "-m", "benchmarks.client.contender", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, {scenario}:\n{done.stderr[-2_000:]}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("--only", help="scenarios, with commas between", default=",".join(RACES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", default="1")
    parser.add_argument("--requests", type=int, help="instead: so many by headrace, 50 at a time; what memory it takes")
    options = parser.parse_args()
    if shutil.which("nghttpd") is None:
        raise SystemExit("nghttpd is missing; it comes with nghttp2 (on Debian: apt-get install nghttp2-server)")
    with nghttpd(0) as port:
        if options.requests:
            for count in (options.requests // 10, options.requests):
                found = run(1, "headrace", "50-at-a-time", port, f"{count}x")
                print(f"{count:>10,} requests in {found['seconds']:.1f} s, {found['resident'] / 1e6:.1f} MB resident")
            return
        for scenario in options.only.split(","):
            names, base = RACES[scenario]
            rates: dict[str, list[float]] = {name: [] for name in names}
            costs: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(options.rounds):
                for name in names:
                    found = run(1, name, scenario, port, options.seconds)
                    rates[name].append(found["count"] / found["seconds"])
                    costs[name].append(found["cpu_us"])
            for name in names:
                ratio = statistics.median(own / other for own, other in zip(rates[name], rates[base], strict=True))
                rate, cost = statistics.median(rates[name]), statistics.median(costs[name])
                print(
                    f"{scenario:<14} {name:<16} {rate:>9,.0f}/s  {ratio:>6.2f} x {base}  ({cost:,.0f} us of CPU each)"
                )


if __name__ == "__main__":
    main()
