"""The server of `tests.client.support.chaos` over HTTP/1.1."""

from __future__ import annotations

from tests.client.support.chaos import IDEMPOTENT, LATE_S, Chaos, content_of, digest, upload_of

H1_LOTS = {
    "answer": 50.0,
    "late": 8.0,
    "pieces": 10.0,  # chunked, with a trailer
    "hints": 3.0,
    "until the end": 4.0,  # no length: it ends with the connection
    "close": 4.0,
    "answer, then drop": 1.5,
    "answer, then more": 0.7,  # bytes that no request asked for
    "refused": 2.0,  # 503 is an answer like others
    "early": 3.0,
    "ends unanswered": 2.0,
    "dropped": 1.0,
    "dropped in the middle": 1.5,
    "short": 2.0,
    "short of its last chunk": 2.0,
    "silent": 1.0,
    "silent in the middle": 1.0,
    "reads nothing": 1.5,
    "nonsense": 1.0,
    "two lengths": 0.7,
    "old": 2.0,  # HTTP/1.0
}


class H1Chaos(Chaos):
    """One connection over HTTP/1.1. It reads a request whole before the next one."""

    def begin(self) -> None:
        self.rest = b""
        self.answered = 0
        self.kind = ""
        self.number = -1
        self.method = b""
        self.left = 0
        self.is_chunked = False
        self.content = b""

    def send(self, *data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"".join(data))

    def data_received(self, data: bytes) -> None:
        self.rest += data
        if self.number < 0 and not self.read_head():
            return
        if self.kind in ("early", "reads nothing") and (self.left or self.is_chunked):
            kind, self.kind = self.kind, "over"
            self.stop_reading()
            if kind == "early":
                self.process()
                self.head(extra=b"connection: close\r\n")
                self.send(content_of(self.number))
                self.transport.close()
            return
        if self.kind != "over" and self.read_content():
            content, self.content = self.content, b""
            assert content == (b"" if self.method == b"GET" else upload_of(self.number))
            self.on_whole(digest(content))

    def read_head(self) -> bool:
        head, found, rest = self.rest.partition(b"\r\n\r\n")
        if not found:
            return False
        self.rest = rest
        first, *lines = head.split(b"\r\n")
        self.method, target, _ = first.split(b" ")
        fields = {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in lines)}
        self.number = int(target[1:])
        self.left = int(fields.get(b"content-length", b"0"))
        self.is_chunked = b"transfer-encoding" in fields
        self.kind = self.ledger.draw(self.number)
        return True

    def read_content(self) -> bool:
        if not self.is_chunked:
            taken = self.rest[: self.left]
            self.content += taken
            self.left -= len(taken)
            self.rest = self.rest[len(taken) :]
            return not self.left
        while True:
            line, found, rest = self.rest.partition(b"\r\n")
            if not found or len(rest) < int(line, 16) + 2:
                return False
            size = int(line, 16)
            self.content += rest[:size]
            self.rest = rest[size + 2 :]
            if not size:
                return True

    def process(self) -> None:
        self.ledger.process(self.number)

    def head(self, *, status: bytes = b"200 OK", version: bytes = b"1.1", more: int = 0, extra: bytes = b"") -> None:
        size = len(content_of(self.number)) + more
        self.send(b"HTTP/", version, b" ", status, b"\r\ncontent-length: %d\r\n" % size, extra, b"\r\n")

    def done(self) -> None:
        """The answer is sent; the next request may come."""
        self.answered += 1
        self.number = -1
        self.data_received(b"")

    def on_whole(self, got: bytes) -> None:
        if self.kind == "late":
            self.kind = "answer"
            self.later(LATE_S, lambda: self.on_whole(got))
            return
        kind, content = self.kind, content_of(self.number)
        got = b"x-got: " + got + b"\r\n"
        self.process()
        if kind in ("ends unanswered", "dropped"):
            if self.answered and self.method in IDEMPOTENT:
                self.ledger.excused.add(self.number)
            if kind == "dropped":
                self.drop()
            else:
                self.transport.close()
        elif kind == "silent":
            self.kind = "over"
        elif kind == "nonsense":
            self.send(b"HTTP/1.1 2x0 OK\r\n\r\n")
        elif kind == "two lengths":
            self.head(extra=b"content-length: 70000\r\n")
        elif kind == "refused":
            self.head(status=b"503 Not Now", extra=got)
            self.send(content)
            self.done()
        elif kind in ("pieces", "short of its last chunk"):
            self.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n", got, b"\r\n")
            for piece in (content[:100], content[100:]):
                self.send(b"%x\r\n" % len(piece), piece, b"\r\n") if piece else None
            self.kind = "over"
            self.later(LATE_S, self.end_chunks if kind == "pieces" else self.transport.close)
        elif kind in ("dropped in the middle", "silent in the middle", "short"):
            self.head(extra=got, more=1)
            self.send(content)
            self.kind = "over"
            if kind == "short":
                self.transport.close()
            elif kind == "dropped in the middle":
                self.later(LATE_S, self.drop)
        elif kind == "until the end":
            self.send(b"HTTP/1.1 200 OK\r\n", got, b"\r\n", content)
            self.transport.close()
        elif kind == "old":
            self.head(version=b"1.0", extra=got)
            self.send(content)
            self.transport.close()
        elif kind == "close":
            self.head(extra=got + b"connection: close\r\n")
            self.send(content)
            self.transport.close()
        else:
            if kind == "hints":
                self.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
            self.head(extra=got)
            self.send(content)
            if kind == "answer, then drop":
                self.transport.close()
            elif kind == "answer, then more":
                self.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            else:
                self.done()

    def end_chunks(self) -> None:
        self.send(b"0\r\nx-trailer: %d\r\n\r\n" % self.number)
        self.done()
