"""A server that is observed: a sink of your own, metrics for Prometheus at /metrics, ids in the log.

python -m examples.observed
curl http://127.0.0.1:8000/slow http://127.0.0.1:8000/metrics
"""

import asyncio
import logging

from headrace import Config, Request, RequestIdFilter, Response, Server, Telemetry
from headrace.server.telemetry.observed import Observed
from headrace.server.telemetry.prometheus import Prometheus

figures = Prometheus()
logger = logging.getLogger("slow")


class SlowRequests(Telemetry):
    """A sink that prints requests that took longer than `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s

    def request_stopped(self, request: Observed, duration_s: float) -> None:
        if duration_s > self.limit_s:
            logger.warning("%s took %.0f ms", request, duration_s * 1000)


async def app(request: Request) -> Response:
    if request.path == "/metrics":
        return await figures.handler(request)
    if request.path == "/slow":
        await asyncio.sleep(0.3)
    return Response.text(f"You are request {request.request_id}\n")


async def main(port: int, stop: asyncio.Event) -> None:
    logging.basicConfig(format="%(asctime)s [%(request_id)s] %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RequestIdFilter())
    config = Config(bind=f"127.0.0.1:{port}", request_id_header="x-request-id")
    async with Server(app, config, telemetry=[figures, SlowRequests(0.2)]):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(8000, asyncio.Event()))
