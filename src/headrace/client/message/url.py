"""URLs: the grammar of RFC 3986, the leniency of browsers (WHATWG URL), and no URL that two parsers could read in two
ways.

Text is put into normal form once: scheme and host in lower case, the host in IDNA (RFC 5891, UTS 46), percent-encoding
where a character needs it, dot segments resolved, default ports left out. InvalidURL refuses ambiguous text: control
characters, spaces and backslashes before the path, numbers that only some resolvers read as addresses, invalid ports.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NoReturn
from urllib.parse import unquote

from headrace.client.errors import InvalidURL
from headrace.client.interface import Origin
from headrace.client.message.url_parts.grammar import (
    DEFAULT_PORTS,
    WIRE_SCHEMES,
    Parts,
    parse,
    replace_parts,
    resolve,
    text_of,
)
from headrace.client.message.url_parts.host import unicode_host
from headrace.client.message.url_parts.query import ParamsLike, Primitive, QueryParams

CACHED_URLS: Final = 1024


class URL:
    """An absolute or relative URL, immutable and in normal form.

    Give text, as in `URL("https://user:secret@example.org/a b?x=1#top")`, or parts, as in `URL(scheme="https",
    host="example.org", path="/a")`. With both, the parts replace those of the text. A URL is equal to an equal URL and
    to its text. The parts are `scheme`, `username`, `password`, `userinfo`, `host`, `port`, `netloc`, `path`, `query`,
    `raw_path`, `fragment` and `params`; each has the type of its property.

    Raises InvalidURL for text that is not a URL or has two readings, and TypeError for parts with a wrong name or type.
    """

    __slots__ = ("_authority", "_origin", "_parts", "_raw_path", "_text")

    _parts: Parts
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
        return URL._of_parts(replace_parts(parsed._parts, components)) if components else parsed

    @classmethod
    def _of_parts(cls, parts: Parts) -> URL:
        if parts.path.startswith("//") and not parts.host:
            raise InvalidURL(f"the path {parts.path[:100]!r} of a URL without a host cannot begin with two slashes")
        if not parts.scheme and not parts.host and ":" in parts.path.partition("/")[0]:
            parts = parts._replace(path="./" + parts.path)  # else it would be read as a scheme (RFC 3986 §4.2)
        url: URL = object.__new__(URL)
        target = parts.path or "/"
        bare = parts._replace(
            scheme="", userinfo="", path="", query=None, fragment=None, host=parts.host.partition("%")[0]
        )
        wire = WIRE_SCHEMES.get(parts.scheme)
        port = parts.port if parts.port is not None else DEFAULT_PORTS.get(parts.scheme, 0)
        for name, value in (
            ("_parts", parts),
            ("_text", text_of(parts)),
            ("_raw_path", (target if parts.query is None else f"{target}?{parts.query}").encode("ascii")),
            ("_authority", text_of(bare).removeprefix("//").encode("ascii")),
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

    # -- copies with changes -----------------------------------------------------------------------------------

    def copy_with(self, **components: Any) -> URL:
        """Return a copy with some parts replaced; None removes a part. Raises as `URL` does."""
        return URL._of_parts(replace_parts(self._parts, components))

    def copy_set_param(self, name: str, value: Primitive = None) -> URL:
        """Return a copy with one value of this query parameter."""
        return self._with_query(self.params.set(name, value))

    def copy_add_param(self, name: str, value: Primitive = None) -> URL:
        """Return a copy with one more value of this query parameter."""
        return self._with_more(QueryParams([(name, value)]))

    def copy_remove_param(self, name: str) -> URL:
        """Return a copy without this query parameter."""
        return self._with_query(self.params.remove(name))

    def copy_merge_params(self, params: ParamsLike | None) -> URL:
        """Return a copy with these query parameters, which replace those of the same name. The rest stays unchanged."""
        new = QueryParams(params)
        if not new:
            return self
        if self._parts.query and not set(self.params).isdisjoint(new):
            return self._with_query(self.params.merge(new))
        return self._with_more(new)

    def _with_query(self, params: QueryParams) -> URL:
        return URL._of_parts(self._parts._replace(query=str(params) if params else None))

    def _with_more(self, params: QueryParams) -> URL:
        query = self._parts.query
        return URL._of_parts(self._parts._replace(query=f"{query}&{params}" if query else str(params)))

    def join(self, url: URL | str) -> URL:
        """Resolve a reference against this URL (RFC 3986 §5.2). Raises InvalidURL."""
        target = URL(url)
        return target if target._parts.scheme else URL._of_parts(resolve(self._parts, target._parts))

    # -- as a value --------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return self._text

    def without_userinfo(self) -> str:
        """Return the URL as text for messages and logs, without user and password."""
        return self._text if not self._parts.userinfo else text_of(self._parts._replace(userinfo=""))

    def __repr__(self) -> str:
        name, colon, _ = self._parts.userinfo.partition(":")
        parts = self._parts._replace(userinfo=f"{name}:[secure]") if colon else self._parts
        return f"URL({text_of(parts)!r})"

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


@lru_cache(CACHED_URLS)
def _parsed(text: str) -> URL:
    return URL._of_parts(parse(text))
