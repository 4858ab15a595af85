"""What a server tells of its work, and those who listen: logs, Prometheus, OpenTelemetry, or a class of one's own.

`interface` has what they may be told, `observed` puts it into requests, `request_id` names them. The sinks that need a
package of their own are imported from where they are: `headrace.server.telemetry.prometheus`, `.opentelemetry`.
"""

from headrace.server.request_id import RequestIdFilter, request_id
from headrace.server.telemetry.interface import Telemetry

__all__ = ["RequestIdFilter", "Telemetry", "request_id"]
