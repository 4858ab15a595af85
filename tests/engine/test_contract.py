"""The contract by role: a server's connection has a server's verbs, a client's those of a client, Detection none."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from headrace.engine.detection import Detection
from headrace.engine.h1 import H1ClientConnection, H1ServerConnection
from headrace.engine.h2 import ClientConnection, ServerConnection
from headrace.engine.limits import Limits

from tests.test_architecture import MODULES, SRC

PROTOCOLS = {
    node.name: node
    for node in ast.parse((SRC / "engine" / "contract.py").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ClassDef)
}


def bodies(contract: str) -> list[ast.stmt]:
    """Return the statements of a protocol and of those that it extends. A compiled class keeps no annotations."""
    bases = [base.id for base in PROTOCOLS[contract].bases if isinstance(base, ast.Name) and base.id in PROTOCOLS]
    return [*PROTOCOLS[contract].body, *(each for base in bases for each in bodies(base))]


def verbs(contract: str) -> set[str]:
    """Return the names of the methods and properties that a protocol declares, its bases included."""
    return {each.name for each in bodies(contract) if isinstance(each, ast.FunctionDef)}


def declared(contract: str) -> set[str]:
    """Return all names of a protocol: its verbs, and its attributes."""
    attributes = [each.target for each in bodies(contract) if isinstance(each, ast.AnnAssign)]
    return verbs(contract) | {each.id for each in attributes if isinstance(each, ast.Name)}


SERVERS = [H1ServerConnection(), ServerConnection()]
CLIENTS = [H1ClientConnection(), ClientConnection()]
ALL = declared("Engine")
OF_SERVERS = verbs("ServerEngine") - verbs("Engine")
OF_CLIENTS = {"can_send_request", "http_version", "send_request"}


def named(conn: object) -> str:
    return type(conn).__name__


@pytest.mark.parametrize("conn", SERVERS, ids=named)
def test_a_server_has_a_servers_verbs_and_no_others(conn: object) -> None:
    has = {name for name in dir(conn) if not name.startswith("_")}
    assert declared("ServerEngine") - has == set()
    assert has & OF_CLIENTS == set()


@pytest.mark.parametrize("conn", CLIENTS, ids=named)
def test_a_client_has_a_clients_verbs_and_no_others(conn: object) -> None:
    has = {name for name in dir(conn) if not name.startswith("_")}
    assert declared("ClientEngine") - has == set()
    assert has & OF_SERVERS <= {"written"}  # over HTTP/2 a proxy may ask its own client


def test_the_verbs_are_the_ones_meant() -> None:
    """The control: the sets above are not empty, and hold the names that matter."""
    assert {"send_response", "send_headers", "accept_tunnel", "set_default_fields", "refuse_stream"} <= OF_SERVERS
    assert verbs("ClientEngine") >= OF_CLIENTS
    assert {"send_data", "reset_stream", "closed", "turns"} <= ALL


def test_detection_is_no_connection() -> None:
    """It has what a transport asks for, and no more."""
    has = {name for name in dir(Detection(Limits(), 0.0)) if not name.startswith("_")}
    assert has == declared("Endpoint")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_nothing_public_raises_not_implemented(path: Path) -> None:
    """A method that is there can be called. A hook for a subclass is an abstract method, or a Protocol's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and not function.name.startswith("_"):
            raised = [ast.unparse(node) for node in ast.walk(function) if isinstance(node, ast.Raise)]
            assert not [each for each in raised if "NotImplementedError" in each], function.name
