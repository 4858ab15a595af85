"""Server-sent events, as a browser's EventSource reads them: from a generator, and from any publisher.

A browser that lost the connection comes back with the id of the last event it got; the generator goes on from there.

headrace serve examples.server_sent_events:handler
curl -N http://127.0.0.1:8000/countdown
curl -N http://127.0.0.1:8000/news            # and elsewhere: curl -d 'It works' http://127.0.0.1:8000/news
"""

import asyncio
from collections.abc import AsyncIterator

from headrace import Event, EventStream, Request, Response, last_event_id
from headrace.bus import LocalBus

bus = LocalBus()


async def countdown(start: int) -> AsyncIterator[Event]:
    for number in range(start, 0, -1):
        yield Event(str(number), id=str(number))
        await asyncio.sleep(0.1)
    yield Event("Go!", event="start")


async def handler(request: Request) -> Response | EventStream:
    if request.path == "/countdown":
        last = last_event_id(request)
        return EventStream(countdown(int(last) - 1 if last and last.isdigit() else 3), retry=1000)
    if request.method == "POST":
        reached = bus.publish("news", (await request.read(10_000)).decode("utf-8", "replace"))
        return Response.text(f"{reached} readers\n")
    return EventStream(topics=["news"], bus=bus)
