"""The table of settings: how each is called, read and explained.

One `Setting` a row; flags, `HEADRACE_*` variables and the keys of the TOML file all come from it. What may stand
together is decided in `headrace.server.settings.config`, and where values come from in
`headrace.server.settings.sources`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

from headrace.engine.limits import Limits
from headrace.server.settings.config import (
    ACCESS_LOG_FORMATS,
    INTERFACES,
    LOG_LEVELS,
    LOOPS,
    PROTOCOLS,
    PROXY_PROTOCOLS,
    SWITCHES,
    ConfigError,
    server_limits,
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
    """`text`, `choice`, `switch`, `addresses`, `count`, `octets`, `seconds` or `rate`."""
    help: str
    choices: tuple[str, ...] = ()
    limit: bool = False
    """True when the file keeps it under [limits]."""
    secret: bool = False
    """True when it is never a flag and never printed."""

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
        """The value of `raw`, which is text or what TOML made of it. Raises ConfigError with the end of a sentence."""
        if self.kind == "switch":
            return _read_switch(raw)
        if self.kind == "addresses":
            return _read_addresses(raw)
        if self.kind in ("count", "octets"):
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


_LIMIT_HELP: Final = {
    "max_concurrent_streams": "Requests a connection may have open at once.",
    "max_field_section_size": "Decoded size of a request's fields; beyond it: 431.",
    "max_connection_fields_size": "The same of all open requests of a connection together; beyond it: refused.",
    "max_fields": "Fields in a request, cookie crumbs counted one by one.",
    "max_block_size": "Compressed size of a request's fields.",
    "max_continuations": "CONTINUATION frames after one HEADERS.",
    "max_settings": "Entries in one SETTINGS frame.",
    "initial_stream_window": "Octets a peer may send on a stream before the application reads.",
    "small_stream_window": "The same while max_unread octets of its connection are unread.",
    "initial_connection_window": "The same for a connection.",
    "max_unread": "Octets that all handlers of a connection may leave unread before its windows shrink.",
    "max_frame_size": "Largest frame payload accepted.",
    "max_stream_send_buffer": "Octets of a stream that may wait for the peer before a write blocks.",
    "max_connection_send_buffer": "Octets of all its responses that a connection accepts and keeps waiting.",
    "header_table_size": "HPACK's dynamic table.",
    "preface_timeout_s": "Time for a client's first octets and its SETTINGS.",
    "settings_ack_timeout_s": "Time for the acknowledgement of our SETTINGS.",
    "request_header_timeout_s": "Time for a request's fields to come whole.",
    "idle_timeout_s": "Time without an open stream after which a connection ends.",
    "min_upload_rate": "Octets a second of a request body whose length is announced, or that drips; 0: no limit.",
    "upload_grace_s": "Time over which min_upload_rate is asked for.",
    "upload_pause_timeout_s": "Longest pause of a request body without a length; 0: no limit.",
    "stalled_send_timeout_s": "Longest time a response may go without progress.",
    "drain_timeout_s": "Time that running requests have after SIGTERM.",
    "keepalive_ping_s": "A PING after this time of silence; 0: none.",
    "keepalive_ack_s": "Time for the PING's acknowledgement.",
    "early_reset_burst": "Resets by the peer before the answer and within 10 ms, at once.",
    "early_reset_rate": "The same, refilled a second; each answered request refills two more.",
    "provoked_reset_burst": "Resets that the peer's faults forced on us, at once.",
    "provoked_reset_rate": "The same, refilled a second; ten answered requests refill one more.",
    "odd_frame_burst": "Legal but odd frames (PING, SETTINGS, empty ...), at once.",
    "odd_frame_rate": "The same, refilled a second.",
    "small_data_budget": "Unread octets of a stream in small DATA frames, each charged 256; beyond it: a reset.",
    "control_queue_pause": "Control frames waiting to be written at which reading stops.",
    "control_queue_end": "Control frames waiting to be written at which a connection ends.",
    "max_message_size": "A WebSocket's message, inflated, 256 added for each fragment; beyond it: close code 1009.",
    "max_message_queue": "Messages of a WebSocket that wait for its handler, of max_message_size together.",
    "max_message_queue_size": "Bytes of a WebSocket that are kept while its handler does not wait for a message.",
    "max_connection_messages_size": "Bytes reserved for large messages on all WebSockets of a connection.",
    "websocket_ping_interval_s": "A WebSocket's ping after this time of silence; 0: none.",
    "websocket_ping_timeout_s": "Time for an answer to that ping; 0: no end.",
    "websocket_close_timeout_s": "Time for a WebSocket's peer to answer our close frame.",
    "frames_per_turn": "Frames, or chunks and heads that cost as much, parsed before others get their turn; 0: any.",
}


def _limit_kind(name: str) -> str:
    if isinstance(getattr(server_limits(), name), float):
        return "seconds" if name.endswith("_s") else "rate"
    return "octets" if name.endswith(("_size", "_window", "_buffer", "_budget", "_unread")) else "count"


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting("bind", "addresses", "HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N; speaks TLS once there is a certificate."),
    Setting("cleartext_bind", "addresses", "The same, but never TLS: to serve both at once."),
    Setting("interface", "choice", "What the application speaks.", INTERFACES),
    Setting("tls_cert", "text", "PEM file with the certificate and its chain."),
    Setting("tls_key", "text", "PEM file with the private key, if the certificate's file does not hold it."),
    Setting("tls_key_password", "text", "Password of the private key.", secret=True),
    Setting("dev_tls", "switch", "Serve TLS with a local certificate, made and kept for you."),
    Setting("loop", "choice", "Event loop; auto takes uvloop where it is installed.", LOOPS),
    Setting("access_log", "switch", "One line a request on stderr."),
    Setting("access_log_format", "choice", "How those lines look.", ACCESS_LOG_FORMATS),
    Setting("request_id_header", "text", "Field of a trusted proxy with a request's id, such as x-request-id."),
    Setting("metrics_bind", "text", "Address that answers /metrics for Prometheus, in cleartext."),
    Setting("otel", "switch", "A span a request for OpenTelemetry, with the process's tracer provider."),
    Setting(
        "proxy_protocol", "choice", "Whether connections begin with a load balancer's PROXY header.", PROXY_PROTOCOLS
    ),
    Setting("proxy_protocol_from", "addresses", "Addresses and networks of those load balancers."),
    Setting("server_names", "addresses", "Names that requests may be for, *.NAME too; others get 421. None: any."),
    Setting("underscore_fields", "switch", "Keep fields of requests with an underscore in their name."),
    Setting("wsgi_threads", "count", "WSGI requests that run at once; 0: four more than cores, 32 at most."),
    Setting("wsgi_spare_threads", "count", "Further ones while half of them wait for slow clients; 0: none."),
    Setting("log_level", "choice", "Least severity that is logged.", LOG_LEVELS),
    Setting("root_path", "text", "Prefix under which a proxy mounts the application."),
    Setting("lifespan", "choice", "ASGI's lifespan events.", SWITCHES),
    Setting(
        "protocols", "choice", "Protocols that are served: by ALPN under TLS, else by the first octets.", PROTOCOLS
    ),
    Setting(
        "websockets", "choice", "Whether WebSockets are offered; auto: where the application takes them.", SWITCHES
    ),
    Setting("websocket_compression", "switch", "Agree to permessage-deflate for ASGI's WebSockets."),
    Setting("max_connections", "count", "Connections open at once.", limit=True),
    Setting(
        "max_messages_size",
        "octets",
        "Bytes reserved for large WebSocket messages on all connections, beyond one for each.",
        limit=True,
    ),
    Setting("max_body_size", "octets", "Octets that request.read() collects before it answers 413.", limit=True),
    Setting("wsgi_stall_s", "seconds", "Time without progress when others wait for a thread; 0: no end.", limit=True),
    Setting("wsgi_spool_memory", "octets", "Octets of a WSGI request, and of a response, kept in memory.", limit=True),
    Setting("wsgi_spool_size", "octets", "The same in a temporary file; beyond it a thread waits.", limit=True),
    Setting("wsgi_spool_total", "octets", "Octets in all of these files together.", limit=True),
    Setting("tls_handshake_timeout_s", "seconds", "Time for a TLS handshake, or a PROXY header.", limit=True),
    *(Setting(each.name, _limit_kind(each.name), _LIMIT_HELP[each.name], limit=True) for each in fields(Limits)),
)
BY_NAME: Final = {each.name: each for each in SETTINGS}


def near(word: str, candidates: Iterable[str]) -> str:
    """The end of a sentence that offers the candidate most like `word`, or nothing."""
    close = difflib.get_close_matches(word, list(candidates), 1, 0.7)
    return f"; did you mean {close[0]}?" if close else ""
