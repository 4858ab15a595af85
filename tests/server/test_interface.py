"""Telling applications apart by what they look like."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from headrace.server.interface import AppError, detect


async def native(request: Any) -> Any: ...
def plain(request: Any, extra: int = 1) -> Any: ...
async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
async def asgi_wrapped(*args: Any) -> None: ...
def asgi2(scope: Any) -> Any: ...
def wsgi(environ: Any, start_response: Any) -> Any: ...


class NativeObject:
    async def __call__(self, request: Any) -> Any: ...


class WSGIObject:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class ASGIObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    ("app", "kind"),
    [
        (native, "native"),
        (plain, "native"),
        (NativeObject(), "native"),
        (partial(wsgi, None), "native"),
        (wsgi, "wsgi"),
        (WSGIObject(), "wsgi"),
        (asgi, "asgi"),
        (asgi_wrapped, "asgi"),
        (ASGIObject(), "asgi"),
        (ASGIObject().method, "asgi"),
        (partial(asgi_wrapped, None), "asgi"),
    ],
)
def test_it_is_seen(app: Any, kind: str) -> None:
    assert detect(app) == kind


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (asgi2, "ASGI 2"),
        (ASGIObject, "the class ASGIObject; give an instance"),
        (42, "int, which cannot be called"),
        (lambda: None, "takes 0 parameters"),
        (lambda a, b, c, d: None, "takes 4 parameters"),
    ],
)
def test_what_cannot_be_served_is_named(app: Any, words: str) -> None:
    with pytest.raises(AppError, match=words):
        detect(app)
