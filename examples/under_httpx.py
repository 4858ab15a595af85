"""An httpx2 program on headrace's connections: HTTP/2, with every request on one of them.

python -m examples.under_httpx https://example.org/
"""

import asyncio
import sys

import httpx2

from headrace.client.transports.httpx2 import AsyncTransport


async def main(url: str, **network: object) -> list[str]:
    """Ask ten times at once."""
    async with httpx2.AsyncClient(transport=AsyncTransport(**network)) as client:
        responses = await asyncio.gather(*[client.get(url) for _ in range(10)])
        return [f"{response.http_version} {response.status_code}" for response in responses]


if __name__ == "__main__":
    print(*asyncio.run(main(sys.argv[1])), sep="\n")
