"""How long a race takes, known before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from benchmarks.client import race as client_race
from benchmarks.servers import race as server_race
from benchmarks.servers.race import GROUPS, IDLE, LATENCIES, LATENCY_LENGTH, WEBSOCKETS, Wanted

# Seconds, beside the visits themselves, measured on a machine with two cores.
START: Final = 0.9  # a server, and its end
CHECK: Final = 0.4  # a server's answers, and its warm-up
H2LOAD: Final = 0.06
GENERATOR: Final = 0.4
TRIAL: Final = 0.7
CLIENT: Final = 0.9
IDLE_EACH: Final = 5.0


def estimate(wanted: Wanted, clients: Sequence[str], client_names: Sequence[str], seconds: float) -> float:
    """Return how many seconds a race takes whose visits have this length."""
    total = 0.0
    for protocol, tls in GROUPS:
        scenarios, others = wanted.scenarios(protocol, tls), wanted.others(protocol, tls)
        able = wanted.able(protocol)
        if scenarios or others:
            total += START * len(able)
        for scenario in scenarios:
            field = sum(server_race.takes_part(each, scenario) for each in able)
            total += field * (CHECK + wanted.rounds * (H2LOAD + seconds))
        for name in others:
            if name in LATENCIES:
                total += len(able) * (TRIAL + wanted.rounds * (GENERATOR + LATENCY_LENGTH * seconds))
            elif name in WEBSOCKETS:
                total += len(able) * wanted.rounds * (GENERATOR + seconds)
    if IDLE in wanted.names:
        total += IDLE_EACH * len(wanted.able("h2"))
    for each in client_race.SCENARIOS:
        if each.name in client_names:
            total += START + len(client_race.able(each, clients)) * wanted.rounds * (CLIENT + seconds)
    return total


def length(wanted: Wanted, clients: Sequence[str], client_names: Sequence[str], minutes: float) -> float:
    """Return the length of a visit with which the race takes so many minutes, in seconds."""
    fixed = estimate(wanted, clients, client_names, 0.0)
    each = estimate(wanted, clients, client_names, 1.0) - fixed
    return (minutes * 60 - fixed) / each if each else 0.0


def in_words(seconds: float) -> str:
    """Return minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
