"""Routes: what a path and method find, in which order, and what is no table at all."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from headrace import HTTPError, Mount, Request, Response, Route, RouteError, Router
from headrace.server.handlers.websocket import WebSocketResponse
from headrace.server.middleware import CORS, BodyLimit, Compression, Forwarded, SecurityHeaders
from headrace.websocket.connection import WebSocket

from tests.support.h2_peer import H2Peer
from tests.support.requests import answer, fields, request
from tests.support.serving import Run, port, serving
from tests.support.ws_peer import Refused, open_websocket

R: Any = Route  # untyped, since many rows here are what a type checker would refuse
M: Any = Mount


async def show(request: Request) -> Response:
    return Response(200, [], repr(dict(request.params)))


def named(name: str) -> Any:
    """A handler that answers with its name and what it was given."""

    async def handler(request: Request) -> Response:
        return Response(200, [], " ".join([name, *(f"{key}={value!r}" for key, value in request.params.items())]))

    return handler


def body(router: Any, path: str, method: str = "GET", **options: Any) -> str:
    response = answer(router, request(path, method, **options))
    return response.body.decode() if response.status == 200 else str(response.status)


# -- matching


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("/", "/", {}),
        ("/", "/?a=b", {}),
        ("/", "", None),
        ("/", "//", None),
        ("/a/b", "/a/b", {}),
        ("/a/b", "/a/b?x=/c", {}),
        ("/a/b", "/a/b/", None),
        ("/a/b", "/a", None),
        ("/a/b/", "/a/b/", {}),
        ("/a/b/", "/a/b", None),
        ("/a/b", "/A/b", None),
        ("/a/b", "/%61/b", {}),
        ("/a/b", "/a%2Fb", None),
        ("/a b", "/a%20b", {}),
        ("/a%20b", "/a%20b", None),  # a pattern is plain text
        ("/a%20b", "/a%2520b", {}),
        ("/caf\u00e9", "/caf%C3%A9", {}),
        ("/caf\u00e9", "/caf%e9", None),  # latin-1, which no URL is written in
        ("/{name}", "/x", {"name": "x"}),
        ("/{name}", "/", None),
        ("/{name:str}", "/x", {"name": "x"}),
        ("/{name}", "/a%2Fb", {"name": "a/b"}),  # it did not split
        ("/{name}", "/a/b", None),
        ("/{name}", "/%252e%252e", {"name": "%2e%2e"}),  # decoded once
        ("/{name}", "/%ff", None),  # no UTF-8
        ("/{name}", "/%C3%A9", {"name": "\u00e9"}),
        ("/{name}", "/a+b", {"name": "a+b"}),
        ("/{name}", "/%zz", {"name": "%zz"}),
        ("/{name}", "/x?name=y", {"name": "x"}),
        ("/{name}/end", "/x/end", {"name": "x"}),
        ("/{name}/end", "//end", None),
        ("/{id:int}", "/12", {"id": 12}),
        ("/{id:int}", "/-3", {"id": -3}),
        ("/{id:int}", "/007", {"id": 7}),
        ("/{id:int}", "/1_0", None),
        ("/{id:int}", "/+1", None),
        ("/{id:int}", "/1.0", None),
        ("/{id:int}", "/%D9%A1", None),  # an Arabic digit, which int() takes
        ("/{id:int}", "/" + "9" * 100, {"id": int("9" * 100)}),
        ("/{id:int}", "/" + "9" * 101, None),
        ("/{id:int}", "/" + "9" * 5000, None),  # int() raises
        ("/{x:float}", "/1.5", {"x": 1.5}),
        ("/{x:float}", "/-2", {"x": -2.0}),
        ("/{x:float}", "/1e3", None),
        ("/{x:float}", "/nan", None),
        ("/{x:float}", "/.5", None),
        ("/{id:uuid}", "/12345678-1234-5678-1234-567812345678", {"id": UUID("12345678123456781234567812345678")}),
        ("/{id:uuid}", "/12345678123456781234567812345678", None),
        ("/{id:uuid}", "/ABCDEF78-1234-5678-1234-56781234567F", {"id": UUID("abcdef78-1234-5678-1234-56781234567f")}),
        ("/s/{rest:path}", "/s/", {"rest": ""}),
        ("/s/{rest:path}", "/s", None),
        ("/s/{rest:path}", "/s/a/b//c/", {"rest": "a/b//c/"}),
        ("/s/{rest:path}", "/s/a%2Fb", {"rest": "a/b"}),
        ("/{rest:path}", "/", {"rest": ""}),
        ("/{a}/{b:int}/{c:path}", "/x/1/y/z", {"a": "x", "b": 1, "c": "y/z"}),
    ],
)
def test_a_pattern_matches(pattern: str, path: str, found: dict[str, Any] | None) -> None:
    response = answer(Router([R(pattern, show)]), request(path))
    assert (response.status, response.body) == ((404, b"Not Found\n") if found is None else (200, repr(found).encode()))


LADDER = [
    "/x/{rest:path}",
    "/x/{name}",
    "/x/{n:float}",
    "/x/{n:int}",
    "/x/{n:uuid}",
    "/x/12",
    "/{a}/12",
    "/{rest:path}",
    "/{a}/{b}",
]


@pytest.mark.parametrize("seed", range(20))
def test_the_narrower_goes_first_whatever_the_order_of_registration(seed: int) -> None:
    patterns = LADDER[:]
    random.Random(seed).shuffle(patterns)
    router = Router([R(each, named(each)) for each in patterns])
    uuid = "12345678-1234-5678-1234-567812345678"
    expected = {
        "/x/12": "/x/12",
        "/x/13": "/x/{n:int} n=13",
        "/x/1.5": "/x/{n:float} n=1.5",
        f"/x/{uuid}": f"/x/{{n:uuid}} n={UUID(uuid)!r}",
        "/x/word": "/x/{name} name='word'",
        "/x/a/b": "/x/{rest:path} rest='a/b'",
        "/x/": "/x/{rest:path} rest=''",
        "/y/12": "/{a}/12 a='y'",
        "/y/13": "/{a}/{b} a='y' b='13'",
        "/y": "/{rest:path} rest='y'",
    }
    assert {path: body(router, path) for path in expected} == expected


def test_a_branch_that_leads_nowhere_is_left_again() -> None:
    router = Router([R("/a/b/c", named("literal")), R("/{x}/b/d", named("parameter")), R("/a/{y:path}", named("rest"))])
    assert body(router, "/a/b/c") == "literal"
    assert body(router, "/a/b/e") == "rest y='b/e'"
    assert body(router, "/z/b/d") == "parameter x='z'"
    router = Router(
        [
            R("/x/{n:int}/a", named("int")),
            R("/x/{n:float}/b", named("float")),
            R("/x/{n}/c", named("str")),
            R("/x/{n:path}", named("path")),
        ]
    )
    paths = {"/x/1/a": "int n=1", "/x/1/b": "float n=1.0", "/x/1/c": "str n='1'", "/x/1/d": "path n='1/d'"}
    assert {path: body(router, path) for path in paths} == paths


def test_literal_text_goes_first_at_the_first_segment_already() -> None:
    router = Router([R("/{x}/b/d", named("parameter")), R("/a/{y:path}", named("rest"))])
    assert body(router, "/a/b/d") == "rest y='b/d'"


def test_routes_of_one_shape_may_call_their_parameters_differently() -> None:
    router = Router([R("/u/{id}", named("get")), R("/u/{user}", named("put"), methods=["PUT"])])
    assert body(router, "/u/7") == "get id='7'"
    assert body(router, "/u/7", "PUT") == "put user='7'"


# -- methods


def test_methods() -> None:
    router = Router(
        [
            R("/one", named("get")),
            R("/one", named("post"), methods=["POST", "PUT"]),
            R("/head", named("head"), methods=["HEAD"]),
            R("/head", named("get")),
            R("/any", named("any"), methods=None),
            R("/any", named("get")),
            R("/options", named("options"), methods=["OPTIONS"]),
            R("/post/{x}", named("post"), methods=["POST"]),
        ]
    )
    assert body(router, "/one") == "get"
    assert body(router, "/one?x", "HEAD") == "get"
    assert body(router, "/one", "PUT") == "post"
    assert body(router, "/head", "HEAD") == "head"
    assert body(router, "/any", "BREW") == "any"
    assert body(router, "/any", "OPTIONS") == "any"
    assert body(router, "/any") == "get"
    assert body(router, "/options", "OPTIONS") == "options"
    refused = answer(router, request("/one", "DELETE"))
    assert (refused.status, fields(refused)["allow"]) == (405, "GET, HEAD, OPTIONS, POST, PUT")
    refused = answer(router, request("/post/1"))
    assert (refused.status, fields(refused)["allow"]) == (405, "OPTIONS, POST")
    assert body(router, "/post/1", "HEAD") == "405"
    assert body(router, "/post/1", "get") == "405"  # methods are case-sensitive (RFC 9110 §9.1)
    assert body(router, "/none", "OPTIONS") == "404"


def test_options_is_answered() -> None:
    router = Router([R("/one", show), R("/two", show, methods=["POST"])])
    told = answer(router, request("/one", "OPTIONS"))
    assert (told.status, fields(told), told.body) == (204, {"allow": "GET, HEAD, OPTIONS"}, b"")
    # RFC 9110 §9.3.7: "*" is the server as a whole.
    told = answer(router, request("*", "OPTIONS"))
    assert (told.status, fields(told)) == (204, {"allow": "GET, HEAD, OPTIONS, POST"})


def test_a_method_is_looked_for_in_all_that_matches() -> None:
    router = Router([R("/users/search", named("search"), methods=["POST"]), R("/users/{name}", named("user"))])
    assert body(router, "/users/search", "POST") == "search"
    assert body(router, "/users/search") == "user name='search'"
    refused = answer(router, request("/users/search", "DELETE"))
    assert fields(refused)["allow"] == "GET, HEAD, OPTIONS, POST"


def test_websockets_are_routes_of_their_own() -> None:
    assert not Router([R("/", show)]).takes_websockets
    router = Router()
    router.websocket("/ws/{room}")(named("socket"))
    router.get("/both")(named("page"))
    router.websocket("/both")(named("socket"))
    assert router.takes_websockets
    for method in ("CONNECT", "GET"):  # extended CONNECT of HTTP/2, and the upgrade of HTTP/1.1
        assert body(router, "/ws/a", method, protocol=b"websocket") == "socket room='a'"
        assert body(router, "/both", method, protocol=b"websocket") == "socket"
        assert body(router, "/both", method, protocol=b"connect-udp") == "405"
    assert body(router, "/both") == "page"
    assert body(router, "/ws/a") == "404"
    assert body(router, "/ws/a", "OPTIONS") == "404"
    plain = Router([R("/both", named("page"), methods=None)])
    assert body(plain, "/both", "CONNECT", protocol=b"websocket") == "404"


# -- slashes


def test_slashes_count() -> None:
    router = Router([R("/a", show), R("/b/", show)])
    assert (body(router, "/a/"), body(router, "/b")) == ("404", "404")


def test_slashes_are_redirected_on_demand() -> None:
    router = Router(
        [R("/a", show), R("/b/", show), R("/c/{x}", show, methods=["PUT"]), R("/", show)], redirect_slashes=True
    )
    for path, location in {
        "/a/": "/a",
        "/a/?q=/": "/a?q=/",
        "/b": "/b/",
        "/c/%41?x": None,
        "/c/%41/?x": "/c/%41?x",
    }.items():
        response = answer(router, request(path, "PUT"))
        if location is None:
            assert response.status == 200
        else:
            assert (response.status, fields(response)) == (308, {"location": location})
    assert body(router, "/nothing/") == "404"
    assert body(router, "/") == "{}"


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example", "/\\evil.example/", "/%2Fevil.example/"])
def test_no_redirect_leads_elsewhere(path: str) -> None:
    router = Router([R("/{a:path}", show, methods=["POST"]), R("/x/{y}", show)], redirect_slashes=True)
    response = answer(router, request(path))
    assert response.status == 405
    only = Router([Mount("", [R("/{a}/{b}/", show), R("/{a}", show)])], redirect_slashes=True)
    response = answer(only, request(path))
    location = fields(response).get("location", "/")
    assert not location.startswith(("//", "/\\"))


# -- what a request is told


def test_a_request_is_told_its_route_and_state() -> None:
    seen: list[tuple[str, Any, Any]] = []

    def handler(request: Request) -> Response:
        seen.append((request.route.path, request.state, request.cancel_on_disconnect))
        return Response(204)

    sub = Router([R("/y/{id}", handler, state="s", cancel_on_disconnect=False)])
    answer(Router([R("/x", handler), Mount("/sub", sub)]), request("/x"))
    answer(Router([R("/x", handler), Mount("/sub", sub)]), request("/sub/y/1"))
    assert seen == [("/x", None, None), ("/sub/y/{id}", "s", False)]
    assert str(R("/y/{id}", show)) == f"GET /y/{{id}} ({__name__}.show)"


def test_a_plain_handler_is_called_as_it_is() -> None:
    """No task, no coroutine: the router returns what the handler did."""
    response = Response(200)
    router = Router([R("/x", lambda _: response), R("/y/{z}", lambda _: response)])
    assert router(request("/x")) is response
    assert router(request("/y/1")) is response


# -- middleware


def layer(name: str, log: list[str]) -> Any:
    async def middleware(request: Request, following: Any) -> Any:
        log.append(f"{name} in")
        response = await following(request)
        log.append(f"{name} out {response.status}")
        return response

    return middleware


def test_middleware_is_put_around_from_the_outside_in() -> None:
    log: list[str] = []

    def handler(request: Request) -> Response:
        log.append("handler")
        return Response(201)

    sub = Router([R("/x", handler, middleware=[layer("route", log)])], middleware=[layer("sub", log)])
    router = Router([Mount("/sub", sub, middleware=[layer("mount", log)])], middleware=[layer("root", log)])
    assert answer(router, request("/sub/x")).status == 201
    names = ["root", "mount", "sub", "route"]
    assert log == [*(f"{each} in" for each in names), "handler", *(f"{each} out 201" for each in reversed(names))]
    log.clear()
    assert answer(router, request("/elsewhere")).status == 404
    assert log == ["root in", "root out 404"]
    log.clear()
    assert answer(router, request("/sub/none")).status == 404
    assert log == ["root in", "mount in", "sub in", "sub out 404", "mount out 404", "root out 404"]
    log.clear()
    assert answer(router, request("/sub/x", "POST")).status == 405
    assert log == ["root in", "mount in", "sub in", "sub out 405", "mount out 405", "root out 405"]


def test_a_preflight_goes_through_the_middleware_of_the_route_that_it_asks_about() -> None:
    log: list[str] = []
    router = Router([R("/x", show, middleware=[layer("get", log)]), R("/x", show, methods=["PUT"])])
    headers = [("access-control-request-method", "GET")]
    assert answer(router, request("/x", "OPTIONS", headers)).status == 204
    assert log == ["get in", "get out 204"]
    log.clear()
    assert answer(router, request("/x", "OPTIONS", [("access-control-request-method", "PUT")])).status == 204
    assert answer(router, request("/x", "OPTIONS")).status == 204
    assert log == []


def test_middleware_sees_an_http_error_as_a_response() -> None:
    log: list[str] = []

    async def handler(request: Request) -> Response:
        raise HTTPError(402, "Payment Required")

    response = answer(Router([R("/x", handler)], middleware=[layer("root", log)]), request("/x"))
    assert (response.status, response.body, log) == (402, b"Payment Required\n", ["root in", "root out 402"])


async def returns_none(request: Request) -> Any:
    return None


async def swallow(request: Request, following: Any) -> Any:
    await following(request)


def test_nonsense_inside_middleware_names_the_culprit() -> None:
    log: list[str] = []
    router = Router([R("/x", returns_none, middleware=[layer("a", log)])])
    with pytest.raises(
        TypeError, match=rf"the handler of the route GET /x \({__name__}.returns_none\) returned NoneType"
    ):
        answer(router, request("/x"))
    router = Router([R("/x", show, middleware=[layer("a", log), swallow])])
    with pytest.raises(TypeError, match=rf"the middleware {__name__}.swallow of the route GET /x .* returned NoneType"):
        answer(router, request("/x"))


def test_nothing_is_composed_while_requests_run(monkeypatch: pytest.MonkeyPatch) -> None:
    router = Router([R("/x/{y}", show)], middleware=[layer("a", [])])

    def never(*_: object) -> Any:
        raise AssertionError("composed for a request")

    monkeypatch.setattr("headrace.server.routing.routing_table.compose", never)
    for path, method in (("/x/1", "GET"), ("/none", "GET")):
        answer(router, request(path, method))


# -- mounts


def test_mounts() -> None:
    inner = Router([R("/", named("inner root")), R("/{n:int}", named("number"))])
    router = Router(
        [
            Mount("/a", inner),
            Mount("/b/{user}", [R("/x", named("x")), Mount("/c", inner)]),
            Mount("/files", named("files")),
            Mount("", [R("/top", named("top"))]),
        ]
    )
    assert body(router, "/a/") == "inner root"
    assert body(router, "/a") == "404"
    assert body(router, "/a/7") == "number n=7"
    assert body(router, "/b/me/x") == "x user='me'"
    assert body(router, "/b/me/c/7") == "number user='me' n=7"
    assert body(router, "/files/a/b", "PUT") == "files path='a/b'"
    assert body(router, "/top") == "top"


def test_not_found_is_the_innermost_mounts() -> None:
    def gone(name: str) -> Any:
        return lambda _: Response(410, [], name)

    inner = Router([R("/x", show)], not_found=gone("inner"))
    plain = Router([R("/x", show)])
    router = Router([Mount("/a", inner), Mount("/b", plain), Mount("/c/{id:int}", inner)], not_found=gone("outer"))
    for path, name in {
        "/": "outer",
        "/a": "inner",
        "/a/": "inner",
        "/a/y/z": "inner",
        "/b/y": "outer",
        "/c/7/y": "inner",
        "/c/x/y": "outer",
        "/%ff": "outer",
    }.items():
        response = answer(router, request(path))
        assert (response.status, response.body.decode()) == (410, name), path


def test_a_mounted_router_may_grow_later() -> None:
    inner = Router()
    outer = Router([Mount("/in", [Mount("/deep", inner)])])
    inner.get("/x")(named("x"))
    assert body(outer, "/in/deep/x") == "x"
    outer.get("/in/deep/y")(named("outer"))
    with pytest.raises(RouteError, match="exists already"):
        inner.get("/y")(named("inner"))
    assert body(inner, "/y") == "404"
    inner.swap([R("/z", named("z"))])
    assert (body(outer, "/in/deep/x"), body(outer, "/in/deep/z")) == ("404", "z")
    outer.swap([])
    inner.get("/q")(named("q"))
    assert body(outer, "/in/deep/q") == "404"


# -- names


def test_urls() -> None:
    inner = Router([R("/u/{id:int}", show, name="user")])
    router = Router(
        [
            R("/", show, name="home"),
            R("/f/{name}/{rest:path}", show, name="file"),
            R("/x/{x:float}/{id:uuid}", show, name="typed"),
            R("/a b/\u00e9", show, name="odd"),
            Mount("/api/{v}", inner, name="api"),
            Mount("/plain", [R("/y", show, name="y")]),
        ]
    )
    uuid = UUID("12345678123456781234567812345678")
    assert router.url_for("home") == "/"
    assert router.url_for("file", name="a/b?c%", rest="d/e f") == "/f/a%2Fb%3Fc%25/d/e%20f"
    assert router.url_for("typed", x=1e22, id=uuid) == f"/x/10000000000000000000000/{uuid}"
    assert router.url_for("typed", x=0.5, id=str(uuid)) == f"/x/0.5/{uuid}"
    assert router.url_for("odd") == "/a%20b/%C3%A9"
    assert router.url_for("api:user", v="1", id=7) == "/api/1/u/7"
    assert router.url_for("y") == "/plain/y"
    again: dict[str, dict[str, Any]] = {
        "file": {"name": "a/b %2F\u00e9", "rest": "//x/"},
        "typed": {"x": -1.25, "id": uuid},
    }
    for name, values in again.items():
        route = answer(router, request(router.url_for(name, **values)))
        assert route.body.decode() == repr(values)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("nobody", {}, "no route is named nobody; the names are: f, n, u"),
        ("u", {}, "the path /u/{id:int}/{name} needs id, name"),
        ("u", {"id": 1, "name": "x", "y": 1, "z": 2}, "the path /u/{id:int}/{name} has no y, z"),
        ("u", {"id": 1, "nam": "x"}, "the path /u/{id:int}/{name} needs name and has no nam"),
        ("u", {"id": "1", "name": "x"}, "the path /u/{id:int}/{name}: the value '1' of id is not a whole number"),
        ("u", {"id": True, "name": "x"}, "the path /u/{id:int}/{name}: the value True of id is not a whole number"),
        ("u", {"id": 10**200, "name": "x"}, "of id has more than 100 digits"),
        ("u", {"id": 1, "name": ""}, "the path /u/{id:int}/{name}: the value '' of name is empty"),
        ("u", {"id": 1, "name": ".."}, "the value '..' of name would be taken for a dot segment"),
        ("f", {"rest": "a/../b"}, "the path /f/{rest:path}: the value 'a/../b' of rest has a dot segment"),
        ("n", {"x": float("nan"), "id": "x"}, "the value nan of x cannot be written as a number in a path"),
        ("n", {"x": "1", "id": "x"}, "the value '1' of x is not a number"),
        ("n", {"x": 1, "id": "x"}, "the value 'x' of id is not a UUID"),
    ],
)
def test_a_url_that_cannot_be(name: str, values: dict[str, Any], sentence: str) -> None:
    router = Router(
        [
            R("/u/{id:int}/{name}", show, name="u"),
            R("/f/{rest:path}", show, name="f"),
            R("/n/{x:float}/{id:uuid}", show, name="n"),
        ]
    )
    with pytest.raises(RouteError) as caught:
        router.url_for(name, **values)
    assert sentence in str(caught.value)


# -- tables that cannot be


async def two(a: Any, b: Any) -> Response:
    return Response(200)


async def pieces(request: Request) -> AsyncIterator[bytes]:
    yield b""


class Callable:
    async def __call__(self, request: Request) -> Response:
        return Response(200)


BAD: dict[str, tuple[Any, str]] = {
    "twice": (lambda: [R("/x", show), R("/x", show)], r"the route GET /x \(.*\.show\) exists already, as GET /x"),
    "same shape": (lambda: [R("/{a}", show), R("/{b:str}", show)], r"the route GET /{b:str} .* exists already"),
    "same typed shape": (lambda: [R("/{a:int}", show), R("/{b:int}", show)], r"GET /{b:int} .* exists already"),
    "same rest": (lambda: [R("/{a:path}", show), R("/{b:path}", show)], r"GET /{b:path} .* exists already"),
    "any twice": (lambda: [R("/", show, methods=None)] * 2, r"the route any method / .* exists already"),
    "websocket twice": (lambda: [R("/", show, websocket=True)] * 2, r"the route WebSocket / .* exists already"),
    "one of the methods": (
        lambda: [R("/", show), R("/", show, methods=["PUT", "GET"])],
        "PUT,GET / .* exists already",
    ),
    "twice by mounts": (lambda: [R("/a/x", show), M("/a", [R("/x", show)])], r"GET /a/x .* exists already"),
    "name": (lambda: [R("/x", show, name="n"), R("/y", show, name="n")], r"GET /y .* has the name n, as has GET /x"),
    "empty name": (lambda: [R("/x", show, name="")], "the route /x: its name is ''; it must be text"),
    "parameter": (lambda: [R("/{a}/{a}", show)], "the path /{a}/{a} has two parameters named a"),
    "parameter of mount": (
        lambda: [M("/{a}", [R("/{a}", show)])],
        "the path /{a:str}/{a} has two parameters named a",
    ),
    "converter": (
        lambda: [R("/{a:date}", show)],
        "the path /{a:date}: 'date' is not a type of parameter; the types are float, ",
    ),
    "empty converter": (lambda: [R("/{a:}", show)], "'' is not a type of parameter"),
    "no slash": (lambda: [R("x", show)], "the path 'x' does not begin with a slash"),
    "empty": (lambda: [R("", show)], "the path '' does not begin with a slash"),
    "no text": (lambda: [R(b"/x", show)], "the path of a route must be text, not b'/x'"),
    "query": (lambda: [R("/x?y", show)], r"the path /x\?y has a query or a fragment"),
    "path not last": (lambda: [R("/{a:path}/x", show)], "the path /{a:path}/x: {a:path} matches the whole rest"),
    "path in prefix": (lambda: [M("/{a:path}", [])], "the path /{a:path}: {a:path} matches the whole rest"),
    "part of a segment": (
        lambda: [R("/{a}.txt", show)],
        "a parameter is a whole segment such as {name}; '{a}.txt' ",
    ),
    "brace": (lambda: [R("/{a", show)], "a parameter is a whole segment"),
    "braces": (lambda: [R("/{{a}}", show)], "a parameter is a whole segment"),
    "no name": (lambda: [R("/{}", show)], "'' cannot be the name of a parameter"),
    "bad name": (lambda: [R("/{a-b}", show)], "'a-b' cannot be the name of a parameter"),
    "no method": (lambda: [R("/x", show, methods=[])], "the route /x has no methods"),
    "method as text": (lambda: [R("/x", show, methods="GET")], "the route /x: its methods are the text 'GET'"),
    "small method": (lambda: [R("/x", show, methods=["get"])], "'get' is not a method; methods are written in "),
    "method twice": (lambda: [R("/x", show, methods=["GET", "GET"])], "the route /x names a method twice: GET, GET"),
    "connect": (lambda: [R("/x", show, methods=["CONNECT"])], "the route /x: CONNECT has no path"),
    "handler": (lambda: [R("/x", None)], "the route /x: its handler is None, which cannot be called"),
    "class": (lambda: [R("/x", Callable)], "the route /x: its handler is the class Callable; give an instance"),
    "generator": (lambda: [R("/x", pieces)], r"its handler .*\.pieces is a generator; return a StreamResponse"),
    "two arguments": (lambda: [R("/x", two)], r"its handler .*\.two must take one argument"),
    "middleware": (lambda: [R("/x", show, middleware=[3])], "the route /x: the middleware 3 cannot be called"),
    "middleware class": (lambda: [R("/x", show, middleware=[Callable])], "the middleware Callable is a class"),
    "middleware's arguments": (
        lambda: [R("/x", show, middleware=[show])],
        r"show must take two arguments, a request and",
    ),
    "no list": (lambda: [R("/x", show, middleware=swallow)], "the route /x: its middleware is <function swallow"),
    "mount's slash": (lambda: [M("/a/", [])], "the prefix /a/ ends with a slash"),
    "mounts nothing": (lambda: [M("/a", 3)], "the mount /a is given 3, which is not a router, table or handler"),
    "mount's middleware": (
        lambda: [M("/a", [], middleware=[3])],
        "the mount /a: the middleware 3 cannot be called",
    ),
    "row": (lambda: [("/x", show)], "a row of the table under / is .*; it must be a Route or a Mount"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_table_is_an_error_when_it_is_built(case: str) -> None:
    rows, sentence = BAD[case]
    with pytest.raises(RouteError, match=sentence) as caught:
        Router(rows())
    assert "\n" not in str(caught.value)


def test_a_router_cannot_be_its_own_mount() -> None:
    one, other = Router(), Router()
    one.mount("/a", other)
    with pytest.raises(RouteError, match="the router at /b/a is mounted in itself"):
        other.mount("/b", one)
    with pytest.raises(RouteError, match="mounted in itself"):
        one.mount("/c", one)
    assert (len(one.routes), len(other.routes)) == (1, 0)


def test_not_found_must_be_callable() -> None:
    with pytest.raises(RouteError, match="the not_found of a router is 404, which cannot be called"):
        Router(not_found=404)  # type: ignore[arg-type]


def test_a_refused_row_changes_nothing() -> None:
    router = Router([R("/x", named("x"), name="x")])
    for bad in (R("/x", show), R("/y", show, name="x")):
        with pytest.raises(RouteError):
            router.add(bad)
        with pytest.raises(RouteError):
            router.swap([R("/x", show), bad, bad])
    assert (body(router, "/x"), body(router, "/y"), len(router.routes)) == ("x", "404", 1)


# -- served


def test_it_is_served(run: Run) -> None:
    router = Router()

    @router.get("/users/{id:int}")
    async def user(request: Request) -> Response:
        return Response.json({"id": request.params["id"]})

    @router.route("/echo", methods=["POST", "PUT"])
    async def echo(request: Request) -> Response:
        return Response(200, [], await request.read())

    for method in ("put", "patch", "delete", "post"):
        getattr(router, method)("/method")(named(method))

    async def main() -> None:
        async with serving(router) as server, H2Peer.connected(port(server)) as peer:
            assert server.interface == "native"
            assert (await peer.get("/users/7")).body == b'{"id":7}'
            head = await peer.get("/users/7", "HEAD")
            assert (head.status, head.header(b"content-length"), bytes(head.body)) == (200, b"8", b"")
            assert (await peer.get("/users/x")).status == 404
            assert (await peer.post("/echo", b"content")).body == b"content"
            refused = await peer.get("/echo")
            assert (refused.status, refused.header(b"allow")) == (405, b"OPTIONS, POST, PUT")
            told = await peer.get("/echo", "OPTIONS")
            assert (told.status, told.header(b"allow"), bytes(told.body)) == (204, b"OPTIONS, POST, PUT", b"")
            for method in ("PUT", "PATCH", "DELETE", "POST"):
                assert (await peer.get("/method", method)).body == method.lower().encode()

    run(main())


@pytest.mark.parametrize("over", ["h1", "h2"])
def test_websockets_are_served_through_middleware(run: Run, over: str) -> None:
    async def echo(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(message)

    around: list[Any] = [Forwarded(["127.0.0.0/8"]), SecurityHeaders(), CORS("*"), Compression(), BodyLimit(10)]
    router = Router([Route("/page", show)], middleware=around)

    @router.websocket("/chat/{room}")
    async def chat(request: Request) -> WebSocketResponse | Response:
        if request.params["room"] == "closed":
            return Response(403, [], b"not here")
        return WebSocketResponse(echo)

    async def main() -> None:
        async with serving(router) as server:
            async with open_websocket(over, port(server), "/chat/a") as ws:
                ws.send("a message of more than ten bytes")
                assert await ws.message() == "a message of more than ten bytes"
                ws.say_close(1000, "")
                await ws.until_ended()
            for path, status in (("/chat/closed", 403), ("/page", 404), ("/none", 404)):
                with pytest.raises(Refused) as caught:
                    async with open_websocket(over, port(server), path):
                        pass
                assert caught.value.status == status

    run(main())


def test_requests_in_flight_keep_their_routes(run: Run) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        entered.set()
        await go_on.wait()
        return Response(200, [], f"old {request.route.path} {request.params['id']}")

    router = Router([R("/x/{id}", slow)])

    async def main() -> None:
        async with serving(router) as server, H2Peer.connected(port(server)) as peer:
            stream_id = peer.open("/x/1")
            await entered.wait()
            router.swap([R("/x/{name}", named("new"))])
            assert (await peer.get("/x/2")).body == b"new name='2'"
            go_on.set()
            assert (await peer.over(stream_id)).body == b"old /x/{id} 1"

    run(main())


def test_nonsense_is_500_and_one_line_that_names_the_route(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    plain: Any = lambda request: None  # noqa: E731
    routes = [
        R("/coroutine/{x}", returns_none),
        R("/plain", plain),
        R("/layered", returns_none, middleware=[layer("a", [])]),
        R("/swallowed", show, middleware=[swallow]),
    ]

    async def main() -> None:
        async with serving(Router(routes)) as server, H2Peer.connected(port(server)) as peer:
            for path in ("/coroutine/7", "/plain", "/layered", "/swallowed"):
                caplog.clear()
                answered = await peer.get(path)
                assert (answered.status, bytes(answered.body)) == (500, b"Internal Server Error\n")
                (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
                assert record.exc_info is not None
                said = f"{record.getMessage()}: {record.exc_info[1]}"
                route = next(each for each in routes if each.path.split("/{")[0] in path)
                assert route.path in said
                assert "NoneType" in said

    run(main())


def test_every_order_of_a_small_table_finds_the_same() -> None:
    rows = [R("/a", named("1")), R("/{x:int}", named("2")), R("/{y}", named("3")), R("/{z:path}", named("4"))]
    for order in itertools.permutations(rows):
        router = Router(order)
        assert [body(router, path)[0] for path in ("/a", "/7", "/b", "/b/c")] == ["1", "2", "3", "4"]
