"""Telemetry: a server's events, and the sinks that get them: logs, Prometheus, OpenTelemetry, or your own class.

`interface` lists the events, `observed` emits them for requests, `request_id` names requests. Import the sinks that
need a package of their own from their modules: `headrace.server.telemetry.prometheus`, `.opentelemetry`.
"""

from headrace.server.request_id import RequestIdFilter, request_id
from headrace.server.telemetry.interface import Telemetry

__all__ = ["RequestIdFilter", "Telemetry", "request_id"]
