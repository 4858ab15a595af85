"""A server's settings: addresses, protocols, limits.

A program that embeds the server makes a `Config` by hand; `load_config` of `headrace.server.settings.sources` makes it
from the command line, the environment and a TOML file. In both cases this module checks each value once. A bad one
raises `ConfigError`, with one sentence that says what is wrong and what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import ip_network
from typing import Final

from headrace.engine.build import engine_is_compiled
from headrace.engine.limits import Limits
from headrace.engine.server_names import ServerNames

INTERFACES: Final = ("auto", "asgi", "wsgi", "native")
PROTOCOLS: Final = ("h2,http/1.1", "h2", "http/1.1")  # names in ALPN, in order of preference
LOOPS: Final = ("auto", "asyncio", "uvloop")
SWITCHES: Final = ("auto", "on", "off")
ACCESS_LOG_FORMATS: Final = ("plain", "json")
PROXY_PROTOCOLS: Final = ("off", "on", "v1", "v2")
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

DEFAULT_BIND: Final = "127.0.0.1:8000"
FRAMES_PER_TURN: Final = 100 if engine_is_compiled() else 40
"""One busy connection must not hold up the others. Twenty that send the most expensive frames delay a bystander by 50
ms with the compiled engine; the pure engine is a third as fast and would need 150 ms and more with 100 frames."""

_FIELD_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PORT: Final = re.compile(r"[0-9]{1,5}")


class ConfigError(ValueError):
    """A setting that cannot be used. The message is one sentence for the person who wrote the setting."""


@dataclass(frozen=True, slots=True)
class Bind:
    """One address to listen on. `Bind.parse` makes it from text; `kind` says which of the other attributes apply."""

    kind: str
    """`tcp` (host and port), `unix` (path) or `fd` (fd)."""
    host: str = ""
    port: int = 0
    """0 lets the system choose a free port."""
    path: str = ""
    fd: int = -1
    tls: bool = False
    """True if connections to this address must begin with a TLS handshake."""

    @classmethod
    def parse(cls, text: str, *, tls: bool = False) -> Bind:
        """Return the address in `text`: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH` or `fd:N`. Raises ConfigError for any
        other form."""
        if text.startswith("unix:"):
            if not text[5:]:
                raise ConfigError(f"the address '{text}' has no path; write unix:PATH")
            return cls("unix", path=text[5:], tls=tls)
        if text.startswith("fd:"):
            if not text[3:].isascii() or not text[3:].isdigit():
                raise ConfigError(f"the address '{text}' has no descriptor; write fd:N, where N is a number")
            return cls("fd", fd=int(text[3:]), tls=tls)
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            bracketed = True
        else:
            bracketed = False
        if not colon or not host or (":" in host and not bracketed):
            raise ConfigError(f"the address '{text}' is none of HOST:PORT, [IPV6]:PORT, unix:PATH and fd:N")
        if not _PORT.fullmatch(port) or int(port) > 65_535:
            raise ConfigError(f"the address '{text}' has the port '{port}'; it must be a number from 0 to 65535")
        return cls("tcp", host=host, port=int(port), tls=tls)

    def __str__(self) -> str:
        """Return the address in the form that `parse` reads."""
        if self.kind == "unix":
            return f"unix:{self.path}"
        if self.kind == "fd":
            return f"fd:{self.fd}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def server_limits() -> Limits:
    """Return the engine's default limits, with the limit for turns that a server of many connections needs."""
    return Limits(frames_per_turn=FRAMES_PER_TURN)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of one server process. Raises ConfigError if a value, or a combination of values, cannot be used.

    `dataclasses.replace` makes a copy with changes.
    """

    bind: str | Sequence[str] = (DEFAULT_BIND,)
    """Addresses: `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`, `fd:N`. All of them speak TLS if there is a certificate."""
    cleartext_bind: str | Sequence[str] = ()
    """Addresses that never speak TLS, in addition to those of `bind`, which then do."""
    interface: str = "auto"
    """`asgi`, `wsgi`, `native`, or `auto`: detected by the application's parameters."""
    tls_cert: str | None = None
    """PEM file with the certificate and its chain; it may contain the private key, too."""
    tls_key: str | None = None
    """PEM file with the private key, if `tls_cert` does not contain it."""
    tls_key_password: str | None = field(default=None, repr=False)
    """Password of an encrypted `tls_key`; never printed."""
    dev_tls: bool = False
    """Serve with a certificate for localhost that headrace makes and keeps. Only for development."""
    protocols: str = "h2,http/1.1"
    """Protocols that are served. Under TLS the client chooses by ALPN, on cleartext by its first bytes."""
    websockets: str = "auto"
    """`on`, `off`, or `auto`: on for ASGI applications, and for native ones that have a route for WebSockets."""
    websocket_compression: bool = True
    """Whether the WebSockets of ASGI applications accept permessage-deflate; native handlers choose it themselves."""
    loop: str = "auto"
    """`uvloop`, `asyncio`, or `auto`: uvloop if it is installed. Only the command line, which makes the loop, uses
    it."""
    access_log: bool = False
    """Write one line per request to stderr, with the logger `headrace.access`."""
    access_log_format: str = "plain"
    """`plain`: the common log format with the time taken; `json`: one object per line, with the request's id."""
    request_id_header: str = ""
    """Field in which a trusted proxy sends a request's id, such as `x-request-id`; empty: the server makes the ids."""
    metrics_bind: str = ""
    """Address, as in `bind`, that answers `/metrics` for Prometheus, in cleartext; empty: none."""
    otel: bool = False
    """Whether a span is made of each request, for OpenTelemetry, with the process's tracer provider."""
    proxy_protocol: str = "off"
    """Whether every connection begins with a PROXY header of a load balancer: `off`, `v1`, `v2`, or `on` for both."""
    proxy_protocol_from: str | Sequence[str] = ("127.0.0.1", "::1")
    """Addresses and networks of those load balancers; connections from other peers end. Unix sockets are always
    accepted."""
    server_names: str | Sequence[str] = ()
    """Host names that are served, such as `example.com` and `*.example.com`; requests for others get 421. Empty: any.
    Under TLS, give the names in the certificate."""
    underscore_fields: bool = False
    """Whether requests keep fields with an underscore in their name. Many applications read `x_forwarded_for` as
    `x-forwarded-for`, which a proxy in front has checked or written; so the default drops them. WSGI never gets
    them."""
    log_level: str = "info"
    """Lowest severity that the command line logs. An embedded server does not configure logging."""
    root_path: str = ""
    """ASGI's `root_path`: the prefix under which a proxy mounts the application, such as `/api`."""
    lifespan: str = "auto"
    """ASGI's lifespan: `on` (its failure ends the start), `off`, or `auto` (used if the application supports it)."""
    max_connections: int = 16_384
    """Connections that may be open at once; further ones wait in the backlog of the listening sockets."""
    max_messages_size: int = 33_554_432
    """Bytes that all connections together may reserve for large WebSocket messages, beyond one message for each
    connection; after that, large messages of one connection come one after the other. See
    `max_connection_messages_size` in `limits`."""
    max_body_size: int = 10_485_760
    """Largest body, in bytes, that `request.read()` collects; a larger one gets 413. Streamed bodies have no such
    limit."""
    wsgi_threads: int = 0
    """WSGI requests that run at once, each in its own thread; 0: four more than there are cores, 32 at most."""
    wsgi_spare_threads: int = 4
    """Additional threads while more than half of those wait for slow clients; 0: none. There are none with one
    thread."""
    wsgi_stall_s: float = 2.0
    """Seconds in which a client that a thread waits for must take or send 4 KiB while other requests need a thread; 0:
    no limit."""
    wsgi_spool_memory: int = 1_048_576
    """Bytes of a WSGI request's content, and of a response that its client has not taken, that are kept in memory."""
    wsgi_spool_size: int = 67_108_864
    """Bytes of the same in a temporary file, when they exceed memory; beyond it a thread waits for the client. 0: no
    file."""
    wsgi_spool_total: int = 1_073_741_824
    """Bytes in all of these files together, half of them for one client address; beyond it threads wait for clients."""
    tls_handshake_timeout_s: float = 10.0
    """Seconds for a TLS handshake, and for a PROXY header; then the connection ends."""
    limits: Limits = field(default_factory=server_limits)
    """The limits of each connection."""

    binds: tuple[Bind, ...] = field(init=False)
    """Return all addresses, parsed, those of `bind` first."""

    def __post_init__(self) -> None:
        for name, choices in (
            ("interface", INTERFACES),
            ("loop", LOOPS),
            ("access_log_format", ACCESS_LOG_FORMATS),
            ("proxy_protocol", PROXY_PROTOCOLS),
            ("log_level", LOG_LEVELS),
            ("lifespan", SWITCHES),
            ("protocols", PROTOCOLS),
            ("websockets", SWITCHES),
        ):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(f"{name} is '{value}'; it must be one of {', '.join(choices)}")
        if self.tls_key and not self.tls_cert:
            raise ConfigError("tls_key is set without tls_cert; a key needs its certificate")
        if self.tls_key_password and not self.tls_cert:
            raise ConfigError("tls_key_password is set without tls_cert; there is no key that it could open")
        if self.dev_tls and self.tls_cert:
            raise ConfigError("dev_tls and tls_cert are both set; choose one certificate")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ConfigError(f"root_path is '{self.root_path}'; it must begin with a slash and not end with one")
        if not 1 <= self.max_connections <= 1_000_000:
            raise ConfigError(f"max_connections is {self.max_connections}; it must be between 1 and 1000000")
        if self.max_messages_size < 0:
            raise ConfigError(f"max_messages_size is {self.max_messages_size}; it must not be negative")
        if self.max_body_size < 0:
            raise ConfigError(f"max_body_size is {self.max_body_size}; it must not be negative")
        if not 0.001 <= self.tls_handshake_timeout_s <= 86_400:
            raise ConfigError(
                f"tls_handshake_timeout_s is {self.tls_handshake_timeout_s}; it must be between 0.001 and 86400"
            )
        if not 0 <= self.wsgi_threads <= 10_000:
            raise ConfigError(f"wsgi_threads is {self.wsgi_threads}; it must be between 0 and 10000")
        if not 0 <= self.wsgi_stall_s <= 86_400:
            raise ConfigError(f"wsgi_stall_s is {self.wsgi_stall_s}; it must be between 0 and 86400")
        for name, most in (
            ("wsgi_spare_threads", 10_000),
            ("wsgi_spool_memory", 2**30),
            ("wsgi_spool_size", 2**50),
            ("wsgi_spool_total", 2**50),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be between 0 and {most}")
        if self.request_id_header and not _FIELD_NAME.fullmatch(self.request_id_header):
            raise ConfigError(f"request_id_header is '{self.request_id_header}', which is not the name of a field")
        object.__setattr__(self, "request_id_header", self.request_id_header.lower())
        if self.metrics_bind:
            try:
                Bind.parse(self.metrics_bind)
            except ConfigError as error:
                raise ConfigError(f"metrics_bind: {error}") from None
            if find_spec("prometheus_client") is None:
                raise ConfigError(
                    "metrics_bind needs the package prometheus-client: pip install 'headrace[prometheus]'"
                )
        if self.otel and find_spec("opentelemetry") is None:
            raise ConfigError("otel needs the package opentelemetry-api: pip install 'headrace[otel]'")
        object.__setattr__(self, "server_names", _as_tuple(self.server_names))
        try:
            ServerNames(self.server_names)
        except ValueError as error:
            raise ConfigError(f"server_names: {error}") from None
        object.__setattr__(self, "proxy_protocol_from", _as_tuple(self.proxy_protocol_from))
        for network in self.proxy_protocol_from:
            try:
                ip_network(network)
            except ValueError:
                raise ConfigError(
                    f"proxy_protocol_from has '{network}', which is neither an address nor a network such as 10.0.0.0/8"
                ) from None
        object.__setattr__(self, "bind", _as_tuple(self.bind))
        object.__setattr__(self, "cleartext_bind", _as_tuple(self.cleartext_bind))
        binds = [Bind.parse(text, tls=self.tls) for text in self.bind]
        binds += [Bind.parse(text) for text in self.cleartext_bind]
        if not binds:
            raise ConfigError("there is no address to listen on; give bind at least one")
        seen: set[str] = set()
        for each in binds:
            address = str(each)
            # Port 0 is a new port each time.
            if address in seen and not (each.kind == "tcp" and each.port == 0):
                raise ConfigError(f"the address '{address}' is given twice")
            seen.add(address)
        object.__setattr__(self, "binds", tuple(binds))

    @property
    def tls(self) -> bool:
        """True if there is a certificate, so that the addresses of `bind` speak TLS."""
        return self.dev_tls or self.tls_cert is not None

    @property
    def drain_timeout_s(self) -> float:
        """Seconds that running requests have after a drain began; it is one of the `limits`."""
        return self.limits.drain_timeout_s


def _as_tuple(addresses: str | Sequence[str]) -> tuple[str, ...]:
    return (addresses,) if isinstance(addresses, str) else tuple(addresses)
