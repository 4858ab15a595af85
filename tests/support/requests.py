"""Requests without a connection, for what needs nothing but their head: routers, and middleware that asks no more."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from headrace.engine.events import RequestReceived
from headrace.engine.fields import RequestHead
from headrace.server.handlers.headers import header_list
from headrace.server.handlers.native import NativeExchange
from headrace.server.handlers.request import Handler, Request
from headrace.server.handlers.response import Response


def request(
    path: str = "/",
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    *,
    scheme: str = "http",
    peer: tuple[str, int] | None = ("192.0.2.1", 40000),
    protocol: bytes | None = None,
    **driver: Any,
) -> Request:
    """A request as a handler gets it; it can be asked, but not answered."""
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    length = next((int(value) for name, value in headers if name == "content-length"), -1)
    head = RequestHead(fields)
    head.method = method.encode()
    head.scheme = scheme.encode()
    head.authority = b"example.com"
    head.path = path.encode("latin-1")
    head.protocol = protocol
    head.content_length = length
    event = RequestReceived(1, head, length <= 0, False, 3, False)
    return Request(NativeExchange(SimpleNamespace(client=peer, scheme=scheme, **driver), event))  # type: ignore[arg-type]


def answer(handler: Handler, asked: Request) -> Any:
    """What a handler returns, awaited where it must be."""

    async def run() -> Any:
        found = handler(asked)
        return await found if inspect.isawaitable(found) else found

    return asyncio.run(run())


def fields(response: Response) -> dict[str, str]:
    """A response's fields as text; a name that stands there twice fails."""
    pairs = [(name.decode(), value.decode("latin-1")) for name, value in header_list(response.headers)]
    assert len(dict(pairs)) == len(pairs), pairs
    return dict(pairs)
