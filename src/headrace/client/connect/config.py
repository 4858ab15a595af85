"""The settings of connections, with defaults and reasons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from headrace.client.connect.proxy import ProxyLike
from headrace.client.connect.tls import Certificate, Verify
from headrace.client.connection.driver import CLIENT_LIMITS
from headrace.client.interface import Origin
from headrace.engine.limits import Limits

TapFactory: TypeAlias = Callable[[asyncio.Protocol, Origin], asyncio.Protocol]
OnStep: TypeAlias = Callable[[Origin, str, str], None]
ResolveTo: TypeAlias = str | tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """The settings with which a `NetworkTransport` makes and keeps connections. Raises ValueError for impossible
    values."""

    http1: bool = True
    """Speak HTTP/1.1. Without it, cleartext is HTTP/2 by prior knowledge (RFC 9113 §3.3), and TLS offers only h2."""
    http2: bool = True
    """Speak HTTP/2, where ALPN chooses it. On cleartext the client speaks HTTP/1.1 while `http1` is on."""
    max_connections: int = 100
    """Largest number of connections, including those under way and tunnels. Idle ones of other origins make room."""
    max_h1_connections_per_origin: int = 20
    """Largest number of HTTP/1.1 connections to one origin; each carries one request at a time. More than the six of
    browsers, which share a server with thousands of others; fewer than `max_connections`, so that one origin does not
    take them all. WebSockets do not count."""
    max_h2_connections_per_origin: int = 2
    """Largest number of HTTP/2 connections to one origin. A second one is opened when the first has reached the
    server's MAX_CONCURRENT_STREAMS and a request waits; 1 for never (RFC 9113 §9.1 asks clients for restraint)."""
    max_waiting: int = 10_000
    """Largest number of requests that may wait for a place on a connection, a kilobyte each; the next one gets
    PoolError."""
    max_replays: int = 10
    """How often one request is sent again when it is certain that the server did not process it (RFC 9113 §8.7)."""
    idle_timeout_s: float = 60.0
    """Seconds without a request after which a connection is closed. Servers close after 60 to 75 s. The side that
    closes first avoids a race with a request that is under way."""
    drain_timeout_s: float = 5.0
    """Seconds that running requests have when the transport is closed."""
    coalesce: bool = True
    """Use a connection for other origins when its address and certificate allow it (RFC 9113 §9.1.1)."""
    wait_for_settings: bool = False
    """Begin no request before the server's SETTINGS have arrived: one round trip more, and no stream too many."""
    keepalive_ping_s: float = 0.0
    """Seconds without a byte from the server after which the client sends a PING, also while no request is open; 0:
    never."""
    keepalive_ack_s: float = 20.0
    """Seconds for the acknowledgement of a PING; then the connection ends."""
    verify: Verify = True
    """Certificates to trust: True for the system's store, a path to a PEM file or a directory of authorities, an
    SSLContext that decides itself, or False to trust any certificate."""
    cert: Certificate | None = None
    """A client certificate: a PEM file, or (certificate, key), or (certificate, key, password)."""
    proxy: ProxyLike | None = None
    """One proxy for all, or by the scheme of the origin: {"http": ..., "https": ..., "all": ...}. None: see
    `trust_env`."""
    proxy_verify: Verify = True
    """The same as `verify`, for the connection to a proxy with https."""
    trust_env: bool = True
    """Without `proxy`, read HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""
    local_address: str | None = None
    """Local address that connections are made from."""
    uds: str | Path | None = None
    """Path of a unix socket that all connections are made to; URLs give only scheme, name and path."""
    happy_eyeballs_delay_s: float = 0.25
    """Seconds before the next address of a host is tried beside those that have not answered (RFC 8305 §5)."""
    resolve: Mapping[tuple[str, int], ResolveTo] = field(default_factory=dict)
    """Addresses to connect to instead: {(host, port): address or (address, port)}. Names in TLS and in requests stay.
    """
    limits: Limits = field(default_factory=lambda: CLIENT_LIMITS)
    """The engine's limits; `idle_timeout_s` and the two settings of keep-alive above take precedence."""
    tap: TapFactory | None = None
    """Called with each new connection and its origin; returns the protocol that stands between it and its transport."""
    on_step: OnStep | None = None
    """Called with the progress of a new connection: the origin; "resolved", "connected" or "tls"; and details for
    people."""

    def __post_init__(self) -> None:
        if not (self.http1 or self.http2):
            raise ValueError("http1 and http2 are both off: no protocol is left")
        for name in ("max_connections", "max_h1_connections_per_origin", "max_h2_connections_per_origin"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("max_waiting", "max_replays", "drain_timeout_s", "keepalive_ping_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be below 0")
        for name in ("idle_timeout_s", "happy_eyeballs_delay_s", "keepalive_ack_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be above 0")
        if self.uds is not None and self.proxy is not None:
            raise ValueError("uds and proxy exclude each other")
