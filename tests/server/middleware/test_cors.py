"""CORS: preflights, and who may read what."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import HTTPError, Request, Response, Route, Router
from headrace.server.middleware import CORS

from tests.support.requests import answer, fields, request

GOOD = "https://good.example"


def handler(request: Request) -> Response:
    if request.query_string == b"vary":
        return Response(200, [("Vary", "Accept"), ("vary", "Accept-Language")])
    if request.query_string == b"own":
        return Response(200, [("access-control-allow-origin", "https://own.example")])
    if request.query_string == b"fail":
        raise HTTPError(402, "Payment Required")
    return Response(200)


def app(*origins: str, **options: Any) -> Router:
    return Router([Route("/", handler), Route("/", handler, methods=["PUT"])], middleware=[CORS(origins, **options)])


def ask(router: Router, origin: str | None, path: str = "/", method: str = "GET") -> dict[str, str]:
    return fields(answer(router, request(path, method, [("origin", origin)] if origin is not None else [])))


def preflight(router: Router, origin: str = GOOD, method: str = "PUT", headers: str | None = None) -> Response:
    asked = [("origin", origin), ("access-control-request-method", method)]
    asked += [("access-control-request-headers", headers)] if headers is not None else []
    response: Response = answer(router, request("/", "OPTIONS", asked))
    return response


def test_an_origin_that_is_named() -> None:
    assert ask(app(GOOD), GOOD) == {"access-control-allow-origin": GOOD, "vary": "origin"}
    with_more = ask(app(GOOD, credentials=True, expose=["X-Total", "ETag"]), GOOD)
    assert with_more == {
        "access-control-allow-origin": GOOD,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Total, ETag",
        "vary": "origin",
    }


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "https://good.example.evil.example",
        "https://evilgood.example",
        "http://good.example",
        "https://good.example:8443",
        "https://good.example/",
        "https://GOOD.example",
    ],
)
def test_another_origin_may_not_read_and_caches_are_told(origin: str | None) -> None:
    assert ask(app(GOOD, credentials=True), origin) == {"vary": "origin"}
    refused = preflight(app(GOOD), origin or "x")
    assert refused.status == 403
    assert not any(name.startswith("access-control") for name in fields(refused))
    assert "origin" in fields(refused)["vary"]


def test_any_origin() -> None:
    router = Router([Route("/", handler)], middleware=[CORS("*")])
    assert ask(router, "https://anybody.example") == {"access-control-allow-origin": "*"}
    assert ask(router, "null") == {"access-control-allow-origin": "*"}
    assert ask(router, None) == {}


def test_a_regex_is_matched_whole() -> None:
    router = app(origin_regex=r"https://[a-z]+\.good\.example")
    assert "access-control-allow-origin" in ask(router, "https://a.good.example")
    for origin in ("https://a.good.example.evil.example", "xhttps://a.good.example", "https://a.goodxexample"):
        assert ask(router, origin) == {"vary": "origin"}


def test_a_null_origin_must_be_named() -> None:
    assert ask(app("null"), "null")["access-control-allow-origin"] == "null"


def test_vary_is_merged() -> None:
    assert ask(app(GOOD), GOOD, "/?vary")["vary"] == "Accept, Accept-Language, origin"


def test_a_handlers_own_answer_stays() -> None:
    assert ask(app(GOOD), GOOD, "/?own")["access-control-allow-origin"] == "https://own.example"


@pytest.mark.parametrize(("path", "method"), [("/none", "GET"), ("/", "DELETE"), ("/?fail", "GET")])
def test_errors_can_be_read_too(path: str, method: str) -> None:
    """Otherwise a page sees a network error where the answer was 404."""
    assert ask(app(GOOD), GOOD, path, method)["access-control-allow-origin"] == GOOD


def test_a_preflight() -> None:
    router = app(GOOD, methods=["PUT", "DELETE"], headers=["X-Token", "content-type"], credentials=True, max_age_s=60)
    told = preflight(router, headers="x-token")
    assert (told.status, told.body) == (204, b"")
    assert fields(told) == {
        "access-control-allow-origin": GOOD,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PUT, DELETE",
        "access-control-allow-headers": "X-Token, content-type",
        "access-control-max-age": "60",
        "vary": "origin, access-control-request-method, access-control-request-headers",
    }


def test_a_preflight_that_may_ask_for_anything() -> None:
    """A `*` in the answer would not do: with credentials it is a name like others, and never means authorization."""
    router = app(GOOD, methods="*", headers="*", credentials=True)
    told = fields(preflight(router, method="BREW", headers="authorization, x-a ,bad name,,x-b"))
    assert told["access-control-allow-methods"] == "BREW"
    assert told["access-control-allow-headers"] == "authorization, x-a, x-b"
    assert "access-control-allow-headers" not in fields(preflight(router))
    assert "access-control-allow-methods" not in fields(preflight(router, method="a b"))


def test_an_options_that_is_no_preflight_goes_on() -> None:
    response = answer(app(GOOD), request("/", "OPTIONS", [("origin", GOOD)]))
    assert (response.status, fields(response)["allow"]) == (204, "GET, HEAD, OPTIONS, PUT")
    assert fields(response)["access-control-allow-origin"] == GOOD


def test_it_may_stand_at_one_route() -> None:
    router = Router([Route("/", handler, methods=["PUT"], middleware=[CORS([GOOD], methods=["PUT"])])])
    assert fields(preflight(router))["access-control-allow-methods"] == "PUT"
    assert preflight(router, method="DELETE").headers == [(b"allow", b"OPTIONS, PUT")]


def test_websockets_pass() -> None:
    response = Response(200)
    router = Router([Route("/", lambda _: response, websocket=True)], middleware=[CORS([GOOD])])
    assert answer(router, request("/", protocol=b"websocket", headers=[("origin", GOOD)])) is response


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"origins": "*", "credentials": True}, "the origin . and credentials would let every page read"),
        ({"origins": ["*"], "credentials": True}, "the origin . and credentials would let every page read"),
        ({"origins": []}, "CORS needs origins or an origin_regex"),
        ({"origins": "https://a.example"}, "the origins of CORS must be a list"),
        ({"origins": ["https://a.example/"]}, "'https://a.example/' is not an origin"),
        ({"origins": ["a.example"]}, "'a.example' is not an origin"),
        ({"origin_regex": "("}, "the origin_regex '\\(' is not a regular expression"),
        ({"origins": "*", "methods": ["GE T"]}, "'GE T' among the methods of CORS is not a name"),
        ({"origins": "*", "headers": ["a,b"]}, "'a,b' among the headers of CORS is not a name"),
        ({"origins": "*", "headers": "x-a"}, "the headers of CORS must be a list"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CORS(**options)
