"""What a proxy leaves out of a message's fields, and what it adds to them (RFC 9110 §7.6, RFC 7239)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

Pairs = list[tuple[bytes, bytes]]
ForwardedKind = Literal["x-forwarded", "forwarded", "none"]

# RFC 9110 §7.6.1 and §11.7: of one connection only, whoever names them. `expect` goes on, as the next hop decides it.
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
_FORWARDED: Final = frozenset((b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))


def end_to_end(headers: Sequence[tuple[bytes, bytes]], *, is_request: bool) -> Pairs:
    """The fields that go on: without those of the connection, and without those that `connection` names."""
    dropped = _HOP_BY_HOP | _HANDSHAKE | _REWRITTEN if is_request else _HOP_BY_HOP | _HANDSHAKE
    named: set[bytes] = set()
    takes_trailers = False
    for name, value in headers:
        if name == b"connection":
            named.update(each.strip(b" \t").lower() for each in value.split(b","))
        elif name == b"te" and is_request:
            takes_trailers = any(each.strip(b" \t").lower() == b"trailers" for each in value.split(b","))
    kept = [pair for pair in headers if pair[0] not in dropped and pair[0] not in named]
    if takes_trailers:
        kept.append((b"te", b"trailers"))  # we hand them on
    return kept


def add_via(headers: Pairs, http_version: str, name: str) -> None:
    """Say that the message passed here, and by which protocol it had come (RFC 9110 §7.6.3)."""
    headers.append((b"via", f"{http_version} {name}".encode("latin-1")))


def add_forwarded(
    headers: Pairs, kind: ForwardedKind, is_appended: bool, client: str | None, scheme: str, host: str
) -> Pairs:
    """The fields with who asked, how, and for what; what the client itself wrote of that is replaced, unless
    `is_appended`. `client` is an address, None on a unix socket."""
    if not is_appended:
        headers = [pair for pair in headers if pair[0] not in _FORWARDED]
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


def _joined(headers: Pairs, name: bytes, value: bytes) -> Pairs:
    """With `value` as the last member of the list in field `name`."""
    values = [each for field, each in headers if field == name]
    return [pair for pair in headers if pair[0] != name] + [(name, b", ".join([*values, value]))]


def _node(client: str | None) -> str:
    if client is None:
        return "unknown"
    return f'"[{client}]"' if ":" in client else client


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
