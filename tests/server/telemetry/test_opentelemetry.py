"""Spans for OpenTelemetry, as its SDK records them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.routing.route import Route
from headrace.server.routing.router import Router
from headrace.server.settings.config import Config, ConfigError
from headrace.server.telemetry.opentelemetry import OpenTelemetry

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving, settled

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traces:
    """A sink, and the spans that came of it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.sink = OpenTelemetry(self.provider)

    @property
    def spans(self) -> list[Any]:
        return list(self.exporter.get_finished_spans())


def test_a_server_span_by_the_conventions(run: Run) -> None:
    traces = Traces()

    async def fish(request: Request) -> Response:
        with traces.provider.get_tracer("app").start_as_current_span("below"):
            await asyncio.sleep(0)
        return Response(201, (), b"carp")

    async def main() -> None:
        app = Router([Route("/fish/{name}", fish)])
        async with serving(app, telemetry=traces.sink) as server, H2Peer.connected(port(server)) as peer:
            headers = [("traceparent", PARENT), ("user-agent", "test/1")]
            await peer.get("/fish/carp?size=%C3%BC", headers=headers)
            await peer.get("/fish/tench")
            await settled(lambda: len(traces.spans) == 4)

    run(main())
    below, span, other_below, other = traces.spans
    assert (span.name, span.kind) == ("GET /fish/{name}", SpanKind.SERVER)
    assert f"{span.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == PARENT.split("-")[2]
    assert below.parent.span_id == span.context.span_id
    assert other.parent is None
    assert other_below.parent.span_id == other.context.span_id
    attributes = dict(span.attributes)
    assert attributes.pop("client.port") == attributes.pop("network.peer.port")
    assert attributes.pop("headrace.request_id")
    assert attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/fish/carp",
        "url.query": "size=%C3%BC",
        "network.protocol.name": "http",
        "network.protocol.version": "2",
        "server.address": "localhost",
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "user_agent.original": "test/1",
        "http.route": "/fish/{name}",
        "http.response.status_code": 201,
        "http.request.body.size": 0,
        "http.response.body.size": 4,
    }
    assert span.status.status_code is StatusCode.UNSET


def test_the_setting_takes_the_process_s_provider(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    traces = Traces()
    monkeypatch.setattr(trace, "get_tracer", lambda name, tracer_provider: traces.provider.get_tracer(name))

    async def app(request: Request) -> Response:
        return Response()

    async def main() -> None:
        async with serving(app, otel=True) as server, H2Peer.connected(port(server)) as peer:
            await peer.get("/")
            await settled(lambda: len(traces.spans) == 1)

    run(main())
    monkeypatch.setattr("headrace.server.settings.config.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="otel needs the package opentelemetry-api"):
        Config(otel=True)


def test_a_failure_is_on_its_span(run: Run) -> None:
    traces = Traces()

    async def app(request: Request) -> Response:
        if request.path == "/teapot":
            return Response(418)
        raise ValueError("boom")

    async def main() -> None:
        async with serving(app, telemetry=traces.sink) as server, H2Peer.connected(port(server)) as peer:
            await peer.get("/", "BREW")
            await peer.get("/teapot")
            await settled(lambda: len(traces.spans) == 2)

    run(main())
    span, teapot = traces.spans
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "BREW"
    assert span.status.status_code is StatusCode.ERROR
    assert [event.attributes["exception.message"] for event in span.events] == ["boom"]
    assert teapot.status.status_code is StatusCode.UNSET  # a server's 4xx is not the server's fault


def test_a_client_that_goes_ends_its_span(run: Run) -> None:
    traces = Traces()

    async def app(request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def main() -> None:
        async with serving(app, telemetry=traces.sink) as server, H2Peer.connected(port(server)) as peer:
            peer.reset(peer.open("/"))
            await settled(lambda: len(traces.spans) == 1)

    run(main())
    (span,) = traces.spans
    assert span.attributes["error.type"] == "disconnected"
    assert span.attributes["headrace.ended"] == "the peer reset the stream"
    assert "http.response.status_code" not in span.attributes
    assert not traces.sink._spans


def test_a_threads_spans_are_below_it_too(run: Run) -> None:
    traces = Traces()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with traces.provider.get_tracer("app").start_as_current_span("below"):
            start_response("200 OK", [])
        return [b""]

    async def main() -> None:
        async with serving(app, telemetry=traces.sink) as server, H2Peer.connected(port(server)) as peer:
            await peer.get("/")
            await settled(lambda: len(traces.spans) == 2)
        assert trace.get_current_span().get_span_context().span_id == 0

    run(main())
    below, span = traces.spans
    assert below.parent.span_id == span.context.span_id
