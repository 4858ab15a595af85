"""A span per request, with the package opentelemetry-api (`pip install headrace[otel]`).

Names and attributes are those of OpenTelemetry's semantic conventions for HTTP server spans (1.23 and later). A context
that a client sends, such as `traceparent`, is read with the process's propagator.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import SpanKind, Status, StatusCode

from headrace.engine.text import utf8
from headrace.server.telemetry.interface import Telemetry

if TYPE_CHECKING:
    from headrace.engine.events import RequestReceived
    from headrace.server.telemetry.observed import Observed

_METHODS: Final = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"QUERY"}
)


class _FieldGetter(Getter["RequestReceived"]):
    """Reads fields of a request for a propagator."""

    def get(self, carrier: RequestReceived, key: str) -> list[str] | None:
        wanted = key.lower().encode("latin-1", "replace")
        found = [value.decode("latin-1") for name, value in carrier.headers if name == wanted]
        return found or None

    def keys(self, carrier: RequestReceived) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier.headers]


_FIELDS: Final = _FieldGetter()


class OpenTelemetry(Telemetry):
    """Makes a server span of each request, current while its handler runs, so that the handler's spans are below it.

    `tracer_provider` None takes the process's own.
    """

    def __init__(self, tracer_provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("headrace", tracer_provider=tracer_provider)
        self._spans: dict[Observed, trace.Span] = {}

    def request_started(self, request: Observed) -> None:
        head = request.head
        parent = propagate.extract(head, context=context.Context(), getter=_FIELDS)
        span = self._tracer.start_span(
            _method(head), context=parent, kind=SpanKind.SERVER, attributes=_attributes(request)
        )
        self._spans[request] = span
        # Never detached: the context is the worker's own, and ends with it.
        context.attach(trace.set_span_in_context(span, parent))

    def request_failed(self, request: Observed, error: BaseException) -> None:
        span = self._spans.get(request)
        if span is not None:
            # In the exporter, text that is not UTF-8 would lose the spans of other requests that are sent with it.
            stack = utf8("".join(traceback.format_exception(error))).decode()
            message = utf8(str(error)).decode()
            span.record_exception(error, {"exception.message": message, "exception.stacktrace": stack})
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))

    def request_stopped(self, request: Observed, duration_s: float) -> None:
        span = self._spans.pop(request, None)
        if span is None:
            return
        if span.is_recording():
            if request.route_path:
                span.update_name(f"{_method(request.head)} {request.route_path}")
                span.set_attribute("http.route", request.route_path)
            if request.status:
                span.set_attribute("http.response.status_code", request.status)
            span.set_attribute("http.request.body.size", request.received)
            span.set_attribute("http.response.body.size", request.sent)
            if request.status >= 500:
                span.set_status(Status(StatusCode.ERROR))
                span.set_attribute("error.type", str(request.status))
            elif request.gone is not None:
                span.set_attribute("error.type", "disconnected")
                span.set_attribute("headrace.ended", request.gone)
        span.end()


def _method(head: RequestReceived) -> str:
    return head.method.decode("ascii") if head.method in _METHODS else "HTTP"


def _attributes(request: Observed) -> dict[str, Any]:
    head = request.head
    path, _, query = head.path.decode("utf-8", "backslashreplace").partition("?")
    found: dict[str, Any] = {
        "http.request.method": head.method.decode("ascii") if head.method in _METHODS else "_OTHER",
        "url.scheme": head.scheme.decode("latin-1"),
        "url.path": path,
        "network.protocol.name": "http",
        "network.protocol.version": request.http_version,
        "headrace.request_id": request.request_id,
    }
    if query:
        found["url.query"] = query
    if head.method not in _METHODS:
        found["http.request.method_original"] = head.method.decode("latin-1")
    authority = head.authority or next((value for name, value in head.headers if name == b"host"), b"")
    if authority:
        host, colon, port = authority.decode("latin-1").rpartition(":")
        is_split = bool(colon) and port.isascii() and port.isdigit()
        found["server.address"] = host.strip("[]") if is_split else authority.decode("latin-1").strip("[]")
        if is_split:
            found["server.port"] = int(port)
    for name, pair in (("client", request.client_address), ("network.peer", request.driver.client)):
        if pair is not None:
            found[f"{name}.address"] = pair[0]
            if pair[1] is not None:
                found[f"{name}.port"] = pair[1]
    agent = next((value for name, value in head.headers if name == b"user-agent"), b"")
    if agent:
        found["user_agent.original"] = agent.decode("utf-8", "backslashreplace")
    return found
