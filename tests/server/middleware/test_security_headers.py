"""SecurityHeaders: what is added, where, and what a handler keeps."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import FileResponse, Request, Response, Route, Router, StreamResponse
from headrace.server.middleware import SecurityHeaders

from tests.support.requests import answer, fields, request

SHARED = Response.text("the same object again and again")


def plain(request: Request) -> Response:
    return SHARED


def app(handler: Any = plain, **options: Any) -> Router:
    return Router([Route("/", handler, methods=None)], middleware=[SecurityHeaders(**options)])


def test_the_defaults() -> None:
    expected = {
        "content-type": "text/plain; charset=utf-8",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "strict-origin-when-cross-origin",
        "cross-origin-opener-policy": "same-origin",
    }
    router = app()
    for _ in range(2):  # a response that is shared does not collect fields
        assert fields(answer(router, request())) == expected
    assert fields(answer(router, request("/none")))["x-content-type-options"] == "nosniff"
    # RFC 6797 §7.2: not over http.
    secure = fields(answer(router, request(scheme="https")))
    assert secure == {**expected, "strict-transport-security": "max-age=31536000"}


@pytest.mark.parametrize(
    "shared",
    [Response(200, [("x-a", "b")]), StreamResponse(200, [("x-a", "b")], lambda send: send()), FileResponse(file="x")],
)
def test_what_a_handler_returns_again_and_again_is_not_changed(shared: Any) -> None:
    before = list(shared.headers)
    for _ in range(2):
        told = answer(app(lambda _: shared), request())
        assert told is not shared
        assert fields(told)["x-frame-options"] == "DENY"
        assert list(shared.headers) == before


def test_the_scheme_is_the_one_that_a_trusted_proxy_told() -> None:
    asked = request()
    asked.scheme = "https"
    assert "strict-transport-security" in fields(answer(app(), asked))


def test_options() -> None:
    told = fields(
        answer(
            app(
                hsts_subdomains=True,
                hsts_preload=True,
                frame_options="SAMEORIGIN",
                content_security_policy="default-src 'self'",
                referrer_policy=None,
                opener_policy=None,
                permissions_policy="camera=()",
            ),
            request(scheme="https"),
        )
    )
    del told["content-type"]
    assert told == {
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "content-security-policy": "default-src 'self'",
        "permissions-policy": "camera=()",
        "strict-transport-security": "max-age=31536000; includeSubDomains; preload",
    }
    assert fields(answer(app(hsts_s=0), request(scheme="https")))["strict-transport-security"] == "max-age=0"
    assert "strict-transport-security" not in fields(answer(app(hsts_s=None), request(scheme="https")))


def test_a_field_of_the_handlers_own_stays() -> None:
    def handler(request: Request) -> Response:
        return Response(200, {"X-Frame-Options": "SAMEORIGIN"})

    assert fields(answer(app(handler), request()))["x-frame-options"] == "SAMEORIGIN"


def test_websockets_are_left_alone() -> None:
    router = Router([Route("/", plain, websocket=True)], middleware=[SecurityHeaders()])
    assert answer(router, request(protocol=b"websocket")) is SHARED


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"frame_options": "deny"}, "x-frame-options must be DENY or SAMEORIGIN, not 'deny'"),
        ({"hsts_s": -1}, "hsts_s is -1; it cannot be below 0"),
        ({"hsts_preload": True}, "hsts_preload needs hsts_subdomains and an hsts_s of a year"),
        ({"content_security_policy": "a\nb"}, "the value of content-security-policy must be one line of ASCII"),
        ({"permissions_policy": "\u00e9"}, "the value of permissions-policy must be one line of ASCII"),
        ({"referrer_policy": " a"}, "the value of referrer-policy must be one line of ASCII without spaces around"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SecurityHeaders(**options)
