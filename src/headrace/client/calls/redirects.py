"""Where a redirect leads, and what goes along (RFC 9110 §15.4)."""

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
"""What is said to one origin alone, besides the names that tell by themselves that they are secrets."""


def redirected(request: ClientRequest, status: int, location: str) -> ClientRequest:
    """The request that a redirect asks for.

    POST becomes GET for 301 and 302 as it does in browsers, and everything but HEAD becomes GET for 303; else method
    and content stay. To another origin go no credentials: neither `authorization` nor `cookie`, nor a field whose name
    says that it is a secret (`hpack.secrets`: x-api-key, x-auth-token and their like), nor `last-event-id`; user
    information in the location is left out. Raises TooManyRedirects where no request may go, RemoteProtocolError for a
    location that is no URL, and BodyConsumed when the content cannot be sent again.
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
            " used up; give the octets, a file, or a function that makes a new iterator",
            url=old.without_userinfo(),
        )
    if not may_keep_credentials(old, target):
        for key in {name for name, _ in headers._pairs if name in _OF_ORIGIN or is_secret(name)}:
            del headers[key.decode()]
    return new


def may_keep_credentials(old: URL, new: URL) -> bool:
    """True within one origin, and from http to https of the same host at the default ports."""
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
            f"the answer redirects to what is no URL: {error} (RFC 9110 §10.2.2)", url=where
        ) from None
    if new.scheme not in ("http", "https"):
        raise TooManyRedirects(f"the answer redirects to {new.scheme}:, where no request may go", url=where)
    if new.userinfo:
        # Names and passwords are the caller's to give. Those that a server puts there would go to whom it chooses.
        new = new.copy_with(userinfo=None)
    if old.fragment and not new.fragment:
        new = new.copy_with(fragment=old.fragment)
    return new
