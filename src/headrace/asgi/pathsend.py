"""`http.response.pathsend`: a file becomes the content of a response, without passing through the application."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.asgi.http import HTTPCycle

CHUNK: Final = 262_144  # read in one go by a thread; a stream's write buffer makes the next one wait


async def send_file(cycle: HTTPCycle, path: str | os.PathLike[str], headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Send the file at `path`, an absolute one, as the whole content, as fast as the client takes it.

    Raises OSError when the file cannot be opened, while the response can still become another one. A file that turns
    out shorter than the response's content-length resets the stream; one that grew is sent as long as it was.
    """
    if not os.path.isabs(path):
        raise ValueError(f"the path of http.response.pathsend must be absolute: {os.fspath(path)!r}")
    loop = cycle.driver.loop
    file, left = await loop.run_in_executor(None, _open, path)
    try:
        if cycle.head.method == b"HEAD" or left == 0:
            await cycle.respond(cycle.status, headers, b"")
            return
        cycle.start(cycle.status, headers)
        while left > 0:
            chunk = await loop.run_in_executor(None, file.read, min(CHUNK, left))
            if not chunk:
                raise OSError(f"{os.fspath(path)} was cut short while it was sent")
            left -= len(chunk)
            await cycle.write(chunk, left == 0)
    finally:
        file.close()


def _open(path: str | os.PathLike[str]) -> tuple[IO[bytes], int]:
    file = open(path, "rb", buffering=0)  # noqa: SIM115 - the caller closes it
    return file, os.fstat(file.fileno()).st_size
