"""A server inside a program of your own, which also stops it: running requests finish first.

python -m examples.embedded
"""

import asyncio

from headrace import Config, Request, Response, serve


async def main(port: int = 8000) -> None:
    stop = asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/stop":
            stop.set()
            return Response.text("This is the last answer.\n")
        return Response.text("Ask for /stop to end the program.\n")

    await serve(handler, Config(bind=f"127.0.0.1:{port}"), shutdown=stop)


if __name__ == "__main__":
    asyncio.run(main())
