"""Credentials: basic, bearer, netrc, and the base of digest and of a program's own schemes (RFC 9110 §11)."""

from __future__ import annotations

import netrc
import os
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, TypeAlias

from headrace.client.message.request import ClientRequest
from headrace.client.message.url import URL

if TYPE_CHECKING:
    from headrace.client.message.response import ClientResponse


class Auth:
    """Base of credentials.

    Write `auth_flow`: a generator that yields requests to send, beginning with the given one, and receives the response
    of each. When it returns, the caller gets the last response. Write `async_auth_flow` instead when the flow has to
    wait. With `requires_response_body` the client reads each response before the flow gets it. With
    `requires_request_body` it reads the request's content into bytes before the flow begins.
    """

    requires_request_body = False
    requires_response_body = False

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request with its credentials."""
        yield request

    async def async_auth_flow(self, request: ClientRequest) -> AsyncGenerator[ClientRequest, ClientResponse]:
        """Yield requests as `auth_flow` does; override it in a flow that waits."""
        flow = self.auth_flow(request)
        try:
            sent = next(flow)
            while True:
                response = yield sent
                sent = flow.send(response)
        except StopIteration:
            return
        finally:
            flow.close()


class FunctionAuth(Auth):
    """Credentials from a function that gets each request, and changes it or returns another."""

    def __init__(self, function: Callable[[ClientRequest], ClientRequest | None]) -> None:
        self._function = function

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request that the function returns, or the given one."""
        yield self._function(request) or request


class BasicAuth(Auth):
    """Name and password in every request, readable for everyone who can read the connection (RFC 7617)."""

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        name, secret = as_bytes(username), as_bytes(password)
        if b":" in name:
            raise ValueError("the user name of basic authentication must not have a colon (RFC 7617 §2)")
        self._value = "Basic " + b64encode(name + b":" + secret).decode("ascii")

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request with its credentials."""
        request.headers["authorization"] = self._value
        yield request


class BearerAuth(Auth):
    """A token in every request (RFC 6750). A function is called for it each time."""

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request with its token."""
        token = self._token() if callable(self._token) else self._token
        request.headers["authorization"] = f"Bearer {token}"
        yield request


class NetRCAuth(Auth):
    """Name and password of each host from a netrc file: `file`, or that of NETRC, or ~/.netrc.

    Raises OSError or netrc.NetrcParseError when `file` cannot be read; a file from the environment may be missing. The
    entry `default` is not used: it would give its password to every host.
    """

    def __init__(self, file: str | os.PathLike[str] | None = None) -> None:
        path = os.fspath(file) if file is not None else os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
        self._hosts: dict[str, tuple[str, str, str]] = {}
        if file is not None or os.path.exists(path):
            self._hosts = {
                host: (login or "", account or "", password or "")
                for host, (login, account, password) in netrc.netrc(path).hosts.items()
            }

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request, with credentials when its host has an entry."""
        host = request.url.raw_host.decode()
        entry = self._hosts.get(host) if host != "default" else None
        if entry is not None:
            yield from BasicAuth(entry[0], entry[2]).auth_flow(request)
        else:
            yield request


AuthLike: TypeAlias = Auth | tuple[str | bytes, str | bytes] | Callable[[ClientRequest], ClientRequest | None]
"""Credentials: a name with a password, an Auth, or a function that changes the request or returns another."""


def as_auth(auth: AuthLike | None) -> Auth | None:
    """Return the Auth for an AuthLike, None for None. Raises TypeError for other objects."""
    if auth is None or isinstance(auth, Auth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2:
        return BasicAuth(*auth)
    if callable(auth):
        return FunctionAuth(auth)
    raise TypeError(f"auth must be a name with a password, an Auth or a function, not {type(auth).__name__}")


def auth_of_url(url: URL) -> Auth | None:
    """Return the credentials in a URL, or None. The client never sends them as a part of the URL."""
    return BasicAuth(url.username, url.password) if url.userinfo else None


def as_bytes(value: str | bytes) -> bytes:
    """Return credentials as bytes, text as UTF-8."""
    return value if isinstance(value, bytes) else value.encode()
