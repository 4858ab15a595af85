"""A limit for the content of requests."""

from __future__ import annotations

from headrace.server.errors import HTTPError
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse
from headrace.server.routing.route import Next


class BodyLimit:
    """Accepts at most `octets` bytes of content: more is 413 (RFC 9110 §15.5.14).

    A request whose announced length is larger is refused before its handler is called; content without a length is
    counted as the handler reads it. Of several limits around a handler the smallest applies. Raises ValueError for a
    negative one.
    """

    def __init__(self, octets: int) -> None:
        if octets < 0:
            raise ValueError(f"the limit of a BodyLimit is {octets}; it cannot be below 0")
        self.octets = octets

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        """Check the announced length, and let the request count the rest."""
        if (request.content_length or 0) > self.octets:
            raise HTTPError(413, "Content Too Large")
        if request.body_limit is None or request.body_limit > self.octets:
            request.body_limit = self.octets
        return await following(request)
