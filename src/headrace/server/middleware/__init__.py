"""Middleware: wrappers around handlers, for a whole Router, a Mount or one Route.

Each is made once and called as `await middleware(request, next)`. The first of a list is the outermost: it sees the
request first and the response last. A middleware of your own is `async def middleware(request: Request, next: Next) ->
AnyResponse`. A usual order: Forwarded, RateLimit, SecurityHeaders, CORS, Compression, BodyLimit.
"""

from headrace.server.handlers.response import AnyResponse
from headrace.server.handlers.writer import WrappedWriter, Writer
from headrace.server.middleware.body_limit import BodyLimit
from headrace.server.middleware.compression import Compression
from headrace.server.middleware.cors import CORS
from headrace.server.middleware.forwarded import Forwarded
from headrace.server.middleware.rate_limit import RateLimit
from headrace.server.middleware.security_headers import SecurityHeaders
from headrace.server.routing.route import Middleware, Next

__all__ = [
    "CORS",
    "AnyResponse",
    "BodyLimit",
    "Compression",
    "Forwarded",
    "Middleware",
    "Next",
    "RateLimit",
    "SecurityHeaders",
    "WrappedWriter",
    "Writer",
]
