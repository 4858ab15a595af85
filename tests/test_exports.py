"""The public surface is a tested fact: a name that comes or goes is a change of this list, and of CHANGELOG.md."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from importlib.resources import files

import pytest

import headrace

from tests.conftest import engine_is_compiled

PUBLIC = {
    "AppError",
    "BasicAuth",
    "BearerAuth",
    "Client",
    "ClientDisconnected",
    "ClientError",
    "ClientRequest",
    "ClientResponse",
    "Config",
    "ConfigError",
    "ConnectionInfo",
    "DigestAuth",
    "Drain",
    "Dropped",
    "Event",
    "EventStream",
    "FileResponse",
    "HTTPError",
    "HTTPStatusError",
    "Headers",
    "Idle",
    "InvalidURL",
    "Limits",
    "LoopResponse",
    "Mailbox",
    "MailboxOverflow",
    "Mount",
    "NetRCAuth",
    "NetworkConfig",
    "Push",
    "Request",
    "RequestError",
    "RequestIdFilter",
    "RequestTimeout",
    "Response",
    "RetryPolicy",
    "ReverseProxy",
    "Route",
    "RouteError",
    "Router",
    "STOP",
    "Send",
    "Server",
    "ServerSentEvent",
    "StartupError",
    "StaticFiles",
    "StreamResponse",
    "SyncClient",
    "Telemetry",
    "Timeouts",
    "URL",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketRefused",
    "WebSocketResponse",
    "delete",
    "get",
    "head",
    "last_event_id",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "serve",
    "stream",
}
TESTING = {
    "PREFACE",
    "SETTINGS_ACK",
    "ClientUnderTest",
    "Clock",
    "Frame",
    "H1ClientUnderTest",
    "JoinedPair",
    "ServerUnderTest",
    "data_frame",
    "frame",
    "goaway_frame",
    "headers_frame",
    "ping_frame",
    "rst_stream_frame",
    "settings_frame",
    "split_frames",
    "window_update_frame",
}


def test_the_public_names_are_these() -> None:
    assert set(headrace.__all__) == PUBLIC
    assert len(headrace.__all__) == len(PUBLIC)  # none twice; ruff holds their order


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_name_says_what_it_is(name: str) -> None:
    found = getattr(headrace, name)
    if found.__module__.startswith("headrace.engine.") and engine_is_compiled():
        pytest.skip("mypyc keeps no docstrings")
    assert found.__doc__


@pytest.mark.parametrize("name", sorted(TESTING))
def test_what_the_reference_names_is_in_the_testing_module(name: str) -> None:
    assert hasattr(importlib.import_module("headrace.testing"), name)


def test_a_name_brings_only_what_it_needs() -> None:
    """A program that uses the client alone does not wait for the server to be read, nor the other way round."""
    asks = "import sys, headrace; headrace.{}; print(*(name for name in sys.modules if name.startswith('headrace.{}')))"
    for name, others in (("Client", "server"), ("Server", "client")):
        done = subprocess.run(
            [sys.executable, "-c", asks.format(name, others)], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == []


def test_a_server_does_not_import_the_client() -> None:
    """Its names are there all the same, and are imported when they are asked for."""
    script = (
        "import sys, headrace; assert not any(name.startswith('headrace.client') for name in sys.modules);"
        "assert 'Client' in dir(headrace); headrace.Client; assert 'headrace.client.client' in sys.modules;"
        "import headrace.client; assert all(getattr(headrace.client, name) for name in headrace.client.__all__)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = headrace.Cleint  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["asgi", "mock"])
def test_transports_for_tests_are_where_they_were(name: str) -> None:
    before = importlib.import_module(f"headrace.client.transports.{name}")
    now = importlib.import_module(f"headrace.client.testing.{name}")
    assert before.__all__ == now.__all__
    assert all(getattr(before, each) is getattr(now, each) for each in now.__all__)


def test_the_package_says_that_it_is_typed() -> None:
    assert (files("headrace") / "py.typed").is_file()


def test_every_module_can_be_imported() -> None:
    """Also those that only the type checker reads."""
    for each in pkgutil.walk_packages(headrace.__path__, "headrace."):
        if not each.name.endswith("__main__"):  # which would run the command
            importlib.import_module(each.name)


def test_rooms_are_attributes_without_an_import() -> None:
    for name in headrace._ROOMS:
        assert headrace.__getattr__(name) is importlib.import_module(f"headrace.{name}")
