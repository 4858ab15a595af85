"""An hour of each busy lawful peer by the clock, with the defaults: no connection is cut, and no call.

What began it: 140 gRPC calls whose deadlines passed ended the connection of all others. The scripts are in peers.py.
Each has its control, which must be cut: the same frames at one moment, and nothing of the work that they came with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lawful import peers
from tests.lawful.peers import ClientSim, ServerSim

AT_OUR_SERVER: dict[str, Callable[[ServerSim], None]] = {
    "grpc-core, deadlines": peers.grpc_core_deadlines,
    "grpc-go, bandwidth": peers.grpc_go_bandwidth,
    "grpc, client streams": peers.grpc_client_streams,
    "grpc-java, keep-alive": peers.grpc_java_keepalive,
    "hedged calls": peers.hedged_calls,
    "Envoy": peers.envoy_mesh,
    "nghttpx": peers.nghttpx_users,
    "HAProxy": peers.haproxy_pieces,
    "Chromium": peers.chromium_scrolling,
    "Firefox": peers.firefox_pages,
    "long polls": peers.long_polls,
    "search as you type": peers.search_as_you_type,
    "small writes": peers.small_writes,
    "watches": peers.watches,
    "busy places": peers.busy_places,
    "much metadata": peers.much_metadata,
}
AT_OUR_CLIENT: dict[str, Callable[[ClientSim], None]] = {
    "early hints": peers.early_hints,
    "processing": peers.processing,
    "server streams": peers.server_streams,
    "an overloaded server": peers.overloaded_server,
    "hedging": peers.hedging_client,
    "uploads, bandwidth": peers.bandwidth_of_our_uploads,
}
# What these send is no abuse in any number: windows hold messages up, all that "hedging" gets needs a request of ours,
# and the others send next to nothing.
QUIET = {"grpc, client streams", "small writes", "server streams", "hedging", "watches", "grpc-java, keep-alive"}

pytestmark = pytest.mark.slow


def run(name: str, lawless: bool) -> Any:
    """An hour of one of them."""
    if name in AT_OUR_SERVER:
        server = ServerSim(lawless)
        AT_OUR_SERVER[name](server)
        return server
    client = ClientSim(lawless)
    AT_OUR_CLIENT[name](client)
    return client


@pytest.mark.parametrize("name", [*AT_OUR_SERVER, *AT_OUR_CLIENT])
def test_an_hour(name: str) -> None:
    sim = run(name, False)
    assert sim.now >= peers.HOUR, (sim.now, sim.why[-3:])
    assert not sim.conn.closed, sim.why[-3:]
    assert sim.cut == 0, sim.why[-3:]


@pytest.mark.parametrize("name", [each for each in (*AT_OUR_SERVER, *AT_OUR_CLIENT) if each not in QUIET])
def test_the_same_without_work_is_abuse(name: str) -> None:
    """The control: the budgets are near enough to what these peers send that it takes their work to pay for it."""

    sim: Any = ServerSim(True) if name in AT_OUR_SERVER else ClientSim(True)
    sim.steps = 4_000
    script: Any = AT_OUR_SERVER.get(name) or AT_OUR_CLIENT[name]
    script(sim)
    assert sim.conn.closed
