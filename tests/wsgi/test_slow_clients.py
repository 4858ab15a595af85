"""A client that does not read, where nothing is spooled: its thread waits, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.server.errors import ClientDisconnected

from tests.support.h2_peer import H2Peer
from tests.support.serving import Run, port, serving, settled

TEXT = [("Content-Type", "text/plain")]
NO_SPOOL: dict[str, Any] = {"wsgi_spool_memory": 0, "wsgi_spool_size": 0}


def test_without_a_spool_a_slow_client_blocks_the_thread(run: Run) -> None:
    produced: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for number in range(100):
            produced.append(number)
            yield bytes(16_384)

    async def main() -> None:
        async with serving(app, **NO_SPOOL) as server, H2Peer.connected(port(server), gives_credit=False) as peer:
            stream_id = peer.open("/")
            await peer.until(lambda: len(peer.answers[stream_id].body) == 65_535)
            # The window and the write buffer, a piece in the thread's hand, perhaps one in the spool, and no more.
            await settled(lambda: len(produced) >= 9)
            await peer.ping()
            assert len(produced) <= 10
            peer.gives_credit = True
            peer.conn.increment_flow_control_window(2**30)
            peer.conn.increment_flow_control_window(2**30, stream_id)
            peer.flush()
            assert len((await peer.over(stream_id)).body) == 100 * 16_384

    run(main())


def test_a_thread_waits_for_a_client_within_stalled_send_timeout_s(run: Run) -> None:
    ends: list[str] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", TEXT)
        try:
            while True:
                write(bytes(16_384))
        except ClientDisconnected:
            ends.append("given up")
        return iter(())

    async def main() -> None:
        limits = {"stalled_send_timeout_s": 1.0}
        async with (
            serving(app, **NO_SPOOL, limits=limits) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
        ):
            answer = await peer.over(peer.open("/"))
            assert (len(answer.body), answer.ended, answer.reset is None) == (65_535, False, False)
            await settled(lambda: ends == ["given up"])

    run(main())
