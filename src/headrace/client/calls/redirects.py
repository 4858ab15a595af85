"""The request that follows a redirect: its target, and the fields that it keeps (RFC 9110 §15.4)."""

from __future__ import annotations

from typing import Final

from headrace.client.errors import BodyConsumed, InvalidURL, RemoteProtocolError, TooManyRedirects
from headrace.client.message.request import ClientRequest
from headrace.client.message.url import URL
from headrace.engine.hpack.secrets import SECRET_NAMES, is_secret

MAX_REDIRECTS: Final = 20
SEE_OTHER: Final = 303

_OF_CONTENT: Final = (
    "content-type",
    "content-length",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "digest",
    "content-digest",
    "repr-digest",
    "last-modified",
    "expect",
)
_OF_ORIGIN: Final = frozenset((*SECRET_NAMES, b"last-event-id"))
"""Fields for one origin alone, besides those whose names mark them as secrets."""


def redirect_request(request: ClientRequest, status: int, location: str) -> ClientRequest:
    """Return the request that a redirect asks for.

    POST becomes GET for 301 and 302, as in browsers, and every method but HEAD becomes GET for 303; else method and
    content stay. No credentials go to another origin: neither `authorization` nor `cookie`, nor a field whose name
    marks it as a secret (`hpack.secrets`: x-api-key, x-auth-token and the like), nor `last-event-id`. User information
    in the location is left out. Raises TooManyRedirects for a target that a redirect may not have, RemoteProtocolError
    for an invalid location, and BodyConsumed when the content cannot be sent again.
    """
    old = request.url
    target = _target(old, location)
    method = request.method
    if (status == SEE_OTHER and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method = "GET"
    new = request.copy()
    new.url = target
    headers = new.headers
    headers.pop("host", None)
    if method != request.method:
        new.method = method
        new.content = b""
        new.on_upload = None
        for name in _OF_CONTENT:
            headers.pop(name, None)
    elif not request.is_replayable:
        raise BodyConsumed(
            f"the answer {status} sends the request on to {target}, but its content came from an iterator, which is"
            " used up; give bytes, a file, or a function that makes a new iterator",
            url=old.without_userinfo(),
        )
    if not may_keep_credentials(old, target):
        for key in {name for name, _ in headers._pairs if name in _OF_ORIGIN or is_secret(name)}:
            del headers[key.decode()]
    return new


def may_keep_credentials(old: URL, new: URL) -> bool:
    """Return True within one origin, and from http to https of the same host at the default ports."""
    was, becomes = old.origin, new.origin
    if was == becomes:
        return True
    return (was.host == becomes.host and (was.scheme, was.port) == ("http", 80)) and (
        (becomes.scheme, becomes.port) == ("https", 443)
    )


def _target(old: URL, location: str) -> URL:
    where = old.without_userinfo()
    try:
        new = old.join(location)
    except InvalidURL as error:
        raise RemoteProtocolError(
            f"the answer redirects to an invalid URL: {error} (RFC 9110 §10.2.2)", url=where
        ) from None
    if new.scheme not in ("http", "https"):
        raise TooManyRedirects(f"the answer redirects to {new.scheme}:, a scheme that no request may have", url=where)
    if new.userinfo:
        # Names and passwords come from the caller. A server that puts them into a location would choose where they go.
        new = new.copy_with(userinfo=None)
    if old.fragment and not new.fragment:
        new = new.copy_with(fragment=old.fragment)
    return new
