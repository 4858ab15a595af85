"""Metrics for Prometheus, with the package prometheus-client (`pip install headrace[prometheus]`).

Events are counted when they happen. Current values, such as open streams, are read when Prometheus asks, so they cost a
request nothing.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

from headrace.engine.errors import error_name
from headrace.engine.text import utf8
from headrace.server.handlers.response import Response
from headrace.server.telemetry.interface import Telemetry

if TYPE_CHECKING:
    from headrace.server.connection.service import ServedConnection, Service
    from headrace.server.handlers.request import Request
    from headrace.server.telemetry.observed import Observed

LATENCIES_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of the histogram's buckets, in seconds."""


def default_registry() -> CollectorRegistry:
    """Return prometheus-client's own registry, which also has an application's metrics."""
    return REGISTRY


class Prometheus(Telemetry):
    """Counts a server's events; `handler` answers `/metrics`.

    `registry` None makes a registry of its own. `buckets` are the upper ends of the latency histogram's buckets, in
    seconds. Labels are bounded: the route label is the application's pattern, never a client's text.
    """

    def __init__(self, registry: CollectorRegistry | None = None, buckets: Sequence[float] = LATENCIES_S) -> None:
        self.registry: CollectorRegistry = registry if registry is not None else CollectorRegistry()
        self._services: list[Service] = []
        self._websockets = 0
        made: dict[str, Any] = {"registry": self.registry}
        self._latency = Histogram(
            "headrace_request_duration_seconds",
            "From a request's arrival to the end of its handler.",
            ("route", "status"),
            buckets=buckets,
            **made,
        )
        self._children: dict[tuple[str, int], Any] = {}
        self._sent = Counter("headrace_sent_bytes", "Bytes of content in responses.", **made)
        self._received = Counter("headrace_received_bytes", "Bytes of content in requests.", **made)
        self._failed = Counter("headrace_requests_failed", "Requests whose handler raised.", **made)
        self._refused = Counter("headrace_requests_refused", "Requests that were refused: too many at once.", **made)
        self._resets = Counter("headrace_resets", "Streams that ended before their time.", ("by", "code"), **made)
        self._connections = Counter("headrace_connections", "Connections that were opened.", **made)
        self._sockets = Counter("headrace_websockets", "WebSockets that were opened.", **made)
        self.registry.register(_Moment(self))

    # -- events, counted at once ------------------------------------------------------------------------------

    def server_started(self, service: Service) -> None:
        """Read the gauges from this server from now on."""
        self._services.append(service)

    def connection_opened(self, connection: ServedConnection) -> None:
        self._connections.inc()

    def request_stopped(self, request: Observed, duration_s: float) -> None:
        key = (request.route_path, request.status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._latency.labels(utf8(key[0]).decode(), str(key[1]) if key[1] else "none")
        child.observe(duration_s)
        if request.sent:
            self._sent.inc(request.sent)
        if request.received:
            self._received.inc(request.received)

    def request_failed(self, request: Observed, error: BaseException) -> None:
        self._failed.inc()

    def request_refused(self, connection: ServedConnection, count: int) -> None:
        self._refused.inc(count)

    def stream_reset(self, connection: ServedConnection, stream_id: int, by: str, code: int) -> None:
        self._resets.labels(by, error_name(code) if code < _CODES else "OTHER").inc()

    def websocket_opened(self, request: Observed) -> None:
        self._sockets.inc()
        self._websockets += 1

    def websocket_closed(self, request: Observed, duration_s: float) -> None:
        self._websockets -= 1

    # -- current values ----------------------------------------------------------------------------------------

    def gauges(self) -> Iterable[GaugeMetricFamily]:
        """Return the current numbers of connections, streams, stalled windows, handlers and WebSockets."""
        connections: Tally[str] = Tally()
        streams: Tally[str] = Tally()
        handlers = stalled = draining = 0
        for service in self._services:
            for driver in service.drivers:
                protocol = f"HTTP/{driver.http_version}"
                connections[protocol] += 1
                streams[protocol] += driver.open_streams
                handlers += len(driver.live)
                stalled += sum(exchange.blocked for exchange in driver.live.values())
                draining += driver.drain_deadline is not None
        for name, help_text, found in (
            ("headrace_connections_open", "Connections that are open.", connections),
            ("headrace_streams_open", "Requests that are open.", streams),
        ):
            family = GaugeMetricFamily(name, help_text, labels=("protocol",))
            for protocol, number in found.items():
                family.add_metric((protocol,), number)
            yield family
        for name, help_text, value in (
            ("headrace_handlers_running", "Handlers that run.", handlers),
            ("headrace_windows_stalled", "Handlers that wait for a client to take their output.", stalled),
            ("headrace_websockets_open", "WebSockets that are open.", self._websockets),
            ("headrace_connections_draining", "Connections that drain.", draining),
        ):
            yield GaugeMetricFamily(name, help_text, value=value)

    async def handler(self, request: Request) -> Response:
        """Answer a request with the metrics, in the format that the scraper asks for."""
        if request.path.rstrip("/") not in ("", "/metrics"):
            return Response.text("The figures are at /metrics\n", 404)
        encoder, content_type = choose_encoder(request.header("accept") or "")
        return Response(200, [(b"content-type", content_type.encode())], encoder(self.registry))


_CODES: Final = 14  # RFC 9113 §7 has 14; further ones came from a client, who must not make labels


class _Moment:
    """The gauges, as prometheus-client collects them."""

    def __init__(self, owner: Prometheus) -> None:
        self._owner = owner

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._owner.gauges()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()  # the server is not asked when this is registered
