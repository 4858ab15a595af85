"""Small facts about peers and connections: addresses in logs, closed sockets, logs that fail, names of objects."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import sys
from typing import Any

import pytest

from headrace.server.handlers.response import Response
from headrace.transport import peer_state
from headrace.transport.addresses import address_pair, client_key, client_network, peer_text
from headrace.transport.kinds import kind_of
from headrace.transport.log import get_logger
from headrace.transport.peer_state import peer_has_closed


@pytest.mark.parametrize(
    ("name", "pair", "text"),
    [
        (("192.0.2.1", 5000), ("192.0.2.1", 5000), "192.0.2.1:5000"),
        (("2001:db8::1", 5000, 0, 0), ("2001:db8::1", 5000), "[2001:db8::1]:5000"),
        ("/run/socket", None, "unix"),
        (None, None, "unix"),
        ((b"", "x"), None, "unix"),
    ],
)
def test_the_name_of_a_socket(name: object, pair: tuple[str, int] | None, text: str) -> None:
    assert address_pair(name) == pair
    assert peer_text(pair) == text


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("not an address", "not an address"),
    ],
)
def test_a_client_is_an_address_or_a_network(host: str, network: str) -> None:
    assert client_network(host) == network
    assert client_key(host, 7) == network
    assert client_key(None, 7) == 7


def test_an_object_is_named_with_its_side() -> None:
    class Own(Response):
        """A class of a user's, which is the server's still."""

    assert kind_of(Own(200)) == "the server's Own"
    assert kind_of(3) == "int"


# -- sockets -----------------------------------------------------------------------------------------------------------


class Transport(asyncio.BaseTransport):
    """Has a socket."""

    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__({"socket": sock})


def test_a_peer_that_has_closed_is_seen_while_input_is_unread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = socket.create_connection(listening.getsockname())
        there, _ = listening.accept()
        with here, there:
            there.sendall(b"unread")
            assert not peer_has_closed(Transport(here))
            there.shutdown(socket.SHUT_WR)
            here.settimeout(5.0)
            assert here.recv(6, socket.MSG_PEEK) == b"unread"
            assert peer_has_closed(Transport(here)) == (sys.platform == "linux")
        assert not peer_has_closed(Transport(here))  # closed by us: the system cannot say


def test_no_socket_and_unix_sockets_have_no_such_state(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with one, other:
        other.close()
        assert not peer_has_closed(Transport(one))
    assert not peer_has_closed(Transport(None))
    assert not peer_has_closed(None)
    monkeypatch.setattr(peer_state, "_HAS_TCP_INFO", False)
    assert not peer_has_closed(Transport(one))


# -- logs --------------------------------------------------------------------------------------------------------------


class Failing(logging.Handler):
    """A handler whose disk is full."""

    def handle(self, record: logging.LogRecord) -> bool:
        raise OSError("no space left")


@pytest.fixture
def failing_log() -> Any:
    logger = get_logger("headrace.of_a_failing_test")
    handler = Failing()
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)


def test_a_failing_handler_is_reported(failing_log: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    failing_log.warning("one")
    assert "a handler of logging failed" in stderr.getvalue()
    assert "OSError: no space left" in stderr.getvalue()


@pytest.mark.parametrize("how", ["no reports wanted", "no stderr", "stderr fails"])
def test_a_failing_handler_that_cannot_be_reported_costs_nothing_either(
    failing_log: logging.Logger, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("nor here")

    stderr = Broken() if how == "stderr fails" else io.StringIO()
    monkeypatch.setattr(sys, "stderr", None if how == "no stderr" else stderr)
    if how == "no reports wanted":
        monkeypatch.setattr(logging, "raiseExceptions", False)
    failing_log.warning("one")
    assert stderr.getvalue() == ""
