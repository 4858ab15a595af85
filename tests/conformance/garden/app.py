"""The ASGI application that the garden's servers run. It stands alone: not all of them have our packages around."""

from __future__ import annotations

from typing import Any


async def report(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that tells in a field what it was asked, see `read_reports`."""
    if scope["type"] != "http":
        raise RuntimeError("only http is served here")
    content = b""
    more = True
    while more:
        message = await receive()
        content += message.get("body", b"")
        more = message.get("more_body", False)
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    headers = [(b"content-length", b"1"), (b"x-report", report_of(scope["method"], target, content))]
    status = 404 if scope["method"] == "CONNECT" else 200  # 200 would open a tunnel
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"."})


def report_of(method: str, target: bytes, content: bytes) -> bytes:
    """The value of the field `x-report`, which says what a server has read."""
    return b"%s /%s .%s" % (method.encode("latin-1"), target.hex().encode(), content.hex().encode())
