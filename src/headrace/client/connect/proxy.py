"""Proxies, and the choice of one for a request, by configuration or by the environment.

The variables are the usual ones: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; a variable in lower case goes first.
HTTP_PROXY in capitals is ignored in a CGI process, where a client could set it by a field "Proxy" (httpoxy,
CVE-2016-5385). Loopback addresses never go through a proxy of the environment: it could not reach them.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from headrace.client.interface import Origin

if TYPE_CHECKING:
    from headrace.client.connect.tunnel_transport import TunnelTransport
    from headrace.client.interface import Incoming, Outgoing

_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy. `scheme` is the protocol to the proxy: "http" or "https" (CONNECT; requests for http URLs are
    forwarded), or "socks5", "socks5h" (RFC 1928). With both of the latter, the proxy looks up names.

    `username` and `password` are for Basic (RFC 7617), or for SOCKS5 (RFC 1929); `repr` does not show them.
    """

    scheme: str
    host: str
    port: int
    username: bytes | None = field(default=None, repr=False)
    password: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Parse `scheme://[user:password@]host[:port]`; the default scheme is "http". Raises ValueError."""
        given = text if "://" in text else f"http://{text}"
        try:
            parts = urlsplit(given)
            scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"a proxy's URL is invalid: {error}") from None
        if scheme not in _PORTS:
            raise ValueError(f"the scheme {scheme!r} of a proxy is unknown; known are {', '.join(_PORTS)}")
        if not host:
            raise ValueError("a proxy's URL has no host")
        username = None if parts.username is None else unquote_to_bytes(parts.username)
        password = unquote_to_bytes(parts.password or "")
        if scheme.startswith("socks") and max(len(username or b""), len(password)) > 255:
            raise ValueError("the name or password for a SOCKS5 proxy is longer than 255 bytes (RFC 1929 §2)")
        return cls(scheme, host, _PORTS[scheme] if port is None else port, username, password)

    @classmethod
    def of(cls, value: Proxy | str) -> Proxy:
        """Return a proxy for a URL, or the given proxy. Raises ValueError."""
        return value if isinstance(value, Proxy) else cls.parse(value)

    @property
    def is_socks(self) -> bool:
        """Return True for SOCKS5."""
        return self.scheme.startswith("socks")

    @property
    def origin(self) -> Origin:
        """Return the origin of the proxy itself."""
        return Origin(self.scheme, self.host, self.port)

    @property
    def authorization(self) -> bytes | None:
        """Return the value of `proxy-authorization`, or None without a name and password."""
        if self.username is None:
            return None
        return b"Basic " + base64.b64encode(self.username + b":" + self.password)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


ProxyLike: TypeAlias = Proxy | str | Mapping[str, Proxy | str | None]
"""A proxy, or its URL, for all origins; or by scheme: "http", "https" and "all"."""


class Proxies(Protocol):
    """The connections to HTTP proxies: the pool keeps them, and a connector uses them."""

    async def tunnel(self, proxy: Proxy, origin: Origin) -> TunnelTransport:
        """Open a tunnel to `origin` through `proxy`. Raises ProxyError."""
        ...

    async def forward(self, proxy: Proxy, outgoing: Outgoing, *, whole: bool) -> Incoming:
        """Send a request for an "http" URL to `proxy` itself. Raises RequestError."""
        ...

    async def aclose(self) -> None:
        """End all connections to proxies."""
        ...


class ProxyRules:
    """Chooses the proxy for an origin.

    `proxies` has "http", "https" and "all" as keys, by the scheme of the origin; the value None means no proxy.
    `exceptions` are the words of NO_PROXY: "*", a host with its subdomains, with or without a leading dot or a port, an
    address, or a network such as 10.0.0.0/8.
    """

    __slots__ = ("_direct_loopback", "_exceptions", "_proxies")

    def __init__(
        self, proxies: Mapping[str, Proxy | None], exceptions: str = "", *, direct_loopback: bool = False
    ) -> None:
        for key in proxies:
            if key not in ("http", "https", "all"):
                raise ValueError(f"proxies are given for 'http', 'https' or 'all', not for {key!r}")
        self._proxies = dict(proxies)
        self._exceptions = [word.strip().lower() for word in exceptions.split(",") if word.strip()]
        self._direct_loopback = direct_loopback

    @classmethod
    def of(cls, value: ProxyLike | None) -> ProxyRules:
        """Return rules for one proxy for everything, or one per scheme. Raises ValueError."""
        if value is None:
            return cls({})
        if isinstance(value, Mapping):
            return cls({key: None if proxy is None else Proxy.of(proxy) for key, proxy in value.items()})
        return cls({"all": Proxy.of(value)})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ProxyRules:
        """Return the rules that the variables give. Raises ValueError, with the variable's name, for an invalid
        value."""
        proxies: dict[str, Proxy | None] = {}
        for key in ("http", "https", "all"):
            name = f"{key}_proxy"
            value = environment.get(name)
            if value is None and not (key == "http" and "REQUEST_METHOD" in environment):
                name = name.upper()
                value = environment.get(name)
            if value:
                try:
                    proxies[key] = Proxy.parse(value)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        exceptions = environment.get("no_proxy", environment.get("NO_PROXY", ""))
        return cls(proxies, exceptions, direct_loopback=True)

    def choose(self, origin: Origin) -> Proxy | None:
        """Return the proxy for `origin`, or None for a direct connection."""
        key = origin.scheme if origin.scheme in self._proxies else "all"
        proxy = self._proxies.get(key)
        if proxy is None or (self._direct_loopback and _is_loopback(origin.host)):
            return None
        return None if any(_covers(word, origin) for word in self._exceptions) else proxy


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _covers(word: str, origin: Origin) -> bool:
    """Return True when a word of NO_PROXY is for this origin."""
    if word == "*":
        return True
    host, port = origin.host, origin.port or _DEFAULT_PORTS[origin.scheme]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None:
        try:
            return address in ipaddress.ip_network(word.strip("[]"), strict=False)
        except ValueError:
            pass  # it has a port
    name, colon, digits = word.rpartition(":")
    if colon and digits.isascii() and digits.isdigit():
        if int(digits) != port:
            return False
        word = name.strip("[]")
    word = word.removeprefix("*").removeprefix(".")
    if address is not None:
        return host == word
    return host == word or host.endswith(f".{word}")
