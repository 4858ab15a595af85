"""The grammar of URLs: text becomes parts in normal form, and parts become text (RFC 3986, WHATWG URL)."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from headrace.client.errors import InvalidURL
from headrace.client.message.url_parts.host import encode_host
from headrace.client.message.url_parts.query import QueryParams

MAX_URL_LENGTH: Final = 65_536
DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}

WIRE_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_URL: Final = re.compile(r"(?:([^:/?#]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
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


class Parts(NamedTuple):
    """A URL in normal form, in ASCII. `query` and `fragment` are None when their mark ("?", "#") is missing."""

    scheme: str
    userinfo: str
    host: str  # IPv6 without brackets
    port: int | None
    path: str
    query: str | None
    fragment: str | None


def parse(text: str) -> Parts:
    """Return the parts of a URL's text, in normal form. Raises InvalidURL."""
    _check_text("the URL", text)
    if text.startswith(" "):
        raise InvalidURL(f"the URL {_short(text)} begins with a space")
    match = _URL.fullmatch(text)
    assert match is not None  # every part of the pattern may be empty, and together they match any text
    scheme, authority, path, query, fragment = match.groups()
    if scheme is not None and not _SCHEME.fullmatch(scheme):
        raise InvalidURL(f"the URL {_short(text)} has {scheme[:50]!r} in place of a scheme")
    userinfo, host, port = _read_authority(authority or "", text)
    return _checked(scheme or "", userinfo, host, port, path, query, fragment)


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
) -> Parts:
    """Return the parts in normal form. Raises InvalidURL."""
    scheme = scheme.lower()
    host = encode_host(host)
    if not host and (userinfo or port or scheme in WIRE_SCHEMES):
        raise InvalidURL(f"there is no host in the URL {scheme}://{path[:100]}")
    if host and path and not path.startswith("/"):
        raise InvalidURL(f"the path {path[:100]!r} of a URL with a host must begin with a slash")
    path = _encoded(_NOT_IN_PATH, path)
    if scheme or host:
        path = _without_dots(path)
    return Parts(
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
    """Return the port, or None when it is the scheme's default."""
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
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8"))


def _short(text: str) -> str:
    """Return text for a message; a possible password is left out."""
    scheme, slashes, rest = text.partition("//")
    authority, slash, path = rest.partition("/")
    text = f"{scheme}//…@{authority.rpartition('@')[2]}{slash}{path}" if slashes and "@" in authority else text
    return repr(text if len(text) <= 100 else text[:100] + "…")


# -- parts of text, and text of parts


def text_of(parts: Parts) -> str:
    """Return the text of a URL's parts."""
    scheme, userinfo, host, port, path, query, fragment = parts
    if host:
        name = f"[{host.replace('%', '%25')}]" if ":" in host else host
        path = f"//{userinfo + '@' if userinfo else ''}{name}{'' if port is None else f':{port}'}{path}"
    return (
        f"{scheme + ':' if scheme else ''}{path}{'' if query is None else f'?{query}'}"
        f"{'' if fragment is None else f'#{fragment}'}"
    )


def replace_parts(old: Parts, components: dict[str, Any]) -> Parts:
    """Return parts with some replaced by the named components. Raises InvalidURL, and TypeError for a wrong name or
    type."""
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
    return _checked(scheme, userinfo, host, port, path, query, fragment)


def resolve(base: Parts, target: Parts) -> Parts:
    """Return a reference without a scheme, resolved against a base (RFC 3986 §5.2)."""
    if target.host:
        return target._replace(scheme=base.scheme, port=_known_port(base.scheme, target.port))
    if not target.path:
        query = base.query if target.query is None else target.query
        return base._replace(query=query, fragment=target.fragment)
    if target.path.startswith("/"):
        path = target.path
    elif base.host and not base.path:
        path = "/" + target.path
    else:
        path = base.path[: base.path.rfind("/") + 1] + target.path
    return base._replace(path=_without_dots(path), query=target.query, fragment=target.fragment)
