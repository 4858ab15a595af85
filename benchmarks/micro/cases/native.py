"""Native handlers, from the bytes of a request to those of its answer."""

from __future__ import annotations

from typing import Final

from headrace import Request, Response, StreamResponse

from benchmarks.apps.native_app import TEXT, handler, pieces
from benchmarks.micro.case import Case
from benchmarks.micro.cases.messages import POST, REQUESTS
from benchmarks.micro.cases.served import h1_reads, h2_reads, served


async def echo(request: Request) -> Response:
    return Response(200, TEXT, await request.read())


async def streamed(request: Request) -> StreamResponse:
    return StreamResponse(200, TEXT, pieces)


CASES: Final = (
    Case("native: a request over HTTP/2", served(handler, "h2", h2_reads(REQUESTS)), REQUESTS),
    Case("native: a request over HTTP/1.1", served(handler, "http/1.1", h1_reads(REQUESTS)), REQUESTS),
    Case("native: 1 KiB and its echo over HTTP/2", served(echo, "h2", h2_reads(REQUESTS, body=POST)), REQUESTS),
    Case("native: a response in 50 pieces over HTTP/2", served(streamed, "h2", h2_reads(10)), 10),
)
