"""Runs h2specd, a server that misbehaves once a case, against a client of ours, and reads its report.

For each case h2specd starts a program with the URL of that case, and gives it three seconds. What it starts here is
curl, which does no more than hand the URL to this process: `asker` fetches it, in a loop of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import trustme

from tests.conformance.h2spec import Report
from tests.conftest import need

CASES = 57
SHARDS = (
    ("client/1", "client/4"),
    ("client/5",),
    ("client/6.1", "client/6.2"),
    ("client/6.3", "client/6.4"),
    ("client/6.5",),
    ("client/6.7", "client/6.8"),
    ("client/6.9", "client/6.10"),
)
CASE = re.compile(r"([\u2714\u00d7]) (\d+: .*)")  # a tick or a cross, then the case
TOTAL = re.compile(r"(\d+) tests, \d+ passed, (\d+) skipped, \d+ failed")
COLOUR = re.compile(r"\x1b\[[0-9;]*m|\0|\r")
LINGER_S = 1.0  # how long a client has to stay after its response, as what comes then is judged too
LIMIT_S = 200.0

Ask = Callable[[str], Awaitable[None]]


async def _serve(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One POST of curl's, whose content is the URL; answered once that was fetched."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        url = await reader.readexactly(int(length[1])) if length else b""
        await ask(url.decode())
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
    finally:
        writer.close()


@contextlib.contextmanager
def asker(ask: Ask) -> Iterator[int]:
    """A port that takes URLs by POST and gives each to `ask`, in a thread with a loop."""
    loop = asyncio.new_event_loop()
    started: list[asyncio.Server] = []
    ready = threading.Event()

    async def start() -> None:
        started.append(await asyncio.start_server(lambda *streams: _serve(ask, *streams), "127.0.0.1", 0))
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield int(started[0].sockets[0].getsockname()[1])
    finally:
        loop.call_soon_threadsafe(started[0].close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that are free, and not among those that the system gives out."""
    for first in range(20_000, 30_000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")


def judge(said: str) -> Report:
    """What h2specd has printed: it writes no other report, and its exit code tells nothing."""
    cases = {"\u2714": list[str](), "\u00d7": list[str]()}
    for mark, name in CASE.findall(said.partition("Failures:")[0]):  # where they are told once more
        cases[mark].append(name)
    total = TOTAL.search(said)
    if total is None:  # it gives up on the first case that the client does not begin, or does not end in time
        cases["\u00d7"].append(f"gave up: {said[-300:]}")
        return Report(cases["\u2714"], cases["\u00d7"], [])
    skipped = ["a case that is not named"] * int(total[2])
    assert int(total[1]) == len(cases["\u2714"]) + len(cases["\u00d7"]) + len(skipped), said[:3_000]
    return Report(cases["\u2714"], cases["\u00d7"], skipped)


def run(ask: Ask, *, tls: bool = False, shards: tuple[tuple[str, ...], ...] = SHARDS) -> Report:
    """Every case, some side by side, as most of the time is waiting."""
    program, curl = need("h2specd"), need("curl")
    first = free_ports(100 * len(shards))
    result = Report([], [], [])
    with tempfile.TemporaryDirectory(prefix="h2specd-") as name, asker(ask) as port:
        folder = Path(name)
        cert = trustme.CA().issue_cert("localhost", "127.0.0.1")
        cert.cert_chain_pems[0].write_to_path(folder / "cert.pem")
        cert.private_key_pem.write_to_path(folder / "key.pem")

        def one(index: int) -> Report:
            command = [program, "-h", "127.0.0.1", "-f", str(first + 100 * index), "-o", "1"]
            command += ["-e", f"{curl} -s -m 2.8 http://127.0.0.1:{port}/ -d"]
            command += ["-t", "-c", str(folder / "cert.pem"), "-k", str(folder / "key.pem")] if tls else []
            done = subprocess.run([*command, *shards[index]], capture_output=True, timeout=LIMIT_S, check=False)
            return judge(COLOUR.sub("", done.stdout.decode("utf-8", "replace")))

        with ThreadPoolExecutor(len(shards)) as pool:
            for part in pool.map(one, range(len(shards))):
                result.passed.extend(part.passed)
                result.failed.extend(part.failed)
                result.skipped.extend(part.skipped)
    return result
