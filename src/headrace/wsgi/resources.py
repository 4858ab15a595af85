"""The things that all requests to one WSGI application share: threads, room for content, a record of each address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.wsgi.addresses import ClientRecords
from headrace.wsgi.spools import Spools
from headrace.wsgi.stalls import Stalls
from headrace.wsgi.threads import Threads

if TYPE_CHECKING:
    from headrace.server.settings.config import Config
    from headrace.wsgi.call import WSGICall


class Resources:
    """The part of the application's adapter that its requests use."""

    def __init__(self, config: Config) -> None:
        self.root_path: str = config.root_path
        self.addresses: ClientRecords = ClientRecords()
        self.spools: Spools = Spools(config.wsgi_spool_memory, config.wsgi_spool_size, config.wsgi_spool_total)
        self.threads: Threads = Threads(config.wsgi_threads, config.wsgi_spare_threads, self.spools.is_short)
        self.spools.room_given = self.threads.look
        self.stalls: Stalls = Stalls(self.threads, config.wsgi_stall_s)
        self.given_up: list[WSGICall] = []
        """Calls that had not ended when their request was cancelled, which only the end of a drain does."""
