"""Content codings (RFC 9110 §8.4): streaming and chained; bombs are in tests/security/client/test_types.py."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest

from headrace.client import DecodingError
from headrace.client.message.decoding import STEP, ContentDecoder, accept_encoding, codings_of

try:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from backports import zstd

TEXT = b"".join(b"line %d of some text that can be made smaller\n" % number for number in range(12_000))


def bare_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(data) + made.flush()


CODINGS: dict[str, Callable[[bytes], Any]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


def decode(codings: list[str], pieces: list[bytes], max_ratio: int | None = 100) -> bytes:
    decoder = ContentDecoder(codings, max_ratio)
    made = []
    for piece in pieces:
        for each in decoder.feed(piece):
            assert len(each) <= 2 * STEP  # brotli's last block may exceed it
            made.append(each)
    decoder.finish()
    return b"".join(made)


def split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1_000_000, 1_000, 17])
def test_each_coding_in_pieces_of_any_size(coding: str, size: int) -> None:
    assert decode([coding], split(CODINGS[coding](TEXT), size)) == TEXT


@pytest.mark.parametrize("coding", CODINGS)
def test_byte_by_byte(coding: str) -> None:
    assert decode([coding], split(CODINGS[coding](TEXT[:1000]), 1)) == TEXT[:1000]


@pytest.mark.parametrize("coding", CODINGS)
def test_empty_content_needs_no_coding(coding: str) -> None:
    """The content of a HEAD or a 304, and of servers that send nothing in place of an empty gzip file."""
    assert decode([coding], []) == b""
    assert decode([coding], [CODINGS[coding](b"")]) == b""


@pytest.mark.parametrize("coding", CODINGS)
def test_what_ends_early_is_an_error(coding: str) -> None:
    made = CODINGS[coding](TEXT)
    for cut in (len(made) // 2, len(made) - 1, 1):
        with pytest.raises(DecodingError, match=f"not {coding}"):
            decode([coding], [made[:cut]])


@pytest.mark.parametrize("coding", CODINGS)
def test_what_is_not_the_coding_is_an_error(coding: str) -> None:
    with pytest.raises(DecodingError, match=f"not {coding}, as its content-encoding says"):
        decode([coding], [b"<html>this is no such thing at all</html>" * 10])


@pytest.mark.parametrize("size", [1_000_000, 1])
def test_brotli_with_more_behind_its_end(size: int) -> None:
    """How the content was cut must not decide: the brotli package refuses what follows in the same piece, and so do we
    what follows in the next. (Found by tests/fuzz.)"""
    with pytest.raises(DecodingError):
        decode(["br"], split(brotli.compress(TEXT[:100]) + b"x", size))


def test_deflate_without_its_wrapper() -> None:
    """RFC 9110 §8.4.1.2 notes that some send deflate without the zlib wrapper."""
    for size in (1_000_000, 1):
        assert decode(["deflate"], split(bare_deflate(TEXT[:5000]), size)) == TEXT[:5000]


def test_several_members_of_gzip_and_frames_of_zstd() -> None:
    two = gzip.compress(b"one") + b"\0\0" + gzip.compress(b"two")
    assert decode(["gzip"], [two]) == decode(["gzip"], split(two, 1)) == b"onetwo"
    frames = zstd.compress(b"one") + zstd.compress(b"two")
    assert decode(["zstd"], [frames]) == decode(["zstd"], split(frames, 1)) == b"onetwo"


def test_codings_upon_codings() -> None:
    made = TEXT
    for coding in CODINGS:
        made = CODINGS[coding](made)
    assert decode(list(CODINGS), split(made, 1000)) == TEXT
    with pytest.raises(DecodingError, match="6 content codings; at most 5"):
        ContentDecoder(["gzip"] * 6)


def test_what_compresses_well_is_no_bomb() -> None:
    """16 MiB may be zeros. Beyond that, content may shrink to a hundredth, unless the caller sets another limit."""
    zeros = bytes(16 * 1_048_576)
    assert decode(["gzip"], [gzip.compress(zeros)]) == zeros
    more = gzip.compress(bytes(64 * 1_048_576))
    with pytest.raises(DecodingError, match="more than 100 times"):
        decode(["gzip"], [more])
    assert len(decode(["gzip"], [more], None)) == 64 * 1_048_576


def test_the_names_of_codings() -> None:
    assert codings_of("gzip") == codings_of("X-GZIP") == codings_of(" identity , gzip,") == ["gzip"]
    assert codings_of("gzip, br") == ["gzip", "br"]
    assert codings_of("") == codings_of("identity") == codings_of("gzip, unheard-of") == []
    assert accept_encoding() == "gzip, deflate, br, zstd"


def test_only_what_is_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.client.message import decoding

    accept_encoding.cache_clear()
    monkeypatch.setattr(decoding, "_module", lambda coding: None)
    try:
        assert accept_encoding() == "gzip, deflate"
        assert codings_of("br") == []
    finally:
        accept_encoding.cache_clear()
