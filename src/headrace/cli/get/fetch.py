"""The requests of `headrace get`: all at once over few connections, and their output in the order of the URLs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from headrace.cli.errors import CommandError, UsageError
from headrace.cli.exits import EXIT_STATUS, FetchError, fetch_error
from headrace.cli.figures import printable
from headrace.cli.get.output import FileSink, Sink, StdoutSink
from headrace.cli.get.progress import DownloadProgress
from headrace.cli.get.trace import Trace
from headrace.cli.terminal import Palette
from headrace.client.errors import ClientError
from headrace.client.message.url import URL

if TYPE_CHECKING:
    from headrace.client.client import Client
    from headrace.client.message.response import ClientResponse

MOST_AT_ONCE: Final = 50


@dataclass(frozen=True)
class FetchTarget:
    """One URL, and the file for its content; None is stdout."""

    url: URL
    file: str | None = None


@dataclass
class Fetch:
    """The options that all requests share."""

    client: Client
    targets: Sequence[FetchTarget]
    method: str = "GET"
    headers: list[tuple[str, str]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    """The content, for `Client.build_request`."""
    auth: Any = None
    follows: bool = False
    shows_head: bool = False
    is_compressed: bool = False
    fails: bool = False
    fails_with_body: bool = False
    stdout_is_terminal: bool = False
    shows_binary: bool = False
    palette: Palette = field(default_factory=lambda: Palette(False))
    trace: Trace | None = None
    progress: DownloadProgress | None = None


async def fetch_all(fetch: Fetch) -> list[CommandError]:
    """Fetch all targets. Return the errors, in the order of the URLs; an error does not stop the other targets."""
    gate = asyncio.Semaphore(MOST_AT_ONCE)
    before: asyncio.Future[None] | None = None
    tasks = []
    loop = asyncio.get_running_loop()
    for target in fetch.targets:
        done: asyncio.Future[None] = loop.create_future()
        tasks.append(asyncio.ensure_future(_one(fetch, target, gate, before, done)))
        before = done if target.file is None else before
    try:
        found = await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    if fetch.progress is not None:
        fetch.progress.finish()
    return [error for error in found if error is not None]


async def _one(
    fetch: Fetch,
    target: FetchTarget,
    gate: asyncio.Semaphore,
    before: asyncio.Future[None] | None,
    done: asyncio.Future[None],
) -> CommandError | None:
    """Fetch one target. Send the request at once, and write to stdout after the earlier targets. Until then the
    content waits in its stream's window, and other requests go on."""
    try:
        async with gate:
            await _fetch(fetch, target, before)
    except ClientError as error:
        return fetch_error(error)
    except CommandError as error:
        return error
    finally:
        if before is None or before.done():
            _set_done(done)
        else:
            before.add_done_callback(lambda _: _set_done(done))
    return None


def _set_done(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


async def _fetch(fetch: Fetch, target: FetchTarget, before: asyncio.Future[None] | None) -> None:
    begin = time.monotonic()
    response = await _send(fetch, target)
    async with response:
        head_at = time.monotonic()
        failed = response.status >= 400 and (fetch.fails or fetch.fails_with_body)
        if failed and not fetch.fails_with_body:
            raise _failure(response)
        if target.file is None and before is not None:
            await before
        sink: Sink
        if target.file is None:
            sink = StdoutSink(refuses_binary=fetch.stdout_is_terminal and not fetch.shows_binary)
        else:
            sink = FileSink(target.file)
        if fetch.shows_head:
            for each in [*response.history, response]:
                await sink.write(
                    head_of(each, fetch.palette if target.file is None and fetch.stdout_is_terminal else None)
                )
        count = await _write(fetch, target, response, sink)
        sink.close()
        if fetch.trace is not None:
            whole_s = time.monotonic() - begin
            url = response.url.without_userinfo()
            fetch.trace.done(url, response.status, response.http_version, count, head_at - begin, whole_s)
        if failed:
            raise _failure(response)


def _failure(response: ClientResponse) -> FetchError:
    said = f"the server answered {response.status} {response.reason_phrase}".rstrip()
    return FetchError(f"{said} ({response.url.without_userinfo()})", EXIT_STATUS)


async def _send(fetch: Fetch, target: FetchTarget) -> ClientResponse:
    options: dict[str, Any] = {"follow_redirects": fetch.follows}
    if fetch.auth is not None:
        options["auth"] = fetch.auth
    try:
        request = fetch.client.build_request(fetch.method, target.url, headers=fetch.headers, **fetch.options)
        return await fetch.client.send(request, stream=True, **options)
    except ClientError:
        raise
    except ValueError as error:  # a method or a header that cannot be sent
        raise UsageError(str(error)) from None


async def _write(fetch: Fetch, target: FetchTarget, response: ClientResponse, sink: Sink) -> int:
    """Write the content. Return the number of bytes written."""
    count = 0
    progress = fetch.progress
    name = target.file or "stdout"
    if progress is not None:
        length = response.headers.get("content-length", "")
        is_whole = length.isdecimal() and not (fetch.is_compressed and "content-encoding" in response.headers)
        progress.begin(name, int(length) if is_whole else None)
    pieces = response.iter_bytes() if fetch.is_compressed else response.iter_raw()
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            await sink.write(piece)
            count += len(piece)
            if progress is not None:
                progress.add(name, len(piece))
    return count


def head_of(response: ClientResponse, palette: Palette | None) -> bytes:
    """Return the head as text. With a `palette` it is for a terminal: in colour, and without control characters."""
    version = response.http_version
    version = version if version.startswith("HTTP/") else f"HTTP/{version}"
    line = f"{version} {response.status}"
    if version != "HTTP/2" and response.reason_phrase:
        line += f" {response.reason_phrase}"
    if palette is None:
        fields = b"".join([name + b": " + value + b"\r\n" for name, value in response.headers.raw])
        return line.encode() + b"\r\n" + fields + b"\r\n"
    style = "green" if response.status < 400 else "red"
    lines = [palette.paint(style, line)]
    lines += [f"{palette.paint('blue', printable(name))}: {printable(value)}" for name, value in response.headers.raw]
    return "\n".join([*lines, "", ""]).encode("utf-8", "backslashreplace")
