"""ASGI's shapes, as far as this server speaks them (asgi.readthedocs.io, HTTP 2.5 and lifespan 2.0)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from headrace.asgi.constant import ConstantDict

ASGIScope = MutableMapping[str, Any]
ASGIMessage = MutableMapping[str, Any]
ASGIReceive = Callable[[], Awaitable[ASGIMessage]]
ASGISend = Callable[[ASGIMessage], Awaitable[None]]
ASGIApp = Callable[[ASGIScope, ASGIReceive, ASGISend], Awaitable[None]]


SPEC: Final = ConstantDict({"version": "3.0", "spec_version": "2.5"})
LIFESPAN_SPEC: Final = {"version": "3.0", "spec_version": "2.0"}
PAUSE: Final = "headrace.request.pause"
"""An extension of ours: a message that lets the client pause within its content, for `longest` seconds or any."""
EXTENSIONS: Final[dict[str, dict[str, Any]]] = {
    "http.response.trailers": ConstantDict(),
    "http.response.early_hint": ConstantDict(),
    "http.response.pathsend": ConstantDict(),
    PAUSE: ConstantDict(),
}
DEBUG_EXTENSION: Final[dict[str, dict[str, Any]]] = {"http.response.debug": ConstantDict()}
"""Offered only while debug messages are logged, because frameworks do extra work for it."""
