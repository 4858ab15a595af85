"""A request's head found in the input, taken apart (RFC 9112 §3, §5, §6.3), and remembered.

The request line is read by `target`, as llhttp is more generous than RFC 9112 in some places (two spaces, a fragment)
and less in others (methods that it does not know). The field lines are read by `field_lines`. A head whose bytes were
seen before is not parsed again: most clients repeat theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import httptools

from headrace.engine.fields import Pairs, RequestHead, is_field_name, is_host, is_token
from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.parse.field_lines import BOTH, CODING, FieldLines, add_length, lower_name
from headrace.engine.h1.parse.memory import REMEMBERED_SIZE, HeadMemory
from headrace.engine.h1.parse.scanner import HeadScanner
from headrace.engine.h1.parse.target import RequestLine, looks_like_http, parse_request_line
from headrace.engine.h1.upgrade import Upgrade
from headrace.engine.limits import BYTES_A_FRAME, Limits
from headrace.engine.message import UNKNOWN
from headrace.engine.server_names import ServerNames

if TYPE_CHECKING:
    from mypy_extensions import i64

_LINE: Final = b"GET / HTTP/1.1"  # before every field section that llhttp gets
_LONGEST_LINE: Final = 8_192  # bytes of a request line (RFC 9112 §3 asks for 8,000 at least)
_EMPTY_LINES: Final = 8  # before a request line; a server ignores at least one (RFC 9112 §2.2)
_LONG_LINE: Final = (414, "a request line beyond 8,192 bytes", "RFC 9112 §3", "request_line")
_LARGE_FIELDS: Final = (431, "a field section beyond the limits", "RFC 6585 §5", "max_field_section_size")
_IS_TOKEN: Final = bytes(is_token(bytes((byte,))) for byte in range(256))

_UNDERSCORE: Final = 0x5F  # an int: to look for bytes in bytes raises and catches inside, 0.45 us

_HOST: Final = 1
_CONTENT_LENGTH: Final = 2
_TRANSFER_ENCODING: Final = 3
_CONNECTION: Final = 4
_EXPECT: Final = 5
_UPGRADE: Final = 6
_WEBSOCKET_KEY: Final = 7
_WEBSOCKET_VERSION: Final = 8

_KNOWN: Final[dict[bytes, int]] = {
    b"host": _HOST,
    b"content-length": _CONTENT_LENGTH,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"connection": _CONNECTION,
    b"expect": _EXPECT,
    b"upgrade": _UPGRADE,
    b"sec-websocket-key": _WEBSOCKET_KEY,
    b"sec-websocket-version": _WEBSOCKET_VERSION,
}


class HTTP1RequestHead(RequestHead):
    """A request's head, with what it says of its connection and of its content's framing."""

    def __init__(self, headers: Sequence[Any]) -> None:
        super().__init__(headers)
        self.end_stream = True
        """No content follows."""
        self.is_chunked = False
        self.keeps_alive = True
        """The client may send another request on this connection (RFC 9112 §9.3)."""
        self.is_head: bool = False
        self.is_http_1_0 = False
        self.is_plain: bool = False
        """Nothing is special about how its response has to be written."""
        self.upgrade_key = b""
        """The key of an upgrade to WebSocket, b"" for ordinary requests."""

    def with_line(self, line: RequestLine) -> HTTP1RequestHead:
        """Return the head of a request with the same fields and another line. Neither is an upgrade."""
        head = HTTP1RequestHead(self.headers)
        head.scheme = self.scheme
        head.authority = self.authority
        head.has_host = self.has_host
        head.content_length = self.content_length
        head.expect_continue = self.expect_continue
        head.http_version = self.http_version
        head.end_stream = self.end_stream
        head.is_chunked = self.is_chunked
        head.keeps_alive = self.keeps_alive
        head.is_http_1_0 = self.is_http_1_0
        _set_line(head, line)
        return head


def _set_line(head: HTTP1RequestHead, line: RequestLine) -> None:
    """Take what the request line says into a head whose fields are known."""
    head.method = line.method
    head.path = line.path
    head.is_head = line.method == b"HEAD"
    head.is_plain = head.keeps_alive and head.end_stream and not head.is_head and not head.is_http_1_0


class RequestReader:
    """Reads the heads of one connection. `scheme` is the connection's; `websockets` says whether upgrades are taken."""

    def __init__(self, limits: Limits, scheme: bytes, websockets: bool) -> None:
        self._scheme = scheme
        self._websockets = websockets
        self._lines = FieldLines(limits.max_fields, _LINE, httptools.HttpRequestParser)
        self._scanner = HeadScanner(_LONGEST_LINE, limits.max_field_section_size, _LONG_LINE, _LARGE_FIELDS)
        self._memory = HeadMemory()
        self._last: HTTP1RequestHead | None = None
        self._is_first = True  # no request has come on this connection
        self._empty_lines: int = 0
        self._last_fields = b""
        self._last_parsed: HTTP1RequestHead | None = None
        self.position: int = 0
        """Where to go on in the input after `take`."""
        self.work: int = 0
        """Work of the last `take`, in frames."""

    @property
    def count(self) -> int:
        """Heads that are remembered."""
        return self._memory.count

    def take(
        self, data: bytes, position: int, drop_underscore_fields: bool, names: ServerNames | None
    ) -> HTTP1RequestHead | None:
        """Read the head of the request at `position`; return None while it is not whole.

        With `drop_underscore_fields`, fields with an underscore in their name are left out. Both arguments have to be
        the same for all of a connection. Raises MessageFault: 421 for an authority that is none of `names`, others for
        a head that is malformed or beyond the limits; status 0 where the first bytes of a connection are no request.
        """
        scanner = self._scanner
        self.work = 0
        size = scanner.repeated(data, position)
        if size > 0:
            self.position = position + size
            self._empty_lines = 0
            head = self._last
            assert head is not None
            head.is_repeated = True
            return head
        start = self._skip_empty_lines(data, position)
        self.position = start
        total: i64 = len(data)
        if start == total or (data[start] == 0x0D and start + 1 == total):
            return None
        if _IS_TOKEN[data[start]] == 0:
            raise self._without_answer(MessageFault(400, "the request line has no method", "RFC 9112 §3"), b"")
        scanner.bare_at = -1
        try:
            end = scanner.find_end(data, start)
            if end < 0:
                return None
            raw = data if start == 0 and end == total else data[start:end]
            head = self._find(raw)
            if head is None:
                self.work = len(raw) // BYTES_A_FRAME
                scanner.check(data, start, end, raw)
                head = self._read(raw, drop_underscore_fields, names)
        except MessageFault as fault:
            if fault.budget:
                raise
            stop = scanner.bare_at
            raise self._without_answer(fault, data[start:stop] if stop >= 0 else data[start:]) from None
        self.position = end
        scanner.keep(raw)
        self._last = head
        self._is_first = False
        self._empty_lines = 0
        return head

    def _skip_empty_lines(self, data: bytes, position: int) -> int:
        """Return the position behind empty lines before a request line, which a server ignores (RFC 9112 §2.2)."""
        at: i64 = position
        total: i64 = len(data)
        while at + 1 < total and data[at] == 0x0D and data[at + 1] == 0x0A:
            self._empty_lines += 1
            if self._empty_lines > _EMPTY_LINES:
                raise MessageFault(400, "too many empty lines before a request", "RFC 9112 §2.2")
            at += 2
        return at

    def _without_answer(self, fault: MessageFault, data: bytes) -> MessageFault:
        """Leave out the answer where the first bytes of a connection are no request at all."""
        if self._is_first and not looks_like_http(data[:_LONGEST_LINE].split(b"\n", 1)[0].rstrip(b"\r")):
            fault.status = 0
        return fault

    def _find(self, data: bytes) -> HTTP1RequestHead | None:
        """Return the head that these bytes were parsed to before, if it is remembered."""
        head = self._memory.find(data)
        if head is None:
            return None
        assert isinstance(head, HTTP1RequestHead)
        head.is_repeated = True
        return head

    def _read(self, data: bytes, drop_underscore_fields: bool, names: ServerNames | None) -> HTTP1RequestHead:
        """Parse a head from its first byte to its empty line."""
        end = data.find(b"\r\n")
        line = parse_request_line(data[:end])
        fields = data[end:]
        like = self._last_parsed
        if (
            like is not None
            and line.authority is None
            and line.is_http_1_0 == like.is_http_1_0
            and line.method != b"CONNECT"
            and fields == self._last_fields
        ):
            head = like.with_line(line)  # another target, and all else as before: what clients do
        else:
            head = self._parse(line, fields, drop_underscore_fields, names)
        self._memory.note(data, head, head.headers)
        return head

    def _parse(
        self, line: RequestLine, fields: bytes, drop_underscore_fields: bool, names: ServerNames | None
    ) -> HTTP1RequestHead:
        pairs = self._lines.read(fields)
        head = HTTP1RequestHead(())
        head.is_http_1_0 = line.is_http_1_0
        head.http_version = "1.0" if line.is_http_1_0 else "1.1"
        head.scheme = self._scheme
        upgrade = Upgrade()
        # Looked for in all of them at once: of a name each, it would cost more than the whole search.
        self._examine(head, pairs, line.authority, upgrade, drop_underscore_fields and fields.find(b"_") >= 0)
        if names is not None and not names.covers(head.authority):
            raise MessageFault(421, "an authority that is not this server's", "RFC 9110 §7.4")
        _set_line(head, line)
        if line.method == b"CONNECT":
            raise MessageFault(501, "CONNECT is not served", "RFC 9110 §9.3.6")
        if self._websockets and upgrade.is_wanted(line.method, line.is_http_1_0):
            upgrade.check(not head.end_stream)
            head.upgrade_key = upgrade.key
            head.protocol = b"websocket"
            head.is_plain = False
        if not head.end_stream or not head.keeps_alive:
            self._lines.forget()
        if line.authority is None and not upgrade.is_option and len(fields) <= REMEMBERED_SIZE:
            self._last_fields = fields
            self._last_parsed = head
        return head

    def _examine(
        self, head: HTTP1RequestHead, pairs: Pairs, authority: bytes | None, upgrade: Upgrade, drops_underscores: bool
    ) -> None:
        """Check each field, and take from them what the connection has to know."""
        headers: Pairs = []
        host: bytes | None = None
        coding: bytes | None = None
        options: list[bytes] = []
        for pair in pairs:
            name = lower_name(pair[0])
            value: bytes = pair[1]
            if value and value[-1] <= 0x20:
                value = value.rstrip(b" \t")
            kind = _KNOWN.get(name, 0)
            if kind == _HOST:
                if host is not None:
                    raise MessageFault(400, "host twice", "RFC 9112 §3.2")
                if value and not is_host(value):
                    raise MessageFault(400, "host is not host and port", "RFC 9112 §3.2")
                host = value
                if authority is not None:
                    value = authority  # the target's wins (RFC 9112 §3.2.2)
            elif kind == _CONTENT_LENGTH:
                head.content_length = add_length(head.content_length, value)
            elif kind == _TRANSFER_ENCODING:
                if coding is not None:
                    raise MessageFault(400, "transfer-encoding twice", "RFC 9112 §6.3")
                coding = value
            elif kind == _CONNECTION:
                for option in value.lower().split(b","):
                    options.append(option.strip(b" \t"))
            elif kind == _EXPECT:
                if not head.is_http_1_0:  # RFC 9110 §10.1.1: ignored in HTTP/1.0
                    if value.lower() != b"100-continue":
                        raise MessageFault(417, "an expectation other than 100-continue", "RFC 9110 §10.1.1")
                    head.expect_continue = True
            elif kind == _UPGRADE:
                upgrade.add_protocols(value)
            elif kind == _WEBSOCKET_KEY:
                upgrade.add_key(value)
            elif kind == _WEBSOCKET_VERSION:
                upgrade.add_version(value)
            elif drops_underscores and kind == 0 and _UNDERSCORE in name:
                continue
            headers.append((name, value))
        head.headers = tuple(headers)
        if host is None and not head.is_http_1_0:
            raise MessageFault(400, "a request without host", "RFC 9112 §3.2")
        head.has_host = host is not None
        head.authority = authority if authority is not None else (host if host is not None else b"")
        if coding is not None:
            _check_coding(coding, head)
            head.is_chunked = True
        head.end_stream = coding is None and head.content_length <= 0
        if head.end_stream:
            head.expect_continue = False
        upgrade.is_option = b"upgrade" in options
        # RFC 9112 §9.3: close ends it, whatever else is said; HTTP/1.0 has to ask for more.
        head.keeps_alive = b"close" not in options and (not head.is_http_1_0 or b"keep-alive" in options)


def _check_coding(coding: bytes, head: HTTP1RequestHead) -> None:
    """Nothing but `chunked`, once, in HTTP/1.1, and without content-length (RFC 9112 §6.1, §6.3)."""
    if head.content_length != UNKNOWN:
        raise MessageFault(400, BOTH[0], BOTH[1])
    if head.is_http_1_0:
        raise MessageFault(400, "transfer-encoding in HTTP/1.0", "RFC 9112 §6.1")
    coding = coding.lower()
    if coding == b"chunked":
        return
    codings = [each.strip(b" \t") for each in coding.split(b",")]
    last = codings.pop()
    if last == b"chunked" and b"chunked" not in codings and all(is_field_name(each) for each in codings):
        raise MessageFault(501, "a transfer coding that is not known", "RFC 9112 §6.1")
    raise MessageFault(400, CODING[0], CODING[1])
