"""Tests of code that uses a client, against a server that fails on purpose.

pytest examples/faults.py
"""

import asyncio

from headrace import Client, RequestError
from headrace.client.testing.mock import Answer, GoAway, MockRequest, MockTransport, Reset

URL = "https://example.org/large"


async def fetch_all(client: Client, url: str) -> bytes:
    """The code under test: a download that resumes where it was cut."""
    content = b""
    while True:
        try:
            async with client.stream("GET", url, headers={"range": f"bytes={len(content)}-"}) as response:
                async for piece in response.iter_bytes():
                    content += piece
            return content
        except RequestError as error:
            print(error)


def test_a_download_goes_on_where_it_broke_off() -> None:
    whole = bytes(range(256)) * 100

    def server(request: MockRequest) -> Answer:
        begin = int((request.header("range") or "bytes=0-")[6:-1])
        fault = Reset(after=10_000) if begin < 20_000 else None
        return Answer(206, content=whole[begin:], fault=fault)

    async def main() -> None:
        async with Client(transport=MockTransport(server)) as client:
            assert await fetch_all(client, URL) == whole

    asyncio.run(main())


def test_a_server_that_goes_away_first_is_no_error() -> None:
    async def main() -> None:
        transport = MockTransport([GoAway(), Answer(text="from the second connection")])
        async with Client(transport=transport) as client:
            assert (await client.post(URL, content=b"once")).text == "from the second connection"
        assert transport.connections == 2

    asyncio.run(main())
