"""Figures for Prometheus: what is counted, what is looked up, and both ways to ask for them."""

from __future__ import annotations

import asyncio
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response, Send, StreamResponse
from headrace.server.routing.route import Route
from headrace.server.routing.router import Router
from headrace.server.settings.config import Config, ConfigError
from headrace.server.telemetry.prometheus import Prometheus

from tests.support.fetch import fetch
from tests.support.h2_peer import H2Peer
from tests.support.process import free_port
from tests.support.process import serving as served
from tests.support.serving import Run, live_handlers, port, serving, settled


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"headrace_{name}", labels)


def test_requests_are_counted_by_route_and_status(run: Run) -> None:
    async def fish(request: Request) -> Response:
        if request.params["name"] == "shark":
            raise RuntimeError("boom")
        return Response(200, (), await request.read())

    sink = Prometheus()

    async def main() -> None:
        app = Router([Route("/fish/{name}", fish, methods=("GET", "POST"))])
        async with serving(app, telemetry=sink) as server, H2Peer.connected(port(server)) as peer:
            for path in ("/fish/carp", "/fish/tench", "/fish/shark", "/nowhere"):
                await peer.get(path)
            await peer.post("/fish/eel", bytes(1000))
            await settled(lambda: live_handlers(server) == 0)
            assert sample(sink.registry, "connections_open", protocol="HTTP/2") == 1
            assert sample(sink.registry, "connections_draining") == 0

    run(main())
    count = "request_duration_seconds_count"
    assert sample(sink.registry, count, route="/fish/{name}", status="200") == 3
    assert sample(sink.registry, count, route="/fish/{name}", status="500") == 1
    assert sample(sink.registry, count, route="", status="404") == 1
    assert sample(sink.registry, "request_duration_seconds_bucket", route="", status="404", le="+Inf") == 1
    assert sample(sink.registry, "requests_failed_total") == 1
    assert sample(sink.registry, "received_bytes_total") == 1000
    assert sample(sink.registry, "connections_total") == 1


def test_what_is_so_at_a_moment(run: Run) -> None:
    async def fill(send: Send) -> None:
        while True:
            await send(bytes(10_000))

    async def app(request: Request) -> Any:
        if request.path == "/wait":
            await asyncio.Event().wait()
        return StreamResponse(200, (), fill)

    sink = Prometheus()

    async def main() -> None:
        async with serving(app, telemetry=sink) as server:
            async with H2Peer.connected(port(server), gives_credit=False) as peer:
                full = peer.open("/fill")
                waiting = peer.open("/wait")
                await settled(lambda: sample(sink.registry, "windows_stalled") == 1)
                assert sample(sink.registry, "handlers_running") == 2
                assert sample(sink.registry, "streams_open", protocol="HTTP/2") == 2
                peer.reset(full)
                peer.reset(waiting, 2)
                await settled(lambda: sample(sink.registry, "handlers_running") == 0)
                assert sample(sink.registry, "windows_stalled") == 0
                assert sample(sink.registry, "resets_total", by="client", code="CANCEL") == 1
                assert sample(sink.registry, "resets_total", by="client", code="INTERNAL_ERROR") == 1
                strange = peer.open("/wait")
                peer.conn.reset_stream(strange, 0x7FFFFFFF)
                peer.flush()
                await settled(lambda: sample(sink.registry, "resets_total", by="client", code="OTHER") == 1)
                assert sample(sink.registry, "request_duration_seconds_count", route="", status="none") == 2
            await settled(lambda: sample(sink.registry, "connections_open", protocol="HTTP/2") is None)

    run(main())


def test_the_handler_gives_the_format_that_is_asked_for(run: Run) -> None:
    sink = Prometheus()

    async def main() -> None:
        async with serving(sink.handler, telemetry=sink) as server, H2Peer.connected(port(server)) as peer:
            await peer.get("/metrics")
            plain = await peer.get("/metrics")
            names = {family.name for family in text_string_to_metric_families(plain.body.decode())}
            assert {"headrace_request_duration_seconds", "headrace_windows_stalled", "headrace_resets"} <= names
            assert (plain.header(b"content-type") or b"").startswith(b"text/plain; version=")
            accept = [("accept", "application/openmetrics-text; version=1.0.0")]
            answer = await peer.get("/metrics", headers=accept)
            assert (answer.header(b"content-type") or b"").startswith(b"application/openmetrics-text; version=1.0.0")
            assert answer.body.endswith(b"# EOF\n")
            assert (await peer.get("/else")).status == 404

    run(main())


APP = """
from headrace import Response

async def app(request):
    return Response.text("hello")
"""


def test_the_command_line_serves_them_on_an_address_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(APP, "utf-8")
    metrics = free_port()
    with served("hello:app", "--metrics-bind", f"127.0.0.1:{metrics}", app_dir=tmp_path) as server:
        assert f"metrics for Prometheus on http://127.0.0.1:{metrics}/metrics" in server.log
        assert fetch(server.ports["http"], "/").text == "hello"
        # As Prometheus does: over HTTP/1.1.
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert 'headrace_request_duration_seconds_count{route="",status="200"} 1.0' in text
        assert "python_info" in text
        assert server.stop() == 0


def test_an_address_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(APP, "utf-8")
    with served("hello:app", app_dir=tmp_path) as first:
        taken = f"127.0.0.1:{first.ports['http']}"
        with pytest.raises(RuntimeError) as caught, served("hello:app", "--metrics-bind", taken, app_dir=tmp_path):
            pass
    assert f"headrace: cannot listen on {taken}: address already in use" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_bad_address_is_named() -> None:
    with pytest.raises(ConfigError, match="metrics_bind: the address 'x' is none of"):
        Config(metrics_bind="x")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.server.settings.config.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"metrics_bind needs the package prometheus-client: pip install"):
        Config(metrics_bind="127.0.0.1:9000")
