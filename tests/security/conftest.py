"""What the modules that attack a live server have in common; a module may give `server` other limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.support.harness import Bystander, Server, bystander_at, victim
from tests.support.serving import run

__all__ = ["bystander", "run", "server"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One victim for all rows of a module, so that what one attack leaves behind shows in the next."""
    with victim(tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def bystander(server: Server) -> Iterator[Bystander]:
    """Who asks the module's server while it is attacked."""
    with bystander_at(server) as watcher:
        yield watcher
