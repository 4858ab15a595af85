"""Subscribers to one topic, and a publisher: `/` subscribes, `/publish?N` sends N messages and says who got them."""

from __future__ import annotations

import asyncio
from typing import Any

from headrace import LoopResponse, Push, Request, Response
from headrace.bus import LocalBus

bus = LocalBus()


async def forward(message: bytes, push: Push, state: Any) -> None:
    await push(message)


async def handler(request: Request) -> Response | LoopResponse:
    if request.path == "/publish":
        reached = 0
        for number in range(int(request.query_string)):
            reached += bus.publish("news", b"%063d~" % number)
            await asyncio.sleep(0)  # one message a turn of the event loop, as they would come
        return Response.text(str(reached))
    return LoopResponse(200, (), forward, topics=["news"], bus=bus)
