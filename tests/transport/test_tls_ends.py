"""The TLS transport after its end, and what it answers while it has none: no call is an error, none does anything."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest

from headrace.transport.tls import _replace

from tests.transport.test_tls_transport import Bench, folder, on_loop

__all__ = ["folder"]


def test_after_its_end_every_call_is_nothing(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder).shake_hands()
        tls = bench.tls
        tls.connection_lost(None)
        assert bench.above.calls == ["made", "lost"]
        before = bench.raw.calls.copy(), bytes(bench.raw.out)
        for call in (tls.pause_reading, tls.resume_reading, tls.write_eof, tls.close, tls.abort):
            call()
        tls.write(b"late")
        tls.set_write_buffer_limits(1)
        assert (tls.get_write_buffer_size(), tls.get_extra_info("peername", "nobody")) == (0, "nobody")
        assert (bench.raw.calls, bytes(bench.raw.out)) == before
        assert isinstance(tls.get_extra_info("sslcontext"), ssl.SSLContext)
        assert tls.can_write_eof()

    on_loop(main)


def test_writing_is_paused_and_resumed_before_and_after_the_handshake(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder)
        bench.tls.pause_writing()
        bench.tls.resume_writing()
        assert bench.raw.calls[-2:] == ["pause_reading", "resume_reading"]
        bench.tls.connection_lost(None)
        calls = bench.raw.calls.copy()
        bench.tls.pause_writing()
        bench.tls.resume_writing()
        assert bench.raw.calls == calls
        open_one = Bench(folder).shake_hands()
        open_one.tls.pause_writing()
        open_one.tls.resume_writing()
        assert open_one.above.calls == ["made", "pause", "resume"]

    on_loop(main)


def test_input_after_our_own_end_is_not_read(folder: Path) -> None:
    async def main() -> None:
        bench = Bench(folder).shake_hands()
        bench.client.write(b"late")
        bench.tls.abort()
        bench.deliver()
        assert bench.above.received == []

    on_loop(main)


def test_bytes_that_are_no_records_end_it_with_a_line_for_who_debugs(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        bench = Bench(folder).shake_hands()
        bench.tls.data_received(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert bench.above.calls == ["made", "eof"]
        assert bench.raw.is_closing()
        assert bench.tls.cut

    with caplog.at_level(logging.DEBUG, "headrace.protocol"):
        on_loop(main)
    assert any(each.getMessage().startswith("a TLS connection ended: ") for each in caplog.records)


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").write_text("")
    with pytest.raises(OSError, match="taken"):
        _replace(tmp_path / "taken", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]
    _replace(tmp_path / "free", b"content")
    assert (tmp_path / "free").read_bytes() == b"content"
