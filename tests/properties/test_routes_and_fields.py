"""Whatever a client writes into a path or a field: an answer, and never more than there is."""

from __future__ import annotations

import zlib
from typing import Any
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st

from headrace import HTTPError, Request, Response, Route, Router
from headrace.server.content_coding import IDENTITY, choose, encoder_factory
from headrace.server.files.folder import check_names
from headrace.server.files.http_date import parse_date, write_date
from headrace.server.files.ranges import MAX_RANGES, parse_ranges
from headrace.server.middleware import Forwarded

from tests.properties.profile import tries
from tests.support.requests import request

VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)


def mostly(*alphabet: str) -> st.SearchStrategy[str]:
    """Text that comes close to what it should be."""
    return st.lists(st.sampled_from(alphabet), max_size=14).map("".join) | VALUES


@given(mostly("bytes", "=", "0", "1", "5", "99", "-", ",", " ", "-1", "0-0", "9-"), st.integers(0, 200))
@tries(400)
def test_ranges_lie_within_the_content(value: str, size: int) -> None:
    ranges = parse_ranges(value, size)
    for start, length in ranges or ():
        assert 0 <= start < start + length <= size
    assert sum(length for _, length in ranges or ()) <= size
    assert len(ranges or ()) <= MAX_RANGES


@given(mostly("gzip", "br", "zstd", "identity", "*", ";", "q=", "0", "1", ".5", ",", " ", ";q=0"))
@tries(400)
def test_a_coding_that_is_refused_is_never_chosen(value: str) -> None:
    offered = ("zstd", "br", "gzip")
    chosen = choose(value, offered)
    assert chosen in (*offered, IDENTITY, None)
    assert choose(f"{value},{chosen or IDENTITY};q=1", offered) is not None
    if chosen not in (None, IDENTITY):
        assert choose("*;q=0", offered) is None


@given(st.lists(st.binary(max_size=300), max_size=8), st.sampled_from(["gzip", "br", "zstd"]), st.booleans())
@tries(100)
def test_any_split_is_decoded_to_the_same(pieces: list[bytes], coding: str, flushes: bool) -> None:
    from tests.server.middleware.test_compression import DECODE

    encoder = encoder_factory(coding, 3)(True)
    coded = b"".join(encoder.add(each) + (encoder.flush() if flushes else b"") for each in pieces) + encoder.finish()
    assert DECODE[coding](coded) == b"".join(pieces)
    assert coding != "gzip" or zlib.decompressobj(31).decompress(coded) == b"".join(pieces)


@given(mostly("Sun, ", "06 ", "Nov ", "1994 ", "08:49:37 ", "GMT", "Sunday, ", "06-Nov-94 ", "Sun ", "6 "))
@tries(300)
def test_a_date_is_read_or_it_is_none(value: str) -> None:
    moment = parse_date(value, 1_800_000_000.0)
    if moment is not None:
        assert parse_date(write_date(moment).decode(), 1_800_000_000.0) == moment


@given(
    mostly(
        "for=",
        "proto=",
        "https",
        "192.0.2.1",
        "10.0.0.1",
        '"',
        ",",
        ";",
        " ",
        "[2001:db8::1]",
        ":80",
        "\\",
        "_x",
        "=",
        "\n",
        "\r",
        "\x85",
    ),
    st.sampled_from(["forwarded", "x-forwarded"]),
)
@example('for="' + "\\" * 60, "forwarded")
@example("for=1.2.3.4\n", "forwarded")
@tries(400)
def test_a_proxys_field_is_read_or_refused(value: str, kind: Any) -> None:
    seen: list[Any] = []

    async def following(request: Request) -> Response:
        seen.append((request.client, request.scheme))
        return Response(200)

    name = "forwarded" if kind == "forwarded" else "x-forwarded-for"
    asked = request(headers=[(name, value)], peer=("10.0.0.1", 1))
    refusal = None
    try:
        Forwarded(["10.0.0.0/8"], fields=kind)(asked, following).send(None)
    except StopIteration:
        pass
    except HTTPError as error:
        refusal = error.status
    if refusal is not None:
        assert (kind, refusal, seen) == ("forwarded", 400, [])
        return
    [((host, _), scheme)] = seen
    assert host == "10.0.0.1" or host in value or ":" in host
    assert scheme in ("http", "https")


PATHS = mostly("/", "a", "..", ".", "%2e", "%2f", "%00", "%", "%ff", "12", "{", "\\", "?", "x", "//", "1.5", "*")


@given(PATHS)
@tries(400)
def test_a_router_answers_every_path(path: str) -> None:
    router = Router(
        [
            Route("/a/{n:int}", lambda _: Response(200)),
            Route("/a/{x:float}/x", lambda _: Response(200)),
            Route("/{any}", lambda _: Response(200), methods=["PUT"]),
            Route("/x/{rest:path}", lambda _: Response(200)),
        ],
        redirect_slashes=True,
    )
    response = router(request("/" + path))
    assert response.status in (200, 308, 404, 405)
    for name, value in response.headers:
        if name == b"location":
            assert not value.startswith((b"//", b"/\\"))


@given(st.text(min_size=1, max_size=20), st.integers(-(10**99), 10**99), st.text(max_size=20))
@tries(300)
def test_what_a_url_is_made_of_comes_back(name: str, number: int, rest: str) -> None:
    try:
        for text in (name, rest):
            text.encode()
    except UnicodeEncodeError:
        return
    if name in (".", "..") or any(part in (".", "..") for part in rest.split("/")):
        return
    router = Router([Route("/{name}/{n:int}/{rest:path}", lambda found: found.params, name="it")])
    url = router.url_for("it", name=name, n=number, rest=rest)
    assert router(request(url)) == {"name": name, "n": number, "rest": rest}


@given(st.lists(st.text(max_size=5) | st.sampled_from(["..", ".", "", "a/b", "a\\b", "\0"]), max_size=5))
@tries(300)
def test_names_that_pass_stay_below(names: list[str]) -> None:
    if check_names(names, hidden=True):
        assert all(each and each not in (".", "..") and not set(each) & {"/", "\\", "\0"} for each in names)
        assert quote("/".join(names), errors="replace").count("/") == max(0, len(names) - 1)
