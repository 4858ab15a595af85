"""The access log's lines: what is in them, and that no client can write one of its own. Off, no record is asked for."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from headrace.server.access_log import AccessLog, escaped
from headrace.server.logs import ACCESS_LOGGER

if TYPE_CHECKING:
    from headrace.server.exchange import Exchange


def ended(
    *,
    path: bytes = b"/",
    authority: bytes = b"a.test",
    status: int = 200,
    gone: str | None = None,
    method: bytes = b"GET",
    client: object = None,
) -> Exchange:
    """What the hook sees of a request that has ended."""
    head = SimpleNamespace(method=method, path=path, authority=authority)
    driver = SimpleNamespace(client=client)
    return cast("Exchange", SimpleNamespace(head=head, driver=driver, status=status, sent=1234, gone=gone))


def line(caplog: pytest.LogCaptureFixture, exchange: Exchange) -> str:
    with caplog.at_level(logging.INFO, ACCESS_LOGGER):
        AccessLog().record(exchange, 0.00314)
    (record,) = caplog.records
    return record.getMessage()


def test_a_line_has_client_date_request_status_octets_and_time(caplog: pytest.LogCaptureFixture) -> None:
    text = line(caplog, ended(path=b"/a?b=c", client=("192.0.2.1", 5000)))
    date = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(rf'192\.0\.2\.1 - - {date} "GET /a\?b=c HTTP/2" 200 1234 3\.1ms', text)


def test_a_request_that_ended_before_its_time_says_why(caplog: pytest.LogCaptureFixture) -> None:
    text = line(caplog, ended(status=0, gone="the peer reset the stream"))
    assert text.endswith('" - 1234 3.1ms (the peer reset the stream)')
    assert text.startswith("- - - [")


def test_connect_is_logged_with_its_authority(caplog: pytest.LogCaptureFixture) -> None:
    assert '"CONNECT a.test:443 HTTP/2"' in line(caplog, ended(method=b"CONNECT", path=b"", authority=b"a.test:443"))


def test_head_has_no_octets(caplog: pytest.LogCaptureFixture) -> None:
    assert '"HEAD / HTTP/2" 200 0 ' in line(caplog, ended(method=b"HEAD"))


@pytest.mark.parametrize(
    "octets",
    [b'/" 200 1\n- - - [x] "GET /forged', b"/\x1b[31mred", b"/back\\slash", b"/\xff\x00\r\n\t", "/ü\u2028".encode()],
)
def test_what_a_client_sends_cannot_leave_its_field(octets: bytes) -> None:
    text = escaped(octets)
    assert text.isascii()
    assert text.isprintable()
    assert '"' not in text
    assert re.sub(r"\\x[0-9a-f]{2}", "", text).count("\\") == 0
    assert re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text).encode("latin-1") == octets


def test_a_path_that_is_printable_stays_as_it_is() -> None:
    assert escaped(b"/~user/a%20b?q=[1]&r='x'") == "/~user/a%20b?q=[1]&r='x'"


def test_off_costs_nothing_since_the_server_then_has_no_hook() -> None:
    from headrace.server.config import Config
    from headrace.server.interface import adapt
    from headrace.server.service import Service

    async def app(request: object) -> None: ...

    config = Config(interface="native")
    assert config.access_log is False
    assert Service(adapt(app, config), config).record is None
