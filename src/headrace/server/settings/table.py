"""The table of settings: name, type and help of each.

One `Setting` is one row; flags, `HEADRACE_*` variables and the keys of the TOML file all come from it.
`headrace.server.settings.config` checks values and their combinations, `headrace.server.settings.sources` finds them.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from headrace.server.settings.config import (
    ACCESS_LOG_FORMATS,
    INTERFACES,
    LOG_LEVELS,
    LOOPS,
    PROTOCOLS,
    PROXY_PROTOCOLS,
    SWITCHES,
    ConfigError,
)

ENVIRONMENT_PREFIX: Final = "HEADRACE_"
_SIZE: Final = re.compile(r"([0-9][0-9_]*)\s*(|KiB|MiB|GiB)")
_UNITS: Final = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    name: str
    """The attribute of `Config` or `Limits`, and the key in the file."""
    kind: str
    """`text`, `choice`, `switch`, `addresses`, `count`, `bytes`, `seconds` or `rate`."""
    help: str
    choices: tuple[str, ...] = ()
    limit: bool = False
    """True if the file keeps it under [limits]."""
    secret: bool = False
    """True if it is never a flag and never printed."""

    @property
    def flag(self) -> str:
        """The flag's name: `--idle-timeout` for idle_timeout_s."""
        return "--" + self.name.removesuffix("_s").replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable's name."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def key(self) -> str:
        """The key in the file, with its table."""
        return f"limits.{self.name}" if self.limit else self.name

    def read(self, raw: object) -> Any:
        """Return the value of `raw`, which is text or a TOML value. Raises ConfigError with the end of a sentence."""
        if self.kind == "switch":
            return _read_switch(raw)
        if self.kind == "addresses":
            return _read_addresses(raw)
        if self.kind in ("count", "bytes"):
            return _read_whole_number(raw)
        if self.kind in ("seconds", "rate"):
            return _read_number(raw)
        if not isinstance(raw, str):
            raise ConfigError(f"{raw!r} is not text")
        if self.choices and raw not in self.choices:
            raise ConfigError(f"'{raw}' is not one of {', '.join(self.choices)}{near(raw, self.choices)}")
        return raw


def _read_switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in _TRUE | _FALSE:
        return raw.lower() in _TRUE
    raise ConfigError(f"{raw!r} is neither true nor false")


def _read_addresses(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    if isinstance(raw, list | tuple) and all(isinstance(part, str) for part in raw):
        return tuple(raw)
    raise ConfigError(f"{raw!r} is not a list of addresses")


def _read_whole_number(raw: object) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    match = _SIZE.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if match is None:
        raise ConfigError(f"{raw!r} is not a whole number (KiB, MiB and GiB may follow)")
    return int(match[1]) * _UNITS[match[2]]


def _read_number(raw: object) -> float:
    try:
        value = math.nan if isinstance(raw, bool) or not isinstance(raw, int | float | str) else float(raw)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{raw!r} is not a number")
    return value


# Kind and help of each limit of the engine. A test names a limit that has no line here.
_LIMITS: Final[dict[str, tuple[str, str]]] = {
    "max_concurrent_streams": ("count", "Requests that a connection may have open at once."),
    "max_field_section_size": ("bytes", "Largest size of a request's decoded fields; a larger request gets 431."),
    "max_connection_fields_size": (
        "bytes",
        "The same for all open requests of a connection together; further ones are refused.",
    ),
    "max_fields": ("count", "Largest number of fields in a request; cookie crumbs count one by one."),
    "max_block_size": ("bytes", "Largest size of a request's compressed fields."),
    "max_continuations": ("count", "Largest number of CONTINUATION frames after one HEADERS frame."),
    "max_settings": ("count", "Largest number of entries in one SETTINGS frame."),
    "initial_stream_window": ("bytes", "Bytes that a peer may send on a stream before the application reads."),
    "small_stream_window": ("bytes", "The same while max_unread bytes of its connection are unread."),
    "initial_connection_window": ("bytes", "The same for a connection."),
    "max_unread": ("bytes", "Bytes that the handlers of a connection may leave unread before its windows shrink."),
    "max_frame_size": ("bytes", "Largest payload of a frame that is accepted."),
    "max_stream_send_buffer": ("bytes", "Bytes of a stream that may wait for the peer before a write blocks."),
    "max_connection_send_buffer": (
        "bytes",
        "Bytes of all responses that a connection accepts and that wait for the peer.",
    ),
    "header_table_size": ("bytes", "Size of HPACK's dynamic table."),
    "preface_timeout_s": ("seconds", "Time for a client's first bytes and its SETTINGS."),
    "settings_ack_timeout_s": ("seconds", "Time for the acknowledgement of our SETTINGS."),
    "request_header_timeout_s": ("seconds", "Time for all fields of a request to arrive."),
    "idle_timeout_s": ("seconds", "Time without an open stream after which a connection is closed."),
    "min_upload_rate": (
        "rate",
        "Least bytes per second of a request body of announced length, or one that drips; 0: no limit.",
    ),
    "upload_grace_s": ("seconds", "Time over which min_upload_rate is measured."),
    "upload_pause_timeout_s": ("seconds", "Longest pause of a request body without a length; 0: no limit."),
    "stalled_send_timeout_s": ("seconds", "Longest time a response may go without progress."),
    "drain_timeout_s": ("seconds", "Time that running requests get after SIGTERM."),
    "keepalive_ping_s": ("seconds", "Send a PING after this time of silence; 0: never."),
    "keepalive_ack_s": ("seconds", "Time for the acknowledgement of that PING."),
    "early_reset_burst": ("count", "Resets by the peer before the response and within 10 ms that are allowed at once."),
    "early_reset_rate": ("rate", "The same, refilled per second; each answered request refills two more."),
    "provoked_reset_burst": ("count", "Resets caused by faults of the peer that are allowed at once."),
    "provoked_reset_rate": ("rate", "The same, refilled per second; ten answered requests refill one more."),
    "odd_frame_burst": ("count", "Legal but odd frames (PING, SETTINGS, empty ...) that are allowed at once."),
    "odd_frame_rate": ("rate", "The same, refilled per second."),
    "small_data_budget": (
        "bytes",
        "Unread bytes of a stream in small DATA frames, each charged 256; beyond it: a reset.",
    ),
    "control_queue_pause": ("count", "Number of unwritten control frames at which reading pauses."),
    "control_queue_end": ("count", "Number of unwritten control frames at which a connection is closed."),
    "max_message_size": (
        "bytes",
        "Largest WebSocket message, inflated, 256 added for each fragment; beyond it: close code 1009.",
    ),
    "max_message_queue": ("count", "WebSocket messages that wait for the handler, of max_message_size together."),
    "max_message_queue_size": ("bytes", "Bytes kept for a WebSocket while its handler does not wait for a message."),
    "max_connection_messages_size": ("bytes", "Bytes reserved for large messages on all WebSockets of a connection."),
    "websocket_ping_interval_s": ("seconds", "Send a WebSocket ping after this time of silence; 0: never."),
    "websocket_ping_timeout_s": ("seconds", "Time for an answer to that ping; 0: no limit."),
    "websocket_close_timeout_s": ("seconds", "Time for the peer of a WebSocket to answer our close frame."),
    "frames_per_turn": (
        "count",
        "Frames, or chunks and heads of the same cost, that are parsed in one turn; 0: no limit.",
    ),
}


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("bind", "addresses", "HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N; speaks TLS once there is a certificate."),
    Setting("cleartext_bind", "addresses", "The same, but never TLS: to serve both at once."),
    Setting("interface", "choice", "Interface of the application.", INTERFACES),
    Setting("tls_cert", "text", "PEM file with the certificate and its chain."),
    Setting("tls_key", "text", "PEM file with the private key, if the certificate's file does not hold it."),
    Setting("tls_key_password", "text", "Password of the private key.", secret=True),
    Setting("dev_tls", "switch", "Serve TLS with a local certificate, which is made and kept."),
    Setting("loop", "choice", "Event loop; auto takes uvloop where it is installed.", LOOPS),
    Setting("access_log", "switch", "Log one line per request on stderr."),
    Setting("access_log_format", "choice", "Format of those lines.", ACCESS_LOG_FORMATS),
    Setting("request_id_header", "text", "Field in which a trusted proxy sends a request's id, such as x-request-id."),
    Setting("metrics_bind", "text", "Address that serves /metrics for Prometheus, in cleartext."),
    Setting("otel", "switch", "Make a span per request for OpenTelemetry, with the process's tracer provider."),
    Setting(
        "proxy_protocol", "choice", "Whether connections begin with a load balancer's PROXY header.", PROXY_PROTOCOLS
    ),
    Setting("proxy_protocol_from", "addresses", "Addresses and networks of those load balancers."),
    Setting("server_names", "addresses", "Host names that are served, *.NAME too; others get 421. None: any."),
    Setting("underscore_fields", "switch", "Keep request fields with an underscore in their name."),
    Setting("wsgi_threads", "count", "WSGI requests that run at once; 0: four more than cores, 32 at most."),
    Setting("wsgi_spare_threads", "count", "Further threads while half of them wait for slow clients; 0: none."),
    Setting("log_level", "choice", "Lowest level that is logged.", LOG_LEVELS),
    Setting("root_path", "text", "Prefix under which a proxy mounts the application."),
    Setting(
        "lifespan",
        "choice",
        "Whether ASGI's lifespan events are sent; auto: if the application supports them.",
        SWITCHES,
    ),
    Setting("protocols", "choice", "Protocols that are served: by ALPN under TLS, else by the first bytes.", PROTOCOLS),
    Setting("websockets", "choice", "Whether WebSockets are offered; auto: if the application takes them.", SWITCHES),
    Setting("websocket_compression", "switch", "Agree to permessage-deflate for ASGI's WebSockets."),
    Setting("max_connections", "count", "Connections open at once.", limit=True),
    Setting(
        "max_messages_size",
        "bytes",
        "Bytes reserved for large WebSocket messages on all connections, beyond one for each.",
        limit=True,
    ),
    Setting("max_body_size", "bytes", "Largest body that request.read() collects; a larger one gets 413.", limit=True),
    Setting(
        "wsgi_stall_s", "seconds", "Time without progress while others wait for a thread; 0: no limit.", limit=True
    ),
    Setting(
        "wsgi_spool_memory",
        "bytes",
        "Bytes of a WSGI request, and of a response, that are kept in memory.",
        limit=True,
    ),
    Setting("wsgi_spool_size", "bytes", "The same in a temporary file; beyond it a thread waits.", limit=True),
    Setting("wsgi_spool_total", "bytes", "Bytes in all of these files together.", limit=True),
    Setting("tls_handshake_timeout_s", "seconds", "Time for a TLS handshake, or a PROXY header.", limit=True),
    *(Setting(name, kind, text, limit=True) for name, (kind, text) in _LIMITS.items()),
)
BY_NAME: Final = {each.name: each for each in SETTINGS}


def near(word: str, candidates: Iterable[str]) -> str:
    """Return the end of a sentence that offers the candidate most like `word`, or ""."""
    close = difflib.get_close_matches(word, list(candidates), 1, 0.7)
    return f"; did you mean {close[0]}?" if close else ""
