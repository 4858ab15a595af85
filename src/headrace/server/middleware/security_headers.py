"""Fields that restrict a browser, for safety."""

from __future__ import annotations

from headrace.server.handlers.headers import header_list
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import AnyResponse
from headrace.server.middleware.response_fields import fields_of, with_fields
from headrace.server.routing.route import Next

YEAR_S = 31_536_000


class SecurityHeaders:
    """Adds security fields to each response; a field that the handler set itself is kept.

    - `hsts_s`: `strict-transport-security` for so many seconds, over https only (RFC 6797 §7.2); 0 tells browsers to
      forget it, None leaves it out. `hsts_subdomains` and `hsts_preload` add these words.
    - `x-content-type-options: nosniff`, always.
    - `frame_options`: `DENY`, `SAMEORIGIN` or None.
    - `content_security_policy`: a policy as text, None for none, because no policy fits all pages.
    - `referrer_policy`, `opener_policy` (`cross-origin-opener-policy`) and `permissions_policy`: text, or None.

    Answers to requests for WebSockets are not changed. Raises ValueError for an unknown frame option, for a negative
    time, and for text that no field can carry.
    """

    def __init__(
        self,
        *,
        hsts_s: int | None = YEAR_S,
        hsts_subdomains: bool = False,
        hsts_preload: bool = False,
        frame_options: str | None = "DENY",
        content_security_policy: str | None = None,
        referrer_policy: str | None = "strict-origin-when-cross-origin",
        opener_policy: str | None = "same-origin",
        permissions_policy: str | None = None,
    ) -> None:
        if frame_options not in (None, "DENY", "SAMEORIGIN"):
            raise ValueError(f"x-frame-options must be DENY or SAMEORIGIN, not {frame_options!r}")
        if hsts_s is not None and hsts_s < 0:
            raise ValueError(f"hsts_s is {hsts_s}; it cannot be below 0")
        if hsts_preload and not (hsts_subdomains and (hsts_s or 0) >= YEAR_S):
            raise ValueError(
                "hsts_preload needs hsts_subdomains and an hsts_s of a year or more, as browsers' lists do"
            )
        values = {
            "x-content-type-options": "nosniff",
            "x-frame-options": frame_options,
            "content-security-policy": content_security_policy,
            "referrer-policy": referrer_policy,
            "cross-origin-opener-policy": opener_policy,
            "permissions-policy": permissions_policy,
        }
        self._fields = tuple(_field(name, value) for name, value in values.items() if value is not None)
        self._secure = self._fields
        if hsts_s is not None:
            words = [f"max-age={hsts_s}"]
            words += ["includeSubDomains"] if hsts_subdomains else []
            words += ["preload"] if hsts_preload else []
            self._secure += (_field("strict-transport-security", "; ".join(words)),)

    async def __call__(self, request: Request, following: Next) -> AnyResponse:
        """Add the fields to the response."""
        response = await following(request)
        if request.is_websocket:
            return response
        fields = fields_of(response)
        names = {name for name, _ in fields}
        added = self._secure if request.scheme == "https" else self._fields
        return with_fields(response, [*fields, *(pair for pair in added if pair[0] not in names)])


def _field(name: str, value: str) -> tuple[bytes, bytes]:
    if not value.isascii() or not value.isprintable() or value != value.strip():
        raise ValueError(f"the value of {name} must be one line of ASCII without spaces around it, not {value!r}")
    return header_list([(name, value)])[0]
