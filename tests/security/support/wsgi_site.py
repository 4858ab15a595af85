"""What the victim serves in the mode "wsgi": large answers in every way there is, and the paths that it always has."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from typing import Any

SIZE = 1_200_000
"""More than a spool keeps in memory."""
SIZE_OF_HTTP_1 = 4_400_000
"""More than the kernel keeps for a client that does not read as well."""
PIECE = 16_384


def site(mark: Callable[[], None], stats: Callable[[], dict[str, int]]) -> Callable[[dict[str, Any], Any], Any]:
    """The application. `mark` and `stats` are what /mark and /stats do."""
    descriptor, name = tempfile.mkstemp(prefix="headrace-site-")
    os.write(descriptor, bytes(SIZE_OF_HTTP_1))
    os.unlink(name)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        size = SIZE if environ["SERVER_PROTOCOL"] == "HTTP/2" else SIZE_OF_HTTP_1
        content = b"alive"
        if path == "/mark":
            mark()
        if path == "/read":
            content = b"%d" % len(environ["wsgi.input"].read())
        if path in ("/mark", "/stats"):
            content = json.dumps(stats()).encode()
        start_response("200 OK", [])
        if path == "/list":
            return [bytes(size)]
        if path == "/pieces":
            return (bytes(PIECE) for _ in range(size // PIECE))
        if path == "/file":
            return environ["wsgi.file_wrapper"](os.fdopen(os.dup(descriptor), "rb"))
        return [content]

    return app
