"""HTTP proxies: CONNECT over HTTP/1.1 and HTTP/2, and plain requests that the proxy forwards.

A `NetworkTransport` of their own makes and keeps the connections to proxies, so over HTTP/2 many tunnels share one
connection to their proxy. The bytes of a tunnel are the content of its stream (RFC 9110 §9.3.6, RFC 9113 §8.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from headrace.client.connect.config import NetworkConfig
from headrace.client.connect.proxy import Proxy
from headrace.client.connect.tunnel_transport import TunnelTransport
from headrace.client.errors import ConnectError, ProxyError, RequestError, RequestTimeout
from headrace.client.interface import Incoming, Origin, Outgoing
from headrace.client.timeouts import NO_TIMEOUTS

if TYPE_CHECKING:
    from headrace.client.connection.held_response import HeldResponse


class Carrier(Protocol):
    """A transport that keeps connections to proxies: see `NetworkTransport`."""

    async def send(self, outgoing: Outgoing, *, whole: bool = False) -> Incoming:
        """See `Transport.send`."""
        ...

    async def tunnel(self, outgoing: Outgoing) -> HeldResponse:
        """Ask for a tunnel by CONNECT and return the response; with 2xx its `tunnel` is open."""
        ...

    async def aclose(self) -> None:
        """End all connections."""
        ...


class HTTPProxies:
    """Opens tunnels and forwards requests, over connections to proxies. `make` makes the two transports that keep
    them."""

    __slots__ = ("_config", "_forwarding", "_make_transport", "_tunnels")

    def __init__(self, config: NetworkConfig, make: Callable[[NetworkConfig], Carrier]) -> None:
        self._config = config
        self._make_transport = make
        self._tunnels: Carrier | None = None
        self._forwarding: Carrier | None = None

    async def tunnel(self, proxy: Proxy, origin: Origin) -> TunnelTransport:
        """Return a transport to `origin` through `proxy`. It has no time limit: each request that waits for it has its
        own.

        Raises ProxyError.
        """
        if self._tunnels is None:
            self._tunnels = self._make(http2=True)
        authority = str(origin).partition("://")[2].encode("ascii")
        headers = [(b"proxy-authorization", proxy.authorization)] if proxy.authorization else []
        outgoing = Outgoing(
            b"CONNECT", proxy.origin, authority, b"", headers, url=f"CONNECT {origin}", timeouts=NO_TIMEOUTS
        )
        try:
            response = await self._tunnels.tunnel(outgoing)
        except (RequestTimeout, ProxyError):
            raise
        except RequestError as error:
            raise ProxyError(f"the proxy {proxy} opened no tunnel: {error.message}") from error
        status = response.head.status
        if not 200 <= status < 300:
            response.close()
            raise ProxyError(_refusal(proxy, origin, status), status=status)
        return TunnelTransport(response)

    async def forward(self, proxy: Proxy, outgoing: Outgoing, *, whole: bool) -> Incoming:
        """Send a request for an "http" URL to `proxy` itself, in absolute-form (RFC 9112 §3.2.2)."""
        if self._forwarding is None:
            self._forwarding = self._make(http2=False)
        headers = outgoing.headers
        if proxy.authorization is not None:
            headers = [*headers, (b"proxy-authorization", proxy.authorization)]
        path = b"http://" + outgoing.authority + (b"" if outgoing.path == b"*" else outgoing.path)
        copy = Outgoing(
            outgoing.method,
            proxy.origin,
            outgoing.authority,
            path,
            headers,
            outgoing.content,
            url=outgoing.url,
            timeouts=outgoing.timeouts,
            on_informational=outgoing.on_informational,
            on_sent=outgoing.on_sent,
            max_size=outgoing.max_size,
            on_the_way=outgoing.on_the_way,
        )
        try:
            return await self._forwarding.send(copy, whole=whole)
        except ConnectError as error:
            if isinstance(error, ProxyError):
                raise
            reason = f"the proxy {proxy} cannot be reached: {error.message}"
            raise ProxyError(reason, url=outgoing.url) from error

    async def aclose(self) -> None:
        """End all connections to proxies."""
        for transport in (self._tunnels, self._forwarding):
            if transport is not None:
                await transport.aclose()

    def _make(self, *, http2: bool) -> Carrier:
        config = self._config
        return self._make_transport(
            NetworkConfig(
                http2=http2,
                max_connections=config.max_connections,
                max_h1_connections_per_origin=config.max_connections,
                max_h2_connections_per_origin=config.max_h2_connections_per_origin,
                max_waiting=config.max_waiting,
                idle_timeout_s=config.idle_timeout_s,
                drain_timeout_s=0,
                coalesce=False,
                keepalive_ping_s=config.keepalive_ping_s,
                keepalive_ack_s=config.keepalive_ack_s,
                verify=config.proxy_verify,
                trust_env=False,
                local_address=config.local_address,
                happy_eyeballs_delay_s=config.happy_eyeballs_delay_s,
                limits=config.limits,
            )
        )


def _refusal(proxy: Proxy, origin: Origin, status: int) -> str:
    if status == 407:
        wanted = "does not accept the name and password" if proxy.authorization else "asks for a name and password"
        return f"the proxy {proxy} {wanted}: 407 (RFC 9110 §15.5.8)"
    return f"the proxy {proxy} made no connection to {origin.host}:{origin.port}: it answered {status}"
