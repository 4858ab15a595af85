"""Cross-origin requests: which pages of other origins may read responses (the Fetch standard, §3.2)."""

from __future__ import annotations

import re
from collections.abc import Collection

from headrace.server.connection.exchange import PLAIN_TEXT
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse, Response
from headrace.server.middleware.response_fields import fields_of, value_of, varying, with_fields
from headrace.server.routing.route import Next

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s,]+|null")


class CORS:
    """Answers preflights, and lets pages of the named origins read responses.

    - `origins`: exact origins such as `https://example.com`, in lowercase and without a slash at the end, or `"*"` for
      any. `origin_regex`, in addition to them, must match the whole origin.
    - `methods` and `headers` that pages may use, in addition to those that need no permission; `"*"` for all.
    - `credentials`: whether pages may send cookies. It excludes the origin `*`, because then every page in the world
      could read responses that are meant for the signed-in user.
    - `expose`: response fields that pages may read. `max_age_s`: how long a browser remembers a preflight's answer.

    A preflight from another origin is 403. Raises ValueError for invalid or contradictory options. Browsers do not
    apply CORS to WebSockets: check `origin` in their handler.
    """

    def __init__(
        self,
        origins: Collection[str] | str = (),
        *,
        origin_regex: str | None = None,
        methods: Collection[str] | str = ("GET", "HEAD", "POST"),
        headers: Collection[str] | str = (),
        credentials: bool = False,
        expose: Collection[str] = (),
        max_age_s: int = 600,
    ) -> None:
        named = _names(origins, "origins")
        self._any_origin = "*" in named
        if self._any_origin and credentials:
            raise ValueError(
                "CORS with the origin * and credentials would let every page read as its visitor; name them"
            )
        for origin in named - {"*"}:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is not an origin: scheme, two slashes, host in lowercase, and no slash at the end"
                )
        self._origins = named
        try:
            self._regex = re.compile(origin_regex) if origin_regex is not None else None
        except re.error as error:
            raise ValueError(f"the origin_regex {origin_regex!r} is not a regular expression: {error}") from None
        if not named and self._regex is None:
            raise ValueError("CORS needs origins or an origin_regex")
        self._any_method = methods == "*"
        self._any_header = headers == "*"
        self._methods = _list(() if self._any_method else methods, "methods")
        self._headers = _list(() if self._any_header else headers, "headers")
        self._common: list[tuple[bytes, bytes]] = []
        if credentials:
            self._common.append((b"access-control-allow-credentials", b"true"))
        exposed = _list(expose, "expose")
        self._exposed = [(b"access-control-expose-headers", exposed)] if exposed else []
        self._max_age = (b"access-control-max-age", b"%d" % max_age_s)

    def allows(self, origin: str) -> bool:
        """Return whether pages of this origin may read."""
        if self._any_origin or origin in self._origins:
            return True
        return self._regex is not None and self._regex.fullmatch(origin) is not None

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        """Answer a preflight, or add the fields that the browser needs to the response."""
        if request.is_websocket:
            return await following(request)
        origin = request.header("origin")
        if origin is not None and request.method == "OPTIONS":
            method = request.header("access-control-request-method")
            if method is not None:
                return self._preflight(request, origin, method)
        response = await following(request)
        fields = fields_of(response)
        if origin is not None and self.allows(origin) and value_of(fields, b"access-control-allow-origin") is None:
            fields += [self._allowed(origin), *self._common, *self._exposed]
        if not self._any_origin:
            # Also without an origin: a cache must not give this answer to a page that needs the other one.
            fields = varying(fields, b"origin")
        return with_fields(response, fields)

    def _preflight(self, request: Request, origin: str, method: str) -> Response:
        vary = b"origin, access-control-request-method, access-control-request-headers"
        if not self.allows(origin):
            return Response(403, [*PLAIN_TEXT, (b"vary", vary)], b"Requests from this origin are not allowed.\n")
        fields = [self._allowed(origin), *self._common, (b"vary", vary), self._max_age]
        methods = self._methods
        if self._any_method and _TOKEN.fullmatch(method):
            methods = method.encode("ascii")
        if methods:
            fields.append((b"access-control-allow-methods", methods))
        headers = self._headers
        if self._any_header:
            asked = (request.header("access-control-request-headers") or "").split(",")
            names = [each.strip(" \t") for each in asked]
            headers = ", ".join(each for each in names if _TOKEN.fullmatch(each)).encode("ascii")
        if headers:
            fields.append((b"access-control-allow-headers", headers))
        return Response(204, fields)

    def _allowed(self, origin: str) -> tuple[bytes, bytes]:
        allowed = b"*" if self._any_origin else origin.encode("latin-1")
        return (b"access-control-allow-origin", allowed)


def _names(given: Collection[str] | str, what: str) -> frozenset[str]:
    if isinstance(given, str):
        if given != "*":
            raise ValueError(f"the {what} of CORS must be a list, or '*', not the text {given!r}")
        given = (given,)
    return frozenset(given)


def _list(given: Collection[str] | str, what: str) -> bytes:
    for each in _names(given, what):
        if not _TOKEN.fullmatch(each) or each == "*":
            raise ValueError(f"{each!r} among the {what} of CORS is not a name")
    return ", ".join(given).encode("ascii")
