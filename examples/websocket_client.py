"""A WebSocket from the client's side: over HTTP/2 if the server accepts it there, else by an upgrade of HTTP/1.1.

python -m examples.websocket_client wss://example.org/echo
"""

import asyncio
import sys

from headrace import Client, WebSocketRefused


async def main(url: str) -> list[str]:
    """Send three messages, and return the answers."""
    heard = []
    async with Client() as client:
        try:
            async with client.websocket(url, subprotocols=["chat"]) as ws:
                for text in ("one", "two", "three"):
                    await ws.send(text)
                    heard.append(str(await ws.receive()))
                heard.append(f"{ws.subprotocol}, {len(heard)} messages, {await ws.ping() < 10}")
        except WebSocketRefused as refused:
            heard.append(f"{refused.status}: {refused.content.decode().strip()}")
    return heard


if __name__ == "__main__":
    print(*asyncio.run(main(sys.argv[1])), sep="\n")
