"""Routes: path and method of a request choose its handler.

    router = Router()

    @router.get("/users/{id:int}")
    async def user(request: Request) -> Response:
        return Response.json({"id": request.params["id"]})

A Router is itself a native handler, which a server can serve. Among routes that match the same path the narrowest wins,
in any order of registration: at each segment literal text before a typed parameter, then a plain one, then
`{rest:path}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from headrace.server.connection.exchange import PLAIN_TEXT
from headrace.server.handlers.request import Handler, Request, no_request
from headrace.server.handlers.response import AnyResponse, Response
from headrace.server.routing.path_pattern import Pattern, RouteError, joined_pattern, parse_pattern
from headrace.server.routing.route import WEBSOCKET, Middleware, Route, checked_middleware
from headrace.server.routing.routing_table import RouteScope, Table, call

H = TypeVar("H", bound=Handler)

_NOT_FOUND: Final = Response(404, PLAIN_TEXT, b"Not Found\n")
_QUESTION_MARK: Final = 0x3F  # bytes are searched by number: `b"?" in path` raises and catches inside, 0.45 us


def _not_found(request: Request) -> AnyResponse:
    return _NOT_FOUND


class Mount:
    """Routes under a prefix: a Router, or rows of a table, or one handler for all paths below.

    `prefix` begins with a slash and does not end with one; it may have parameters. `middleware` is put around all
    routes under it, outside of a router's own. `name` is put before the names under it: `api:user`. A handler, such as
    StaticFiles, gets all methods and finds the rest of the path in `request.params["path"]`. Raises RouteError.
    """

    def __init__(
        self,
        prefix: str,
        what: Router | Iterable[Route | Mount] | Handler,
        *,
        middleware: Sequence[Middleware] = (),
        name: str | None = None,
    ) -> None:
        self.pattern: Pattern = parse_pattern(prefix, prefix=True)
        self.prefix = prefix
        self.middleware: tuple[Middleware, ...] = checked_middleware(middleware, f"the mount {prefix}")
        self.name = name
        self.router: Router | None = None
        self.rows: tuple[Route | Mount, ...] = ()
        if isinstance(what, Router):
            self.router = what
        elif callable(what):
            self.rows = (Route("/{path:path}", what, methods=None),)
        elif isinstance(what, Iterable):
            self.rows = tuple(what)
        else:
            raise RouteError(f"the mount {prefix} is given {what!r}, which is not a router, table or handler")


class Router:
    """Finds the handler for a request's path and method, and calls it.

    `routes` are Route and Mount rows; the decorators add more. `middleware` is put around every answer, 404 and 405
    included, the first outermost. `not_found` is the handler for paths that no route has. A request has its route in
    `request.route`, its parameters in `request.params`, its route's state in `request.state`.

    HEAD comes with GET, OPTIONS is answered with 204 and `allow`, another method that a path does not have with 405.
    Paths match exactly, trailing slash included; with `redirect_slashes` a path that would match with one slash more or
    less at its end is redirected (308). `not_found` and `middleware` of a router also apply where it is mounted;
    `redirect_slashes` is that of the outermost router.

    Raises RouteError for an invalid table, such as two routes of one path and method, or two of one name.
    """

    def __init__(
        self,
        routes: Iterable[Route | Mount] = (),
        *,
        middleware: Sequence[Middleware] = (),
        not_found: Handler | None = None,
        redirect_slashes: bool = False,
    ) -> None:
        if not_found is not None and not callable(not_found):
            raise RouteError(f"the not_found of a router is {not_found!r}, which cannot be called")
        self.middleware: tuple[Middleware, ...] = checked_middleware(middleware, "the router")
        self.redirect_slashes = redirect_slashes
        self._not_found = not_found
        self._rows: tuple[Route | Mount, ...] = ()
        self._parents: list[Router] = []
        self._scope = RouteScope((), self.middleware, self._missing(_not_found))
        self._table = Table(self._scope)
        self.swap(routes)

    # -- serving -----------------------------------------------------------------------------------------------

    def __call__(self, request: Request) -> Any:
        """Answer a request: return a response, or an awaitable of one."""
        table = self._table
        try:
            exchange = request._exchange
        except AttributeError:
            raise no_request(request) from None
        head = exchange.head
        path = head.path
        method = head.method
        if head.protocol is not None:
            method = WEBSOCKET if head.protocol == WEBSOCKET else b"CONNECT"
        found = table.literal.get(path)
        if found is None and _QUESTION_MARK in path:
            path = path[: path.index(b"?")]
            found = table.literal.get(path)
        if found is not None:
            entry = found.get(method)
            if entry is not None:
                if entry.plain:
                    exchange.route = entry.route
                    return entry.call(request)
                return call(entry, request, ())
        if self.redirect_slashes:
            location = self._redirection(table, path, head.path)
            if location is not None:
                return Response(308, [(b"location", location)])
        return table.dispatch(request, method, path)

    @property
    def takes_websockets(self) -> bool:
        """True if a route takes WebSockets. A server asks once, when it starts."""
        return self._table.takes_websockets

    # -- building ----------------------------------------------------------------------------------------------

    @property
    def routes(self) -> tuple[Route | Mount, ...]:
        """The rows of the table, in the order in which they were added."""
        return self._rows

    def add(self, row: Route | Mount) -> None:
        """Add a row. Raises RouteError, and then nothing has changed."""
        if isinstance(row, Route) and not self._parents:
            self._table.add(row, self._scope)
            self._rows = (*self._rows, row)
        else:
            self.swap((*self._rows, row))

    def swap(self, routes: Iterable[Route | Mount]) -> None:
        """Replace the table, also while it is served: requests that were dispatched before keep their routes.

        The tables of routers that mount this one are rebuilt as well. Whether WebSockets are offered to clients is
        decided when the server starts. Raises RouteError, and then nothing has changed.
        """
        before = self._rows
        self._rows = tuple(routes)
        try:
            tables = [(each, each._build()) for each in self._with_parents()]
        except BaseException:
            self._rows = before
            raise
        for row in before:
            _forget(row, self)
        for row in self._rows:
            _remember(row, self)
        for router, table in tables:
            router._table = table

    def route(
        self,
        path: str,
        *,
        methods: Iterable[str] | None = ("GET",),
        name: str | None = None,
        middleware: Sequence[Middleware] = (),
        state: Any = None,
        cancel_on_disconnect: bool | None = None,
    ) -> Callable[[H], H]:
        """Return a decorator that makes a route of a handler; the arguments are those of Route. Raises RouteError."""

        def add(handler: H) -> H:
            self.add(
                Route(
                    path,
                    handler,
                    methods=methods,
                    name=name,
                    middleware=middleware,
                    state=state,
                    cancel_on_disconnect=cancel_on_disconnect,
                )
            )
            return handler

        return add

    def get(self, path: str, **options: Any) -> Callable[[H], H]:
        """Return a decorator like `route`, for GET and HEAD."""
        return self.route(path, methods=("GET",), **options)

    def post(self, path: str, **options: Any) -> Callable[[H], H]:
        """Return a decorator like `route`, for POST."""
        return self.route(path, methods=("POST",), **options)

    def put(self, path: str, **options: Any) -> Callable[[H], H]:
        """Return a decorator like `route`, for PUT."""
        return self.route(path, methods=("PUT",), **options)

    def patch(self, path: str, **options: Any) -> Callable[[H], H]:
        """Return a decorator like `route`, for PATCH."""
        return self.route(path, methods=("PATCH",), **options)

    def delete(self, path: str, **options: Any) -> Callable[[H], H]:
        """Return a decorator like `route`, for DELETE."""
        return self.route(path, methods=("DELETE",), **options)

    def websocket(
        self,
        path: str,
        *,
        name: str | None = None,
        middleware: Sequence[Middleware] = (),
        state: Any = None,
        cancel_on_disconnect: bool | None = None,
    ) -> Callable[[H], H]:
        """Return a decorator for a handler of requests for a WebSocket.

        The handler returns a WebSocketResponse, or another response to refuse. Raises RouteError.
        """

        def add(handler: H) -> H:
            self.add(
                Route(
                    path,
                    handler,
                    name=name,
                    middleware=middleware,
                    state=state,
                    cancel_on_disconnect=cancel_on_disconnect,
                    websocket=True,
                )
            )
            return handler

        return add

    def mount(
        self,
        prefix: str,
        what: Router | Iterable[Route | Mount] | Handler,
        *,
        middleware: Sequence[Middleware] = (),
        name: str | None = None,
    ) -> None:
        """Put a router, a table or a handler under a prefix, like Mount. Raises RouteError."""
        self.add(Mount(prefix, what, middleware=middleware, name=name))

    def url_for(self, name: str, /, **params: Any) -> str:
        """Return the path of the route with this name, with `params` in it, percent-encoded.

        Names under a mount that has a name are written `mount:route`. Raises RouteError if there is no such route, if a
        parameter is missing or unknown, or if a value does not fit its type.
        """
        return self._table.url(name, params)

    # -- the table ---------------------------------------------------------------------------------------------

    def _missing(self, default: Handler) -> Handler:
        return self._not_found if self._not_found is not None else default

    def _with_parents(self) -> list[Router]:
        found = [self]
        for router in found:
            found += [each for each in router._parents if each not in found]
        return found

    def _build(self) -> Table:
        table = Table(self._scope)
        self._fill(table, self._scope, ())
        return table

    def _fill(self, table: Table, scope: RouteScope, above: tuple[Router, ...]) -> None:
        if self in above:
            raise RouteError(f"the router at {scope.text or '/'} is mounted in itself")
        _fill(self._rows, table, scope, (*above, self))

    def _redirection(self, table: Table, path: bytes, raw_path: bytes) -> bytes | None:
        """Return the path to redirect to, for a path that has no route; None if that path has none either."""
        other = path[:-1] if path.endswith(b"/") else path + b"/"
        # A path that begins with two slashes would be read as another host's name (RFC 3986 §4.2).
        if (
            other in (b"", b"*/")
            or other.startswith((b"//", b"/\\"))
            or table.matches(path)
            or not table.matches(other)
        ):
            return None
        return other + raw_path[len(path) :]


def _fill(rows: Sequence[Route | Mount], table: Table, scope: RouteScope, above: tuple[Router, ...]) -> None:
    for row in rows:
        if isinstance(row, Route):
            table.add(row, scope)
            continue
        if not isinstance(row, Mount):
            raise RouteError(f"a row of the table under {scope.text or '/'} is {row!r}; it must be a Route or a Mount")
        router = row.router
        segments = (*scope.segments, *row.pattern.segments)
        inner = RouteScope(
            joined_pattern(scope.text + row.pattern.text, segments, prefix=True).segments,
            (*scope.middleware, *row.middleware, *(router.middleware if router is not None else ())),
            router._missing(scope.missing) if router is not None else scope.missing,
            scope.names + (f"{row.name}:" if row.name is not None else ""),
        )
        if segments:
            table.add_scope(inner)
        if router is not None:
            router._fill(table, inner, above)
        else:
            _fill(row.rows, table, inner, above)


def _mounted(row: Route | Mount) -> Iterable[Router]:
    if isinstance(row, Mount):
        if row.router is not None:
            yield row.router
        for each in row.rows:
            yield from _mounted(each)


def _remember(row: Route | Mount, parent: Router) -> None:
    for router in _mounted(row):
        router._parents.append(parent)


def _forget(row: Route | Mount, parent: Router) -> None:
    for router in _mounted(row):
        router._parents.remove(parent)
