"""The agreement before a WebSocket opens: extensions, a subprotocol, an origin (RFC 6455 §4, §9, §10.2).

Functions here take bytes as received and never raise for them: an unreadable value is not agreed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from headrace.engine.contract import Fields

_DEFLATE: Final = "permessage-deflate"
_MOST_OFFERS: Final = 8  # offers looked at; browsers make one
_LONGEST: Final = 4_096  # bytes of the field that are looked at
# 4 KiB of history and a small table for each side: 40 KiB a socket, where zlib's defaults take 300.
_WINDOW_BITS: Final = 12
_LARGER_WINDOWS: Final = tuple([str(bits) for bits in range(_WINDOW_BITS + 1, 16)])
_COMPRESS: Final = {"memLevel": 5}
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


def field_values(headers: Fields, name: bytes) -> bytes:
    """Return all values of a field as one list, joined with commas (RFC 9110 §5.3); b"" when there is none."""
    return b", ".join([value for each, value in headers if each == name])


def accept_deflate(headers: Fields) -> tuple[bytes, list[Any]]:
    """Answer a client's offers of `sec-websocket-extensions`: the field's value for the response, and the extensions
    for a WebSocketConnection. b"" and none when there is no acceptable offer of permessage-deflate (RFC 7692 §5).
    """
    for name, parameters in _parse(field_values(headers, b"sec-websocket-extensions"))[:_MOST_OFFERS]:
        if name == _DEFLATE:
            factory: Any = ServerPerMessageDeflateFactory(
                server_max_window_bits=_WINDOW_BITS,
                client_max_window_bits=_WINDOW_BITS,
                compress_settings=_COMPRESS,
            )
            try:
                answer, extension = factory.process_request_params(parameters, [])
            except NegotiationError:
                continue
            value: str = build_extension([(_DEFLATE, answer)])
            return value.encode("latin-1"), [extension]
    return b"", []


def offer_deflate() -> bytes:
    """Return the value of `sec-websocket-extensions` with which a client offers permessage-deflate."""
    value: str = build_extension([(_DEFLATE, _client_factory().get_request_params())])
    return value.encode("latin-1")


def confirm_deflate(headers: Fields) -> list[Any]:
    """Return the extensions for a WebSocketConnection from a server's response to `offer_deflate`.

    Raises ValueError when the server answers something that was not offered; the connection must fail then (RFC 6455
    §4.1).
    """
    data = field_values(headers, b"sec-websocket-extensions")
    if not data:
        return []
    agreed = _parse(data)
    if len(agreed) != 1 or agreed[0][0] != _DEFLATE:
        raise ValueError("the server chose an extension that was not offered (RFC 6455 §4.1)")
    try:
        extension: Any = _client_factory().process_response_params(_at_most_offered(agreed[0][1]), [])
    except NegotiationError as error:
        raise ValueError(f"the server's permessage-deflate cannot be used: {error} (RFC 7692 §7.1)") from None
    return [extension]


def _at_most_offered(parameters: Sequence[Any]) -> list[Any]:
    """Return the parameters with our window size: a server may allow a larger window than we announced (RFC 7692
    §7.1.2.2), which the library would refuse."""
    ours = ("client_max_window_bits", str(_WINDOW_BITS))
    return [ours if pair[0] == ours[0] and pair[1] in _LARGER_WINDOWS else pair for pair in parameters]


def _client_factory() -> Any:
    return ClientPerMessageDeflateFactory(client_max_window_bits=_WINDOW_BITS, compress_settings=_COMPRESS)


def _parse(data: bytes) -> list[Any]:
    """Return the extensions in a field, each with its parameters; none when it is not well-formed."""
    if not data or len(data) > _LONGEST:
        return []
    try:
        extensions: list[Any] = parse_extension(data.decode("latin-1").strip(" \t"))
    except InvalidHeader:
        return []
    return extensions


def offered_subprotocols(headers: Fields) -> list[str]:
    """Return the subprotocols that a client offers, in its order of preference; values that are not tokens are left
    out."""
    offered = []
    for data in field_values(headers, b"sec-websocket-protocol").split(b","):
        name = data.strip(b" \t").decode("latin-1")
        if is_token(name):
            offered.append(name)
    return offered


def choose_subprotocol(headers: Fields, supported: Sequence[str]) -> str | None:
    """Return the first of `supported` that the client offers, or None (RFC 6455 §4.2.2)."""
    if not supported:
        return None
    offered = offered_subprotocols(headers)
    for name in supported:
        if name in offered:
            return name
    return None


_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def is_token(text: str) -> bool:
    """Return True for a token (RFC 9110 §5.6.2), which a subprotocol's name must be."""
    return bool(text) and _TOKEN.issuperset(text)


def is_same_origin(headers: Fields, scheme: bytes, authority: bytes) -> bool:
    """Return True for a browser's request from a page of our own, and for clients other than browsers, which send no
    `origin` (RFC 6455 §10.2).

    `scheme` is the request's own, http or https, `authority` its host and port.
    """
    origins = [value for name, value in headers if name == b"origin"]
    if not origins:
        return True
    if len(origins) > 1 or not authority:
        return False
    origin = origins[0].lower()
    host = authority.lower()
    port = _DEFAULT_PORTS.get(scheme, b"-")
    return origin.removesuffix(port) == scheme + b"://" + host.removesuffix(port)


def is_same_host(headers: Fields, scheme: bytes, authority: bytes) -> bool:
    """Like `is_same_origin`, but let https pages connect to the same host in cleartext: browsers do not, but a proxy
    that terminates TLS does."""
    return is_same_origin(headers, scheme, authority) or (
        scheme == b"http" and is_same_origin(headers, b"https", authority)
    )
