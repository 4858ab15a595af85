"""h2specd against our client, in cleartext and over TLS; and against a client that notices nothing."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from headrace.client import Origin, Outgoing, RequestError
from headrace.client.connect.config import NetworkConfig
from headrace.client.pool.network import NetworkTransport

from tests.conformance import h2specd
from tests.support import wire

pytestmark = [pytest.mark.tool, pytest.mark.slow]


async def ask(url: str) -> None:
    """One GET on a connection of its own, which stays until the server ends it, or for a second."""
    parts = urlsplit(url)
    transport = NetworkTransport(NetworkConfig(http1=False, verify=False))
    origin = Origin(parts.scheme, parts.hostname or "", parts.port or 0)
    outgoing = Outgoing(b"GET", origin, parts.netloc.encode(), b"/", [], url=url)
    try:
        await transport.send(outgoing, whole=True)
    except RequestError:
        pass  # most cases end so; what counts is what h2specd saw
    await asyncio.sleep(h2specd.LINGER_S)  # not to wait for anything of ours: the suite asks its clients to stay
    await transport.aclose()


@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "TLS"])
def test_every_case_passes(tls: bool) -> None:
    report = h2specd.run(ask, tls=tls)
    assert report.failed == []
    assert report.skipped == []
    assert len(report.passed) == h2specd.CASES


async def notices_nothing(url: str) -> None:
    """A client that sends its request, and reads on whatever comes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(wire.client_preface() + wire.request(1, b"/"))
    try:
        async with asyncio.timeout(h2specd.LINGER_S):
            while await reader.read(65_536):
                pass
    except TimeoutError:
        pass
    writer.close()


def test_control_a_client_that_notices_nothing_fails() -> None:
    report = h2specd.run(notices_nothing, shards=(("client/6.5",),))
    assert len(report.failed) >= 5
