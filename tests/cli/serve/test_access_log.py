"""The access log's lines: what is in them, and that no client can write one of its own. Off, nothing listens."""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from headrace.server.telemetry.access_log import AccessLog, escaped
from headrace.server.telemetry.logs import ACCESS_LOGGER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.server.telemetry.observed import Observed


def ended(
    *,
    path: bytes = b"/",
    authority: bytes = b"a.test",
    status: int = 200,
    gone: str | None = None,
    method: bytes = b"GET",
    client: object = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    route: str = "",
) -> Observed:
    """What a sink sees of a request that has ended."""
    head = SimpleNamespace(method=method, path=path, authority=authority, headers=headers)
    return cast(
        "Observed",
        SimpleNamespace(
            head=head,
            client_address=client,
            http_version="1.1",
            status=status,
            sent=1234,
            received=5,
            gone=gone,
            request_id="abc-1",
            route_path=route,
        ),
    )


def line(caplog: pytest.LogCaptureFixture, request: Observed, style: str = "plain") -> str:
    with caplog.at_level(logging.INFO, ACCESS_LOGGER):
        AccessLog(style).request_stopped(request, 0.00314)
    (record,) = caplog.records
    return record.getMessage()


def test_a_line_has_client_date_request_status_bytes_and_time(caplog: pytest.LogCaptureFixture) -> None:
    text = line(caplog, ended(path=b"/a?b=c", client=("192.0.2.1", 5000)))
    date = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(rf'192\.0\.2\.1 - - {date} "GET /a\?b=c HTTP/1\.1" 200 1234 3\.1ms', text)


def test_a_request_that_ended_before_its_time_says_why(caplog: pytest.LogCaptureFixture) -> None:
    text = line(caplog, ended(status=0, gone="the peer reset the stream"))
    assert text.endswith('" - 1234 3.1ms (the peer reset the stream)')
    assert text.startswith("- - - [")


def test_connect_is_logged_with_its_authority(caplog: pytest.LogCaptureFixture) -> None:
    assert '"CONNECT a.test:443 HTTP/1.1"' in line(caplog, ended(method=b"CONNECT", path=b"", authority=b"a.test:443"))


def test_head_has_no_bytes(caplog: pytest.LogCaptureFixture) -> None:
    assert '"HEAD / HTTP/1.1" 200 0 ' in line(caplog, ended(method=b"HEAD"))


@pytest.mark.parametrize(
    "data",
    [b'/" 200 1\n- - - [x] "GET /forged', b"/\x1b[31mred", b"/back\\slash", b"/\xff\x00\r\n\t", "/ü\u2028".encode()],
)
def test_what_a_client_sends_cannot_leave_its_field(data: bytes) -> None:
    text = escaped(data)
    assert text.isascii()
    assert text.isprintable()
    assert '"' not in text
    assert re.sub(r"\\x[0-9a-f]{2}", "", text).count("\\") == 0
    assert re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text).encode("latin-1") == data


def test_a_path_that_is_printable_stays_as_it_is() -> None:
    assert escaped(b"/~user/a%20b?q=[1]&r='x'") == "/~user/a%20b?q=[1]&r='x'"


def test_json_has_what_the_plain_line_has_and_more(caplog: pytest.LogCaptureFixture) -> None:
    request = ended(
        path=b"/a?b=c",
        client=("192.0.2.1", 5000),
        headers=[(b"user-agent", b"curl/8"), (b"host", b"other.test")],
        route="/{page}",
    )
    found = json.loads(line(caplog, request, "json"))
    assert datetime.fromisoformat(found.pop("time")).utcoffset() == timedelta(0)
    assert found == {
        "request_id": "abc-1",
        "client": "192.0.2.1",
        "method": "GET",
        "target": "/a?b=c",
        "host": "a.test",
        "protocol": "HTTP/1.1",
        "status": 200,
        "sent": 1234,
        "received": 5,
        "duration_ms": 3.14,
        "route": "/{page}",
        "user_agent": "curl/8",
        "ended": None,
    }


def test_json_says_what_is_not_known(caplog: pytest.LogCaptureFixture) -> None:
    request = ended(status=0, gone="the peer reset the stream", method=b"HEAD", authority=b"")
    found = json.loads(line(caplog, request, "json"))
    assert [found[name] for name in ("client", "host", "status", "sent", "route", "user_agent", "ended")] == [
        *(None, None, None, 0, None, None),
        "the peer reset the stream",
    ]


@pytest.mark.parametrize(
    "data", [b'/"}\n{"forged":1}', b"/\x1b[31mred", b"/\xff\x00\r\n", "/ü\u2028\U0001f600".encode()]
)
def test_json_is_one_line_of_ascii_whatever_a_client_sends(caplog: pytest.LogCaptureFixture, data: bytes) -> None:
    text = line(caplog, ended(path=data, headers=[(b"user-agent", data)]), "json")
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["target"] == json.loads(text)["user_agent"] == data.decode("utf-8", "backslashreplace")


def test_off_costs_nothing_since_the_server_then_has_no_sink() -> None:
    from headrace.server.app import Server
    from headrace.server.settings.config import Config

    async def app(request: object) -> None: ...

    assert Config().access_log is False
    assert Server(app, Config(interface="native"))._listeners_of(Config()) is None
