"""The content of requests: bytes, forms, files and iterables; their length, and whether they can be sent again."""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from headrace.client import BodyConsumed, Content, Request
from headrace.client.message.content import IteratedContent, as_content
from headrace.client.message.encode import Multipart, encode_content

from tests.support.serving import Run


async def read(content: bytes | Content) -> bytes:
    if isinstance(content, bytes):
        return content
    return b"".join([piece async for piece in content.open()])


def test_bytes_and_text() -> None:
    assert as_content(b"a") == as_content(bytearray(b"a")) == as_content(memoryview(b"a")) == as_content("a") == b"a"
    assert as_content("ä") == "ä".encode()
    assert encode_content() == (b"", None)


def test_json_is_compact_and_in_utf_8() -> None:
    assert encode_content(json={"a": [1, "ä", None]}) == ('{"a":[1,"ä",null]}'.encode(), "application/json")
    with pytest.raises(ValueError, match="JSON"):
        encode_content(json=float("nan"))


def test_forms() -> None:
    raw, media_type = encode_content(data={"a": "1 2", "b": ["ä", True], "c": None})
    assert raw == b"a=1+2&b=%C3%A4&b=true&c="
    assert media_type == "application/x-www-form-urlencoded"
    assert encode_content(data=[("a", 1), ("a", 2)])[0] == b"a=1&a=2"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"content": b"a", "json": 1}, "one content, not content and json"),
        ({"content": b"a", "files": {}}, "not content and files"),
        ({"data": b"a=b"}, "give bytes to content="),
        ({"content": {"a": 1}}, "give a mapping to json= or data="),
        ({"content": 5}, "not int"),
        ({"content": io.StringIO("a")}, "binary mode"),
    ],
)
def test_what_cannot_be_content(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        encode_content(**arguments)


def test_iterables_of_all_kinds(run: Run) -> None:
    async def several() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    async def main() -> None:
        for source in ([b"a", b"b"], (b"a", b"b"), iter([b"a", b"b"]), several(), several, lambda: iter([b"a", b"b"])):
            content = as_content(source)
            assert isinstance(content, IteratedContent)
            assert content.length is None and content.is_replayable and content.trailers() == []
            assert await read(content) == b"ab"
        assert await read(as_content([bytearray(b"a"), memoryview(b"b")])) == b"ab"
        with pytest.raises(TypeError, match="pieces of bytes, not of str"):
            await read(as_content(["a"]))

    run(main())


def test_a_consumed_iterator_is_not_sent_again(run: Run) -> None:
    """A request whose iterator is used up is refused, with the reason."""

    async def several() -> AsyncIterator[bytes]:
        yield b"a"

    async def main() -> None:
        for once in (iter([b"a"]), several(), (piece for piece in [b"a"])):
            content = as_content(once)
            assert await read(content) == b"a"
            assert not isinstance(content, bytes) and not content.is_replayable
            with pytest.raises(BodyConsumed, match="iterator, which is used up"):
                content.open()
        for again in ([b"a"], several, lambda: iter([b"a"])):
            content = as_content(again)
            assert await read(content) == b"a" == await read(content)

    run(main())


def test_an_iterator_is_closed_when_sending_ends_early(run: Run) -> None:
    closed = []

    def plain() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append("plain")

    async def asynchronous() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append("async")

    async def main() -> None:
        for source in (plain(), asynchronous()):
            content = as_content(source)
            assert not isinstance(content, bytes)
            pieces = content.open()
            assert await anext(pieces) == b"a"
            await pieces.aclose()  # type: ignore[attr-defined] # it is a generator

    run(main())
    assert closed == ["plain", "async"]


def test_a_plain_iterator_may_be_asked_in_threads(run: Run) -> None:
    import threading

    threads = []

    def plain() -> Iterator[bytes]:
        threads.append(threading.current_thread() is threading.main_thread())
        yield b"a"

    async def main() -> None:
        content = as_content(plain())
        assert isinstance(content, IteratedContent)
        content.ask_in_threads()
        assert await read(content) == b"a"

    run(main())
    assert threads == [False]


def test_files(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"head" + b"x" * 300_000)

    async def main() -> None:
        with path.open("rb") as file:
            file.read(4)
            content = as_content(file)
            assert not isinstance(content, bytes)
            assert content.length == 300_000 and content.is_replayable
            assert await read(content) == b"x" * 300_000 == await read(content), "from where it stood, twice"
        assert await read(as_content(io.BytesIO(b"memory"))) == b"memory"

    run(main())


def test_a_file_that_cannot_seek_is_sent_once(run: Run) -> None:
    left = [b"b", b"a"]

    class Pipe(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return left.pop() if left else b""

    async def main() -> None:
        content = as_content(Pipe())
        assert not isinstance(content, bytes)
        assert content.length is None
        before = content.is_replayable
        assert await read(content) == b"ab"
        assert (before, content.is_replayable) == (True, False)
        with pytest.raises(BodyConsumed, match="cannot seek"):
            content.open()

    run(main())


def test_trailers(run: Run) -> None:
    async def main() -> None:
        given, _ = encode_content(content=b"octets", trailers={"X-Sum": "1"})
        assert not isinstance(given, bytes)
        assert await read(given) == b"octets" and given.trailers() == [(b"x-sum", b"1")] and given.is_replayable
        late: list[str] = []
        made, _ = encode_content(content=[b"a"], trailers=lambda: [("x-sum", late[0])])
        late.append("2")
        assert not isinstance(made, bytes) and made.trailers() == [(b"x-sum", b"2")]
        alone, _ = encode_content(trailers={"a": "b"})
        assert await read(alone) == b""

    run(main())


# -- multipart/form-data (RFC 7578)


def parts_of(media_type: str, content: bytes) -> list[Any]:
    """Parsed by the standard library's e-mail package, not by our code."""
    message = message_from_bytes(b"content-type: " + media_type.encode() + b"\r\n\r\n" + content)
    assert message.is_multipart()
    return message.get_payload()  # type: ignore[return-value]


def test_a_form_with_files(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG")

    async def main() -> None:
        with path.open("rb") as file:
            form = Multipart(
                {"name": "Jö", "tag": ["a", "b"]},
                {
                    "photo": file,
                    "notes": ("notes.txt", "some text"),
                    "raw": ("x.bin", b"\0\1", "application/x-raw", {"x-extra": "1"}),
                    "bare": (None, b"no filename"),
                    "many": ("m", [b"a", b"b"]),
                },
            )
            content = await read(form)
            again = await read(form)
        assert content == again and form.length is None, "a list does not know its length"
        parts = parts_of(form.media_type, content)
        found = [
            (p.get_param("name", header="content-disposition"), p.get_filename(), p.get_payload(decode=True))
            for p in parts
        ]
        assert found == [
            ("name", None, "Jö".encode()), ("tag", None, b"a"), ("tag", None, b"b"), ("photo", "photo.png", b"\x89PNG"),
            ("notes", "notes.txt", b"some text"), ("raw", "x.bin", b"\0\1"), ("bare", None, b"no filename"),
            ("many", "m", b"ab"),
        ]  # fmt: skip
        assert [part.get("content-type") for part in parts[3:7]] == [
            "image/png", "text/plain", "application/x-raw", "application/octet-stream",
        ]  # fmt: skip
        assert parts[5]["x-extra"] == "1" and parts[0].get("content-type") is None

    run(main())


def test_the_length_of_a_form_is_known_where_the_files_know_theirs(run: Run) -> None:
    async def main() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 400_000)
            file.seek(0)
            form = Multipart({"a": 1}, [("f", ("f", file)), ("g", ("g", b"octets"))])
            assert form.length is not None
            assert form.length == len(await read(form)) > 400_000
            assert form.is_replayable
        once = Multipart({}, {"f": ("f", iter([b"a"]))})
        await read(once)
        assert not once.is_replayable

    run(main())


def test_nothing_in_a_form_can_become_another_part(run: Run) -> None:
    async def main() -> None:
        form = Multipart({'a"\r\nx-evil: 1': "1"}, {'b"; name="c': ('f"\r\n\r\n.txt', b"1")})
        parts = parts_of(form.media_type, await read(form))
        assert len(parts) == 2 and parts[0].get("x-evil") is None
        assert parts[1].get_filename() == "f%22%0D%0A%0D%0A.txt"

    run(main())
    for wrong in (
        ("f", b"x", "text/plain\r\nx-evil: 1"),
        ("f", b"x", None, {"a": "b\r\nc"}),
        ("f", b"x", None, {"a b": "c"}),
    ):
        with pytest.raises(ValueError, match="header"):
            Multipart({}, {"f": wrong})
    with pytest.raises(ValueError, match="boundary"):
        Multipart({}, {}, boundary="a\r\nb")
    with pytest.raises(ValueError, match="tuple"):
        Multipart({}, {"f": ("only",)})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="name of a part"):
        Multipart({5: "x"}, {})  # type: ignore[dict-item]


# -- requests


def test_a_request_and_what_goes_out() -> None:
    request = Request("post", "https://user:pw@example.org/a?x=1#top", params={"y": 2}, headers={"X-A": "1"}, json={})
    assert request.method == "POST" and request.url.params["y"] == "2"
    assert repr(request) == "<ClientRequest POST https://example.org/a?x=1&y=2#top>"
    out = request.outgoing()
    assert (out.method, out.path, out.authority) == (b"POST", b"/a?x=1&y=2", b"example.org")
    assert out.headers == [(b"x-a", b"1"), (b"content-type", b"application/json")]
    assert out.url == "https://example.org/a?x=1&y=2#top", "no password in messages"
    assert Request("GET", "http://a/", content=b"x", headers={"content-type": "x/y"}).headers["content-type"] == "x/y"


def test_host_and_content_length_of_the_caller() -> None:
    out = Request("GET", "http://127.0.0.1/", headers={"Host": "example.org:81"}).outgoing()
    assert out.authority == b"example.org:81" and out.headers == []
    out = Request("PUT", "http://a/", content=iter([b"abc"]), headers={"content-length": "3"}).outgoing()
    assert not isinstance(out.content, bytes) and out.content.length == 3 and out.headers == []
    assert Request("PUT", "http://a/", content=b"abc", headers={"content-length": "3"}).outgoing().content == b"abc"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"host": "a b"}, "host"),
        ({"host": "a@b"}, "host"),
        ({"content-length": "x"}, "not a number"),
        ({"content-length": "4"}, "says 4, and the content has 3"),
        ({"transfer-encoding": "chunked"}, "belongs to the connection"),
        ({"connection": "close"}, "belongs to the connection"),
        ({"upgrade": "h2c"}, "belongs to the connection"),
    ],
)
def test_headers_that_are_not_the_callers(headers: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Request("PUT", "http://a/", content=b"abc", headers=headers).outgoing()


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\nX: y", "GET /evil HTTP/1.1\r\n", "GÉT", "G\0T"])
def test_a_method_is_a_token(method: str) -> None:
    with pytest.raises(ValueError, match="not a valid method"):
        Request(method, "http://a/")


def test_methods_of_ones_own_keep_their_case() -> None:
    assert Request("purge", "http://a/").outgoing().method == b"purge"
    assert Request("get", "http://a/").outgoing().method == b"GET"


def test_upload_progress_adds_up() -> None:
    told: list[tuple[int, int | None]] = []
    out = Request(
        "PUT", "http://a/", content=b"abc", on_upload=lambda sent, total: told.append((sent, total))
    ).outgoing()
    assert out.on_sent is not None
    out.on_sent(1)
    out.on_sent(2)
    assert told == [(1, 3), (3, 3)]


def test_a_copy_has_headers_of_its_own() -> None:
    request = Request("GET", "http://a/", headers={"a": "1"})
    request.extensions["x"] = 1
    copy = request.copy()
    copy.headers["a"] = "2"
    copy.extensions.clear()
    assert request.headers["a"] == "1" and request.extensions == {"x": 1}
