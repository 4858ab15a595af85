"""Request ids: unique, made once and only when asked for, taken from a proxy only when that is said, seen in logs."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.engine.events import RequestReceived
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response
from headrace.server.request_id import RequestIds
from headrace.server.telemetry import RequestIdFilter, Telemetry, request_id
from headrace.server.telemetry.logs import LineFormatter

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving


def head(*headers: tuple[bytes, bytes]) -> RequestReceived:
    return cast("RequestReceived", SimpleNamespace(headers=headers))


def test_ids_are_unique_among_servers_and_requests() -> None:
    one, two = RequestIds(), RequestIds()
    assert len({each.of(head()) for each in (one, two) for _ in range(1000)}) == 2000


@pytest.mark.parametrize("value", [b"a", b"!" * 128, b"req-1:2;3=~"])
def test_an_id_of_a_trusted_proxy_is_taken(value: bytes) -> None:
    assert RequestIds("X-Request-ID").of(head((b"x-request-id", value))) == value.decode()


@pytest.mark.parametrize("value", [b"", b"a b", b"a\tb", b"\xff", b"a" * 129, b"\x1b[31m"])
def test_one_that_is_no_id_is_replaced(value: bytes) -> None:
    assert "-" in RequestIds("x-request-id").of(head((b"x-request-id", value)))


def test_without_the_setting_no_client_names_its_request() -> None:
    assert RequestIds().of(head((b"x-request-id", b"mine"))) != "mine"


def ids_of(run: Run, headers: Sequence[tuple[str, str]] = (), **settings: Any) -> list[tuple[str, str, str]]:
    """For three requests: the id as the request has it, asked for twice, and as the context has it."""
    seen: list[tuple[str, str, str]] = []

    async def app(request: Request) -> Response:
        await asyncio.sleep(0)
        seen.append((request.request_id, request.request_id, request_id.get()))
        return Response()

    async def main() -> None:
        async with serving(app, **settings) as server, H2Peer.connected(port(server)) as peer:
            await asyncio.gather(*(peer.get("/", headers=headers) for _ in range(3)))
        assert request_id.get() == "-"

    run(main())
    return seen


def test_a_request_keeps_its_id(run: Run) -> None:
    seen = ids_of(run)
    assert all(first == second for first, second, _ in seen)
    assert len({first for first, _, _ in seen}) == 3
    assert {context for _, _, context in seen} == {"-"}  # nobody listens: nothing is made for it


def test_with_a_sink_the_context_has_it_too(run: Run) -> None:
    seen = ids_of(run, telemetry=Telemetry())
    assert all(first == context for first, _, context in seen)
    assert len({first for first, _, _ in seen}) == 3


def test_with_the_setting_it_is_the_proxy_s(run: Run) -> None:
    seen = ids_of(run, [("x-request-id", "from-outside")], request_id_header="X-Request-Id")
    assert seen == [("from-outside",) * 3] * 3


def test_a_log_record_has_it(run: Run) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter("%(request_id)s %(message)s"))
    logger = logging.getLogger("tests.request_id")
    logger.addHandler(handler)
    logger.propagate = False
    expected: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:  # in a thread of its own
        logger.error("inside")
        expected.append(f"{request_id.get()} inside")
        start_response("200 OK", [])
        return [b""]

    async def main() -> None:
        async with serving(app, telemetry=Telemetry()) as server, H2Peer.connected(port(server)) as peer:
            await peer.get("/")
        logger.error("outside")

    try:
        run(main())
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue().splitlines() == [*expected, "- outside"]


def test_the_server_s_own_lines_have_it_in_brackets() -> None:
    record = logging.makeLogRecord({"msg": "it failed\n", "levelname": "ERROR", "name": "headrace.error"})
    record.request_id = "abc-1"
    assert LineFormatter().format(record).endswith(" error headrace.error: [abc-1] it failed\\n")
    record.request_id = "-"
    assert LineFormatter().format(record).endswith(" error headrace.error: it failed\\n")
