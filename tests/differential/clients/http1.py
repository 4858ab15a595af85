"""Sessions over HTTP/1.1 for clients, byte by byte."""

from __future__ import annotations

from tests.differential.clients.session import CLOSE, WHOLE, Session, h1

LINE = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"content-length: 5\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"
END = b"0\r\n\r\n"
ONE = b"5\r\nhello\r\n" + END
HELLO = LINE + LENGTH + b"\r\nhello"
IN_CHUNKS = LINE + CHUNKED + b"\r\n"


def field(name: str, *lines: bytes) -> Session:
    """A response with these lines among its fields."""
    return h1(name, LINE + b"".join(line + b"\r\n" for line in lines) + LENGTH + b"\r\nhello")


def line(name: str, status_line: bytes) -> Session:
    return h1(f"status line: {name}", status_line + LENGTH + b"\r\nhello")


def length(name: str, *values: bytes, content: bytes = b"hello") -> Session:
    lines = b"".join(b"content-length:" + value + b"\r\n" for value in values)
    return h1(f"content-length: {name}", LINE + lines + b"\r\n" + content, CLOSE)


def chunks(name: str, content: bytes) -> Session:
    """A response in chunks, and then the end."""
    return h1(f"chunks: {name}", IN_CHUNKS + content, CLOSE)


FRAMING = (
    h1("with content-length", HELLO),
    h1("content-length 0", LINE + b"content-length: 0\r\n\r\n"),
    h1("in pieces", LINE + LENGTH + b"\r\nhe", b"llo"),
    h1("until the end", LINE + b"\r\nhello", CLOSE),
    h1("until the end, connection: close", LINE + b"connection: close\r\n\r\nhello", CLOSE),
    h1("connection: close with a length", LINE + b"connection: close\r\n" + LENGTH + b"\r\nhello"),
    h1("HTTP/1.0", b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\nhello"),
    h1("HTTP/1.0 until the end", b"HTTP/1.0 200 OK\r\n\r\nhello", CLOSE),
    h1("HTTP/1.0, keep-alive", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n" + LENGTH + b"\r\nhello"),
    h1("HTTP/1.0, chunked", b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + ONE, CLOSE),
    h1("204", b"HTTP/1.1 204 No Content\r\n\r\n"),
    h1("204 with content-length", b"HTTP/1.1 204 No Content\r\n" + LENGTH + b"\r\n"),
    h1("204 with chunked", b"HTTP/1.1 204 No Content\r\n" + CHUNKED + b"\r\n"),
    h1("205 without content", b"HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"),
    h1("304 with content-length", b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + b"\r\n"),
    h1("304 with chunked", b"HTTP/1.1 304 Not Modified\r\n" + CHUNKED + b"\r\n"),
    h1("HEAD with content-length", LINE + LENGTH + b"\r\n", method="HEAD"),
    h1("HEAD with chunked", LINE + CHUNKED + b"\r\n", method="HEAD"),
    h1("HEAD with content", HELLO, method="HEAD"),
    h1("100 that nobody asked for", b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO),
    h1("103", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HELLO),
    h1("several interim responses", b"HTTP/1.1 102 x\r\n\r\nHTTP/1.1 199 x\r\n\r\n" + HELLO),
    h1("100 interim responses", b"HTTP/1.1 103 x\r\n\r\n" * 100 + HELLO),
    h1("101 that nobody asked for", b"HTTP/1.1 101 x\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", CLOSE),
    h1("POST", WHOLE, HELLO, upload=5),
    h1("an early 413 that closes, and the end", b"HTTP/1.1 413 x\r\nconnection: close\r\n" + LENGTH + b"\r\nhello",
       WHOLE, CLOSE, upload=1_000_000),
    h1("an early response, and the end", HELLO, CLOSE, upload=5),
    h1("bytes behind the response", HELLO + b"garbage"),
    h1("a response that nobody asked for behind the response", HELLO + HELLO),
    h1("the end instead of a response", CLOSE),
    h1("the end within the head", LINE + b"x: y\r\n", CLOSE),
    h1("the end behind the response", HELLO, CLOSE),
    length("more than comes", b" 9"),
    length("less than comes", b" 3"),
    length("two that are the same", b" 5", b" 5"),
    length("two that differ", b" 5", b" 4"),
    length("a list of the same", b" 5, 5"),
    length("a list that differs", b" 5, 4"),
    length("not a number", b" x"),
    length("negative", b" -5"),
    length("with a sign", b" +5"),
    length("in hexadecimal", b" 0x5"),
    length("empty", b""),
    length("zeros in front", b" 005"),
    length("beyond 64 bits", b" 18446744073709551621"),
    length("with whitespace around", b"\t 5 \t"),
)  # fmt: skip

CODINGS = (
    h1("transfer-encoding and content-length", LINE + CHUNKED + b"content-length: 3\r\n\r\n" + ONE, CLOSE),
    h1("content-length and transfer-encoding", LINE + b"content-length: 3\r\n" + CHUNKED + b"\r\n" + ONE, CLOSE),
    h1("transfer-encoding: identity", LINE + b"transfer-encoding: identity\r\n" + LENGTH + b"\r\nhello", CLOSE),
    h1("transfer-encoding: unknown", LINE + b"transfer-encoding: tea\r\n\r\nhello", CLOSE),
    h1("transfer-encoding: chunked twice", LINE + CHUNKED + CHUNKED + b"\r\n" + ONE, CLOSE),
    h1("transfer-encoding: Chunked", LINE + b"transfer-encoding: Chunked\r\n\r\n" + ONE),
    h1("transfer-encoding: chunked, tea", LINE + b"transfer-encoding: chunked, tea\r\n\r\n" + ONE, CLOSE),
    h1("chunks", IN_CHUNKS + b"2\r\nhe\r\n3\r\nllo\r\n" + END),
    h1("chunks: none", IN_CHUNKS + END),
    h1("chunks: extensions", IN_CHUNKS + b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'),
    h1("chunks: trailers", IN_CHUNKS + b"5\r\nhello\r\n0\r\nx-t: v\r\n\r\n"),
    h1("chunks: sizes with zeros and in capitals", IN_CHUNKS + b"00A\r\nhellohello\r\n000\r\n\r\n"),
    h1("chunks: then bytes", IN_CHUNKS + b"5\r\nhello\r\n" + END + b"garbage"),
    h1("chunks: whitespace behind a size", IN_CHUNKS + b"5 \r\nhello\r\n" + END),
    h1("chunks: whitespace before an extension", IN_CHUNKS + b"5 ;a=b\r\nhello\r\n" + END),
    chunks("cut off", b"5\r\nhel"),
    chunks("cut off behind a chunk", b"5\r\nhello\r\n"),
    chunks("cut off before the last empty line", b"5\r\nhello\r\n0\r\n"),
    chunks("a size that is no number", b"x\r\nhello\r\n" + END),
    chunks("a size with a sign", b"+5\r\nhello\r\n" + END),
    chunks("a size with 0x", b"0x5\r\nhello\r\n" + END),
    chunks("no size", b"\r\nhello\r\n" + END),
    chunks("a size beyond 64 bits", b"10000000000000005\r\nhello\r\n" + END),
    chunks("more than the size says", b"3\r\nhello\r\n" + END),
    chunks("LF behind a size", b"5\nhello\r\n" + END),
    chunks("LF behind a chunk", b"5\r\nhello\n" + END),
    chunks("LF at the end", b"5\r\nhello\r\n0\n\n"),
    chunks("trailers with a space before the colon", b"5\r\nhello\r\n0\r\nx-t : v\r\n\r\n"),
    chunks("trailers without a colon", b"5\r\nhello\r\n0\r\nx-t\r\n\r\n"),
)  # fmt: skip

LINES = (
    line("no reason", b"HTTP/1.1 200 \r\n"),
    line("no reason and no space", b"HTTP/1.1 200\r\n"),
    line("a tab in the reason", b"HTTP/1.1 200 O\tK\r\n"),
    line("bytes above 127 in the reason", b"HTTP/1.1 200 \xe9\r\n"),
    line("two spaces", b"HTTP/1.1  200 OK\r\n"),
    line("status of two digits", b"HTTP/1.1 20 OK\r\n"),
    line("status of four digits", b"HTTP/1.1 2000 OK\r\n"),
    line("status no number", b"HTTP/1.1 abc OK\r\n"),
    line("status 099", b"HTTP/1.1 099 OK\r\n"),
    line("status 600", b"HTTP/1.1 600 OK\r\n"),
    line("version 1.2", b"HTTP/1.2 200 OK\r\n"),
    line("version 2.0", b"HTTP/2.0 200 OK\r\n"),
    line("version 0.9", b"HTTP/0.9 200 OK\r\n"),
    line("version in lower case", b"http/1.1 200 OK\r\n"),
    line("another protocol", b"ICY 200 OK\r\n"),
    line("an empty line before", b"\r\nHTTP/1.1 200 OK\r\n"),
    line("LF", b"HTTP/1.1 200 OK\n"),
    h1("HTTP/0.9: content alone", b"hello", CLOSE),
    h1("LF everywhere", HELLO.replace(b"\r\n", b"\n")),
    h1("LF behind the head", LINE + b"content-length: 5\r\n\nhello"),
    h1("CR alone behind a field", LINE + b"x: y\r" + LENGTH + b"\r\nhello", CLOSE),
    field("folded with a space", b"x: a", b" b"),
    field("folded with a tab", b"x: a", b"\tb"),
    field("folded first line", b" x: a"),
    field("a space before the colon", b"x : a"),
    field("no colon", b"x"),
    field("a colon alone", b": a"),
    field("a space in a name", b"a b: c"),
    field("a slash in a name", b"a/b: c"),
    field("a byte above 127 in a name", b"x\xe9: a"),
    field("an underscore in a name", b"a_b: c"),
    field("an empty value", b"x:"),
    field("NUL in a value", b"x: a\x00b"),
    field("CR in a value", b"x: a\rb"),
    field("a control character in a value", b"x: a\x01b"),
    field("bytes above 127 in a value", b"x: \xe9"),
    field("500 fields", *(b"f%d: v" % n for n in range(500))),
    field("a field of 90,000 bytes", b"x: " + b"v" * 90_000),
)  # fmt: skip

HTTP1: tuple[Session, ...] = (*FRAMING, *CODINGS, *LINES)
