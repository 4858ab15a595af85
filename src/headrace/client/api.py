"""`headrace.get` and its siblings: requests without a client at hand. They share connections, and nothing else."""

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
    """Send a request and return its response, whole. The options are those of `Client.request`.

    Connections are kept and shared by all such calls of the process, from any thread; cookies are not kept from one
    call to the next. Raises RequestError and InvalidURL; ValueError and TypeError for options that make no request.
    """
    return _shared().request(method, url, **options)


def stream(method: str, url: URL | str, **options: Unpack[CallOptions]) -> SyncStreamedResponse:
    """Send a request and read its response as it comes: `with headrace.stream("GET", url) as response`."""
    return _shared().stream(method, url, **options)


def get(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """GET, see `request`."""
    return _shared().get(url, **options)


def head(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """HEAD, see `request`."""
    return _shared().request("HEAD", url, **options)


def options(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """OPTIONS, see `request`."""
    return _shared().request("OPTIONS", url, **options)


def delete(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """DELETE, see `request`."""
    return _shared().request("DELETE", url, **options)


def post(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """POST, see `request`."""
    return _shared().request("POST", url, **options)


def put(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """PUT, see `request`."""
    return _shared().request("PUT", url, **options)


def patch(url: URL | str, **options: Unpack[CallOptions]) -> SyncResponse:
    """PATCH, see `request`."""
    return _shared().request("PATCH", url, **options)
