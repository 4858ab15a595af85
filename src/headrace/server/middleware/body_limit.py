"""A limit for the content of requests."""

from __future__ import annotations

from headrace.server.errors import HTTPError
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse
from headrace.server.routing.route import Next


class BodyLimit:
    """Accepts at most `limit` bytes of content: more is 413 (RFC 9110 §15.5.14).

    A request whose announced length is larger is refused before its handler is called; content without a length is
    counted as the handler reads it. Of several limits around a handler the smallest applies. Raises ValueError for a
    negative one.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ValueError(f"the limit of a BodyLimit is {limit}; it cannot be below 0")
        self.limit = limit

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        """Check the announced length, and let the request count the rest."""
        if (request.content_length or 0) > self.limit:
            raise HTTPError(413, "Content Too Large")
        if request.body_limit is None or request.body_limit > self.limit:
            request.body_limit = self.limit
        return await following(request)
