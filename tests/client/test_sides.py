"""The server and the client both have a request and a response: the wrong one raises a TypeError that says so."""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace import Client, ClientRequest, ClientResponse, Response, Router, SyncClient
from headrace.client import Auth, SyncResponse
from headrace.client.testing.mock import Answer, MockTransport
from headrace.server.routing.route import Route

from tests.client.support.fake import Answer as FakeAnswer
from tests.client.support.fake import FakeTransport
from tests.support.h2_peer import H2Peer
from tests.support.requests import answer, request
from tests.support.serving import Run, port, serving

HERE = "https://a.example/"
SRC = Path(headrace.__file__).parent


class GivesResponses:
    """A transport whose author took the wrong class."""

    def __init__(self, given: Any) -> None:
        self._given = given

    async def send(self, outgoing: Any, *, whole: bool = False) -> Any:
        return self._given

    async def aclose(self) -> None:
        pass


def test_the_names() -> None:
    assert headrace.client.Request is ClientRequest and headrace.client.Response is ClientResponse
    assert headrace.Request.__name__ == "Request" and headrace.Response.__name__ == "Response"
    assert (ClientRequest.__name__, ClientResponse.__name__) == ("ClientRequest", "ClientResponse")
    assert repr(ClientResponse(204)) == "<ClientResponse [204 No Content]>"
    assert repr(SyncResponse(204)) == "<SyncResponse [204 No Content]>"


# -- given to the client


def test_a_client_sends_no_request_of_the_server(run: Run) -> None:
    wrong: Any = request("/")
    said = "a client sends a headrace.ClientRequest, not the server's "

    async def main() -> None:
        async with Client(transport=FakeTransport()) as client:
            with pytest.raises(TypeError, match=said):
                await client.send(wrong)
            with pytest.raises(TypeError, match="ClientRequest, not the server's Response"):
                await client.send(Response(200))  # type: ignore[arg-type]

    run(main())
    with SyncClient(transport=FakeTransport()) as client, pytest.raises(TypeError, match=said):
        client.send(wrong)
    with pytest.raises(TypeError, match=r"has a headrace\.ClientRequest, not the server's "):
        ClientResponse(200, request=wrong)


@pytest.mark.parametrize("given", [Response(200), ClientResponse(200)])
def test_a_transport_does_not_answer_with_a_response(run: Run, given: Any) -> None:
    async def main() -> None:
        async with Client(transport=GivesResponses(given)) as client:
            said = f"answers with a headrace.client.Incoming, not with the (server's|client's) {type(given).__name__}"
            for headers in (None, None, {"a": "b"}):
                with pytest.raises(TypeError, match=said):  # the second takes the short way
                    await (client.get(HERE) if headers is None else client.get(HERE, headers=headers))

    run(main())


class Wrong(Auth):
    def auth_flow(self, request: ClientRequest) -> Generator[Any, ClientResponse, None]:
        yield request
        yield Response(200)


@pytest.mark.parametrize("auth", [Wrong(), lambda _: Response(200)])
def test_credentials_are_put_into_a_request_of_the_client(run: Run, auth: Any) -> None:
    said = "ClientRequest, not the server's Response"

    async def main() -> None:
        async with Client(transport=FakeTransport(respond=lambda _: FakeAnswer()), auth=auth) as client:
            with pytest.raises(TypeError, match=said):
                await client.get(HERE)

    run(main())
    transport = FakeTransport(respond=lambda _: FakeAnswer())
    with SyncClient(transport=transport, auth=auth) as client, pytest.raises(TypeError, match=said):
        client.get(HERE)


@pytest.mark.parametrize("given", [Response(200), ClientResponse(200)])
def test_a_mock_answers_with_an_answer(run: Run, given: Any) -> None:
    said = f"(server's|client's) {type(given).__name__}"
    with pytest.raises(TypeError, match=said):
        MockTransport([Answer(), given])

    async def main() -> None:
        async with Client(transport=MockTransport(lambda _: given)) as client:
            with pytest.raises(TypeError, match=said):
                await client.get(HERE)

    run(main())


# -- given to the server


GIVEN = [ClientResponse(200), SyncResponse(200), ClientRequest("GET", HERE)]


@pytest.mark.parametrize("given", GIVEN)
def test_a_handler_returns_a_response_of_the_server(run: Run, given: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(lambda _: given) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/")).status == 500

    run(main())
    (line,) = [each.getMessage() for each in caplog.records if each.name == "headrace.error"]
    assert f"must return a response such as headrace.Response, not the client's {type(given).__name__}" in line


@pytest.mark.parametrize("given", GIVEN)
def test_inside_middleware_too(given: Any) -> None:
    async def pass_on(request: Any, following: Callable[[Any], Any]) -> Any:
        return await following(request)

    router = Router([Route("/", lambda request: given, middleware=[pass_on])])
    with pytest.raises(TypeError, match=f"returned the client's {type(given).__name__}, which is not a response"):
        answer(router, request("/"))


def test_a_router_is_called_with_a_request_of_the_server() -> None:
    wrong: Any = ClientRequest("GET", HERE)
    with pytest.raises(TypeError, match=r"with a headrace\.Request, not with the client's ClientRequest"):
        Router([Route("/", lambda request: Response(200))])(wrong)


# -- one object is of one class


def test_a_synchronous_hook_reads_what_the_caller_gets() -> None:
    seen: list[Any] = []

    def hook(response: Any) -> None:
        seen.append((response, type(response), response.read()))
        response.encoding = "ascii"

    def respond(sent: Any) -> FakeAnswer:
        return FakeAnswer(302, [("location", "/b")]) if sent.target == "/" else FakeAnswer(content=b"b")

    with SyncClient(transport=FakeTransport(respond=respond), event_hooks={"response": [hook]}) as client:
        with client.stream("GET", HERE) as response:
            assert response.content == b"b" and response.encoding == "ascii"
        assert [each for each, *_ in seen] == [*response.history, response]
        assert {kind for _, kind, _ in seen} == {SyncResponse}


def is_tuple(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "tuple"  # all of whose state is given to it


def changes_a_class(tree: ast.AST) -> list[int]:
    """Return the lines where an object gets another class, or is made without its constructor outside of its class."""
    inside = {id(node) for each in ast.walk(tree) if isinstance(each, ast.ClassDef) for node in ast.walk(each)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (
            (node.attr == "__class__" and isinstance(node.ctx, ast.Store))
            or (node.attr == "__new__" and id(node) not in inside and not is_tuple(node.value))
        ):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda path: str(path.relative_to(SRC)))
def test_no_class_is_swapped(path: Path) -> None:
    """A reader of the class must know how its objects are made, and what they can be."""
    assert changes_a_class(ast.parse(path.read_text())) == []


def test_the_rule_sees_it() -> None:
    assert changes_a_class(ast.parse("a.__class__ = B\nc = object.__new__(C)\nif a.__class__ is B: pass")) == [1, 2]
