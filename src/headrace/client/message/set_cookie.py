"""Parses the field `set-cookie` as RFC 6265 §5.2 says: any value makes one cookie or none.

`http.cookiejar` can parse it, too. But an attribute that it does not expect makes it drop all cookies of the response,
with a warning, and an expired cookie removes one of another site. So this client uses its jar and its policy, and not
its parser.
"""

from __future__ import annotations

import http.cookiejar
import time
from http.cookiejar import Cookie, CookieJar
from typing import Any, Final

_std: Any = http.cookiejar  # the type stubs leave its functions out
_LAST: Final = 253_402_300_799  # the end of the year 9999; later dates become this one
_MOST_DIGITS: Final = 12
_WHITESPACE: Final = " \t"
_KNOWN: Final = ("domain", "expires", "max-age", "path", "secure")


def keep(jar: CookieJar, value: str, request: Any) -> None:
    """Put the cookie of one `set-cookie` value into `jar`, if the policy allows. An expired cookie removes the one in
    its place. Never raises for a value from a server."""
    now = int(time.time())
    cookie = parse(value, request, now)
    if cookie is None:
        return
    jar.set_cookie_if_ok(cookie, request)
    if cookie.expires is not None and cookie.expires <= now:
        jar.clear_expired_cookies()


def parse(value: str, request: Any, now: int) -> Cookie | None:
    """Return the cookie that a value of `set-cookie` asks for, or None when it asks for none (RFC 6265 §5.2, §5.3)."""
    pair, _, rest = value.partition(";")
    name, equals, content = (each.strip(_WHITESPACE) for each in pair.partition("="))
    if not name or any(character < " " or character == "\x7f" for character in value.replace("\t", "")):
        return None
    attributes: dict[str, str] = {}  # the last attribute of a name counts
    others: dict[str, Any] = {}
    for each in rest.split(";"):
        key, has_value, text = (part.strip(_WHITESPACE) for part in each.partition("="))
        if key.lower() in _KNOWN:
            attributes[key.lower()] = text
        elif key:
            others[key] = text if has_value else None
    expires = _expires(attributes, now)
    host = _std.eff_request_host(request)[1]
    domain = attributes.get("domain", "").removeprefix(".").lower()
    if "." not in domain and domain == request.host:
        domain = ""  # a host that is a public suffix: the cookie is for this host only (§5.3, step 5)
    path = attributes.get("path", "")
    has_path = path.startswith("/")
    return Cookie(
        version=0,
        name=name,
        value=content if equals else None,
        port=None,
        port_specified=False,
        domain=f".{domain}" if domain else host,
        domain_specified=bool(domain),
        domain_initial_dot=attributes.get("domain", "").startswith("."),
        path=_std.escape_path(path) if has_path else _default_path(request),
        path_specified=has_path,
        secure="secure" in attributes,
        expires=expires,
        discard=expires is None,
        comment=None,
        comment_url=None,
        rest=others,
        rfc2109=False,
    )


def _expires(attributes: dict[str, str], now: int) -> int | None:
    """Return the time at which the cookie expires, in seconds since the epoch, or None for a session cookie. `max-age`
    goes before `expires`; an invalid value of either is ignored (RFC 6265 §5.2.1, §5.2.2)."""
    age = attributes.get("max-age", "")
    digits = age.removeprefix("-")
    if digits.isascii() and digits.isdigit():
        if age.startswith("-") or not digits.strip("0"):
            return 0
        digits = digits.lstrip("0")
        return min(now + int(digits), _LAST) if len(digits) <= _MOST_DIGITS else _LAST
    date = attributes.get("expires", "")
    if not date:
        return None
    try:
        found = _std.http2time(date.strip('"'))
    except (ArithmeticError, ValueError):
        return None
    return None if found is None else max(min(int(found), _LAST), 0)


def _default_path(request: Any) -> str:
    path = _std.request_path(request)
    return path[: path.rfind("/")] or "/"
