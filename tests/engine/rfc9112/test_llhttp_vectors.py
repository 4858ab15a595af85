"""llhttp's own test vectors for requests (MIT licence, strict mode) as facts: its bytes, its verdict, and ours.

`llhttp_vectors.json` has rows of name, bytes, complete messages, and "refused", "upgrade" (llhttp stops, as what
follows may be another protocol's) or "". Its vectors mostly lack Host, which is not a parser's business, but a
server's: a request of HTTP/1.1 without one gets one here. Wherever our verdict differs, `OURS` says so and why.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace.engine import events as ev

from tests.support.h1_rig import H1Rig

ROWS = json.loads(Path(__file__).with_name("llhttp_vectors.json").read_text("utf-8"))


class Verdict(NamedTuple):
    """Messages that are complete, and whether something was refused."""

    messages: int
    refused: bool


HEAD_IS_PARTIAL = "the head has not ended: llhttp names the fault earlier, we when it is whole or its deadline comes"
ANY_METHOD = "RFC 9110 §9.1: any token is a method; to know it is the application's business"
CLOSED = "RFC 9112 §9.6: what follows close is not read, and so is no fault"
ORDINARY = "RFC 9110 §7.8: an upgrade that nobody takes is an ordinary request"
NO_TUNNEL = "CONNECT is not served: 501"
OTHER_PROTOCOL = "neither ICE nor RTSP is HTTP"
FRAGMENT = "RFC 9112 §3.2: a target has no fragment"

OURS: dict[str, tuple[Verdict, str]] = {
    "connection-3": (Verdict(1, False), CLOSED),
    "connection-8": (Verdict(1, False), CLOSED),
    "connection-9": (Verdict(1, False), CLOSED),
    "connection-11": (Verdict(1, False), ORDINARY),
    "connection-13": (Verdict(1, False), ORDINARY),
    "connection-14": (Verdict(1, False), ORDINARY),
    "connection-15": (Verdict(1, False), ORDINARY),
    "connection-16": (Verdict(1, False), ORDINARY),
    "content-length-3": (Verdict(0, False), HEAD_IS_PARTIAL),
    "content-length-4": (Verdict(0, False), HEAD_IS_PARTIAL),
    "invalid-4": (Verdict(1, False), ANY_METHOD),
    "invalid-13": (Verdict(1, False), ANY_METHOD),
    "invalid-18": (Verdict(0, False), HEAD_IS_PARTIAL),
    "invalid-19": (Verdict(0, False), HEAD_IS_PARTIAL),
    "method-2": (Verdict(0, True), NO_TUNNEL),
    "method-3": (Verdict(0, True), NO_TUNNEL),
    "method-4": (Verdict(0, True), NO_TUNNEL),
    "method-5": (Verdict(0, True), "RFC 9112 §3.2.4: the target * is for OPTIONS"),
    "method-12": (Verdict(0, True), OTHER_PROTOCOL),
    "method-13": (Verdict(0, True), OTHER_PROTOCOL),
    "method-14": (Verdict(0, True), OTHER_PROTOCOL),
    "sample-10": (Verdict(0, True), "HTTP/0.9 is not served"),
    "transfer-encoding-17": (Verdict(0, True), FRAGMENT),
    "transfer-encoding-18": (Verdict(0, True), FRAGMENT),
    "uri-8": (Verdict(0, True), FRAGMENT),
    "uri-9": (Verdict(0, True), NO_TUNNEL),
    "uri-10": (Verdict(0, True), "RFC 9110 §4.2.4: userinfo in a target is an error"),
    "content-length-14": (Verdict(0, False), "llhttp was told to skip the content; we read it as what it is"),
}


def verdict(data: bytes) -> Verdict:
    """What we say of bytes, with Host in every head of HTTP/1.1 that lacks it."""
    data = re.sub(rb"( HTTP/1\.1\r\n)(?!([^\r\n]+\r\n)*host:)", rb"\1Host: h\r\n", data, flags=re.IGNORECASE)
    rig = H1Rig(auto=True)
    rig.feed(data)
    whole = [event for event in rig.events if event.kind in (ev.REQUEST, ev.DATA) and event.end_stream]
    return Verdict(len(whole) + len(rig.of(ev.TrailersReceived)), bool(rig.of(ev.PeerFault)))


@pytest.mark.parametrize(("name", "data", "messages", "end"), ROWS, ids=[row[0] for row in ROWS])
def test_vector(name: str, data: str, messages: int, end: str) -> None:
    """The same messages and the same refusals, or a reason."""
    theirs = Verdict(messages, end == "refused")
    ours, _ = OURS.get(name, (theirs, ""))
    assert verdict(data.encode("latin-1")) == ours
    assert (name in OURS) == (ours != theirs or end == "upgrade"), "a reason without a difference"


@pytest.mark.parametrize("name", [name for name, (_, reason) in OURS.items() if reason == HEAD_IS_PARTIAL])
def test_partial_heads_are_refused_once_they_are_whole(name: str) -> None:
    """The fault that llhttp has named already is found at the end of the head at the latest."""
    (data,) = [row[1] for row in ROWS if row[0] == name]
    assert verdict(data.rstrip("\r\n").encode("latin-1") + b"\r\n\r\n") == Verdict(0, True)


def test_every_reason_is_of_a_vector() -> None:
    """A row that is gone takes its reason with it."""
    assert set(OURS) <= {row[0] for row in ROWS}
