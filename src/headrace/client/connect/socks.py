"""SOCKS5: a connection through a proxy that looks the name up itself (RFC 1928; name and password: RFC 1929)."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from headrace.client.connect.proxy import Proxy
from headrace.client.errors import ProxyError

_VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_USERNAME_PASSWORD: Final = 2
_NO_METHOD: Final = 0xFF
_CONNECT: Final = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4

_REPLIES: Final = {
    1: "it failed",
    2: "its rules do not allow it",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the connection was refused",
    6: "the time to live is over",
    7: "it does not know the command",
    8: "it does not know this kind of address",
}


async def negotiate(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Make `sock`, which is connected to `proxy`, a connection to `host`. It reads only the proxy's own bytes.

    Raises ProxyError.
    """
    loop = asyncio.get_running_loop()
    has_password = proxy.username is not None
    methods = bytes((_NO_AUTHENTICATION, _USERNAME_PASSWORD)) if has_password else bytes((_NO_AUTHENTICATION,))
    try:
        await loop.sock_sendall(sock, bytes((_VERSION, len(methods))) + methods)
        version, method = await _read(sock, proxy, 2)
        if version != _VERSION:
            raise ProxyError(f"the proxy {proxy} does not speak SOCKS5")
        if method == _USERNAME_PASSWORD and has_password:
            await _authenticate(sock, proxy)
        elif method == _NO_METHOD or method != _NO_AUTHENTICATION:
            wanted = (
                "accepts no authentication method that the client has"
                if has_password
                else "asks for a name and password"
            )
            raise ProxyError(f"the proxy {proxy} {wanted}")
        await loop.sock_sendall(sock, bytes((_VERSION, _CONNECT, 0)) + _target(host, port))
        version, reply, _, kind = await _read(sock, proxy, 4)
        if version != _VERSION or reply:
            reason = _REPLIES.get(reply, f"reply {reply}")
            raise ProxyError(f"the proxy {proxy} made no connection to {host}:{port}: {reason}", status=reply)
        # The address that the proxy connects from is of no use to the client, but has to be read.
        length = {_IPV4: 4, _IPV6: 16}.get(kind, 0)
        if kind == _NAME:
            length = (await _read(sock, proxy, 1))[0]
        elif not length:
            raise ProxyError(f"the proxy {proxy} answered with an address of the unknown kind {kind} (RFC 1928 §6)")
        await _read(sock, proxy, length + 2)
    except OSError as error:
        if isinstance(error, ProxyError):
            raise
        raise ProxyError(f"the connection to the proxy {proxy} broke: {error.strerror or error}") from None


async def _authenticate(sock: socket.socket, proxy: Proxy) -> None:
    name, password = proxy.username or b"", proxy.password
    data = bytes((1, len(name))) + name + bytes((len(password),)) + password
    await asyncio.get_running_loop().sock_sendall(sock, data)
    _, status = await _read(sock, proxy, 2)
    if status:
        raise ProxyError(f"the proxy {proxy} does not accept the name and password")


def _target(host: str, port: int) -> bytes:
    for family, kind in ((socket.AF_INET, _IPV4), (socket.AF_INET6, _IPV6)):
        try:
            return bytes((kind,)) + socket.inet_pton(family, host) + port.to_bytes(2, "big")
        except (OSError, ValueError):
            pass
    name = host.encode("ascii")
    if len(name) > 255:
        raise ProxyError("the host's name is too long for SOCKS5 (RFC 1928 §5)")
    return bytes((_NAME, len(name))) + name + port.to_bytes(2, "big")


async def _read(sock: socket.socket, proxy: Proxy, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        piece = await loop.sock_recv(sock, count - len(data))
        if not piece:
            raise ProxyError(f"the proxy {proxy} ended the connection before it had answered")
        data += piece
    return data
