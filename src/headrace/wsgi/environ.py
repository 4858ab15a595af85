"""The environ of a WSGI request (PEP 3333, "environ Variables"; RFC 3875 §4.1).

Its text is bytes decoded as latin-1, so that an application can restore every byte with `.encode("latin-1")`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from headrace.wsgi.files import FileWrapper

if TYPE_CHECKING:
    from headrace.server.connection.exchange import ServerExchange
    from headrace.server.connection.service import ServedConnection

_UNDERSCORE: Final = 0x5F
_OWN_NAMES: Final = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}
_DROPPED: Final = frozenset({b"proxy"})
"""Libraries read the outgoing proxy from HTTP_PROXY: a client must not be able to set it (CVE-2016-5385)."""
_NAMES_KEPT: Final = 512

_names: dict[bytes, str] = {}


def environ(exchange: ServerExchange, root_path: str) -> dict[str, Any]:
    """Return the environ of a request, without `wsgi.input`.

    Fields of one name are joined with a comma, of `cookie` with "; ". `Proxy` and fields with an underscore in their
    name are left out; the latter could not be distinguished from those with a hyphen.
    """
    driver = exchange.driver
    base = driver.scope_base
    if base is None:
        base = driver.scope_base = _of_connection(driver, root_path)
    found = base.copy()
    head = exchange.head
    path, _, query = head.path.partition(b"?")
    found["SERVER_PROTOCOL"] = "HTTP/" + head.shared.http_version
    found["REQUEST_METHOD"] = head.method.decode("latin-1")
    found["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1")
    found["QUERY_STRING"] = query.decode("latin-1")
    found["REQUEST_URI"] = found["RAW_URI"] = head.path.decode("latin-1")
    found["wsgi.url_scheme"] = head.scheme.decode("latin-1")
    for name, value in head.headers:
        key = _OWN_NAMES.get(name) or _names.get(name) or _name(name)
        if not key:
            continue
        text = value.decode("latin-1")
        if key in found:
            text = found[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        found[key] = text
    if head.content_length >= 0:
        found["CONTENT_LENGTH"] = str(head.content_length)  # also if it was sent twice
    if head.authority:
        found["HTTP_HOST"] = head.authority.decode("latin-1")  # the value of `host`, present or not (RFC 9113 §8.3.1)
    if found["SERVER_NAME"] is None:
        host, port = _split_authority(found.get("HTTP_HOST", ""))
        found["SERVER_NAME"] = host or "localhost"
        found["SERVER_PORT"] = port or ("443" if head.scheme == b"https" else "80")
    return found


def _of_connection(driver: ServedConnection, root_path: str) -> dict[str, Any]:
    """Return the part of the environ that all requests of a connection share. On a unix socket the server's name comes
    from the request."""
    local, client = driver.local, driver.client
    is_tcp = local is not None and local[1] is not None
    found: dict[str, Any] = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "headrace",
        "SERVER_NAME": local[0] if local is not None and is_tcp else None,
        "SERVER_PORT": str(local[1]) if local is not None and is_tcp else None,
        "SCRIPT_NAME": root_path.encode().decode("latin-1"),
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,  # it ends where the content does, also without a content-length
        "REMOTE_ADDR": client[0] if client is not None else "",
    }
    if client is not None:
        found["REMOTE_PORT"] = str(client[1])
    if driver.scheme == "https":
        found["HTTPS"] = "on"
    return found


def _name(name: bytes) -> str:
    """Return the variable of a field without a variable of its own; empty for a field that is left out. Results are
    remembered, because names recur."""
    key = "" if name in _DROPPED or _UNDERSCORE in name else "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_names) < _NAMES_KEPT:
        _names[name] = key
    return key


def _split_authority(authority: str) -> tuple[str, str]:
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        return authority, ""
    return host, port
