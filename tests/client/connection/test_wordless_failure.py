"""A transport fails with an exception without text."""

from __future__ import annotations

import asyncio

from headrace.client.connection.driver import ClientDriver
from headrace.client.errors import ConnectionLost

from tests.client.connection.test_driver_failures import Fake, error_of
from tests.client.support.rig import Owner, get
from tests.support.serving import Run


def test_a_failure_without_words_does_not_make_content_whole(run: Run) -> None:
    """RFC 9112 §8: an exception with empty text is a failure like any other."""

    async def main() -> None:
        driver = ClientDriver(asyncio.get_running_loop(), origin=get().origin, protocols="http/1.1", owner=Owner())
        driver.connection_made(Fake(driver))
        exchange = driver.begin(get())
        driver.data_received(b"HTTP/1.1 200 OK\r\n\r\nhello")
        driver.connection_lost(ConnectionResetError())
        error = await error_of(exchange)
        assert isinstance(error, ConnectionLost)
        assert str(error).startswith("the connection ended before the response was complete: ConnectionResetError")

    run(main())
