"""`headrace get --ws URL`: sends lines of stdin as messages, and prints messages as lines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from headrace.cli.errors import UsageError
from headrace.cli.exits import EXIT_LOST, EXIT_PROTOCOL, FetchError
from headrace.cli.figures import printable
from headrace.cli.get.output import Sink
from headrace.cli.get.trace import Trace
from headrace.cli.stdin import Stdin
from headrace.cli.terminal import Palette
from headrace.websocket.connection import WebSocket
from headrace.websocket.tunnel import WebSocketClosed

if TYPE_CHECKING:
    from headrace.client.client import Client
    from headrace.client.message.url import URL

_GOOD_ENDS: Final = (1000, 1001, 1005)
_PROTOCOL_ENDS: Final = (1002, 1003, 1007, 1008, 1009, 1010)
_LONGEST_LINE: Final = 1_048_576


@dataclass
class Conversation:
    """The options of a conversation. `linger_s`: seconds after the end of stdin and the last message in which the
    next message may come before the WebSocket is closed."""

    stdin: Stdin
    sink: Sink
    is_for_a_person: bool
    palette: Palette
    linger_s: float
    trace: Trace | None = None


async def converse(socket: WebSocket, conversation: Conversation) -> None:
    """Talk until the server closes, or until stdin has ended and no more messages come. Raises FetchError for an
    abnormal end, WriteError when messages cannot be written."""
    talk = _Talk(socket, conversation)
    sending = asyncio.ensure_future(talk.send_lines())
    try:
        await talk.receive()
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending
        await socket.finish()
    code, reason = socket.close_code, socket.close_reason
    if conversation.trace is not None:
        conversation.trace.note(f"the WebSocket was closed: {code} {reason}".rstrip())
    if code not in _GOOD_ENDS and not talk.closed_by_us:
        exit_code = EXIT_PROTOCOL if code in _PROTOCOL_ENDS else EXIT_LOST
        raise FetchError(f"the WebSocket ended with {code} {reason}".rstrip(), exit_code)


class _Talk:
    def __init__(self, socket: WebSocket, conversation: Conversation) -> None:
        self._socket = socket
        self._conversation = conversation
        self._loop = asyncio.get_running_loop()
        self._has_ended = False
        self._timer: asyncio.TimerHandle | None = None
        self.closed_by_us = False

    async def receive(self) -> None:
        """Print messages until there are no more."""
        try:
            async for message in self._socket:
                await self._conversation.sink.write(self._shown(message))
                if self._has_ended:
                    self._wait()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _shown(self, message: str | bytes) -> bytes:
        conversation = self._conversation
        if not conversation.is_for_a_person:
            return message.encode() + b"\n" if isinstance(message, str) else message
        paint = conversation.palette.paint
        if isinstance(message, bytes):
            more = "..." if len(message) > 32 else ""
            return (paint("cyan", f"< {len(message):,} bytes: {message[:32].hex(' ')}{more}") + "\n").encode()
        lines = [printable(line) for line in message.split("\n")]
        return (paint("cyan", "< ") + "\n  ".join(lines) + "\n").encode()

    async def send_lines(self) -> None:
        """Send each line as a message, until stdin or the WebSocket ends."""
        try:
            async for line in _lines(self._conversation.stdin):
                await self._socket.send(line)
        except WebSocketClosed:
            return  # `receive` sees it, too
        except OSError as error:
            if self._conversation.trace is not None:
                self._conversation.trace.note(f"stdin: {error}")
        self._has_ended = True
        self._wait()

    def _wait(self) -> None:
        """Close when no message comes for a while: an answer to the last line may be on its way."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._conversation.linger_s, self._close)

    def _close(self) -> None:
        self.closed_by_us = True
        self._socket.close_soon()


async def _lines(stdin: Stdin) -> AsyncIterator[str]:
    """Yield lines without their ends; the last one may have none. Bytes that are not UTF-8 become U+FFFD."""
    held = b""
    while piece := await stdin.read():
        *whole, held = (held + piece).split(b"\n")
        for line in whole:
            yield _text(line)
        if len(held) > _LONGEST_LINE:
            yield _text(held)
            held = b""
    if held:
        yield _text(held)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


async def open_conversation(
    client: Client,
    url: URL,
    headers: list[tuple[str, str]],
    auth: tuple[str, str] | None,
    subprotocols: tuple[str, ...],
) -> WebSocket:
    """Open the WebSocket at a ws:// or wss:// URL. Raises UsageError and RequestError."""
    options: dict[str, Any] = {} if auth is None else {"auth": auth}
    try:
        socket: WebSocket = await client.websocket(url, subprotocols=subprotocols, headers=headers, **options)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return socket
