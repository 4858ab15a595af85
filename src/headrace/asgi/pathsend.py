"""`http.response.pathsend`: a file becomes the content of a response, without passing through the application."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace.server.files.open_file import OpenFile
from headrace.server.files.response import send_file as send_open_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.server.connection.exchange import ServerExchange


async def send_file(
    cycle: ServerExchange, path: str | os.PathLike[str], headers: Sequence[tuple[bytes, bytes]]
) -> None:
    """Send the file at `path`, an absolute one, as the whole content, as fast as the client takes it.

    Raises OSError when the file cannot be opened, while the response can still become another one. A file that turns
    out shorter than the response's content-length resets the stream; one that grew is sent as long as it was.
    """
    if not os.path.isabs(path):
        raise ValueError(f"the path of http.response.pathsend must be absolute: {os.fspath(path)!r}")
    await send_open_file(cycle, cycle.status, headers, OpenFile(path))
