"""The fields that a proxy removes from a message, and those it adds (RFC 9110 §6.5.1, §7.6.1, RFC 7239)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from headrace.server.handlers.headers import FieldList

ForwardedKind = Literal["x-forwarded", "forwarded", "none"]

# RFC 9110 §7.6.1 and §11.7: of one connection only, in every message. `expect` is forwarded: the next hop decides.
_HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"te",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)
_REWRITTEN: Final = frozenset((b"host", b"content-length"))  # the client writes these by itself
_HANDSHAKE: Final = frozenset((b"sec-websocket-key", b"sec-websocket-accept"))  # of one connection, too (RFC 8441 §5)
_OF_REQUESTS: Final = _HOP_BY_HOP | _HANDSHAKE | _REWRITTEN
_OF_RESPONSES: Final = _HOP_BY_HOP | _HANDSHAKE
# The client, its scheme and its host, besides the fields whose names begin with x-forwarded-.
_FORWARDED: Final = frozenset((b"forwarded", b"x-real-ip"))
_FORWARDED_PREFIX: Final = b"x-forwarded-"
# RFC 9110 §6.5.1: fields that must be known before the content, and mean nothing, or too much, behind it. Framing and
# routing; authentication and the like; modifiers of requests; controls of responses; the content's format.
_NOT_IN_TRAILERS: Final = (
    _OF_REQUESTS
    | _FORWARDED
    | frozenset(
        (
            *(b"trailer", b"max-forwards", b"via"),
            *(b"authorization", b"cookie", b"set-cookie", b"www-authenticate", b"authentication-info"),
            *(b"origin", b"referer"),
            *(b"cache-control", b"expect", b"pragma", b"range", b"priority"),
            *(b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"),
            *(b"age", b"date", b"expires", b"location", b"retry-after", b"vary", b"warning", b"allow"),
            *(b"content-encoding", b"content-language", b"content-location", b"content-range", b"content-type"),
            *(b"strict-transport-security", b"content-security-policy", b"alt-svc"),
        )
    )
)


def end_to_end(headers: Sequence[tuple[bytes, bytes]], *, is_request: bool) -> FieldList:
    """Return the fields to forward: without connection fields, and without those that `connection` names; of a request
    also without those that CGI and similar interfaces could confuse with them: `content_length`."""
    dropped = _OF_REQUESTS if is_request else _OF_RESPONSES
    named: set[bytes] = set()
    takes_trailers = False
    for name, value in headers:
        if name == b"connection":
            named.update(each.strip(b" \t").lower() for each in value.split(b","))
        elif name == b"te" and is_request:
            takes_trailers = any(each.strip(b" \t").lower() == b"trailers" for each in value.split(b","))
    kept = [pair for pair in headers if pair[0] not in dropped and pair[0] not in named]
    if is_request:
        kept = [pair for pair in kept if b"_" not in pair[0] or _plain(pair[0]) not in dropped | named]
    if takes_trailers:
        kept.append((b"te", b"trailers"))  # we hand them on
    return kept


def forwarded_trailers(trailers: Sequence[tuple[bytes, bytes]]) -> FieldList:
    """Return the trailers to forward: without fields that belong before the content (RFC 9110 §6.5.1), and without
    those that an application could confuse with them."""
    return [(name, value) for name, value in trailers if not _is_for_headers(_plain(name))]


def _is_for_headers(name: bytes) -> bool:
    return name in _NOT_IN_TRAILERS or name.startswith((_FORWARDED_PREFIX, b"access-control-", b"sec-"))


def _plain(name: bytes) -> bytes:
    """Return the name as CGI sees it (RFC 3875 §4.1.18)."""
    return name.replace(b"_", b"-")


def add_forwarded(
    headers: FieldList, kind: ForwardedKind, is_appended: bool, client: str | None, scheme: str, host: str
) -> FieldList:
    """Return the fields with the client's address, scheme and host added; the client's own values, `x-real-ip` and all
    of `x-forwarded-*`, are removed unless `is_appended`, and always if the name has an underscore. `client` is an
    address, None on a unix socket."""
    headers = [pair for pair in headers if not _names_client(pair[0], is_appended)]
    if kind == "x-forwarded":
        address = client if client is not None else "unknown"
        headers = _joined(headers, b"x-forwarded-for", address.encode("latin-1"))
        for name, value in ((b"x-forwarded-proto", scheme), (b"x-forwarded-host", host)):
            if not any(each == name for each, _ in headers):
                headers.append((name, value.encode("latin-1")))
    elif kind == "forwarded":
        member = f"for={_node(client)};proto={scheme};host={_quoted(host)}"
        headers = _joined(headers, b"forwarded", member.encode("latin-1"))
    return headers


def _names_client(name: bytes, is_believed: bool) -> bool:
    """Return whether a field names the client and must not be forwarded."""
    if is_believed and b"_" not in name:
        return False
    plain = _plain(name)
    return plain in _FORWARDED or plain.startswith(_FORWARDED_PREFIX)


def _joined(headers: FieldList, name: bytes, value: bytes) -> FieldList:
    """Return the fields with `value` as the last member of the list in field `name`."""
    values = [each for field, each in headers if field == name]
    return [pair for pair in headers if pair[0] != name] + [(name, b", ".join([*values, value]))]


def _node(client: str | None) -> str:
    if client is None:
        return "unknown"
    return f'"[{client}]"' if ":" in client else client


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
