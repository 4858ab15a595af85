"""The stories of http2jp/hpack-test-case, from five encoders, decoded; and their header lists through our encoder.

The folder stands beside the repository and is not part of it: without it these tests skip.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hpack
import pytest

from headrace.engine.hpack import Decoder, Encoder

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "hpack-test-case"
STORIES = sorted(FOLDER.glob("*/story_*.json"))
ENCODED = [path for path in STORIES if path.parent.name != "raw-data"]
RAW = [path for path in STORIES if path.parent.name == "raw-data"]

pytestmark = pytest.mark.skipif(not STORIES, reason="http2jp/hpack-test-case is not in `shared` beside this clone")


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def cases(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cases"]
    return found


def headers(case: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for entry in case["headers"] for name, value in entry.items()]


@pytest.mark.parametrize("path", ENCODED, ids=name_of)
def test_a_story_decodes_to_its_headers(path: Path) -> None:
    decoder = Decoder()
    for case in cases(path):
        if case.get("header_table_size") is not None:
            decoder.set_max_table_size(case["header_table_size"])
        section = decoder.decode(bytes.fromhex(case["wire"]))
        assert [(field.name, field.value) for field in section.fields] == headers(case), case["seqno"]


@pytest.mark.parametrize("path", RAW, ids=name_of)
def test_a_story_survives_our_encoder(path: Path) -> None:
    encoder = Encoder()
    ours, theirs = Decoder(), hpack.Decoder()
    for case in cases(path):
        wanted = headers(case)
        block = encoder.encode(wanted)
        assert [field.pair for field in ours.decode(block).fields] == wanted
        assert [(bytes(name), bytes(value)) for name, value in theirs.decode(block, raw=True)] == wanted
        assert ours.table_size == encoder.table_size == theirs.header_table._current_size


def test_our_encoding_is_about_as_small_as_others() -> None:
    """A policy that misses what repeats would show here."""
    ours = nghttp2 = 0
    for path in RAW:
        encoder = Encoder()
        ours += sum(len(encoder.encode(headers(case))) for case in cases(path))
        nghttp2 += sum(len(case["wire"]) // 2 for case in cases(FOLDER / "nghttp2" / path.name))
    assert ours < 1.1 * nghttp2
