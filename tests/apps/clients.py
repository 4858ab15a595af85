"""What tests of applications ask with: an upload as a browser sends it, and a WebSocket over any wire."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from typing import Any, cast

from headrace.server.app import Server
from headrace.server.connection.exchange import ServerExchange

from tests.protocols.conftest import Peer, Wire
from tests.support.h2_peer import Answer
from tests.support.serving import port
from tests.support.ws_peer import WSPeer, open_websocket

BOUNDARY = "a-boundary"
FORM = ("content-type", f"multipart/form-data; boundary={BOUNDARY}")


def form(fields: Mapping[str, str], files: Mapping[str, bytes]) -> bytes:
    """A form with `fields` and `files` as multipart/form-data (RFC 7578), to be sent with `FORM`."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    for name, data in files.items():
        head = f'name="{name}"; filename="{name}.bin"\r\ncontent-type: application/octet-stream\r\n\r\n'
        parts.append(head.encode() + data)
    between = f"--{BOUNDARY}\r\ncontent-disposition: form-data; ".encode()
    return b"".join(between + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


async def post(peer: Peer, path: str, content: bytes, headers: Any = (), method: str = "POST") -> Answer:
    """`content` with its length, over either protocol."""
    number = await peer.open(path, method, [*headers, ("content-length", str(len(content)))], end=False)
    await peer.send(number, content, end=True)
    answer: Answer = await peer.over(number)
    return answer


def client_context(wire: Wire) -> ssl.SSLContext | None:
    """TLS as the wire has it, for clients that are not its own."""
    if wire.folder is None:
        return None
    context = ssl.create_default_context(cafile=wire.folder / "localhost-ca.pem")
    context.set_alpn_protocols([wire.protocol])
    return context


def websocket(wire: Wire, server: Server, path: str, **options: Any) -> contextlib.AbstractAsyncContextManager[WSPeer]:
    """A WebSocket on its own connection."""
    over = "h2" if wire.protocol == "h2" else "h1"
    return open_websocket(over, port(server), path, tls=client_context(wire), **options)


def everything(headers: Any) -> dict[str, list[str]]:
    """All fields of an answer by name, but for those that a server adds or that HTTP/1.1 alone has."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name not in (b"date", b"server", b"transfer-encoding", b"connection"):
            found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return found


def waits_for_content(server: Server) -> bool:
    """Whether a worker has taken the first piece of its request's content and waits for more."""
    assert server.service is not None
    live = [exchange for driver in server.service.drivers for exchange in driver.live.values()]
    inboxes = [exchange.inbox for exchange in cast("list[ServerExchange]", live)]
    return any(
        inbox is not None and inbox.is_awaited() and not inbox.is_untouched() and not inbox.has_content()
        for inbox in inboxes
    )
