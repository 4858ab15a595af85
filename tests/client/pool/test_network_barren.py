"""Connections that end before a request could begin on them, and those that only look so."""

from __future__ import annotations

import asyncio

from tests.client.support.network_rig import ask, fetch, network
from tests.client.support.peer import listening
from tests.client.support.rig import settled
from tests.support.serving import Run


def test_connections_whose_requests_did_not_wait_count_as_used(run: Run) -> None:
    """Three connections were made for callers that gave up. Requests begin on them at once, and the server ends them:
    that refuses nobody who waits."""

    async def main() -> None:
        async with listening("http/1.1") as server, network(http2=False, max_h1_connections_per_origin=4) as transport:
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, f"/{number}"))) for number in range(4)]
            await asyncio.sleep(0)  # each begins an attempt
            assert transport.stats().connecting == 4
            for task in tasks[1:]:
                task.cancel()
            peers = [await server.accepted() for _ in range(4)]
            await settled(lambda: transport.stats().connections == 4)
            await settled(lambda: any(peer.requests for peer in peers))
            next(peer for peer in peers if peer.requests).respond(b"0")
            assert await tasks[0] == b"0" and transport.stats().idle == 4
            tasks = [asyncio.create_task(fetch(transport, ask(server.port, f"/{number}"))) for number in range(4, 9)]
            await settled(lambda: transport.stats().waiting == 1)
            await settled(lambda: sum(len(peer.requests) for peer in peers) == 5)
            for peer in peers:
                if len(peer.requests) == 1 and peer.requests[0].path != b"/0":
                    peer.close()
            last = await server.accepted()
            await last.request()
            last.respond(b"the one that waited")
            assert await tasks[-1] == b"the one that waited"
            for task in tasks[:-1]:
                task.cancel()

    run(main())
