"""Telemetry of requests that lack what most have: an authority, an address, a span; and of records made elsewhere."""

from __future__ import annotations

import contextvars
import logging
from pathlib import Path
from typing import Any

from headrace.engine.events import RequestReceived
from headrace.engine.fields import RequestHead
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.request_id import RequestIdFilter, RequestIds, request_id
from headrace.server.telemetry.logs import LineFormatter
from headrace.server.telemetry.opentelemetry import OpenTelemetry

from tests.server.telemetry.test_opentelemetry import Traces
from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, serving, settled


def test_a_span_of_a_request_over_a_unix_socket(run: Run, tmp_path: Path) -> None:
    traces = Traces()
    path = str(tmp_path / "s")

    async def app(request: Request) -> Response:
        return Response.text("ok")

    async def main() -> None:
        async with serving(app, telemetry=traces.sink, bind=f"unix:{path}"), H2Peer.connected(path=path) as peer:
            await peer.get("/")
            await settled(lambda: len(traces.spans) == 1)

    run(main())
    (span,) = traces.spans
    assert span.name == "GET"
    assert span.attributes["server.address"] == "localhost"
    assert not {"server.port", "client.address", "client.port", "network.peer.address"} & set(span.attributes)


class Observed:
    """A request as a sink sees it."""

    http_version = "2"
    request_id = "1"
    client_address = ("192.0.2.7", None)
    route_path = ""
    status = 200
    received = sent = 0
    gone = None

    class driver:  # noqa: N801 # an attribute of a request
        client = ("192.0.2.1", 5)

    def __init__(self, authority: bytes) -> None:
        head = RequestHead([])
        head.method, head.scheme, head.path, head.authority = b"GET", b"http", b"/", authority
        self.head = RequestReceived(1, head, True, False, 3, False)


def started(sink: OpenTelemetry, request: Any) -> None:
    """As in a worker, whose context is its own: the span stays in it."""
    contextvars.copy_context().run(sink.request_started, request)


def test_attributes_without_an_authority_and_with_a_port() -> None:
    traces = Traces()
    for authority in (b"", b"example.org:8080", b"[2001:db8::1]:443", b"[2001:db8::1]"):
        request: Any = Observed(authority)
        started(traces.sink, request)
        traces.sink.request_stopped(request, 0.1)
        traces.sink.request_stopped(request, 0.1)  # again: it is over
        traces.sink.request_failed(request, ValueError("late"))
    found = [(each.attributes.get("server.address"), each.attributes.get("server.port")) for each in traces.spans]
    assert found == [(None, None), ("example.org", 8080), ("2001:db8::1", 443), ("2001:db8::1", None)]
    assert {each.attributes["client.address"] for each in traces.spans} == {"192.0.2.7"}
    assert not any("client.port" in each.attributes for each in traces.spans)
    assert not any("error.type" in each.attributes for each in traces.spans)


def test_a_request_that_is_not_sampled_costs_no_attributes() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    sink = OpenTelemetry(TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False))
    request: Any = Observed(b"a.example")
    started(sink, request)
    sink.request_stopped(request, 0.1)
    assert sink._spans == {}


# -- ids and lines -----------------------------------------------------------------------------------------------------


def test_an_id_is_made_where_none_is_sent_or_the_sent_one_is_bad() -> None:
    ids = RequestIds("X-Request-Id")
    head = Observed(b"").head
    made = []
    for fields in ([], [(b"x-other", b"1")], [(b"x-request-id", b"with space")]):
        head.headers[:] = fields
        made.append(ids.of(head))
    assert len(set(made)) == 3
    head.headers[:] = [(b"x-other", b"1"), (b"x-request-id", b"sent-1")]
    assert ids.of(head) == "sent-1"


def test_a_record_that_has_its_id_keeps_it() -> None:
    record = logging.makeLogRecord({"msg": "one"})
    token = request_id.set("of-this-code")
    try:
        assert RequestIdFilter().filter(record)
        assert record.request_id == "of-this-code"  # type: ignore[attr-defined] # the filter gave it
        record.request_id = "of-the-queue"
        assert RequestIdFilter().filter(record)
        assert record.request_id == "of-the-queue"  # type: ignore[attr-defined] # likewise
    finally:
        request_id.reset(token)


def test_a_traceback_that_came_as_text_is_indented() -> None:
    """As from a queue of another process, where exceptions do not travel."""
    record = logging.makeLogRecord(
        {"msg": "failed", "levelname": "ERROR", "name": "a", "exc_text": "Traceback\n  x\x07"}
    )
    line, *behind = LineFormatter().format(record).split("\n")
    assert line.endswith("error a: failed")
    assert [each.strip() for each in behind] == ["Traceback", "x\\x07"]
    assert all(each.startswith(" ") for each in behind)
    assert record.exc_text == "Traceback\n  x\x07"
