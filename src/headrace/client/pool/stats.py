"""The state of a pool at one moment, for people and gauges."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.client.pool.policy import Pool


@dataclass(frozen=True, slots=True)
class OriginStats:
    """The figures of one origin. A connection that several origins share is counted for each of them."""

    origin: str
    http_version: str
    """The protocol that it speaks: "2", "1.1", or "" while that is unknown."""
    connections: int
    """Connections that take requests."""
    connecting: int
    streams: int
    """Requests and tunnels that are open on these connections."""
    waiting: int


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The figures of the whole pool."""

    connections: int
    """All open connections, including those that take no new request."""
    connecting: int
    idle: int
    """Connections without an open request."""
    streams: int
    waiting: int
    origins: list[OriginStats]


def stats_of(pool: Pool) -> PoolStats:
    """Return the figures of `pool`."""
    origins = []
    for place in pool.places.values():
        members = [*place.members, *place.spare]
        origins.append(
            OriginStats(
                origin=str(place.origin),
                http_version=place.speaks or "",
                connections=len(members),
                connecting=place.attempts + place.spare_attempts,
                streams=sum(len(each.live) for each in members),
                waiting=len(place.requests) + len(place.tunnels),
            )
        )
    return PoolStats(
        connections=len(pool.homes),
        connecting=pool.under_way,
        idle=sum(not each.live for each in pool.homes),
        streams=sum(len(each.live) for each in pool.homes),
        waiting=pool.waiting,
        origins=origins,
    )
