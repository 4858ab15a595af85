"""Fixtures for pytest: your application on a real server on loopback, and a client for it.

    def test_hello(headrace_server, headrace_client):
        server = headrace_server(app)
        assert headrace_client(server).get("/").text == "hello"

Installed with headrace; pytest finds it by itself.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from headrace.client.sync.client import SyncClient

START_S: Final = 30.0
STOP_S: Final = 10.0


class RunningServer:
    """An application on a server in a thread of its own. It ends with the test, or by `stop`."""

    def __init__(self, app: Any, *, tls: bool = False, **settings: Any) -> None:
        from headrace.server.app import Server
        from headrace.server.settings.config import Config

        self.client_context: ssl.SSLContext | None = None
        """An SSLContext that trusts the server's certificate, for `NetworkConfig(verify=...)`; None on cleartext."""
        own: ssl.SSLContext | None = None
        if tls:
            own, self.client_context = _contexts()
            settings["dev_tls"] = True  # the address speaks TLS, with the given certificate
        settings.setdefault("bind", "127.0.0.1:0")
        config = Config(**settings)
        self.port: int = 0
        """The port on which it listens."""
        self._scheme = "https" if tls else "http"
        self._server = Server(app, config, ssl_context=own)
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="headrace-server", daemon=True)
        self._thread.start()
        if not self._started.wait(START_S):
            raise TimeoutError(f"the application did not start within {START_S:g} s")
        error: Any = self._error
        if error is not None:
            self._thread.join(STOP_S)
            raise error

    def __repr__(self) -> str:
        return f"<headrace server {self.url}>"

    @property
    def url(self) -> str:
        """Return `http://127.0.0.1:PORT`, or the same with https."""
        return f"{self._scheme}://{'localhost' if self._scheme == 'https' else '127.0.0.1'}:{self.port}"

    @property
    def websocket_url(self) -> str:
        """Return the URL with ws or wss."""
        return "ws" + self.url.removeprefix("http")

    def stop(self) -> None:
        """End the server now, and reset running requests. Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.abort)
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                raise TimeoutError(f"the server did not end within {STOP_S:g} s")

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            await self._server.start()
            self.port = int(self._server.addresses[0][1].rpartition(":")[2])
        except BaseException as error:
            self._error = error
            return
        finally:
            self._started.set()
        await self._server.wait_closed()


def _contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts for a server on localhost and for its clients, with an authority made for this server
    alone."""
    from headrace.transport.tls import CIPHERS

    try:
        import trustme
    except ImportError:
        raise pytest.UsageError("headrace_server(tls=True) needs trustme: pip install 'headrace[dev-tls]'") from None
    authority = trustme.CA()
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.set_ciphers(CIPHERS)
    own.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(own)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return own, client


@pytest.fixture
def headrace_server() -> Iterator[Callable[..., RunningServer]]:
    """Return a function that serves an application, ASGI, WSGI or native, on a free port of loopback, until the test
    ends.

    `headrace_server(app, tls=True, max_body_size=...)`: keyword arguments are the server's settings. It returns a
    `RunningServer` with `url`, `websocket_url` and `port`, and raises the errors of the application's start.
    """
    running: list[RunningServer] = []

    def serve(app: Any, **settings: Any) -> RunningServer:
        server = RunningServer(app, **settings)
        running.append(server)
        return server

    yield serve
    for server in reversed(running):
        server.stop()


@pytest.fixture
def headrace_client() -> Iterator[Callable[..., SyncClient]]:
    """Return a function that makes a `headrace.SyncClient` for a server of `headrace_server`, or for a URL. The
    client is closed with the test. `headrace_client(server, timeout=5)`: keyword arguments are the client's."""
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.sync.client import SyncClient

    clients: list[SyncClient] = []

    def connect(to: RunningServer | str = "", **options: Any) -> SyncClient:
        if isinstance(to, RunningServer):
            options.setdefault("base_url", to.url)
            if to.client_context is not None:
                options.setdefault("network", NetworkConfig(verify=to.client_context))
        elif to:
            options.setdefault("base_url", to)
        client = SyncClient(**options)
        clients.append(client)
        return client

    yield connect
    for client in reversed(clients):
        client.close()
