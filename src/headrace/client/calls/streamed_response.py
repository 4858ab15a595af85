"""The block in which a program reads a response as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.client.calls.options import Caller, CallOptions, split

if TYPE_CHECKING:
    from headrace.client.message.response import ClientResponse
    from headrace.client.message.url import URL


class StreamedResponse:
    """The result of `Client.stream`: a block in which the response is read. It can be used once."""

    __slots__ = ("_client", "_method", "_options", "_response", "_url")

    def __init__(self, client: Caller, method: str, url: URL | str, options: CallOptions) -> None:
        self._client = client
        self._method = method
        self._url = url
        self._options = options
        self._response: ClientResponse | None = None

    async def __aenter__(self) -> ClientResponse:
        making, sending = split(self._options)
        request = self._client.build_request(self._method, self._url, **making)
        self._response = await self._client._send(request, True, sending)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            await self._response.aclose()
