"""The options of a client's calls. All are optional; the client has a default for each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict, Unpack, cast

from headrace.client.calls.retry import RetryPolicy
from headrace.client.message.content import ContentLike, TrailersLike
from headrace.client.message.headers import Headers, HeadersLike
from headrace.client.message.request import ClientRequest, ProgressCallback
from headrace.client.timeouts import Timeouts

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.client.calls.auth import AuthLike
    from headrace.client.calls.journey import HooksLike
    from headrace.client.connect.config import NetworkConfig
    from headrace.client.connect.proxy import ProxyLike
    from headrace.client.connect.tls import Certificate, Verify
    from headrace.client.interface import Transport
    from headrace.client.message.cookies import CookiesLike
    from headrace.client.message.encode import FilesLike, FormLike
    from headrace.client.message.response import ClientResponse
    from headrace.client.message.url import URL
    from headrace.client.message.url_parts.query import ParamsLike


class RequestOptions(TypedDict, total=False):
    """Options to make one request."""

    params: ParamsLike | None
    """Query parameters: a mapping, pairs or text. They replace those of the same name in the URL."""
    headers: HeadersLike | None
    """Header fields: a mapping or pairs. They replace the client's of the same name."""
    cookies: CookiesLike | None
    """Cookies for this request alone, in addition to those of the client."""
    content: ContentLike | None
    """Bytes, text, a binary file, an iterable of bytes, plain or asynchronous, or a function that makes an iterable."""
    data: FormLike | None
    """The fields of a form; with `files` a multipart form."""
    files: FilesLike | None
    """Files of a multipart form: a mapping or pairs of a name and a file, bytes, or (filename, file[, type])."""
    json: Any
    """An object that is sent as JSON."""
    trailers: TrailersLike | None
    """A trailer section: fields as for `headers`, or a function that returns them when the content has been sent."""
    timeout: float | Timeouts | None
    """Seconds for each phase, a Timeouts, or None for no limit."""
    on_upload: ProgressCallback | None
    """Called with the bytes of content sent so far, and all bytes, or None when that is unknown."""
    on_download: ProgressCallback | None
    """Called with the bytes of content received so far, and all bytes, or None when that is unknown."""
    on_informational: Callable[[int, Headers], None] | None
    """Called with status and headers of each interim (1xx) response, as it arrives."""


class SendOptions(TypedDict, total=False):
    """Options to send a request."""

    auth: AuthLike | None
    """Credentials; None for none, not even the client's."""
    follow_redirects: bool
    retry: RetryPolicy | None
    max_response_size: int | None
    """Most bytes of content of a whole response; None for no limit."""


class NetworkOptions(TypedDict, total=False):
    """The most common settings of `NetworkConfig`, with the same meaning as there."""

    http1: bool
    http2: bool
    verify: Verify
    cert: Certificate | None
    proxy: ProxyLike | None
    trust_env: bool
    uds: str | Path | None
    local_address: str | None
    max_connections: int
    keepalive_ping_s: float


class ClientOptions(NetworkOptions, total=False):
    """Options of a client; see `Client`."""

    base_url: URL | str
    headers: HeadersLike | None
    params: ParamsLike | None
    cookies: CookiesLike | None
    auth: AuthLike | None
    timeout: float | Timeouts | None
    follow_redirects: bool
    max_redirects: int
    retry: RetryPolicy | None
    event_hooks: HooksLike | None
    max_decompression_ratio: int | None
    max_response_size: int | None
    network: NetworkConfig | None
    transport: Transport | None


class CallOptions(RequestOptions, SendOptions, total=False):
    """Options to make and send a request."""


class EventSourceOptions(CallOptions, total=False):
    """Options of server-sent events; see `Client.sse`."""

    method: str
    last_event_id: str
    reconnect: bool | None
    max_event_size: int
    sleep: Callable[[float], Awaitable[None]]


class WebSocketCallOptions(CallOptions, total=False):
    """Options of a WebSocket; see `Client.websocket`."""

    subprotocols: Sequence[str]
    compression: bool
    max_message_size: int
    max_queue: int
    ping_interval_s: float | None
    ping_timeout_s: float | None
    close_timeout_s: float


class Caller(Protocol):
    """The client, as code that makes requests of its own calls it: see `headrace.client.client.Client`."""

    transport: Transport

    def build_request(self, method: str, url: URL | str, **options: Unpack[RequestOptions]) -> ClientRequest:
        """Return a request with the client's defaults."""
        ...

    async def _send(
        self, request: ClientRequest, stream: bool, options: SendOptions, transport: Transport | None = None
    ) -> ClientResponse:
        """Send a request that no other code uses."""
        ...


_OF_SENDING: Final = frozenset(SendOptions.__annotations__)


def split(options: CallOptions) -> tuple[RequestOptions, SendOptions]:
    """Return the options that make a request, and those that send it."""
    if _OF_SENDING.isdisjoint(options):
        return cast(RequestOptions, options), {}
    making = {name: value for name, value in options.items() if name not in _OF_SENDING}
    sending = {name: value for name, value in options.items() if name in _OF_SENDING}
    return cast(RequestOptions, making), cast(SendOptions, sending)
