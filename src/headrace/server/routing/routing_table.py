"""The table of a router: a dict for literal paths, and a tree of segments for the others.

It is filled while routes are built, each route composed once; a request only reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from headrace.server.handlers.request import Handler, Request
from headrace.server.handlers.response import Response
from headrace.server.routing.path_pattern import STR, TYPED, Parameter, Pattern, RouteError, joined_pattern
from headrace.server.routing.route import WEBSOCKET, Middleware, Route, compose

_RANK: Final = {each.name: rank for rank, each in enumerate(TYPED)}


class RouteScope:
    """The surroundings of a route: the prefix of its mounts, and the middleware and not_found that it has from them."""

    def __init__(
        self,
        segments: Sequence[str | Parameter],
        middleware: Sequence[Middleware],
        not_found: Handler,
        names: str = "",
    ) -> None:
        self.segments: tuple[str | Parameter, ...] = tuple(segments)
        self.text: str = "".join("/" + _text(each) for each in segments)
        self.middleware: tuple[Middleware, ...] = tuple(middleware)
        self.missing = not_found
        self.names = names
        self.not_found: Handler = compose(not_found, self.middleware, f"not_found of {self.text or 'the router'}")
        self._refusals: dict[tuple[int, bytes], Handler] = {}

    def refusal(self, status: int, allow: bytes, also: Sequence[Middleware] = ()) -> Handler:
        """Return a handler that answers with `status` and `allow`, inside the middleware of this scope and of a given
        route."""
        key = (status, allow)
        call = self._refusals.get(key) if not also else None
        if call is None:
            call = compose(_answer(status, allow), (*self.middleware, *also), f"the {status} of {self.text or '/'}")
            if not also:
                self._refusals[key] = call  # as many as there are sets of methods in the table
        return call


class Entry:
    """A route in the table."""

    __slots__ = ("call", "cancel_on_disconnect", "names", "options", "pattern", "plain", "route", "scope", "state")

    def __init__(self, route: Route, pattern: Pattern, scope: RouteScope) -> None:
        self.route: Route = route.under(pattern)
        self.pattern: Pattern = pattern
        self.scope: RouteScope = scope
        self.call: Handler = compose(route.handler, (*scope.middleware, *route.middleware), f"the route {self.route}")
        self.names: tuple[str, ...] = pattern.names
        self.state: Any = route.state
        self.cancel_on_disconnect: bool | None = route.cancel_on_disconnect
        self.plain: bool = route.state is None and route.cancel_on_disconnect is None
        """True if the request needs nothing but its route."""


class Leaf:
    """All routes of one path: `explicit` by the given methods, `found` with the HEAD that comes with a GET."""

    __slots__ = ("explicit", "found")

    def __init__(self) -> None:
        self.explicit: dict[bytes, Entry] = {}
        self.found: dict[bytes, Entry] = {}

    def add(self, entry: Entry) -> None:
        for key in entry.route.keys:
            other = self.explicit.get(key)
            if other is not None:
                raise RouteError(f"the route {entry.route} exists already, as {other.route}")
        for key in entry.route.keys:
            self.explicit[key] = self.found[key] = entry
        if b"GET" in self.explicit:
            self.found[b"HEAD"] = self.explicit.get(b"HEAD", self.explicit[b"GET"])

    def first(self) -> Entry:
        return next(iter(self.explicit.values()))


class Node:
    """A segment of the tree and the segments that may follow it."""

    __slots__ = ("is_literal", "leaf", "literals", "parameter", "rest", "scope", "typed")

    def __init__(self) -> None:
        self.is_literal: bool = True
        """True if only literal text may follow: then there is no way back to take, and no need to recurse."""
        self.leaf: Leaf | None = None
        self.literals: dict[str, Node] = {}
        self.typed: list[tuple[int, Any, Node]] = []
        self.parameter: Node | None = None
        self.rest: Leaf | None = None
        self.scope: RouteScope | None = None
        """The mount whose prefix ends here."""

    def child(self, segment: str | Parameter) -> Node:
        if isinstance(segment, str):
            return self.literals.setdefault(segment, Node())
        self.is_literal = False
        if segment.converter is STR:
            if self.parameter is None:
                self.parameter = Node()
            return self.parameter
        rank = _RANK[segment.converter.name]
        for each, _, node in self.typed:
            if each == rank:
                return node
        node = Node()
        self.typed.append((rank, segment.converter.read, node))
        self.typed.sort(key=lambda row: row[0])
        return node


class Table:
    """Routes, ready for lookup."""

    def __init__(self, scope: RouteScope) -> None:
        self.scope = scope
        self.literal: dict[bytes, dict[bytes, Entry]] = {}
        """Raw path to method to route, for paths without parameters."""
        self.takes_websockets: bool = False
        self._root = Node()
        self._root.scope = scope
        self._names: dict[str, Entry] = {}
        self._methods: dict[bytes, None] = {}

    # -- building ----------------------------------------------------------------------------------------------

    def add(self, route: Route, scope: RouteScope) -> None:
        """Add a route that stands in `scope`. Raises RouteError, and then nothing has changed."""
        segments = (*scope.segments, *route.pattern.segments)
        entry = Entry(route, joined_pattern(scope.text + route.pattern.text, segments), scope)
        name = None if route.name is None else scope.names + route.name
        if name is not None and name in self._names:
            raise RouteError(f"the route {entry.route} has the name {name}, as has {self._names[name].route}")
        node = self._root
        rest = entry.pattern.takes_rest
        for segment in segments[:-1] if rest else segments:
            node = node.child(segment)
        leaf = (node.rest if rest else node.leaf) or Leaf()
        leaf.add(entry)
        if rest:
            node.rest = leaf
            node.is_literal = False
        else:
            node.leaf = leaf
        if name is not None:
            self._names[name] = entry
        data = entry.pattern.literal
        if data is not None:
            self.literal[data] = leaf.found
        self._methods.update(dict.fromkeys(key for key in leaf.found if key not in (WEBSOCKET, b"*")))
        self.takes_websockets = self.takes_websockets or route.is_websocket

    def add_scope(self, scope: RouteScope) -> None:
        """Let the scope answer paths under its prefix that have no route."""
        node = self._root
        for segment in scope.segments:
            node = node.child(segment)
        node.scope = scope

    # -- looking up --------------------------------------------------------------------------------------------

    def url(self, name: str, values: dict[str, Any]) -> str:
        """Return the path of the route with this name. Raises RouteError."""
        entry = self._names.get(name)
        if entry is None:
            known = ", ".join(sorted(self._names)) or "none"
            raise RouteError(f"no route is named {name}; the names are: {known}")
        return entry.pattern.url(values)

    def dispatch(self, request: Request, method: bytes, path: bytes) -> Any:
        """Call the handler for a method and a raw path that is not in the dict of literals."""
        if path == b"*":  # OPTIONS * asks about the server as a whole (RFC 9110 §9.3.7)
            return self.scope.refusal(204, _allow(self._methods))(request)
        segments = split_path(path)
        if segments is None:
            return self.scope.not_found(request)
        passed: list[Leaf] = []
        values: list[Any] = []
        entry = _find(self._root, segments, 0, values, method, passed)
        if entry is not None:
            return call(entry, request, values)
        if not passed:
            return _scope_of(self._root, segments, 0).not_found(request)
        return self._refuse(request, method, passed)

    def matches(self, path: bytes) -> bool:
        """Return whether there is any route for a raw path, whatever its method."""
        segments = split_path(path)
        passed: list[Leaf] = []
        return segments is not None and (_find(self._root, segments, 0, [], b"", passed) is not None or bool(passed))

    def _refuse(self, request: Request, method: bytes, passed: Sequence[Leaf]) -> Any:
        """Answer a request whose path has routes, but none for its method."""
        allowed: dict[bytes, None] = {}
        for leaf in passed:
            allowed.update(dict.fromkeys(key for key in leaf.found if key != WEBSOCKET))
        scope = passed[0].first().scope
        if method == WEBSOCKET or not allowed:
            # A WebSocket for a path without one, or another request for a path with WebSockets only.
            return scope.not_found(request)
        if method != b"OPTIONS":
            return scope.refusal(405, _allow(allowed))(request)
        # A preflight is answered inside the middleware of the route that it asks about, so that CORS may stand there.
        asked = (request.header("access-control-request-method") or "").encode("latin-1")
        for leaf in passed:
            if asked in leaf.found:
                entry = leaf.found[asked]
                return entry.scope.refusal(204, _allow(allowed), entry.route.middleware)(request)
        return scope.refusal(204, _allow(allowed))(request)


def call(entry: Entry, request: Request, values: Sequence[Any]) -> Any:
    """Give the request its route and parameters, and call the handler."""
    exchange = request._exchange
    exchange.route = entry.route
    if values:
        names = entry.names
        exchange.params = {names[0]: values[0]} if len(values) == 1 else dict(zip(names, values, strict=True))
    if not entry.plain:
        exchange.state = entry.state
        if entry.cancel_on_disconnect is not None:
            exchange.cancel_on_disconnect = entry.cancel_on_disconnect
    return entry.call(request)


def split_path(path: bytes) -> list[str] | None:
    """Return the segments of a raw path, each percent-decoded once; None if they are not UTF-8, or no path begins
    so."""
    try:
        if b"%" not in path:
            return path.decode().split("/")[1:]
        return [unquote_to_bytes(each).decode() for each in path.split(b"/")[1:]]
    except UnicodeDecodeError:
        return None


def _find(
    node: Node, segments: list[str], position: int, values: list[Any], method: bytes, passed: list[Leaf]
) -> Entry | None:
    """Return the most specific entry for the method, and put the values of its parameters into `values`.

    Leaves of the same path that do not have the method are added to `passed`. No node is visited twice, so the tree's
    size bounds the work of a request.
    """
    end = len(segments)
    while position < end and node.is_literal:
        child = node.literals.get(segments[position])
        if child is None:
            return None
        node = child
        position += 1
    if position == end:
        return None if node.leaf is None else _take(node.leaf, method, passed)
    segment = segments[position]
    child = node.literals.get(segment)
    if child is not None:
        entry = _find(child, segments, position + 1, values, method, passed)
        if entry is not None:
            return entry
    if segment:
        for _, read, child in node.typed:
            value = read(segment)
            if value is not None:
                values.append(value)
                entry = _find(child, segments, position + 1, values, method, passed)
                if entry is not None:
                    return entry
                values.pop()
        if node.parameter is not None:
            values.append(segment)
            entry = _find(node.parameter, segments, position + 1, values, method, passed)
            if entry is not None:
                return entry
            values.pop()
    if node.rest is not None:
        entry = _take(node.rest, method, passed)
        if entry is not None:
            values.append("/".join(segments[position:]))
            return entry
    return None


def _take(leaf: Leaf, method: bytes, passed: list[Leaf]) -> Entry | None:
    entry = leaf.found.get(method)
    if entry is None and method != WEBSOCKET:
        entry = leaf.found.get(b"*")
    if entry is None:
        passed.append(leaf)
    return entry


def _scope_of(node: Node, segments: list[str], position: int) -> RouteScope:
    """Return the innermost scope of a path, in the order in which routes are tried."""
    best = _deepest(node, segments, position)
    assert best is not None  # the root has one
    return best[1]


def _deepest(node: Node, segments: list[str], position: int) -> tuple[int, RouteScope] | None:
    best = None if node.scope is None else (position, node.scope)
    if position == len(segments):
        return best
    children = [node.literals.get(segments[position])]
    children += [child for _, read, child in node.typed if read(segments[position]) is not None]
    children.append(node.parameter if segments[position] else None)
    for child in children:
        found = None if child is None else _deepest(child, segments, position + 1)
        if found is not None and (best is None or found[0] > best[0]):
            best = found
    return best


def _allow(methods: dict[bytes, None]) -> bytes:
    return b", ".join(sorted({*methods, b"OPTIONS"}))


def _answer(status: int, allow: bytes) -> Handler:
    headers = [(b"allow", allow)]
    if status == 204:
        response = Response(204, headers)
    else:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
        response = Response(status, headers, b"Method Not Allowed\n")
    return lambda request: response


def _text(segment: str | Parameter) -> str:
    return segment if isinstance(segment, str) else f"{{{segment.name}:{segment.converter.name}}}"
