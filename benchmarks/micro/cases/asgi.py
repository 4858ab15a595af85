"""ASGI applications, from the bytes of a request to those of its answer."""

from __future__ import annotations

from typing import Final

from benchmarks.apps.asgi_app import answer, app, read, stream
from benchmarks.micro.case import Case
from benchmarks.micro.cases.messages import POST, REQUESTS
from benchmarks.micro.cases.served import h1_reads, h2_reads, served


async def echo(scope: object, receive: object, send: object) -> None:
    await answer(send, await read(receive))


async def pieces(scope: object, receive: object, send: object) -> None:
    await stream(send)


CASES: Final = (
    Case("asgi: a request over HTTP/2", served(app, "h2", h2_reads(REQUESTS)), REQUESTS),
    Case("asgi: a request over HTTP/1.1", served(app, "http/1.1", h1_reads(REQUESTS)), REQUESTS),
    Case("asgi: 1 KiB and its echo over HTTP/2", served(echo, "h2", h2_reads(REQUESTS, body=POST)), REQUESTS),
    Case("asgi: a response in 50 pieces over HTTP/2", served(pieces, "h2", h2_reads(10)), 10),
)
