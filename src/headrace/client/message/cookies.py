"""Cookies, kept by `http.cookiejar` under rules that are a little stricter than its own (RFC 6265)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from http.cookiejar import Cookie, CookieJar, DefaultCookiePolicy
from typing import Any, Final, TypeAlias

from headrace.client.errors import ClientError
from headrace.client.interface import Pairs
from headrace.client.message.headers import Headers
from headrace.client.message.set_cookie import keep
from headrace.client.message.url import URL
from headrace.engine.fields import is_field_value, is_token

MAX_COOKIE: Final = 4096
MAX_COOKIES_PER_DOMAIN: Final = 180
MAX_COOKIES: Final = 3000
"""Most cookies that a jar keeps, as in browsers: a server cannot fill memory, or every later request, with cookies."""


class CookieConflict(ClientError, KeyError):
    """Raised when several cookies have the name; name the domain or the path as well."""


class Cookies(MutableMapping[str, str]):
    """Cookies of any number of sites; as a mapping, names and values.

    The client sends each cookie only where it belongs: to its domain and path, and over TLS when it is marked secure. A
    cookie that the program set without a domain goes to every site that the program asks; when a server redirects from
    there to another origin, the cookie stays behind. `jar` is the `http.cookiejar.CookieJar` that holds the cookies. A
    jar that the caller gives is used unchanged, with its own policy.
    """

    __slots__ = ("jar",)

    def __init__(self, cookies: CookiesLike | None = None) -> None:
        if isinstance(cookies, CookieJar):
            self.jar: CookieJar = cookies
            return
        self.jar = _Jar(_Policy(strict_domain=True, strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain))
        if cookies is not None:
            self.update(cookies)

    def set(self, name: str, value: str, domain: str = "", path: str = "/") -> None:
        """Set a cookie. Raises ValueError for a name or value that would mean something else on the wire."""
        if not name.isascii() or not is_token(name.encode()):
            raise ValueError(f"{name!r} is not a valid name of a cookie (RFC 6265 §4.1.1)")
        if ";" in value or not is_field_value(value.encode()):
            raise ValueError(
                f"the value of the cookie {name!r} has a semicolon, a control character or spaces around it"
            )
        self.jar.set_cookie(
            Cookie(
                version=0,
                name=name,
                value=value,
                port=None,
                port_specified=False,
                domain=domain,
                domain_specified=bool(domain),
                domain_initial_dot=domain.startswith("."),
                path=path,
                path_specified=bool(path),
                secure=False,
                expires=None,
                discard=True,
                comment=None,
                comment_url=None,
                rest={},
                rfc2109=False,
            )
        )

    def get(self, name: str, default: Any = None, domain: str | None = None, path: str | None = None) -> Any:
        """Return the value of a cookie, or `default`. Raises CookieConflict when several cookies of the name have
        different values."""
        found = {cookie.value or "" for cookie in self._matching(name, domain, path)}
        if len(found) > 1:
            raise CookieConflict(f"several cookies have the name {name!r}; name the domain or the path")
        return found.pop() if found else default

    def delete(self, name: str, domain: str | None = None, path: str | None = None) -> None:
        """Forget the cookies of a name. Raises KeyError when there is none."""
        found = self._matching(name, domain, path)
        if not found:
            raise KeyError(name)
        for cookie in found:
            self.jar.clear(cookie.domain, cookie.path, cookie.name)

    def clear(self, domain: str | None = None, path: str | None = None) -> None:
        """Forget all cookies, or those of a domain, or of a path in it."""
        for cookie in self._all():
            if domain in (None, cookie.domain) and path in (None, cookie.path):
                self.jar.clear(cookie.domain, cookie.path, cookie.name)

    def update(self, cookies: CookiesLike | None = None, /, **named: str) -> None:  # type: ignore[override] # not keys alone
        """Copy the cookies of another jar, mapping or pairs into this one."""
        if isinstance(cookies, Cookies):
            cookies = cookies.jar
        if isinstance(cookies, CookieJar):
            for cookie in _all_of(cookies):
                self.jar.set_cookie(cookie)
        elif cookies is not None:
            for name, value in cookies.items() if isinstance(cookies, Mapping) else cookies:
                self.set(name, value)
        for name, value in named.items():
            self.set(name, value)

    def _all(self) -> list[Cookie]:
        return _all_of(self.jar)

    def _matching(self, name: str, domain: str | None, path: str | None) -> list[Cookie]:
        return [
            cookie
            for cookie in self._all()
            if cookie.name == name and domain in (None, cookie.domain) and path in (None, cookie.path)
        ]

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.delete(name)

    def __iter__(self) -> Iterator[str]:
        return iter({cookie.name: None for cookie in self._all()})

    def __len__(self) -> int:
        return len(self._all())

    def __bool__(self) -> bool:
        return bool(self._all())

    def __repr__(self) -> str:
        # Values are left out: most are secrets.
        shown = [f"{cookie.name} for {cookie.domain or 'any site'}" for cookie in self._all()]
        return f"Cookies({', '.join(shown)})"

    # -- methods for the client --------------------------------------------------------------------------------

    def extract(self, url: URL, headers: Pairs) -> None:
        """Keep the cookies that a response from this URL sets, as far as the policy allows."""
        values = [pair for pair in headers if pair[0] == b"set-cookie"]
        if values:
            asked = _Asked(url)
            for value in Headers.received(values).get_list("set-cookie"):
                keep(self.jar, value, asked)

    def header_for(self, url: URL, is_led_away: bool = False) -> str:
        """Return the value of the field `cookie` for a request to this URL, "" for none. `is_led_away` says that a
        server has redirected the request to another origin: cookies without a domain belong to the sites that the
        caller asks, and stay behind."""
        asked = _Asked(url)
        jar = self.jar
        if is_led_away:
            jar = CookieJar(self.jar._policy)  # type: ignore[attr-defined]
            for cookie in self._all():
                if cookie.domain:
                    jar.set_cookie(cookie)
        jar.add_cookie_header(asked)  # type: ignore[arg-type] # it has all methods that the jar calls
        return asked.cookie


CookiesLike: TypeAlias = Cookies | CookieJar | Mapping[str, str] | Iterable[tuple[str, str]]
"""Cookies: a jar, or names and values as a mapping or pairs."""


class _Policy(DefaultCookiePolicy):
    """The rules that the standard library's policy leaves out: prefixes, and secure cookies that arrive over cleartext
    (RFC 6265bis §5.6)."""

    def set_ok(self, cookie: Cookie, request: Any) -> bool:
        name = cookie.name.lower()
        if len(cookie.name) + len(cookie.value or "") > MAX_COOKIE:
            return False
        if cookie.secure and request.type != "https":
            return False
        if name.startswith(("__secure-", "__host-")) and not cookie.secure:
            return False
        if name.startswith("__host-") and (cookie.domain_specified or cookie.path != "/"):
            return False
        return super().set_ok(cookie, request)

    def set_ok_domain(self, cookie: Cookie, request: Any) -> bool:
        if cookie.domain_specified:
            domain = cookie.domain.removeprefix(".")
            if _is_address(request.host):
                return False  # an address has no domain: its cookies belong to it alone (RFC 6265 §5.1.3)
            if "." not in domain.strip("."):
                return False  # a domain such as `local` or `com.`, treated as a public suffix (RFC 6265 §5.3, step 5)
            if not _domain_matches(request.host, domain):
                return False  # the base class treats `localhost` as `localhost.local`
        return super().set_ok_domain(cookie, request)

    def return_ok_domain(self, cookie: Cookie, request: Any) -> bool:
        # without a domain, the program has set it
        return not cookie.domain or super().return_ok_domain(cookie, request)


class _Jar(CookieJar):
    """A jar with a limit on its cookies, in which an attacker on the network cannot replace a secure cookie."""

    def set_cookie_if_ok(self, cookie: Cookie, request: Any) -> None:
        with self._cookies_lock:  # type: ignore[attr-defined] # nothing runs between check and change
            if request.type == "https" or not self._hides_a_secure_one(cookie):
                super().set_cookie_if_ok(cookie, request)

    def _hides_a_secure_one(self, cookie: Cookie) -> bool:
        """Return True when a cookie that arrived over cleartext would replace a secure one, or be sent beside it and be
        taken for it. Such a cookie is refused (the draft RFC 6265bis, storage model; RFC 6265 has no such rule)."""
        domain = cookie.domain.removeprefix(".")
        kept: dict[str, dict[str, dict[str, Cookie]]] = self._cookies  # type: ignore[attr-defined]
        for each, paths in kept.items():
            other = each.removeprefix(".")
            if other and (_domain_matches(domain, other) or _domain_matches(other, domain)):
                for path, names in paths.items():
                    found = names.get(cookie.name)
                    if found is None or not found.secure or found.is_expired():
                        continue
                    if _path_matches(cookie.path, path):
                        return True
        return False

    def set_cookie(self, cookie: Cookie) -> None:
        # Looked up by domain, path and name, as the base class stores them. A walk through all cookies for each new one
        # would let a server that sets many keep the client busy.
        kept: dict[str, dict[str, dict[str, Cookie]]] = self._cookies  # type: ignore[attr-defined]
        own = kept.get(cookie.domain, {})
        if cookie.name not in own.get(cookie.path, {}) and (
            sum(map(len, own.values())) >= MAX_COOKIES_PER_DOMAIN
            or sum(len(names) for paths in kept.values() for names in paths.values()) >= MAX_COOKIES
        ):
            return
        super().set_cookie(cookie)


class _Asked:
    """A request in the form that `http.cookiejar` reads."""

    def __init__(self, url: URL) -> None:
        self.cookie = ""
        self.host = url.origin.host
        self.type = url.origin.scheme
        self.unverifiable = False
        self.origin_req_host = self.host
        self._url = url

    def get_full_url(self) -> str:
        return f"{self.type}://{self._url.netloc.decode()}{self._url.raw_path.decode()}"

    def has_header(self, name: str) -> bool:
        return name.lower() == "cookie" and bool(self.cookie)

    def get_header(self, name: str, default: Any = None) -> Any:
        return default

    def header_items(self) -> Iterable[tuple[str, str]]:
        return []

    def add_unredirected_header(self, name: str, value: str) -> None:
        if name.lower() == "cookie":
            self.cookie = value


def _domain_matches(host: str, domain: str) -> bool:
    """Return True when `host` is `domain` or lies below it (RFC 6265 §5.1.3). Neither begins with a dot; the caller has
    excluded hosts that are addresses."""
    return host == domain or host.endswith(f".{domain}")


def _path_matches(path: str, kept: str) -> bool:
    """Return True when a cookie for `kept` belongs to `path` (RFC 6265 §5.1.4)."""
    return path == kept or (path.startswith(kept) and (kept.endswith("/") or path[len(kept)] == "/"))


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _all_of(jar: CookieJar) -> list[Cookie]:
    """Return the cookies of this moment. A response in the thread of another event loop may set more meanwhile."""
    with jar._cookies_lock:  # type: ignore[attr-defined] # the jar's methods take the lock, its iterator does not
        return list(jar)


def cookie_field(cookies: CookiesLike) -> str:
    """Return names and values as the value of the field `cookie`, for one request. Raises ValueError as `Cookies.set`
    does."""
    given = cookies if isinstance(cookies, Cookies) else Cookies(cookies)
    return "; ".join(
        cookie.name if cookie.value is None else f"{cookie.name}={cookie.value}" for cookie in given._all()
    )
