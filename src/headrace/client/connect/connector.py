"""Makes one connection, phase by phase: a socket or a tunnel through a proxy, TLS, and the driver on top of it.

    driver <- (tap) <- TLSTransport <- asyncio's transport, or TunnelTransport

The timeout `connect` covers DNS, TCP and the proxy's answer; `tls` covers the handshake. This module does not know the
pool.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.client.connect.addresses import SocketAddress, open_socket, resolve
from headrace.client.connect.proxy import Proxy, ProxyRules
from headrace.client.connect.socks import negotiate
from headrace.client.connect.tls import ALPN, check_result, client_context, handshake_error, server_name
from headrace.client.connection.driver import ClientDriver
from headrace.client.errors import ConnectError, ConnectTimeout, ProxyError, RequestError, TLSError, TLSTimeout
from headrace.client.timeouts import DEFAULT_TIMEOUTS, Timeouts
from headrace.transport.tls_transport import TLSTransport

if TYPE_CHECKING:
    import ssl

    from headrace.client.connect.config import NetworkConfig
    from headrace.client.connect.proxy import Proxies
    from headrace.client.connect.tls import Protocols
    from headrace.client.connection.driver import DriverOwner
    from headrace.client.interface import Origin

_alpn_lock = threading.Lock()  # clients in several threads may use one SSLContext of a caller
_NO_LIMIT_S = 86_400.0  # this module times the handshake; the transport's own timer must not fire first


class Connector:
    """Makes connections as `config` says, through HTTP proxies by `proxies`, which it closes with itself.

    Raises ValueError for an invalid proxy in the environment.
    """

    def __init__(self, config: NetworkConfig, proxies: Proxies) -> None:
        self.config = config
        self._limits = replace(
            config.limits,
            idle_timeout_s=config.idle_timeout_s,
            keepalive_ping_s=config.keepalive_ping_s,
            keepalive_ack_s=config.keepalive_ack_s,
        )
        if config.proxy is None and config.trust_env and config.uds is None:
            self._rules = ProxyRules.from_environment(os.environ)
        else:
            self._rules = ProxyRules.of(config.proxy)
        self.proxies = proxies
        self._context: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """Return the TLS context. The first connection that needs one makes it, because reading authorities takes time.

        Raises TLSError.
        """
        if self._context is None:
            self._context = client_context(self.config.verify, self.config.cert, http1=self.config.http1)
        return self._context

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """Return the proxy through which `origin` is reached, or None for a direct connection."""
        return self._rules.choose(origin)

    async def connect(
        self,
        origin: Origin,
        owner: DriverOwner,
        *,
        protocols: Protocols = "any",
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        share: Callable[[Sequence[SocketAddress]], ClientDriver | None] | None = None,
        on_handshake: Callable[[], None] | None = None,
    ) -> ClientDriver:
        """Return a connection to `origin` that is ready for requests.

        Once the addresses are known, `share` is called with them; when it returns an existing connection, that one is
        returned. `on_handshake` is called when TLS begins: from then on `timeouts.tls` counts, before it
        `timeouts.connect`. Raises ConnectError and its subclasses, ConnectTimeout, TLSTimeout. When cancelled, it
        leaves nothing open.
        """
        is_tls = origin.scheme == "https"
        if not is_tls and protocols == "any":
            protocols = "http/1.1"
        context = self.context if is_tls else None
        link: socket.socket | Any
        try:
            async with asyncio.timeout(timeouts.connect):
                link = await self._reach(origin, share)
        except TimeoutError as error:
            if timeouts.connect is None or isinstance(error, ConnectError | ConnectTimeout):
                raise
            raise ConnectTimeout(f"no connection to {origin} within {timeouts.connect:g} s") from None
        if isinstance(link, ClientDriver):
            return link
        loop = asyncio.get_running_loop()
        driver = ClientDriver(
            loop,
            self._limits,
            origin=origin,
            protocols="alpn" if protocols == "any" else protocols,
            owner=owner,
            wait_for_settings=self.config.wait_for_settings,
        )
        tls: TLSTransport | None = None
        outcome: asyncio.Future[None] = loop.create_future()
        try:
            top: asyncio.Protocol = driver if self.config.tap is None else self.config.tap(driver, origin)
            if context is not None:
                tls = _secure(top, context, origin, protocols, outcome)
        except BaseException:
            link.close()
            raise
        if tls is None:
            await _attach(link, top)
        else:
            if on_handshake is not None:
                on_handshake()
            await self._shake_hands(link, tls, origin, outcome, timeouts.tls)
        try:
            await driver.ready()
        except BaseException as error:
            driver.abort()
            if not isinstance(error, RequestError) or isinstance(error, ConnectError):
                raise
            if tls is not None and tls.error is not None:  # with TLS 1.3 a server refuses after our handshake
                raise handshake_error(tls.error, origin.host, protocols, "") from error
            raise ConnectError(f"the connection to {origin} was never ready: {error.message}") from error
        return driver

    async def aclose(self) -> None:
        """End the connections to proxies."""
        await self.proxies.aclose()

    # -- sockets and tunnels -----------------------------------------------------------------------------------

    async def _reach(
        self, origin: Origin, share: Callable[[Sequence[SocketAddress]], ClientDriver | None] | None
    ) -> Any:
        """Return a connected socket, a TunnelTransport, or an existing connection to share."""
        config = self.config
        if config.uds is not None:
            unix = [SocketAddress(socket.AF_UNIX, os.fspath(config.uds))]
            sock = await open_socket(unix, config.happy_eyeballs_delay_s)
            self._say(origin, "connected", str(unix[0]))
            return sock
        proxy = self._rules.choose(origin)
        if proxy is not None and not proxy.is_socks:
            tunnel = await self.proxies.tunnel(proxy, origin)
            self._say(origin, "connected", f"through {proxy}")
            return tunnel
        if proxy is None:
            return await self._open(origin, origin.host, origin.port, share)
        try:
            link = await self._open(origin, proxy.host, proxy.port)
        except ConnectError as error:
            raise ProxyError(f"the proxy {proxy} cannot be reached: {error.message}") from error
        assert isinstance(link, socket.socket)
        try:
            await negotiate(link, proxy, origin.host, origin.port)
        except BaseException:
            link.close()
            raise
        return link

    async def _open(
        self,
        origin: Origin,
        host: str,
        port: int,
        share: Callable[[Sequence[SocketAddress]], ClientDriver | None] | None = None,
    ) -> socket.socket | ClientDriver:
        config = self.config
        instead = config.resolve.get((host, port))
        if instead is not None:
            host, port = (instead, port) if isinstance(instead, str) else instead
        addresses = await resolve(host, port)
        self._say(origin, "resolved", ", ".join(each.host for each in addresses))
        if share is not None:
            driver = share(addresses)
            if driver is not None:
                return driver
        sock = await open_socket(addresses, config.happy_eyeballs_delay_s, config.local_address)
        if config.on_step is not None:
            self._say(origin, "connected", str(SocketAddress(sock.family, sock.getpeername())))
        return sock

    # -- TLS ---------------------------------------------------------------------------------------------------

    async def _shake_hands(
        self, link: Any, tls: TLSTransport, origin: Origin, outcome: asyncio.Future[None], timeout_s: float | None
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await _attach(link, tls)
                await outcome
        except TimeoutError as error:
            tls.break_off("it took too long")
            tls.abort()
            if timeout_s is None or isinstance(error, ConnectError):
                raise
            raise TLSTimeout(f"no TLS handshake with {origin} within {timeout_s:g} s") from None
        except BaseException:
            tls.break_off("no request waits for it")
            tls.abort()
            raise
        finally:
            if outcome.done() and not outcome.cancelled():
                outcome.exception()  # read it, also when another error came first
        if self.config.on_step is not None:
            ssl_object = tls.get_extra_info("ssl_object")
            cipher = ssl_object.cipher()
            alpn = ssl_object.selected_alpn_protocol() or "none"
            self._say(origin, "tls", f"{ssl_object.version()}, {cipher[0] if cipher else '-'}, ALPN {alpn}")

    def _say(self, origin: Origin, step: str, details: str) -> None:
        if self.config.on_step is not None:
            self.config.on_step(origin, step, details)


def _secure(
    top: asyncio.Protocol,
    context: ssl.SSLContext,
    origin: Origin,
    protocols: Protocols,
    outcome: asyncio.Future[None],
) -> TLSTransport:
    """Return TLS under `top`, not begun yet. `outcome` gets the result of the handshake. Raises TLSError."""

    def on_handshake(tls: TLSTransport, failure: str | None) -> None:
        error: Exception | None = None
        if failure is None:
            try:
                check_result(tls.get_extra_info("ssl_object"), protocols, origin.host)
            except TLSError as fault:
                error = fault
                tls.abort()  # so the driver learns nothing of it
        else:
            error = handshake_error(tls.error, origin.host, protocols, failure)
        if outcome.done():
            return
        if error is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(error)

    try:
        with _alpn_lock:
            context.set_alpn_protocols(ALPN[protocols])  # read when the transport is made, which is right here
            return TLSTransport(
                top,
                context,
                server_side=False,
                server_hostname=server_name(origin.host),
                handshake_timeout_s=_NO_LIMIT_S,
                on_handshake=on_handshake,
            )
    except ValueError as error:  # an invalid name: empty, or with a label that is too long
        raise TLSError(f"no TLS with {origin.host!r}: {error}") from None


async def _attach(link: Any, protocol: asyncio.Protocol) -> None:
    """Give `protocol` the socket or tunnel `link`."""
    if not isinstance(link, socket.socket):
        try:
            link.attach(protocol)
        except RequestError as error:
            raise ProxyError(f"the tunnel through the proxy ended at once: {error.message}") from error
        return
    loop = asyncio.get_running_loop()
    is_taken = False

    def take() -> asyncio.Protocol:
        nonlocal is_taken
        is_taken = True  # from here on a transport closes the socket, in its own time
        return protocol

    # uvloop takes the file descriptor at once, but the socket object only at the end of the call. When the connection
    # has ended by then, the object does not know that its descriptor is closed: it would close another file that has
    # the number by then.
    is_uvloop = type(loop).__module__.startswith("uvloop")
    try:
        if link.family == socket.AF_UNIX:
            transport, _ = await loop.create_unix_connection(take, sock=link)
        else:
            transport, _ = await loop.create_connection(take, sock=link)
    except BaseException:
        if not is_taken:
            link.close()
        elif is_uvloop:
            link.detach()
            # uvloop does not call it for a transport that was cancelled while it was made
            protocol.connection_lost(None)
        raise
    if is_uvloop and transport.is_closing():
        link.detach()
