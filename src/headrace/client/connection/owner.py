"""The owner of drivers, as a driver calls it; and the default limits of a client's connections."""

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
    stalled_send_timeout_s=86_400.0,  # each request's write timeout is the limit instead
    idle_timeout_s=86_400.0,  # the pool decides
    frames_per_turn=200 if engine_is_compiled() else 80,  # one server must not keep the event loop from other work
)
"""Default limits of a client's connections."""


Driver = TypeVar("Driver", contravariant=True)


class Owner(Protocol[Driver]):
    """Makes a driver and gives it requests: the pool. The event loop calls its methods, which may call `begin`."""

    def on_ready(self, driver: Driver) -> None:
        """Notify that the first request may begin. Called once, for connections that get so far."""

    def on_room(self, driver: Driver) -> None:
        """Notify that there may be room again: exchanges have ended, or SETTINGS have arrived."""

    def on_unusable(self, driver: Driver) -> None:
        """Notify that no further request can begin here; running ones go on. Called once at most, before `on_lost`."""

    def on_origins(self, driver: Driver) -> None:
        """Notify of an ORIGIN frame: `driver.announced_origins` has the origins that the connection serves (RFC 8336
        §2.4)."""

    def on_lost(self, driver: Driver, error: RequestError | None) -> None:
        """Notify that the transport is lost, and every exchange is over. `error` is None when the connection ended
        properly. Called once."""
