"""The application that conformance suites visit: 200 and more than 1 KiB for every request, as h2spec needs it."""

from __future__ import annotations

from typing import Any

PAGE = b"x" * 2048


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise RuntimeError("only http is served here")
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(PAGE))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})
