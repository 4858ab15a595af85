"""Who asks: basic, bearer, digest and netrc credentials, and flows of one's own (RFC 9110 §11)."""

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
    """Base of what gives a request its credentials.

    Write `auth_flow`: a generator that yields requests to be sent, the given one first, and gets the response of each;
    when it returns, the last response is the caller's. Where it has to wait, write `async_auth_flow` instead. With
    `requires_response_body` each response is read before it is handed in; with `requires_request_body` the request's
    content is made octets before the flow begins.
    """

    requires_request_body = False
    requires_response_body = False

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request with its credentials."""
        yield request

    async def async_auth_flow(self, request: ClientRequest) -> AsyncGenerator[ClientRequest, ClientResponse]:
        """The same, for flows that wait."""
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
    """A function that is given each request, and changes it or returns another."""

    def __init__(self, function: Callable[[ClientRequest], ClientRequest | None]) -> None:
        self._function = function

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield what the function makes of the request."""
        yield self._function(request) or request


class BasicAuth(Auth):
    """Name and password in every request, readable for whoever can read the connection (RFC 7617)."""

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        name, secret = octets(username), octets(password)
        if b":" in name:
            raise ValueError("the user name of basic authentication has no colon (RFC 7617 §2)")
        self._value = "Basic " + b64encode(name + b":" + secret).decode("ascii")

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request with its credentials."""
        request.headers["authorization"] = self._value
        yield request


class BearerAuth(Auth):
    """A token in every request (RFC 6750); a function is asked for it each time."""

    def __init__(self, token: str | Callable[[], str]) -> None:
        self._token = token

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request with its token."""
        token = self._token() if callable(self._token) else self._token
        request.headers["authorization"] = f"Bearer {token}"
        yield request


class NetRCAuth(Auth):
    """Name and password of each host from a netrc file: `file`, or that of NETRC, or ~/.netrc.

    Raises OSError or netrc.NetrcParseError when a file is named here that cannot be read; that of the environment may
    be missing. The entry `default` is not used: it would tell its password to every host.
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
    """Raises TypeError for what is no AuthLike."""
    if auth is None or isinstance(auth, Auth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2:
        return BasicAuth(*auth)
    if callable(auth):
        return FunctionAuth(auth)
    raise TypeError(f"auth is a name with a password, an Auth or a function, not {type(auth).__name__}")


def auth_of_url(url: URL) -> Auth | None:
    """The credentials in a URL, which never go out as a part of it."""
    return BasicAuth(url.username, url.password) if url.userinfo else None


def octets(value: str | bytes) -> bytes:
    """Credentials as octets, text as UTF-8."""
    return value if isinstance(value, bytes) else value.encode()
