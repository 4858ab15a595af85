"""A request's head taken apart (RFC 9112 §3, §5, §6.3), and remembered.

The request line is read by `target`, as llhttp is more generous than RFC 9112 in some places (two spaces, a fragment)
and less in others (methods that it does not know). The field lines are llhttp's, and each is held against the rules
that HTTP/2 has for fields as well. A head whose octets were seen before is not parsed again: most clients repeat
theirs.
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from headrace.engine.fields import Pairs, RequestHead, has_field_octets, is_field_name
from headrace.engine.h1.faults import RequestFault
from headrace.engine.h1.target import RequestLine, is_host, parse_request_line
from headrace.engine.h1.upgrade import Upgrade
from headrace.engine.hpack.sightings import Sightings
from headrace.engine.limits import Limits
from headrace.engine.message import MALFORMED, UNKNOWN, parse_content_length

# What remembered heads may cost a connection; the charges are measured sizes, see engine/hpack/decoder.py.
REMEMBERED_SIZE: Final = 4_096
_REMEMBERED_HEADS: Final = 64
_REMEMBERED_COST: Final = 65_536
_HEAD_COST: Final = 1_024
_FIELD_COST: Final = 224

_LINE: Final = b"GET / HTTP/1.1"  # before every field section that llhttp gets

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

# As clients write the names of fields. One object a name, for all requests, with a hash that is known already.
_LOWER: Final[dict[bytes, bytes]] = {
    each: each.lower()
    for each in (
        *(b"Host", b"Connection", b"Content-Length", b"Content-Type", b"Transfer-Encoding", b"Expect", b"Upgrade"),
        *(b"User-Agent", b"Accept", b"Accept-Encoding", b"Accept-Language", b"Cookie", b"Referer", b"Origin"),
        *(b"Authorization", b"Cache-Control", b"Pragma", b"Range", b"If-None-Match", b"If-Modified-Since", b"DNT"),
        *(b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions"),
        *(b"Sec-Fetch-Site", b"Sec-Fetch-Mode", b"Sec-Fetch-Dest", b"Sec-Fetch-User", b"Upgrade-Insecure-Requests"),
        *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Real-IP", b"X-Requested-With", b"Via"),
        *(b"sec-ch-ua", b"sec-ch-ua-mobile", b"sec-ch-ua-platform", b"Priority", b"TE", b"Trailer", b"Forwarded"),
    )
}

_NAME: Final = ("a field name is empty, or has an octet that is not allowed", "RFC 9112 §5.1")
_LENGTH: Final = ("content-length is not a number", "RFC 9110 §8.6")
_BOTH: Final = ("transfer-encoding with content-length", "RFC 9112 §6.1")
_CODING: Final = ("transfer-encoding is not just chunked", "RFC 9112 §6.3")
_SAID: Final[dict[str, tuple[str, str]]] = {  # llhttp's words, and ours
    "Invalid header token": _NAME,
    "Unexpected whitespace after header value": ("a folded field line", "RFC 9112 §5.2"),
    "Invalid header value char": ("a field value has an octet that is not allowed", "RFC 9110 §5.5"),
    "Duplicate Content-Length": ("content-length twice", "RFC 9110 §8.6"),
    "Invalid character in Content-Length": _LENGTH,
    "Content-Length overflow": _LENGTH,
    "Empty Content-Length": _LENGTH,
    "Content-Length can't be present with Transfer-Encoding": _BOTH,
    "Transfer-Encoding can't be present with Content-Length": _BOTH,
    "Request has invalid `Transfer-Encoding`": _CODING,
    "Invalid `Transfer-Encoding` header value": _CODING,
}


class HTTP1RequestHead(RequestHead):
    """A request's head, with what it says of its connection and of its content's framing."""

    def __init__(self, headers: Pairs) -> None:
        super().__init__(headers)
        self.end_stream = True
        """No content follows."""
        self.is_chunked = False
        self.keeps_alive = True
        """The client may send another request on this connection (RFC 9112 §9.3)."""
        self.is_head = False
        self.is_http_1_0 = False
        self.is_plain = False
        """Nothing is special about how its response has to be written."""
        self.upgrade_key = b""
        """The key of an upgrade to WebSocket, b"" for ordinary requests."""

    def set_line(self, line: RequestLine) -> None:
        """Take what the request line says."""
        self.method = line.method
        self.path = line.path
        self.is_head = line.method == b"HEAD"
        self.is_plain = self.keeps_alive and self.end_stream and not self.is_head and not self.is_http_1_0

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
        head.set_line(line)
        return head


class FieldLines:
    """What llhttp calls. An object of its own, so that no reference leads from the parser back to the connection."""

    def __init__(self) -> None:
        self.pairs: Pairs = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field line, its value perhaps with whitespace behind it."""
        self.pairs.append((name, value))


class RequestReader:
    """Reads the heads of one connection. `scheme` is the connection's; `websockets` says whether upgrades are taken."""

    def __init__(self, limits: Limits, scheme: bytes, websockets: bool) -> None:
        self._max_fields: int = limits.max_fields
        self._scheme = scheme
        self._websockets = websockets
        self._lines = FieldLines()
        self._parser: Any = None
        self._last_fields = b""
        self._last_head: HTTP1RequestHead | None = None
        self._remembered: dict[bytes, HTTP1RequestHead] | None = None
        self._remembered_cost: int = 0
        self._sightings: Sightings | None = None

    @property
    def count(self) -> int:
        """Heads that are remembered."""
        return 0 if self._remembered is None else len(self._remembered)

    def find(self, octets: bytes) -> HTTP1RequestHead | None:
        """Return the head that these octets were parsed to before, if it is remembered."""
        remembered = self._remembered
        if remembered is None:
            return None
        head = remembered.get(octets)
        if head is not None:
            head.is_repeated = True
        return head

    def read(self, octets: bytes) -> HTTP1RequestHead:
        """Parse a head from its first octet to its empty line. Raises RequestFault for what is wrong with it."""
        end = octets.find(b"\r\n")
        line = parse_request_line(octets[:end])
        fields = octets[end:]
        like = self._last_head
        if (
            like is not None
            and line.authority is None
            and line.is_http_1_0 == like.is_http_1_0
            and line.method != b"CONNECT"
            and fields == self._last_fields
        ):
            head = like.with_line(line)  # another target, and all else as before: what clients do
        else:
            head = self._parse(line, fields)
        if len(octets) <= REMEMBERED_SIZE:
            self._remember(octets, head)
        return head

    def _parse(self, line: RequestLine, fields: bytes) -> HTTP1RequestHead:
        count = fields.count(b"\n") - 2
        if count > self._max_fields:
            raise RequestFault(431, "more fields than are taken", "RFC 6585 §5", "max_fields")
        pairs = self._read_fields(fields)
        if len(pairs) != count:
            raise RequestFault(400, "the field section is malformed", "RFC 9112 §5")
        if not has_field_octets(fields):
            raise RequestFault(400, "a field value has an octet that is not allowed", "RFC 9110 §5.5")
        head = HTTP1RequestHead([])
        head.is_http_1_0 = line.is_http_1_0
        head.http_version = "1.0" if line.is_http_1_0 else "1.1"
        head.scheme = self._scheme
        upgrade = Upgrade()
        self._examine(head, pairs, line.authority, upgrade)
        head.set_line(line)
        if line.method == b"CONNECT":
            raise RequestFault(501, "CONNECT is not served", "RFC 9110 §9.3.6")
        if self._websockets and upgrade.is_wanted(line.method, line.is_http_1_0):
            upgrade.check(not head.end_stream)
            head.upgrade_key = upgrade.key
            head.protocol = b"websocket"
            head.is_plain = False
        if not head.end_stream or not head.keeps_alive:
            self._parser = None  # it waits for content, or takes nothing more
        if line.authority is None and not upgrade.is_option and len(fields) <= REMEMBERED_SIZE:
            self._last_fields = fields
            self._last_head = head
        return head

    # -- fields ------------------------------------------------------------------------------------------------

    def _read_fields(self, fields: bytes) -> Pairs:
        """Return the field lines as llhttp sees them, `fields` being what stands behind a request line."""
        lines = self._lines
        pairs: Pairs = []
        lines.pairs = pairs
        parser = self._parser
        self._parser = None
        if parser is None:
            parser = httptools.HttpRequestParser(lines)
        try:
            parser.feed_data(_LINE + fields)
            self._parser = parser
        except httptools.HttpParserUpgrade:
            pass  # for it, what follows is not HTTP any more; whether that is so is not its decision
        except httptools.HttpParserError as error:
            said = str(error)
            known = _SAID.get(said)
            if known is None:
                raise RequestFault(400, f"the field section is malformed: {said}", "RFC 9112 §5") from None
            raise RequestFault(400, known[0], known[1]) from None
        return pairs

    def _examine(self, head: HTTP1RequestHead, pairs: Pairs, authority: bytes | None, upgrade: Upgrade) -> None:
        """Check each field, and take from them what the connection has to know."""
        headers = head.headers
        host: bytes | None = None
        coding: bytes | None = None
        options: list[bytes] = []
        for pair in pairs:
            raw: bytes = pair[0]
            value: bytes = pair[1]
            known = _LOWER.get(raw)
            if known is not None:
                name = known
            else:
                name = raw.lower()
                if not is_field_name(name):
                    raise RequestFault(400, _NAME[0], _NAME[1])
            if value and value[-1] <= 0x20:
                value = value.rstrip(b" \t")
            kind = _KNOWN.get(name, 0)
            if kind == _HOST:
                if host is not None:
                    raise RequestFault(400, "host twice", "RFC 9112 §3.2")
                if value and not is_host(value):
                    raise RequestFault(400, "host is not host and port", "RFC 9112 §3.2")
                host = value
                if authority is not None:
                    value = authority  # the target's wins (RFC 9112 §3.2.2)
            elif kind == _CONTENT_LENGTH:
                if head.content_length != UNKNOWN:
                    raise RequestFault(400, "content-length twice", "RFC 9110 §8.6")
                head.content_length = parse_content_length(value)
                if head.content_length == MALFORMED:
                    raise RequestFault(400, _LENGTH[0], _LENGTH[1])
            elif kind == _TRANSFER_ENCODING:
                if coding is not None:
                    raise RequestFault(400, "transfer-encoding twice", "RFC 9112 §6.3")
                coding = value
            elif kind == _CONNECTION:
                for option in value.lower().split(b","):
                    options.append(option.strip(b" \t"))
            elif kind == _EXPECT:
                if not head.is_http_1_0:  # RFC 9110 §10.1.1: ignored in HTTP/1.0
                    if value.lower() != b"100-continue":
                        raise RequestFault(417, "an expectation other than 100-continue", "RFC 9110 §10.1.1")
                    head.expect_continue = True
            elif kind == _UPGRADE:
                upgrade.add_protocols(value)
            elif kind == _WEBSOCKET_KEY:
                upgrade.add_key(value)
            elif kind == _WEBSOCKET_VERSION:
                upgrade.add_version(value)
            headers.append((name, value))
        if host is None and not head.is_http_1_0:
            raise RequestFault(400, "a request without host", "RFC 9112 §3.2")
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

    # -- memory ------------------------------------------------------------------------------------------------

    def _remember(self, octets: bytes, head: HTTP1RequestHead) -> None:
        """Keep a head whose octets have come before: what has something unique in it shall not cost memory."""
        sightings = self._sightings
        if sightings is None:
            sightings = self._sightings = Sightings()
        if not sightings.seen_before(hash(octets)):
            return
        cost = _HEAD_COST + 2 * len(octets) + len(head.headers) * _FIELD_COST
        remembered = self._remembered
        total = self._remembered_cost + cost
        if remembered is None or len(remembered) >= _REMEMBERED_HEADS or total > _REMEMBERED_COST:
            remembered = self._remembered = {}
            total = cost
        remembered[octets] = head
        self._remembered_cost = total


def _check_coding(coding: bytes, head: HTTP1RequestHead) -> None:
    """Nothing but `chunked`, once, in HTTP/1.1, and without content-length (RFC 9112 §6.1, §6.3)."""
    if head.content_length != UNKNOWN:
        raise RequestFault(400, _BOTH[0], _BOTH[1])
    if head.is_http_1_0:
        raise RequestFault(400, "transfer-encoding in HTTP/1.0", "RFC 9112 §6.1")
    coding = coding.lower()
    if coding == b"chunked":
        return
    codings = [each.strip(b" \t") for each in coding.split(b",")]
    last = codings.pop()
    if last == b"chunked" and b"chunked" not in codings and all(is_field_name(each) for each in codings):
        raise RequestFault(501, "a transfer coding that is not known", "RFC 9112 §6.1")
    raise RequestFault(400, _CODING[0], _CODING[1])
