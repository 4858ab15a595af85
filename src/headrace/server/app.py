"""A server: an application, its addresses, and its life from start to drain."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any, Final

from headrace.server.connection.application import Application
from headrace.server.connection.driver import ServerDriver
from headrace.server.connection.service import Service
from headrace.server.interface import AppError, StartupError, adapt
from headrace.server.lifecycle import ServerDrain
from headrace.server.settings.config import Bind, Config
from headrace.server.telemetry.access_log import AccessLog
from headrace.server.telemetry.interface import Listeners, Telemetry
from headrace.server.telemetry.observed_connection import ObservedDriver
from headrace.transport.listener import Gate, Listener, addresses, bind_fd, bind_tcp, bind_unix
from headrace.transport.log import get_logger
from headrace.transport.tls import server_context

logger: Final = get_logger("headrace")


class Server:
    """Serves `app`, an ASGI or WSGI application or a native handler, with the settings of `config`.

    `ssl_context` serves the addresses that speak TLS; None makes one from the certificate that `config` names.
    `telemetry` is a sink that gets the server's events, besides the access log and the metrics of `config`. As a
    context manager, a Server starts, and drains at the end of the block.

        server = Server(app, Config(bind="127.0.0.1:8000"))
        await server.start()
        ...
        server.begin_drain()
        await server.wait_closed()
    """

    def __init__(
        self,
        app: Any,
        config: Config | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
        telemetry: Telemetry | Sequence[Telemetry] = (),
    ) -> None:
        self.app = app
        self.config: Config = config if config is not None else Config()
        self.interface: str = self.config.interface
        """`asgi`, `wsgi` or `native` once the server has started; before that, the setting."""
        self.addresses: list[tuple[Bind, str]] = []
        """Addresses where the server listens, with the number of the port that was chosen for port 0; `start` fills the
        list."""
        self.service: Service | None = None
        self._ssl_context = ssl_context
        self._telemetry = (telemetry,) if isinstance(telemetry, Telemetry) else tuple(telemetry)
        self._sinks: Listeners | None = None
        self._metrics: Server | None = None
        self._application: Application | None = None
        self._listeners: list[Listener] = []
        self._drain: ServerDrain | None = None
        self._closed: asyncio.Event = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._is_asked_to_drain = False

    async def start(self) -> None:
        """Start the application, then listen.

        Raises AppError if `app` cannot be served, StartupError if its start fails, ListenError (an OSError) if an
        address cannot be used, TLSConfigError for a bad certificate.
        """
        config = self.config
        telemetry = self._listeners_of(config)
        application = adapt(self.app, config)
        self.interface = application.name
        context = self._context()
        gate = Gate(config.max_connections)
        service = Service(application, config)
        service.on_lost = gate.leave
        if telemetry is not None:
            telemetry.observe(service)
            self._sinks = telemetry
        proxies = [ip_network(each) for each in config.proxy_protocol_from]
        loop = asyncio.get_running_loop()

        def factory() -> ServerDriver:
            return ServerDriver(service, loop) if telemetry is None else ObservedDriver(service, loop, telemetry)

        await application.startup()
        try:
            if self._metrics is not None:
                await self._metrics.start()
                logger.info("metrics for Prometheus on http://%s/metrics", self._metrics.addresses[0][1])
            for bind in config.binds:
                sockets = _open(bind)
                self.addresses += [(bind, address) for address in addresses(sockets)]
                self._listeners += [
                    Listener(
                        sock,
                        factory,
                        gate,
                        ssl_context=context if bind.tls else None,
                        alpn=config.protocols.split(","),
                        handshake_timeout_s=config.tls_handshake_timeout_s,
                        path=bind.path if bind.kind == "unix" else None,
                        proxy_protocol=config.proxy_protocol,
                        proxies=proxies,
                    )
                    for sock in sockets
                ]
        except BaseException:
            self._stop_listening()
            await application.shutdown()
            await self._end_metrics()
            raise
        service.addresses += [
            f"{'https' if bind.tls else 'http'}://{address}" for bind, address in self.addresses if bind.kind == "tcp"
        ]
        self.service = service
        self._application = application
        self._drain = ServerDrain(service, config.drain_timeout_s)
        if telemetry is not None:
            telemetry.server_started(service)
        for listener in self._listeners:
            listener.start()
        if self._is_asked_to_drain:
            self.begin_drain()

    def begin_drain(self) -> None:
        """Begin the graceful end, at once on every connection; idempotent. `wait_closed` returns when it is done.

        While `start` still runs, the drain waits for its end and begins then.
        """
        self._is_asked_to_drain = True
        if self._closing is None and self._drain is not None and self.service is not None:
            # Use the server's own context: the caller may be a handler, and its context belongs to its request.
            self.service.context.copy().run(self._begin_drain, self.service, self._drain)

    def _begin_drain(self, service: Service, drain: ServerDrain) -> None:
        self._stop_listening()
        if self._sinks is not None:
            self._sinks.drain_began(service, self.config.drain_timeout_s)
        drain.begin()
        self._closing = asyncio.get_running_loop().create_task(self._close())

    def abort(self) -> None:
        """End now: reset running requests and cancel their workers."""
        self.begin_drain()
        if self._drain is not None:
            self._drain.cut_short()

    async def wait_closed(self) -> None:
        """Wait until the drain, begun by `begin_drain` or `abort`, is over and the application has shut down."""
        await self._closed.wait()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.begin_drain()
        await self.wait_closed()

    async def _close(self) -> None:
        assert self._drain is not None
        assert self._application is not None
        try:
            for listener in self._listeners:
                await listener.opened()
            await self._drain.finished()
            await self._application.shutdown()
            await self._end_metrics()
        finally:
            self._closed.set()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _listeners_of(self, config: Config) -> Listeners | None:
        """Return the sink for all events, or None if there is none. Give the metrics' address its server."""
        sinks = list(self._telemetry)
        if config.access_log:
            sinks.append(AccessLog(config.access_log_format))
        if config.metrics_bind:
            from headrace.server.telemetry.prometheus import Prometheus, default_registry

            metrics = Prometheus(default_registry())
            sinks.append(metrics)
            self._metrics = Server(metrics.handler, Config(bind=config.metrics_bind, interface="native"))
        if config.otel:
            from headrace.server.telemetry.opentelemetry import OpenTelemetry

            sinks.append(OpenTelemetry())
        if config.request_id_header and not sinks:
            sinks.append(Telemetry())  # so that the context variable is set
        return Listeners(sinks) if sinks else None

    async def _end_metrics(self) -> None:
        if self._metrics is not None and self._metrics.service is not None:
            self._metrics.abort()
            await self._metrics.wait_closed()

    def _context(self) -> ssl.SSLContext | None:
        config = self.config
        if self._ssl_context is None and config.tls_cert is not None:
            return server_context(config.tls_cert, config.tls_key, config.tls_key_password, config.protocols.split(","))
        return self._ssl_context


async def serve(
    app: Any,
    config: Config | None = None,
    *,
    shutdown: asyncio.Event | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> None:
    """Serve `app` until `shutdown` is set, then drain and return; without `shutdown`, until this task is cancelled.

    Installs no signal handlers. Raises the same errors as `Server.start`. When cancelled, it ends running requests at
    once.
    """
    server = Server(app, config, ssl_context=ssl_context)
    await server.start()
    try:
        await (shutdown if shutdown is not None else asyncio.Event()).wait()
        server.begin_drain()
        await server.wait_closed()
    except BaseException:
        server.abort()
        await asyncio.shield(server.wait_closed())
        raise


def _open(bind: Bind) -> list[Any]:
    if bind.kind == "unix":
        return [bind_unix(bind.path)]
    if bind.kind == "fd":
        return [bind_fd(bind.fd)]
    return bind_tcp(bind.host, bind.port)


__all__ = ["AppError", "Server", "StartupError", "serve"]
