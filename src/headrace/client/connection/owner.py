"""Who makes drivers and gives them requests, as a driver sees it; and the limits that a client's connections have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from headrace.engine.build import engine_is_compiled
from headrace.engine.limits import Limits

if TYPE_CHECKING:
    from headrace.client.errors import RequestError

CLIENT_LIMITS: Final = Limits(
    initial_stream_window=2_097_152,  # 2 MiB: 20 MB/s over a round trip of 100 ms
    small_stream_window=65_536,
    initial_connection_window=16_777_216,
    max_unread=16_777_216,
    small_data_budget=33_554_432,  # sixteen times the window, as in `Limits`
    stalled_send_timeout_s=86_400.0,  # the write timeout of each request bounds it instead
    idle_timeout_s=86_400.0,  # the pool's to decide
    frames_per_turn=200 if engine_is_compiled() else 80,  # one server must not hold up what else the loop does
)
"""Limits for a client's connections where nothing else is asked for."""


Driver = TypeVar("Driver", contravariant=True)


class Owner(Protocol[Driver]):
    """Who makes a driver and gives it requests: the pool. Called on the loop; may call `begin` from within."""

    def on_ready(self, driver: Driver) -> None:
        """The first request may begin. Called once, for connections that get as far."""

    def on_room(self, driver: Driver) -> None:
        """There may be room where there was none: exchanges have ended, or SETTINGS have come."""

    def on_unusable(self, driver: Driver) -> None:
        """No further request can begin here; what runs goes on. Called once at most, before `on_lost`."""

    def on_origins(self, driver: Driver) -> None:
        """An ORIGIN frame has come: `driver.announced_origins` says whom else the connection is for (RFC 8336 §2.4)."""

    def on_lost(self, driver: Driver, error: RequestError | None) -> None:
        """The transport is gone, and every exchange is over. `error` is None where the end was in order. Called
        once."""
