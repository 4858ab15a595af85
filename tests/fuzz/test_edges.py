"""The corpora come to every place where one byte matters: of a window, of a limit, of a form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fuzz import running
from tests.fuzz.h2.client import ClientSession
from tests.fuzz.h2.server import ServerSession
from tests.fuzz.source import Source
from tests.fuzz.targets.engine import hpack_decoder
from tests.fuzz.ws.session import WebSocketSession


@pytest.mark.parametrize(
    ("target", "session"),
    [("h2_server", ServerSession), ("h2_client", ClientSession), ("websocket", WebSocketSession)],
)
def test_the_corpus_reaches_every_edge(target: str, session: Any) -> None:
    reached: set[str] = set()
    for data in running.corpus(target):
        played = session(Source(data))
        played.run()
        reached |= played.reached
    assert reached == set(session.edges)


def test_the_corpus_fills_the_table_of_hpack_to_the_byte() -> None:
    reached = [hpack_decoder.play(Source(data))[1] for data in running.corpus("hpack_decoder")]
    assert set().union(*reached) == set(hpack_decoder.EDGES)
