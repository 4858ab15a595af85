"""`headrace.get` and its siblings: requests without a client object. They share connections, and nothing else."""

from __future__ import annotations

import threading
from typing import Final, Unpack

from headrace.client.calls.options import CallOptions, ClientOptions
from headrace.client.client import Client, ForgetfulClient
from headrace.client.loop_thread import shared
from headrace.client.message.url import URL
from headrace.client.sync.client import SyncClient, SyncResponse, SyncStreamedResponse

_making: Final = threading.RLock()  # a signal handler may ask while its thread makes one


class _SharedClient(SyncClient):
    def _make(self, **options: Unpack[ClientOptions]) -> Client:
        return ForgetfulClient(**options)


_client: _SharedClient | None = None


def _shared() -> _SharedClient:
    global _client
    found = _client
    if found is None or not found._thread.is_alive:
        with _making:
            found = _client
            if found is None or not found._thread.is_alive:
                made = _SharedClient(thread=shared())
                now = _client
                found = _client = made if now is None or now is found else now
    return found


def request(method: str, url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send a request and return its whole response. The options are those of `Client.request`.

    All such calls of the process share connections, from any thread. Cookies are not kept from one call to the next.
    Raises RequestError and InvalidURL; ValueError and TypeError for invalid options.
    """
    return _shared().request(method, url, **options)


def stream(method: str, url: URL | str, **options: Unpack[CallOptions]) -> SyncStreamedResponse:
    """Send a request and read its response as a stream: `with headrace.stream("GET", url) as response`."""
    return _shared().stream(method, url, **options)


def get(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send a GET request; see `request`."""
    return _shared().get(url, **options)


def head(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send a HEAD request; see `request`."""
    return _shared().request("HEAD", url, **options)


def options(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send an OPTIONS request; see `request`."""
    return _shared().request("OPTIONS", url, **options)


def delete(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send a DELETE request; see `request`."""
    return _shared().request("DELETE", url, **options)


def post(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send a POST request; see `request`."""
    return _shared().request("POST", url, **options)


def put(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send a PUT request; see `request`."""
    return _shared().request("PUT", url, **options)


def patch(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """Send a PATCH request; see `request`."""
    return _shared().request("PATCH", url, **options)
