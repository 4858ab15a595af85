"""Static files: what is sent, on which conditions (RFC 9110 §13, §14), and that there is no way out of the folder."""

from __future__ import annotations

import gzip
import inspect
import os
import socket
import sys
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from headrace import Mount, Response, Route, Router, StaticFiles
from headrace.server.files import folder as folder_module
from headrace.server.files.response import SMALL

from tests.support.h2_peer import H2Peer
from tests.support.requests import answer, fields, request
from tests.support.serving import Run, port, serving

THEN = 1_700_000_000
BIG = bytes(range(256)) * 1024  # more than what is read at once


def write(root: Path, name: str, content: bytes = b"content", at: float = THEN) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder to serve, and a secret beside it."""
    root = tmp_path / "root"
    write(root, "index.html", b"<h1>index</h1>")
    write(root, "page.html", b"<h1>page</h1>")
    write(root, "hello.txt", b"0123456789")
    write(root, "empty.bin", b"")
    write(root, "big.bin", BIG)
    write(root, "sub/index.html", b"<h1>sub</h1>")
    write(root, "sub/inner.txt", b"inner")
    write(root, "bare/one.txt", b"one")
    write(root, ".hidden", b"hidden")
    write(root, ".well-known/security.txt", b"contact")
    write(root, "a b\u00e9%2e.txt", b"odd name")
    write(tmp_path, "secret.txt", b"SECRET")
    return root


def get(files: Any, path: str, method: str = "GET", **headers: str) -> Any:
    """The answer of a handler in memory; a small file's content is in its body."""
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return answer(files, request(path, method, pairs))


# -- files


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("/", b"<h1>index</h1>", "text/html; charset=utf-8"),
        ("/index.html", b"<h1>index</h1>", "text/html; charset=utf-8"),
        ("/hello.txt", b"0123456789", "text/plain; charset=utf-8"),
        ("/hello.txt?v=1", b"0123456789", "text/plain; charset=utf-8"),
        ("/%68ello.txt", b"0123456789", "text/plain; charset=utf-8"),
        ("/sub/", b"<h1>sub</h1>", "text/html; charset=utf-8"),
        ("/sub/inner.txt", b"inner", "text/plain; charset=utf-8"),
        ("/empty.bin", b"", "application/octet-stream"),
        ("/.well-known/security.txt", b"contact", "text/plain; charset=utf-8"),
        ("/a%20b%C3%A9%252e.txt", b"odd name", "text/plain; charset=utf-8"),
    ],
)
def test_a_file(root: Path, path: str, content: bytes, kind: str) -> None:
    response = get(StaticFiles(root), path)
    assert (response.status, response.body) == (200, content)
    told = fields(response)
    assert told.pop("etag").startswith('"')
    assert told == {
        "content-type": kind,
        "last-modified": formatdate(THEN, usegmt=True),
        "accept-ranges": "bytes",
        "content-length": str(len(content)),
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"])
def test_other_methods(root: Path, method: str) -> None:
    response = get(StaticFiles(root), "/hello.txt", method)
    assert (response.status, fields(response)["allow"]) == (405, "GET, HEAD")


def test_a_folder_without_its_slash_is_redirected(root: Path) -> None:
    for path, location in {"/sub": "/sub/", "/sub?a=b?c": "/sub/?a=b?c", "/%73ub": "/%73ub/"}.items():
        response = get(StaticFiles(root), path)
        assert (response.status, fields(response)) == (308, {"location": location})
    router = Router([Mount("/{any}", StaticFiles(root))])
    assert fields(get(router, "/\\evil.example/sub"))["location"] == "/%5Cevil.example/sub/"
    assert get(StaticFiles(root), "//sub").status == 404


def test_mounted(root: Path) -> None:
    for router in (
        Router([Mount("/static", StaticFiles(root))]),
        Router([Route("/static/{path:path}", StaticFiles(root))]),
    ):
        assert get(router, "/static/hello.txt").body == b"0123456789"
        assert get(router, "/static/").body == b"<h1>index</h1>"
        assert get(router, "/static/sub").headers == [(b"location", b"/static/sub/")]
        assert get(router, "/static").status == 404
        assert get(router, "/static/hello.txt", "POST").status == 405
        assert get(router, "/static/..%2f..%2fsecret.txt").status == 404


def test_index_and_listing_are_a_choice(root: Path) -> None:
    assert get(StaticFiles(root, index=None), "/").status == 404
    assert get(StaticFiles(root, index="page.html"), "/").body == b"<h1>page</h1>"
    assert get(StaticFiles(root), "/bare/").status == 404
    listed = get(StaticFiles(root, listing=True), "/bare/")
    assert (listed.status, fields(listed)["content-type"]) == (200, "text/html; charset=utf-8")
    assert b'<a href="./one.txt">one.txt</a>' in listed.body
    assert b'<a href="../">' in listed.body
    assert get(StaticFiles(root, listing=True), "/").body == b"<h1>index</h1>"
    assert get(StaticFiles(root, listing=True), "/none/").status == 404


def test_a_listing_shows_what_can_be_asked_for_and_nothing_else(root: Path, tmp_path: Path) -> None:
    write(root, "x<b>&\"'.txt")
    write(root, "javascript:alert(1)")
    (root / "link").symlink_to(tmp_path / "secret.txt")
    (root / "inside").symlink_to("hello.txt")
    os.mkfifo(root / "pipe")
    page = get(StaticFiles(root, index=None, listing=True), "/").body.decode()
    assert '<a href="./x%3Cb%3E%26%22%27.txt">x&lt;b&gt;&amp;&quot;&#x27;.txt</a>' in page
    assert '<a href="./javascript%3Aalert%281%29">' in page
    assert '<a href="./sub/">sub/</a>' in page
    assert '<a href="./a%20b%C3%A9%252e.txt">' in page
    assert "../" not in page
    for name in (".hidden", "link", "inside", "pipe", "<b>"):
        assert name not in page
    assert page.index("sub/") < page.index("big.bin")  # folders first
    page = get(StaticFiles(root, index=None, listing=True, hidden=True, follow_symlinks=True), "/").body.decode()
    assert ".hidden" in page
    assert "inside" in page
    assert '"./link"' not in page


def test_cache_control(root: Path) -> None:
    assert fields(get(StaticFiles(root, cache_control="max-age=60"), "/hello.txt"))["cache-control"] == "max-age=60"

    def by_path(path: str) -> str | None:
        return "immutable" if path.startswith("sub/") else None

    files = StaticFiles(root, cache_control=by_path)
    assert fields(get(files, "/sub/inner.txt"))["cache-control"] == "immutable"
    assert "cache-control" not in fields(get(files, "/hello.txt"))


def test_hidden_files_are_a_choice(root: Path) -> None:
    assert get(StaticFiles(root), "/.hidden").status == 404
    assert get(StaticFiles(root, hidden=True), "/.hidden").body == b"hidden"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"folder": "/nothing/here"}, "there is no folder /nothing/here"),
        ({"folder": __file__}, "there is no folder "),
        ({"index": "../x"}, "the index '../x' is not the name of a file"),
        ({"index": ""}, "the index '' is not the name of a file"),
        ({"cache_control": "a\r\nb"}, "cache_control must be one line of ASCII"),
    ],
)
def test_what_cannot_be(root: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        StaticFiles(**{"folder": root, **options})


# -- conditions


def tag(files: StaticFiles, path: str = "/hello.txt") -> str:
    return fields(get(files, path))["etag"]


DATE = formatdate(THEN, usegmt=True)
BEFORE = formatdate(THEN - 1, usegmt=True)
AFTER = formatdate(THEN + 1, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if_none_match": "TAG"}, 304),
        ({"if_none_match": "W/TAG"}, 304),  # a weak comparison (§13.1.2)
        ({"if_none_match": '"x", W/"y",TAG'}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 200),
        ({"if_none_match": '"x,TAG"'}, 200),
        ({"if_none_match": "unquoted"}, 200),
        ({"if_none_match": ""}, 200),
        ({"if_modified_since": DATE}, 304),
        ({"if_modified_since": AFTER}, 304),
        ({"if_modified_since": BEFORE}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        ({"if_modified_since": "Tuesday, 14-Nov-23 22:13:20 GMT"}, 304),
        # §13.1.3: if-modified-since is ignored beside if-none-match.
        ({"if_none_match": '"x"', "if_modified_since": AFTER}, 200),
        ({"if_none_match": "TAG", "if_modified_since": BEFORE}, 304),
        ({"if_match": "TAG"}, 200),
        ({"if_match": '"x", TAG'}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": '"x"'}, 412),
        ({"if_match": "W/TAG"}, 412),  # a strong comparison (§13.1.1)
        ({"if_match": ""}, 412),
        ({"if_unmodified_since": DATE}, 200),
        ({"if_unmodified_since": BEFORE}, 412),
        ({"if_unmodified_since": "yesterday"}, 200),
        # §13.1.4: if-unmodified-since is ignored beside if-match.
        ({"if_match": "TAG", "if_unmodified_since": BEFORE}, 200),
        # §13.2.2: in this order.
        ({"if_match": '"x"', "if_none_match": "TAG"}, 412),
        ({"if_match": "TAG", "if_none_match": "TAG"}, 304),
        ({"if_unmodified_since": BEFORE, "if_modified_since": AFTER}, 412),
        ({"if_match": '"x"', "range": "bytes=0-1"}, 412),
        ({"if_none_match": "TAG", "range": "bytes=0-1"}, 304),
        ({"if_match": "TAG", "range": "bytes=0-1"}, 206),
        ({"if_unmodified_since": DATE, "range": "bytes=99-"}, 416),
        # §13.1.5.
        ({"if_range": "TAG", "range": "bytes=0-1"}, 206),
        ({"if_range": "W/TAG", "range": "bytes=0-1"}, 200),
        ({"if_range": '"x"', "range": "bytes=0-1"}, 200),
        ({"if_range": DATE, "range": "bytes=0-1"}, 206),
        ({"if_range": AFTER, "range": "bytes=0-1"}, 200),  # equal, not later
        ({"if_range": BEFORE, "range": "bytes=0-1"}, 200),
        ({"if_range": "yesterday", "range": "bytes=0-1"}, 200),
        ({"if_range": '"x"', "range": "bytes=99-"}, 200),
        ({"if_range": '"x"'}, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(root: Path, headers: dict[str, str], status: int, method: str) -> None:
    files = StaticFiles(root, cache_control="no-cache")
    etag = tag(files)
    response = get(files, "/hello.txt", method, **{name: value.replace("TAG", etag) for name, value in headers.items()})
    # §14.2: Range is for GET alone.
    assert response.status == (200 if method == "HEAD" and status in (206, 416) else status)
    told = fields(response)
    assert told["etag"] == etag
    if status == 304:
        assert told == {"etag": etag, "cache-control": "no-cache"}
        assert response.body == b""
    elif status == 200 and method == "HEAD":
        assert (told["content-length"], response.body) == ("10", b"")


def test_a_date_that_is_too_fresh_is_no_strong_validator(root: Path) -> None:
    """§8.8.2.2: the file could have changed twice in that second."""
    path = root / "hello.txt"
    for age, status in ((0.5, 200), (1.0, 206)):
        files = StaticFiles(root, clock=lambda age=age: THEN + age)  # type: ignore[misc]
        assert get(files, "/hello.txt", if_range=DATE, range="bytes=0-1").status == status
        assert get(files, "/hello.txt", if_range=tag(files), range="bytes=0-1").status == 206
    assert path.exists()


def test_last_modified_is_never_in_the_future(root: Path) -> None:
    """§8.8.2.1."""
    files = StaticFiles(root, clock=lambda: THEN - 100.0)
    assert fields(get(files, "/hello.txt"))["last-modified"] == formatdate(THEN - 100, usegmt=True)


def test_the_tag_tells_every_change(root: Path) -> None:
    files = StaticFiles(root)
    seen = {tag(files)}
    write(root, "hello.txt", b"9876543210", at=THEN + 0.5)  # same size, same second
    seen.add(tag(files))
    write(root, "hello.txt", b"98765432100", at=THEN + 0.5)
    seen.add(tag(files))
    write(root, "other.txt", b"98765432101", at=THEN + 0.5).rename(root / "hello.txt")  # same size and time
    seen.add(tag(files))
    assert len(seen) == 4


# -- ranges


def test_one_range(root: Path) -> None:
    files = StaticFiles(root)
    response = get(files, "/hello.txt", range="bytes=2-4")
    assert (response.status, response.body) == (206, b"234")
    told = fields(response)
    assert (told["content-range"], told["content-type"]) == ("bytes 2-4/10", "text/plain; charset=utf-8")
    assert {"etag", "last-modified", "accept-ranges"} <= told.keys()


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=-0", "bytes=" + ",".join(["0-0"] * 17)])
def test_416_says_how_long_it_is(root: Path, value: str) -> None:
    response = get(StaticFiles(root), "/hello.txt", range=value)
    assert (response.status, fields(response)["content-range"]) == (416, "bytes */10")


@pytest.mark.parametrize("value", ["bytes=5-2", "lines=1-2", "bytes", "bytes=a-b"])
def test_a_range_that_is_none_gives_the_whole(root: Path, value: str) -> None:
    response = get(StaticFiles(root), "/hello.txt", range=value)
    assert (response.status, response.body) == (200, b"0123456789")
    assert "content-range" not in fields(response)


def test_ranges_of_nothing(root: Path) -> None:
    files = StaticFiles(root)
    assert get(files, "/empty.bin", range="bytes=0-").status == 416
    assert get(files, "/empty.bin", range="bytes=-5").status == 200


@pytest.mark.parametrize("name", ["hello.txt", "big.bin"])
def test_several_ranges(run: Run, root: Path, name: str) -> None:
    content = (root / name).read_bytes()
    ranges = [(len(content) - 2, 2), (0, 3)] if name == "hello.txt" else [(200_000, 50_000), (0, 150_000), (199_000, 5)]
    value = "bytes=" + ",".join(f"{start}-{start + length - 1}" for start, length in ranges)

    async def main() -> Any:
        async with serving(StaticFiles(root)) as server, H2Peer.connected(port(server)) as peer:
            return await peer.get(f"/{name}", headers=[("range", value)])

    if name == "hello.txt":
        # They nearly touch, so one part costs less than two.
        response = get(StaticFiles(root), f"/{name}", range=value)
        assert (response.status, response.body) == (206, content)
        return
    answered: Any = run(main())
    assert (answered.status, answered.ended) == (206, True)
    kind, _, boundary = answered.header(b"content-type").partition(b"; boundary=")
    assert kind == b"multipart/byteranges"
    assert answered.header(b"content-length") == b"%d" % len(answered.body)
    assert answered.header(b"content-range") is None  # §15.3.7.2: only in the parts
    first, *parts, last = bytes(answered.body).split(b"--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    assert len(parts) == 3
    for part, (start, length) in zip(parts, ranges, strict=True):
        head, _, data = part.partition(b"\r\n\r\n")
        assert head == (
            b"\r\ncontent-type: application/octet-stream\r\ncontent-range: bytes %d-%d/%d"
            % (start, start + length - 1, len(content))
        )
        assert data == content[start : start + length] + b"\r\n"


def test_over_the_wire(run: Run, root: Path) -> None:
    files = StaticFiles(root)

    async def main() -> None:
        async with serving(files) as server, H2Peer.connected(port(server)) as peer:
            assert server.interface == "native"
            whole = await peer.get("/big.bin")
            assert (whole.status, bytes(whole.body)) == (200, BIG)
            assert whole.header(b"content-length") == b"%d" % len(BIG)
            part = await peer.get("/big.bin", headers=[("range", "bytes=1000-200999")])
            assert (part.status, bytes(part.body)) == (206, BIG[1000:201000])
            assert part.header(b"content-range") == b"bytes 1000-200999/%d" % len(BIG)
            for path, length in (("/big.bin", b"%d" % len(BIG)), ("/hello.txt", b"10"), ("/empty.bin", b"0")):
                head = await peer.get(path, "HEAD")
                assert (head.status, head.header(b"content-length"), bytes(head.body)) == (200, length, b"")
            not_modified = await peer.get("/hello.txt", headers=[("if-none-match", tag_of(whole, head))])
            assert (not_modified.status, bytes(not_modified.body)) == (200, b"0123456789")
            fresh = await peer.get("/hello.txt")
            not_modified = await peer.get("/hello.txt", headers=[("if-none-match", fresh.header(b"etag").decode())])  # type: ignore[union-attr]
            assert (not_modified.status, bytes(not_modified.body)) == (304, b"")
            for path in ("/../secret.txt", "/sub/../../secret.txt", "/%2e%2e/secret.txt", "/nothing", "/hello.txt/"):
                assert (await peer.get(path)).status == 404

    def tag_of(*answers: Any) -> str:
        return ", ".join(each.header(b"etag").decode() for each in answers)

    run(main())


def test_no_descriptor_is_left_open(root: Path) -> None:
    write(root, "big.bin.gz", gzip.compress(BIG))
    files = StaticFiles(root, listing=True, follow_symlinks=True)

    def count() -> int:
        return len(os.listdir("/dev/fd"))

    etag = tag(files, "/sub/inner.txt")
    before = count()
    for path, headers in (
        ("/hello.txt", {}),
        ("/sub/inner.txt", {"if_none_match": etag}),
        ("/sub/inner.txt", {"if_match": '"x"'}),
        ("/sub/inner.txt", {"range": "bytes=99-"}),
        ("/big.bin", {"range": "bytes=0-1,1000-1001"}),
        ("/big.bin", {"accept_encoding": "gzip"}),
        ("/sub", {}),
        ("/bare/", {}),
        ("/none", {}),
        ("/hello.txt/x", {}),
        ("/sub/none/x", {}),
    ):
        assert get(files, path, **headers).status < 500
        assert get(files, path, "HEAD", **headers).status < 500
    response = get(files, "/big.bin")
    response.close()
    del response
    assert count() == before


def test_the_event_loop_never_touches_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs holds up the requests for its files, and no other."""
    files = StaticFiles(root)
    seen: set[str] = set()
    loop_thread = threading.current_thread().name
    for name in ("open", "stat", "read", "fstat"):
        real = getattr(os, name)

        def spy(*arguments: Any, real: Any = real, **options: Any) -> Any:
            seen.add(threading.current_thread().name)
            return real(*arguments, **options)

        monkeypatch.setattr(os, name, spy)
    assert get(files, "/hello.txt").status == 200
    assert seen
    assert loop_thread not in seen


# -- precompressed siblings


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (None, None),
        ("gzip", "gzip"),
        ("br, gzip", "br"),
        ("gzip, br, zstd", "br"),
        ("zstd", "zstd"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("br;q=0", None),
        ("identity", None),
        ("*", "br"),
        ("deflate", None),
    ],
)
def test_a_precompressed_sibling_is_sent_to_those_who_accept_it(
    root: Path, accept: str | None, coding: str | None
) -> None:
    for suffix in ("br", "zst", "gz"):
        write(root, f"page.html.{suffix}", f"as {suffix}".encode())
    headers = {"accept_encoding": accept} if accept is not None else {}
    response = get(StaticFiles(root), "/page.html", **headers)
    told = fields(response)
    suffixes = {"br": b"as br", "zstd": b"as zst", "gzip": b"as gz", None: b"<h1>page</h1>"}
    assert response.body == suffixes[coding]
    assert told.get("content-encoding") == coding
    assert told["content-type"] == "text/html; charset=utf-8"
    assert told["vary"] == "accept-encoding"  # also on the answer that is not coded
    tags = {fields(get(StaticFiles(root), "/page.html", accept_encoding=each))["etag"] for each in ("br", "gzip", "")}
    assert len(tags) == 3  # each representation has a strong tag of its own (§8.8.3.3)
    ranged = get(StaticFiles(root), "/page.html", range="bytes=3-", **headers)
    assert (ranged.status, ranged.body) == (206, suffixes[coding][3:])  # of what is sent, not of what it decodes to
    same = get(StaticFiles(root), "/page.html", if_none_match=told["etag"], **headers)
    assert (same.status, fields(same)["vary"]) == (304, "accept-encoding")


def test_siblings_are_a_choice_and_only_beside_their_file(root: Path) -> None:
    write(root, "page.html.gz", b"as gz")
    write(root, "alone.html.gz", b"alone")
    (root / "hello.txt.gz").symlink_to("page.html.gz")
    assert get(StaticFiles(root, precompressed=False), "/page.html", accept_encoding="gzip").body == b"<h1>page</h1>"
    assert get(StaticFiles(root), "/alone.html", accept_encoding="gzip").status == 404
    assert get(StaticFiles(root), "/hello.txt", accept_encoding="gzip").body == b"0123456789"
    assert "vary" not in fields(get(StaticFiles(root), "/hello.txt", accept_encoding="gzip"))
    direct = get(StaticFiles(root), "/page.html.gz", accept_encoding="gzip")
    assert (direct.body, fields(direct)["content-type"]) == (b"as gz", "application/gzip")
    assert "content-encoding" not in fields(direct)


# -- no way out

TRAVERSALS = [
    "/../secret.txt",
    "/../../secret.txt",
    "/../" * 40 + "etc/passwd",
    "/sub/../../secret.txt",
    "/sub/../hello.txt",  # not even where it would stay inside: clients resolve these (RFC 3986 §5.2.4)
    "/./hello.txt",
    "/sub/./inner.txt",
    "/sub/..",
    "/sub/.",
    "/..",
    "/.",
    "/../",
    "/./",
    "/../root/hello.txt",
    "/%2e%2e/secret.txt",
    "/%2E%2E/secret.txt",
    "/.%2e/secret.txt",
    "/%2e./secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt",
    "/..%2Fsecret.txt",
    "/sub%2f..%2f..%2fsecret.txt",
    "/sub%2finner.txt",
    "/%2e%2e%5csecret.txt",
    "/%252e%252e/secret.txt",  # decoded once, so a file with a percent sign in its name
    "/%252e%252e%252fsecret.txt",
    "/%25%32%65%25%32%65/secret.txt",
    "/..%252fsecret.txt",
    "/%c0%ae%c0%ae/secret.txt",  # overlong UTF-8
    "/%c0%ae%c0%ae%c0%afsecret.txt",
    "/%e0%80%ae%e0%80%ae/secret.txt",
    "/%ff",
    "/\uff0e\uff0e/secret.txt".encode().decode("latin-1"),  # full-width dots
    "/..%c0%afsecret.txt",
    "/..\\secret.txt",
    "/sub\\..\\..\\secret.txt",
    "/..%5csecret.txt",
    "/..%5c..%5csecret.txt",
    "/%5c..%5csecret.txt",
    "\\..\\secret.txt",
    "//secret.txt",
    "//etc/passwd",
    "///etc/passwd",
    "/%2fetc/passwd",
    "/%2fetc%2fpasswd",
    "//../secret.txt",
    "/sub//inner.txt",
    "/sub//../../secret.txt",
    "/file:///etc/passwd",
    "/C:/windows/win.ini",
    "/C:%5cwindows%5cwin.ini",
    "/~root/secret.txt",
    "/hello.txt%00",
    "/hello.txt%00.html",
    "/%00/../secret.txt",
    "/hello.txt/",
    "/hello.txt/..",
    "/hello.txt/../hello.txt",
    "/hello.txt/.",
    "/.hidden",
    "/%2ehidden",
    "/sub/..%00/",
    "/..;/secret.txt",
    "/..%3b/secret.txt",
    "/.../secret.txt",
    "/....//secret.txt",
    "/%20../secret.txt",
    "/..%20/secret.txt",
    "/..%0d%0a/secret.txt",
    "/link.txt",
    "/link-folder/secret.txt",
    "/link-folder/",
    "/link-folder",
    "/link-absolute",
    "/link-inside.txt",
    "/link-loop",
    "/link-dangling",
    "/pipe",
    "/socket",
    "/null",
    "/null-link",
    "/" + "a" * 300,
    "/" + "a/" * 3000,
    "/back\\slash.txt",
    "/back%5cslash.txt",
    "/index.html::$DATA/",
    "/proc/self/environ",
]

opened: list[str] | None = None


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if opened is not None and event == "open":
        opened.append(os.fspath(arguments[0]) if not isinstance(arguments[0], int) else "")


sys.addaudithook(audit)


@pytest.fixture
def watched() -> Iterator[list[str]]:
    """The paths that anything opens meanwhile."""
    global opened
    opened = []
    yield opened
    opened = None


def with_traps(root: Path) -> None:
    outside = root.parent
    (root / "link.txt").symlink_to("../secret.txt")
    (root / "link-folder").symlink_to("..")
    (root / "link-absolute").symlink_to(outside / "secret.txt")
    (root / "link-inside.txt").symlink_to("hello.txt")
    (root / "link-loop").symlink_to("link-loop")
    (root / "link-dangling").symlink_to("nowhere")
    (root / "null-link").symlink_to("/dev/null")
    (root / "back\\slash.txt").write_bytes(b"a name that other systems take for a path")
    os.mkfifo(root / "pipe")
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(root)  # a socket's name has 108 bytes
    listener.bind("socket")
    os.chdir(here)
    listener.close()
    try:
        os.mknod(root / "null", 0o666 | 0o020000, os.makedev(1, 3))  # a character device, as root can make one
    except PermissionError:
        pass


@pytest.mark.parametrize("path", TRAVERSALS, ids=lambda path: path[:40])
@pytest.mark.parametrize("way", ["alone", "mounted", "by path", "links followed", "hidden seen"])
def test_there_is_no_way_out(
    root: Path, path: str, way: str, watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths that lead out: aiohttp's CVE-2024-23334, Apache's CVE-2021-41773 and their kin."""
    with_traps(root)
    files: Any = StaticFiles(
        root, listing=True, index=None, follow_symlinks=way == "links followed", hidden=way == "hidden seen"
    )
    if way == "by path":
        monkeypatch.setattr(folder_module, "OPENS_BELOW", False)
    if way == "mounted":
        files = Router([Mount("/m", files)])
        path = "/m" + path
    watched.clear()
    response = get(files, path)
    if way == "links followed" and path == "/link-inside.txt":
        assert response.body == b"0123456789"
        return
    if way == "hidden seen" and path in ("/.hidden", "/%2ehidden"):
        assert response.body == b"hidden"
        return
    assert response.status == 404
    assert b"SECRET" not in response.body
    for name in watched:
        assert ".." not in name.split("/")
        assert os.path.basename(name) not in ("pipe", "null", "socket")  # to open such a thing may do something
        assert name == str(root) or way == "by path" or "/" not in name, name
        if way == "by path":
            assert os.path.realpath(name).startswith(str(root))


@pytest.mark.parametrize("below", [True, False])
def test_links_inside_are_followed_on_demand(root: Path, below: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "OPENS_BELOW", below)
    (root / "to-file").symlink_to("hello.txt")
    (root / "to-folder").symlink_to(root / "sub")
    (root / "sub/up").symlink_to("..")
    files = StaticFiles(root, follow_symlinks=True)
    assert get(files, "/to-file").body == b"0123456789"
    assert get(files, "/to-folder/inner.txt").body == b"inner"
    assert get(files, "/to-folder/").body == b"<h1>sub</h1>"
    assert get(files, "/sub/up/hello.txt").body == b"0123456789"
    assert get(files, "/sub/up/").body == b"<h1>index</h1>"
    assert get(files, "/sub/up").status == 308
    for path in ("/to-file", "/to-folder/inner.txt", "/to-folder/", "/to-folder", "/sub/up/hello.txt"):
        assert get(StaticFiles(root), path).status == 404


def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "current"
    link.symlink_to(root)
    for follow in (False, True):
        files = StaticFiles(link, follow_symlinks=follow)
        assert get(files, "/sub/inner.txt").body == b"inner"
    write(root.parent, "next/sub/inner.txt", b"next")
    link.unlink()
    link.symlink_to(root.parent / "next")
    assert get(files, "/sub/inner.txt").body == b"next"  # a release that was switched


def test_a_neighbour_whose_name_begins_alike_is_outside(root: Path) -> None:
    write(root.parent, "root-private/x.txt", b"SECRET")
    (root / "x").symlink_to("../root-private")
    assert get(StaticFiles(root, follow_symlinks=True), "/x/x.txt").status == 404


def test_a_link_that_comes_between_the_check_and_the_open_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.realpath

    def race(path: Any, **options: Any) -> Any:
        found = real(path, **options)
        if found.endswith("hello.txt"):
            (root / "hello.txt").unlink()
            (root / "hello.txt").symlink_to("../secret.txt")
        return found

    monkeypatch.setattr(os.path, "realpath", race)
    assert get(StaticFiles(root, follow_symlinks=True), "/hello.txt").status == 404
    assert (root / "hello.txt").is_symlink()


@pytest.mark.parametrize(
    ("name", "is_good"),
    [("con", False), ("CON.txt", False), ("com1", False), ("a:b", False), ("a.", False), ("a ", False), ("icon", True)],
)
def test_names_that_mean_something_else_on_windows(name: str, is_good: bool) -> None:
    assert folder_module.check_names([name], hidden=True, windows=True) is is_good
    assert folder_module.check_names([name], hidden=True, windows=False)


def test_a_disk_that_fails_is_500_and_not_404(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(OSError, match="Input/output error"):
        get(StaticFiles(root), "/hello.txt")


def test_a_small_file_that_is_cut_short_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "read", lambda fd, size: b"012")
    with pytest.raises(OSError, match="a file has 3 bytes from 0 on; it had 10"):
        get(StaticFiles(root), "/hello.txt")


def test_a_large_file_that_is_cut_short_resets_the_stream(run: Run, root: Path) -> None:
    path = write(root, "large.bin", b"x" * 4_000_000)

    async def main() -> None:
        async with (
            serving(StaticFiles(root)) as server,
            H2Peer.connected(port(server), gives_credit=False) as peer,
        ):
            for headers in ([], [("range", "bytes=0-1,1000-3999999")]):
                stream_id = peer.open("/large.bin", headers=headers)
                answered = await peer.started(stream_id)
                assert answered.status in (200, 206)
                os.truncate(path, 70_000)
                peer.conn.increment_flow_control_window(4_000_000)
                peer.conn.increment_flow_control_window(4_000_000, stream_id)
                peer.flush()
                assert (await peer.over(stream_id)).reset == 2
                os.truncate(path, 4_000_000)

    run(main())


def test_what_is_small_is_sent_in_one_piece(root: Path) -> None:
    write(root, "at.bin", b"x" * SMALL)
    write(root, "over.bin", b"x" * (SMALL + 1))
    assert type(get(StaticFiles(root), "/at.bin")) is Response
    over = get(StaticFiles(root), "/over.bin")
    assert over.length == SMALL + 1
    over.close()
    assert inspect.iscoroutinefunction(StaticFiles(root).__call__)
