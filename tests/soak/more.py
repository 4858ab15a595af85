"""Routes that only native handlers have: topics of a bus, content that is compressed, a folder of files."""

from __future__ import annotations

from collections.abc import AsyncIterator

from headrace import EventStream, Mount, Request, Response, Route, Router, StaticFiles, StreamResponse
from headrace.bus import LocalBus
from headrace.server.middleware import Compression

from tests.soak.apps import FILE, TOKEN, pattern, pieces_of

_bus = LocalBus()


def _fields(request: Request) -> list[tuple[bytes, bytes]]:
    return [(TOKEN.encode(), (request.header(TOKEN) or "").encode())]


async def listen(request: Request) -> EventStream:
    """Send each message of a topic."""
    return EventStream(topics=(request.params["name"],), bus=_bus, headers=_fields(request))


async def publish(request: Request) -> Response:
    """Send the content to all that listen, and say how many they are."""
    count = _bus.publish(request.params["name"], (await request.read()).decode())
    return Response(200, _fields(request), str(count))


async def text(request: Request) -> Response | StreamResponse:
    """Answer with text of the size in the query, in one piece or, with a negative number, in several."""
    token, size = request.header(TOKEN) or "", int(request.query_string)
    fields = [*_fields(request), (b"content-type", b"text/plain")]
    if size >= 0:
        return Response(200, fields, pattern(token, size))

    async def pieces() -> AsyncIterator[bytes]:
        for piece in pieces_of(token, -size):
            yield piece

    return StreamResponse(200, fields, pieces())


router = Router(
    [
        Route("/more/topic/{name}", listen),
        Route("/more/topic/{name}", publish, methods=("POST",)),
        Route("/more/text", text, middleware=[Compression()]),
        Mount("/more/files", StaticFiles(FILE.parent)),
    ]
)
