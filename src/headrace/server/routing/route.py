"""One row of a routing table, and the middleware around its handler."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import CoroutineType
from typing import Any, Final

from headrace.engine.text import utf8
from headrace.server.connection.exchange import PLAIN_TEXT
from headrace.server.errors import HTTPError
from headrace.server.handlers.request import Handler, Request
from headrace.server.handlers.response import AnyResponse, Response
from headrace.server.routing.path_pattern import Pattern, RouteError, parse_pattern
from headrace.transport.kinds import kind_of

Next = Callable[[Request], Awaitable[AnyResponse]]
Middleware = Callable[[Request, Next], Awaitable[AnyResponse]]

WEBSOCKET: Final = b"websocket"  # stands in place of a method; methods have no lowercase letters (see _methods)

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]+")  # RFC 9110 §5.6.2, without lowercase letters


class Route:
    """A path, its methods and its handler.

    `path` is literal (`/about`), or has parameters as segments: `{name}` or `{name:str}` for any one segment,
    `{id:int}`, `{x:float}`, `{id:uuid}`, and, at the end, `{rest:path}` for the whole rest. `methods` are those that
    the handler takes, None for all; HEAD comes with GET. `middleware` is put around the handler, the first outermost.
    `state` becomes `request.state`. `cancel_on_disconnect` says whether the handler is cancelled when its client goes;
    None leaves it to the server. `name` is for `Router.url_for`. With `websocket=True` the route takes requests for a
    WebSocket, and no others. Raises RouteError, which names the route and says what is wrong.
    """

    def __init__(
        self,
        path: str,
        handler: Handler,
        *,
        methods: Iterable[str] | None = ("GET",),
        name: str | None = None,
        middleware: Sequence[Middleware] = (),
        state: Any = None,
        cancel_on_disconnect: bool | None = None,
        websocket: bool = False,
    ) -> None:
        self.pattern: Pattern = parse_pattern(path)
        self.path: str = self.pattern.text
        """The path that is matched, with the prefixes of its mounts."""
        self.handler = handler
        self.methods: tuple[str, ...] | None = None if websocket else _methods(path, methods)
        self.name = name
        self.middleware: tuple[Middleware, ...] = checked_middleware(middleware, f"the route {path}")
        self.state = state
        self.cancel_on_disconnect = cancel_on_disconnect
        self.is_websocket = websocket
        _check_handler(path, handler)
        if name is not None and not (isinstance(name, str) and name):
            raise RouteError(f"the route {path}: its name is {name!r}; it must be text")

    @property
    def keys(self) -> tuple[bytes, ...]:
        """Its keys in a table: its methods, `*` for all, or WEBSOCKET."""
        if self.is_websocket:
            return (WEBSOCKET,)
        if self.methods is None:
            return (b"*",)
        return tuple(each.encode("ascii") for each in self.methods)

    def under(self, pattern: Pattern) -> Route:
        """Return the same route with its path in a mount."""
        if pattern.text == self.path:
            return self
        mounted = copy.copy(self)
        mounted.pattern = pattern
        mounted.path = pattern.text
        return mounted

    def __str__(self) -> str:
        """Return the route in a few words, for logs and errors: `GET /users/{id:int} (app.show_user)`."""
        methods = "any method" if self.methods is None else ",".join(self.methods)
        kind = "WebSocket" if self.is_websocket else methods
        return f"{kind} {self.path} ({called(self.handler)})"

    def __repr__(self) -> str:
        return f"<Route {self}>"


def checked_middleware(middleware: object, where: str) -> tuple[Middleware, ...]:
    """Return the middleware as a tuple. Raises RouteError for objects that cannot be middleware; `where` names their
    owner."""
    if isinstance(middleware, str) or not isinstance(middleware, Iterable):
        raise RouteError(f"{where}: its middleware is {middleware!r}; it must be a list")
    for each in middleware:
        if inspect.isclass(each):
            raise RouteError(f"{where}: the middleware {each.__name__} is a class; give an instance")
        if not callable(each):
            raise RouteError(f"{where}: the middleware {each!r} cannot be called")
        if not _takes(each, 2):
            raise RouteError(f"{where}: the middleware {called(each)} must take two arguments, a request and next")
    return tuple(middleware)


def compose(handler: Handler, middleware: Sequence[Middleware], whose: str) -> Handler:
    """Return one callable of a handler with its middleware around it, the first outermost; the handler itself without
    any.

    A middleware always gets a response from `next`: an HTTPError of an inner layer is made one, and any other type
    raises TypeError, which names `whose` it was. The outermost result is not checked.
    """
    if not middleware:
        return handler
    inner = _checked(handler, f"the handler of {whose}")
    for each in reversed(middleware[1:]):
        inner = _checked(_around(each, inner), f"the middleware {called(each)} of {whose}")
    return _around(middleware[0], inner)


def _around(middleware: Middleware, inner: Next) -> Handler:
    def call(request: Request) -> Any:
        return middleware(request, inner)

    return call


def _checked(call: Handler, who: str) -> Next:
    async def following(request: Request) -> AnyResponse:
        try:
            response = call(request)
            if response.__class__ is CoroutineType or hasattr(response, "__await__"):
                response = await response
        except HTTPError as error:
            return Response(error.status, PLAIN_TEXT, utf8(error.reason) + b"\n")
        if not isinstance(response, AnyResponse):
            raise TypeError(f"{who} returned {kind_of(response)}, which is not a response such as headrace.Response")
        return response

    return following


def called(what: object) -> str:
    """Return the name of a handler or middleware, with its module."""
    name = getattr(what, "__qualname__", None)
    if name is None:
        what = type(what)
        name = what.__qualname__
    return f"{what.__module__}.{name}"


def _methods(path: str, methods: Iterable[str] | None) -> tuple[str, ...] | None:
    if methods is None:
        return None
    if isinstance(methods, str):
        raise RouteError(f"the route {path}: its methods are the text {methods!r}; give a list, such as [{methods!r}]")
    taken = tuple(methods)
    if not taken:
        raise RouteError(f"the route {path} has no methods")
    for each in taken:
        if not isinstance(each, str) or not _TOKEN.fullmatch(each):
            raise RouteError(f"the route {path}: {each!r} is not a method; methods are written in capitals")
        if each == "CONNECT":
            raise RouteError(f"the route {path}: CONNECT has no path; WebSockets are taken with websocket=True")
    if len(set(taken)) != len(taken):
        raise RouteError(f"the route {path} names a method twice: {', '.join(taken)}")
    return taken


def _check_handler(path: str, handler: object) -> None:
    if inspect.isclass(handler):
        raise RouteError(f"the route {path}: its handler is the class {handler.__name__}; give an instance or function")
    if not callable(handler):
        raise RouteError(f"the route {path}: its handler is {handler!r}, which cannot be called")
    if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
        raise RouteError(
            f"the route {path}: its handler {called(handler)} is a generator; "
            "return a StreamResponse with the generator as its producer"
        )
    if not _takes(handler, 1):
        raise RouteError(f"the route {path}: its handler {called(handler)} must take one argument, the request")


def _takes(what: Callable[..., object], count: int) -> bool:
    """Return whether it can be called with `count` positional arguments; True if its signature is unknown."""
    try:
        inspect.signature(what).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True
