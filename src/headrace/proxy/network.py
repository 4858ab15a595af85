"""The connections that a reverse proxy makes to its upstream by default."""

from __future__ import annotations

from typing import Final

from headrace.client.connect.config import NetworkConfig

UPSTREAM_NETWORK: Final = NetworkConfig(
    trust_env=False,  # the way there is said in the upstream's URL
    max_connections=1_024,
    max_h1_connections_per_origin=256,
    max_h2_connections_per_origin=4,
)
"""The defaults of a client are for one user; these are for all visitors together. Over HTTP/1.1 that is 256 requests at
once, each on a connection of its own, and 768 further connections for WebSockets; over HTTP/2 four connections, which
is 400 streams with most servers. `dataclasses.replace(UPSTREAM_NETWORK, ...)` makes one with other TLS settings or
limits."""
