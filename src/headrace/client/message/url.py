"""URLs: the grammar of RFC 3986, the leniency of browsers (WHATWG URL), and no URL that two parsers could read in two
ways.

Text is put into normal form once: scheme and host in lower case, the host in IDNA (RFC 5891, UTS 46), percent-encoding
where a character needs it, dot segments resolved, default ports left out. InvalidURL refuses ambiguous text: control
characters, spaces and backslashes before the path, numbers that only some resolvers read as addresses, invalid ports.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import unquote

from headrace.client.errors import InvalidURL
from headrace.client.interface import Origin
from headrace.client.message.host import encode_host, unicode_host
from headrace.client.message.query import ParamsLike, Primitive, QueryParams

MAX_URL_LENGTH: Final = 65_536
CACHED_URLS: Final = 1024
DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}

_WIRE_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PARTS: Final = re.compile(r"(?:([^:/?#]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PORT: Final = re.compile(r"[0-9]{1,5}")

# Characters that must be percent-encoded, by part: the sets of WHATWG URL §1.3. A "%" stays: it begins an escape.
_NOT_IN_PATH: Final = re.compile(r"""[^!$%&'()*+,\-./0-9:;=@A-Z\[\]^_a-z|~]""")
_NOT_IN_QUERY: Final = re.compile(r"""[^!$%&'()*+,\-./0-9:;=?@A-Z\[\\\]^_`a-z{|}~]""")
_NOT_IN_FRAGMENT: Final = re.compile(r"""[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\\\]^_a-z{|}~]""")
_NOT_IN_USERINFO: Final = re.compile(r"""[^!$%&'()*+,\-.0-9A-Z_a-z~]""")
_NOT_IN_NAME: Final = re.compile(
    r"""[^!$&'()*+,\-.0-9A-Z_a-z~]"""
)  # a user name given by itself: "%" is no escape there

_COMPONENTS: Final[dict[str, type | tuple[type, ...]]] = {
    "scheme": str,
    "username": str,
    "password": str,
    "userinfo": bytes,
    "host": str,
    "port": int,
    "netloc": bytes,
    "path": str,
    "query": bytes,
    "raw_path": bytes,
    "fragment": str,
    "params": object,
}


class _Parts(NamedTuple):
    """A URL in normal form, in ASCII. `query` and `fragment` are None when their mark ("?", "#") is missing."""

    scheme: str
    userinfo: str
    host: str  # IPv6 without brackets
    port: int | None
    path: str
    query: str | None
    fragment: str | None


class URL:
    """An absolute or relative URL, immutable and in normal form.

    Give text, as in `URL("https://user:secret@example.org/a b?x=1#top")`, or parts, as in `URL(scheme="https",
    host="example.org", path="/a")`. With both, the parts replace those of the text. A URL is equal to an equal URL and
    to its text. The parts are `scheme`, `username`, `password`, `userinfo`, `host`, `port`, `netloc`, `path`, `query`,
    `raw_path`, `fragment` and `params`; each has the type of its property.

    Raises InvalidURL for text that is not a URL or has two readings, and TypeError for parts with a wrong name or type.
    """

    __slots__ = ("_authority", "_origin", "_parts", "_raw_path", "_text")

    _parts: _Parts
    _text: str
    _raw_path: bytes
    _authority: bytes
    _origin: Origin | None

    def __new__(cls, url: URL | str = "", **components: Any) -> URL:
        """Parse the text, or return the result for the same text from a cache."""
        if isinstance(url, str):
            parsed = _parsed(url)
        elif isinstance(url, URL):
            parsed = url
        else:
            raise TypeError(f"a URL is made of text or of another URL, not of {type(url).__name__}")
        return _replaced(parsed, components) if components else parsed

    @classmethod
    def _of_parts(cls, parts: _Parts) -> URL:
        if parts.path.startswith("//") and not parts.host:
            raise InvalidURL(f"the path {parts.path[:100]!r} of a URL without a host cannot begin with two slashes")
        url: URL = object.__new__(URL)
        target = parts.path or "/"
        bare = parts._replace(
            scheme="", userinfo="", path="", query=None, fragment=None, host=parts.host.partition("%")[0]
        )
        wire = _WIRE_SCHEMES.get(parts.scheme)
        port = parts.port if parts.port is not None else DEFAULT_PORTS.get(parts.scheme, 0)
        for name, value in (
            ("_parts", parts),
            ("_text", _text(parts)),
            ("_raw_path", (target if parts.query is None else f"{target}?{parts.query}").encode("ascii")),
            ("_authority", _text(bare).removeprefix("//").encode("ascii")),
            ("_origin", Origin(wire, parts.host, port) if wire is not None and parts.host else None),
        ):
            object.__setattr__(url, name, value)
        return url

    # -- parts -------------------------------------------------------------------------------------------------

    @property
    def scheme(self) -> str:
        """Return the scheme in lower case, "" when the URL is relative."""
        return self._parts.scheme

    @property
    def raw_scheme(self) -> bytes:
        """Return the scheme as bytes."""
        return self._parts.scheme.encode("ascii")

    @property
    def userinfo(self) -> bytes:
        """Return `name` or `name:password`, percent-encoded."""
        return self._parts.userinfo.encode("ascii")

    @property
    def username(self) -> str:
        """Return the user name, decoded; "" for none."""
        return unquote(self._parts.userinfo.partition(":")[0])

    @property
    def password(self) -> str:
        """Return the password, decoded; "" for none."""
        return unquote(self._parts.userinfo.partition(":")[2])

    @property
    def host(self) -> str:
        """Return the host for people: in Unicode, IPv6 without brackets; "" when the URL is relative."""
        return unicode_host(self._parts.host)

    @property
    def raw_host(self) -> bytes:
        """Return the host as DNS looks it up: IDNA, lower case, IPv6 without brackets."""
        return self._parts.host.encode("ascii")

    @property
    def port(self) -> int | None:
        """Return the port, or None for the scheme's default."""
        return self._parts.port

    @property
    def netloc(self) -> bytes:
        """Return host and port as they stand in the field `host`: without user, with brackets around IPv6, without
        zone."""
        return self._authority

    @property
    def path(self) -> str:
        """Return the path, decoded; "/" when it is empty."""
        return unquote(self._parts.path or "/")

    @property
    def query(self) -> bytes:
        """Return the query, percent-encoded, without "?"; empty for none."""
        return (self._parts.query or "").encode("ascii")

    @property
    def params(self) -> QueryParams:
        """Return the query's parameters."""
        return QueryParams(self._parts.query or "")

    @property
    def raw_path(self) -> bytes:
        """Return path and query as they stand in a request."""
        return self._raw_path

    @property
    def fragment(self) -> str:
        """Return the fragment, decoded, without "#". The client never sends it."""
        return unquote(self._parts.fragment or "")

    @property
    def is_absolute_url(self) -> bool:
        """Return True when there are scheme and host."""
        return bool(self._parts.scheme and self._parts.host)

    @property
    def is_relative_url(self) -> bool:
        """Return True when scheme or host is missing."""
        return not self.is_absolute_url

    @property
    def origin(self) -> Origin:
        """Return the origin that requests go to: "http" or "https" (also for ws and wss), host and port (RFC 9110
        §4.3.1).

        Raises InvalidURL for a relative URL, and for schemes that HTTP does not carry.
        """
        if self._origin is None:
            parts = self._parts
            if not parts.scheme or not parts.host:
                raise InvalidURL(f"{self._text!r} is not absolute: a request needs scheme and host, as in https://…")
            raise InvalidURL(f"the scheme of {self!r} is not http, https, ws or wss")
        return self._origin

    # -- others made of it -------------------------------------------------------------------------------------

    def copy_with(self, **components: Any) -> URL:
        """Return a copy with some parts replaced; None removes a part. Raises as `URL` does."""
        return _replaced(self, components)

    def copy_set_param(self, name: str, value: Primitive = None) -> URL:
        """Return a copy with one value of this query parameter."""
        return _with_params(self, self.params.set(name, value))

    def copy_add_param(self, name: str, value: Primitive = None) -> URL:
        """Return a copy with one more value of this query parameter."""
        return self._with_more(QueryParams([(name, value)]))

    def copy_remove_param(self, name: str) -> URL:
        """Return a copy without this query parameter."""
        return _with_params(self, self.params.remove(name))

    def copy_merge_params(self, params: ParamsLike | None) -> URL:
        """Return a copy with these query parameters, which replace those of the same name. The rest stays unchanged."""
        new = QueryParams(params)
        if not new:
            return self
        if self._parts.query and not set(self.params).isdisjoint(new):
            return _with_params(self, self.params.merge(new))
        return self._with_more(new)

    def _with_more(self, params: QueryParams) -> URL:
        query = self._parts.query
        return URL._of_parts(self._parts._replace(query=f"{query}&{params}" if query else str(params)))

    def join(self, url: URL | str) -> URL:
        """Resolve a reference against this URL (RFC 3986 §5.2). Raises InvalidURL."""
        target = URL(url)._parts
        base = self._parts
        if target.scheme:
            return URL(url)
        if target.host:
            return URL._of_parts(target._replace(scheme=base.scheme, port=_known_port(base.scheme, target.port)))
        if not target.path:
            query = base.query if target.query is None else target.query
            return URL._of_parts(base._replace(query=query, fragment=target.fragment))
        if target.path.startswith("/"):
            path = target.path
        elif base.host and not base.path:
            path = "/" + target.path
        else:
            path = base.path[: base.path.rfind("/") + 1] + target.path
        return URL._of_parts(base._replace(path=_without_dots(path), query=target.query, fragment=target.fragment))

    # -- as a value --------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self._text

    def without_userinfo(self) -> str:
        """Return the URL as text for messages and logs, without user and password."""
        return self._text if not self._parts.userinfo else _text(self._parts._replace(userinfo=""))

    def __repr__(self) -> str:
        name, colon, _ = self._parts.userinfo.partition(":")
        parts = self._parts._replace(userinfo=f"{name}:[secure]") if colon else self._parts
        return f"URL({_text(parts)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, URL):
            return self._text == other._text
        if isinstance(other, str):
            try:
                return self._text == URL(other)._text
            except InvalidURL:
                return False
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a URL does not change; make another with copy_with({name}=...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a URL does not change")

    def __reduce__(self) -> tuple[type[URL], tuple[str]]:
        return URL, (self._text,)


# -- reading


@lru_cache(CACHED_URLS)
def _parsed(text: str) -> URL:
    _check_text("the URL", text)
    if text.startswith(" "):
        raise InvalidURL(f"the URL {_short(text)} begins with a space")
    match = _PARTS.fullmatch(text)
    assert match is not None  # every part of the pattern may be empty, and together they match any text
    scheme, authority, path, query, fragment = match.groups()
    if scheme is not None and not _SCHEME.fullmatch(scheme):
        raise InvalidURL(f"the URL {_short(text)} has {scheme[:50]!r} in place of a scheme")
    userinfo, host, port = _read_authority(authority or "", text)
    return URL._of_parts(_checked(scheme or "", userinfo, host, port, path, query, fragment))


def _read_authority(authority: str, text: str) -> tuple[str, str, str | None]:
    if "\\" in authority:
        # Browsers read it as "/": a host behind it would be a part of the path there.
        raise InvalidURL(f"the URL {_short(text)} has a backslash before its path")
    userinfo, _, rest = authority.rpartition("@")
    host, bracket, after = rest.rpartition("]")
    if bracket:
        if after and not after.startswith(":"):
            raise InvalidURL(f"the URL {_short(text)} has {after[:50]!r} after its host")
        return userinfo, host + bracket, after[1:]
    host, _, port = rest.partition(":")
    return userinfo, host, port


def _checked(
    scheme: str,
    userinfo: str,
    host: str,
    port: str | None,
    path: str,
    query: str | None,
    fragment: str | None,
) -> _Parts:
    """Return the parts in normal form. Raises InvalidURL."""
    scheme = scheme.lower()
    host = encode_host(host)
    if not host and (userinfo or port or scheme in _WIRE_SCHEMES):
        raise InvalidURL(f"there is no host in the URL {scheme}://{path[:100]}")
    if host and path and not path.startswith("/"):
        raise InvalidURL(f"the path {path[:100]!r} of a URL with a host must begin with a slash")
    path = _encoded(_NOT_IN_PATH, path)
    if scheme or host:
        path = _without_dots(path)
    return _Parts(
        scheme,
        ":".join(_encoded(_NOT_IN_USERINFO, each) for each in userinfo.split(":", 1)),
        host,
        _known_port(scheme, _port_number(port)),
        path,
        None if query is None else _encoded(_NOT_IN_QUERY, query),
        None if fragment is None else _encoded(_NOT_IN_FRAGMENT, fragment),
    )


def _check_text(what: str, text: str) -> None:
    if len(text) > MAX_URL_LENGTH:
        raise InvalidURL(f"{what} has {len(text)} characters; the most is {MAX_URL_LENGTH}")
    control = _CONTROL.search(text)
    if control is not None:
        raise InvalidURL(f"{what} {_short(text)} has a control character, {control[0]!r}, at {control.start()}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidURL(f"{what} {_short(text)} has half a surrogate pair at {error.start}") from None


def _port_number(port: str | None) -> int | None:
    if not port:
        return None
    if not _PORT.fullmatch(port) or int(port) > 65_535:
        raise InvalidURL(f"{port[:50]!r} is not a valid port: a port is a number up to 65535")
    return int(port)


def _known_port(scheme: str, port: int | None) -> int | None:
    return None if port == DEFAULT_PORTS.get(scheme) else port


def _without_dots(path: str) -> str:
    """Resolve "." and ".." (RFC 3986 §5.2.4)."""
    if "." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            if len(kept) > 1 or (kept and kept[0]):
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    text = "/".join(kept)
    return text if text.startswith("/") or not path.startswith("/") else "/" + text


def _encoded(unsafe: re.Pattern[str], text: str) -> str:
    return unsafe.sub(_percent, text)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{octet:02X}" for octet in match[0].encode("utf-8"))


def _short(text: str) -> str:
    """Return text for a message; a possible password is left out."""
    scheme, slashes, rest = text.partition("//")
    authority, slash, path = rest.partition("/")
    text = f"{scheme}//…@{authority.rpartition('@')[2]}{slash}{path}" if slashes and "@" in authority else text
    return repr(text if len(text) <= 100 else text[:100] + "…")


# -- making


def _text(parts: _Parts) -> str:
    scheme, userinfo, host, port, path, query, fragment = parts
    if host:
        name = f"[{host.replace('%', '%25')}]" if ":" in host else host
        path = f"//{userinfo + '@' if userinfo else ''}{name}{'' if port is None else f':{port}'}{path}"
    return (
        f"{scheme + ':' if scheme else ''}{path}{'' if query is None else f'?{query}'}"
        f"{'' if fragment is None else f'#{fragment}'}"
    )


def _with_params(url: URL, params: QueryParams) -> URL:
    return URL._of_parts(url._parts._replace(query=str(params) if params else None))


def _replaced(url: URL, components: dict[str, Any]) -> URL:
    """Return a URL with some parts replaced by those that the caller named."""
    given: dict[str, Any] = {}
    for name, value in components.items():
        kind = _COMPONENTS.get(name)
        if kind is None:
            raise TypeError(f"a URL has no part {name!r}; it has {', '.join(_COMPONENTS)}")
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            assert isinstance(kind, type)
            raise TypeError(f"the part {name} of a URL is {kind.__name__}, not {type(value).__name__}")
        given[name] = value.decode("latin-1") if isinstance(value, bytes) and name != "params" else value
        if isinstance(given[name], str) and name != "params":
            _check_text(f"the part {name} of a URL,", given[name])
    old = url._parts
    scheme: str = given["scheme"] or "" if "scheme" in given else old.scheme
    if scheme and not _SCHEME.fullmatch(scheme):
        raise InvalidURL(f"{scheme[:50]!r} is not a valid scheme (RFC 3986 §3.1)")
    host = f"[{old.host.replace('%', '%25')}]" if ":" in old.host else old.host
    port = None if old.port is None else str(old.port)
    if "netloc" in given:
        _, host, port = _read_authority(given["netloc"] or "", given["netloc"] or "")
    if "host" in given:
        host = given["host"] or ""
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
    if "port" in given:
        port = None if given["port"] is None else str(given["port"])
    userinfo = given["userinfo"] or "" if "userinfo" in given else old.userinfo
    if "username" in given or "password" in given:
        name, _, password = userinfo.partition(":")
        name = _encoded(_NOT_IN_NAME, given["username"] or "") if "username" in given else name
        password = _encoded(_NOT_IN_NAME, given["password"] or "") if "password" in given else password
        userinfo = f"{name}:{password}" if password else name
    path: str = given["path"] or "" if "path" in given else old.path
    query: str | None = given.get("query", old.query)
    if "raw_path" in given:
        path, mark, query = (given["raw_path"] or "").partition("?")
        query = query if mark else None
    if "?" in path or "#" in path:
        raise InvalidURL(f"the path {path[:100]!r} of a URL has a question mark or a number sign; write %3F or %23")
    if query is not None and "#" in query:
        raise InvalidURL(f"the query {query[:100]!r} of a URL has a number sign; write %23")
    if "params" in given:
        params = QueryParams(given["params"] or None)
        query = str(params) if params else None
    fragment = given.get("fragment", old.fragment)
    return URL._of_parts(_checked(scheme, userinfo, host, port, path, query, fragment))
