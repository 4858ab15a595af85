"""The application's side of a WSGI request, without a server: the rules of PEP 3333, one by one."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import pytest

from headrace.wsgi.call import WSGICall
from headrace.wsgi.files import FileWrapper, content_reader
from headrace.wsgi.line import Line

HTML = [("Content-Type", "text/html")]


class Recorder:
    """In a line's place: keeps what is handed over, and answers at once."""

    def __init__(self, failing: type[OSError] | None = None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.failing = failing

    def ask(self, verb: str, *arguments: Any) -> Any:
        self.told.append((verb, *arguments))
        if self.failing is not None:
            raise self.failing("gone")
        return b""

    tell = ask

    def end(self) -> BaseException | None:
        """What the call ended with."""
        verb, error = self.told[-1]
        assert verb == "ended"
        return cast("BaseException | None", error)


def called(app: Callable[..., Iterable[bytes]], method: str = "GET") -> Recorder:
    recorder = Recorder()
    WSGICall(app, {"REQUEST_METHOD": method}, cast("Line", recorder), has_body=False).run()
    return recorder


HEAD = (200, [(b"content-type", b"text/html")])


def test_a_list_is_a_response_in_one_piece() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", HTML)
        return [b"one", b"", b"two"]

    assert called(app).told == [("respond_whole", *HEAD, b"onetwo"), ("ended", None)]


def test_pieces_of_an_iterator_leave_as_they_come() -> None:
    # PEP 3333, "Buffering and Streaming": a server must not delay the transmission of any block.
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HTML)
        yield b""
        yield b"one"
        yield b"two"

    assert called(app).told == [
        ("send_piece", b"one", HEAD),
        ("send_piece", b"two", None),
        ("finish", b""),
        ("ended", None),
    ]


def test_an_empty_piece_does_not_send_the_headers() -> None:
    # PEP 3333: headers go out with the first non-empty piece, so that an application may still change its mind.
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HTML)
        yield b""
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oops", HTML, sys.exc_info())
        yield b"sorry"

    told = called(app).told
    assert told[0] == ("send_piece", b"sorry", (500, [(b"content-type", b"text/html")]))


def test_content_that_is_as_long_as_announced_is_the_last() -> None:
    closed: list[int] = []

    class One:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

        def close(self) -> None:
            closed.append(1)

    def app(environ: Any, start_response: Any) -> One:
        start_response("200 OK", [("Content-Length", "5")])
        return One()

    assert called(app).told == [("respond_whole", 200, [(b"content-length", b"5")], b"hello"), ("ended", None)]
    assert closed == [1]


def test_content_beyond_its_length_is_an_error() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        yield b"hello"
        yield b"!"

    assert "more content than its content-length" in str(called(app).end())


def test_head_does_not_count_its_content() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        yield b""

    length = (200, [(b"content-length", b"5")])
    assert called(app, "HEAD").told == [("respond_whole", *length, b""), ("ended", None)]


def test_write_sends_at_once_and_before_what_is_returned() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", HTML)
        write(b"one")
        write(b"two")
        return [b"three"]

    assert called(app).told == [
        ("send_piece", b"one", HEAD),
        ("send_piece", b"two", None),
        ("finish", b"three"),
        ("ended", None),
    ]


def test_no_content_at_all_is_a_response() -> None:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("204 No Content", [])
        return iter(())

    assert called(app).told == [("respond_whole", 204, [], b""), ("ended", None)]


def test_exc_info_after_the_headers_raises_it() -> None:
    seen: list[BaseException] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", HTML)
        yield b"begun"
        try:
            raise KeyError("late")
        except KeyError:
            try:
                start_response("500 Oops", HTML, sys.exc_info())
            except KeyError as error:
                seen.append(error)
                raise

    recorder = called(app)
    assert recorder.told[:-1] == [("send_piece", b"begun", HEAD)]
    assert seen == [recorder.end()]


def test_a_second_start_response_needs_exc_info() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", HTML)
        start_response("200 OK", HTML)
        return []

    assert "second time" in str(called(app).end())


def test_start_response_must_be_called() -> None:
    assert "before it called start_response" in str(called(lambda environ, start_response: [b"x"]).end())
    assert "never called" in str(called(lambda environ, start_response: iter(())).end())


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (200, [], "is text such as '200 OK'"),
        ("OK", [], "must be three digits"),
        ("2000", [], "must be three digits"),
        ("20", [], "must be three digits"),
        ("²00 OK", [], "must be three digits"),
        ("100 Continue", [], "not a final one"),
        ("200 OK", (), "are a list, not tuple"),
        ("200 OK", [(b"a", b"b")], "is a pair of text"),
        ("200 OK", [("a", 1)], "is a pair of text"),
        ("200 OK", [("a", "\u20ac")], "latin-1"),
    ],
)
def test_what_start_response_refuses(status: Any, headers: Any, words: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [b""]

    recorder = called(app)
    assert words in str(recorder.end())
    assert len(recorder.told) == 1


@pytest.mark.parametrize("result", [["text"], "text", iter(["text"]), [None], 5, None])
def test_content_that_is_not_bytes_is_an_error(result: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", HTML)
        return result

    assert isinstance(called(app).end(), TypeError)


class Closing:
    """An iterable that counts its closing."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return cast("bytes", piece)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("pieces", [(b"a", b"b"), (b"a", RuntimeError("boom")), (RuntimeError("boom"),), ("text",)])
def test_what_is_returned_is_closed_whatever_happens(pieces: tuple[Any, ...]) -> None:
    # PEP 3333, "Specification Details": close() must be called "upon completion of the current request".
    result = Closing(*pieces)

    def app(environ: Any, start_response: Any) -> Closing:
        start_response("200 OK", HTML)
        return result

    called(app)
    assert result.closed == 1


def test_it_is_closed_when_the_client_goes() -> None:
    result = Closing(b"a", b"b")

    def app(environ: Any, start_response: Any) -> Closing:
        start_response("200 OK", HTML)
        return result

    recorder = Recorder(ConnectionError)
    with pytest.raises(ConnectionError):  # this recorder does not even take the end
        WSGICall(app, {"REQUEST_METHOD": "GET"}, cast("Line", recorder), has_body=False).run()
    assert result.closed == 1
    assert isinstance(recorder.end(), ConnectionError)


def test_an_exit_of_the_application_is_an_error_of_its_own() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise KeyboardInterrupt

    error = called(app).end()
    assert isinstance(error, RuntimeError)
    assert "KeyboardInterrupt" in str(error)


# -- files


def pieces(*content: bytes) -> Callable[[], bytes]:
    left = [*content, b""]
    return lambda: left.pop(0)


def test_the_content_reads_like_a_file() -> None:
    assert content_reader(pieces(b"ab", b"cd", b"e")).read() == b"abcde"
    assert content_reader(pieces(b"ab", b"cd", b"e")).read(3) == b"abc"
    assert content_reader(pieces(b"a\nb", b"b\n", b"c")).readlines() == [b"a\n", b"bb\n", b"c"]
    assert list(content_reader(pieces(b"a\nb", b"b\n", b"c"))) == [b"a\n", b"bb\n", b"c"]
    reader = content_reader(pieces(b"long line\nnext"))
    assert [reader.readline(4), reader.readline(100), reader.readline(), reader.readline()] == [
        b"long",
        b" line\n",
        b"next",
        b"",
    ]
    assert content_reader(pieces(b"a\nb\nc\n")).readlines(1) == [b"a\n"]
    assert content_reader(pieces()).read() == b""


def test_after_its_end_nothing_is_asked_for_again() -> None:
    reader = content_reader(pieces(b"ab"))
    assert reader.read() == b"ab"
    assert reader.read() == reader.read(1) == reader.readline() == b""


def test_what_the_connection_raises_the_reader_raises() -> None:
    def fetch() -> bytes:
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        content_reader(fetch).read(1)


def test_a_file_is_wrapped_in_pieces_and_closed() -> None:
    file = io.BytesIO(bytes(600_000))
    wrapper = FileWrapper(file, 10)
    assert [len(piece) for piece in wrapper] == [262_144, 262_144, 75_712]
    wrapper.close()
    assert file.closed
    assert not hasattr(FileWrapper(iter(())), "close")
