"""The hello of asgi_app for Granian's own interface, RSGI."""

from __future__ import annotations

from typing import Any

HELLO = b"Hello, World!"
TEXT = [("content-type", "text/plain")]


class App:
    """An RSGI application."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        protocol.response_bytes(200, TEXT, HELLO)


app = App()
