"""Content that is all work and no bytes: members, frames and blocks that inflate to nothing (RFC 1952, RFC 8878)."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from headrace.client.errors import DecodingError
from headrace.client.interface import ResponseHead
from headrace.client.message import streaming
from headrace.client.message.decoding import MANY_MEMBERS, MEMBER_SIZE, STEP, TAKEN, ContentDecoder
from headrace.client.message.incoming import Received
from headrace.client.message.streaming import Streaming, decode_whole

EMPTY_MEMBER = gzip.compress(b"", mtime=0)
EMPTY_FRAME = bytes.fromhex("28b52ffd2000010000")  # zstd: a frame of one block that is raw, last and empty


@pytest.mark.parametrize(("coding", "empty"), [("gzip", EMPTY_MEMBER), ("zstd", EMPTY_FRAME)], ids=["gzip", "zstd"])
def test_members_without_content_have_an_end(coding: str, empty: bytes) -> None:
    with pytest.raises(DecodingError, match="work without content"):
        for _ in ContentDecoder([coding]).feed(empty * 4 * MANY_MEMBERS):
            pass


def test_a_log_of_many_members_is_read() -> None:
    lines = [b"%d %s\n" % (number, bytes(range(256)) * 2) for number in range(3 * MANY_MEMBERS)]
    content = b"".join(gzip.compress(line, mtime=0) for line in lines)
    assert len(content) > 3 * MANY_MEMBERS * MEMBER_SIZE
    assert b"".join(ContentDecoder(["gzip"]).feed(content)) == b"".join(lines)


def _blocks(count: int) -> bytes:
    """gzip content of `count` stored blocks without a byte (RFC 1951 §3.2.4), and the end."""
    return EMPTY_MEMBER[:10] + b"\x00\x00\x00\xff\xff" * count + b"\x01\x00\x00\xff\xff" + bytes(8)


def test_a_step_takes_a_bounded_part_of_what_has_come() -> None:
    content = _blocks(100_000)
    steps = list(ContentDecoder(["gzip"]).feed(content))
    assert len(steps) >= len(content) // TAKEN
    assert b"".join(steps) == b""


@pytest.mark.parametrize("content", [_blocks(200_000), gzip.compress(bytes(40 * STEP))], ids=["no bytes", "many bytes"])
def test_a_loop_turns_while_content_is_decoded_whole(content: bytes) -> None:
    headers = [(b"content-encoding", b"gzip")]
    assert _turns(decode_whole(headers, content, None)) >= 5


def test_a_loop_turns_while_content_is_read_as_a_stream() -> None:
    async def read() -> None:
        content = _blocks(200_000)
        incoming = Received(ResponseHead(200, [(b"content-encoding", b"gzip")], "2"), content, [])
        stream = Streaming(incoming, None, None, None)  # type: ignore[arg-type]  # no call: nothing fails here
        pieces: AsyncIterator[bytes] = stream.decoded()
        assert [piece async for piece in pieces] == []

    assert _turns(read()) >= 5


def test_control_without_turns_the_loop_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "WORK_AT_ONCE", 1 << 60)
    assert _turns(decode_whole([(b"content-encoding", b"gzip")], _blocks(200_000), None)) <= 2


def _turns(work: object) -> int:
    """How often the loop turned while a coroutine ran."""

    async def count() -> int:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        turns = 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        await task
        return turns

    return asyncio.run(count())


def test_a_stream_of_deflate_is_read_as_before() -> None:
    content = b"0123456789" * 100_000
    assert b"".join(ContentDecoder(["deflate"]).feed(zlib.compress(content))) == content
