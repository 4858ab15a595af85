"""Why headrace's client does otherwise in a session than another client: who is right, or that both are allowed.

The peers are Go's net/http 1.26 and curl 7.88 with nghttp2 1.52. An outcome is what came of the request, the codes of
RST_STREAM that the client has sent (but for `scripted.NO_VERDICTS`), and whether its next request came on the same
connection.
"""

from __future__ import annotations

from tests.differential.table import Row, row

REFUSED = "error; next: new"
TAKEN = "200 hello; next: new"
KEPT = "200 hello; next: same"
RESET = "error; RST PROTOCOL_ERROR; next: same"


def rows(sessions: str, peers: str, ours: str, theirs: str, reason: str) -> Row:
    """A row; the names of sessions have the protocol before the first of them."""
    protocol, _, names = sessions.partition(": ")
    return row(";".join(f"{protocol}: {name.strip()}" for name in names.split(";")), peers, ours, theirs, reason)


LENGTHS = (
    rows("h1: content-length: two that are the same", "go curl", REFUSED, TAKEN,
         "RFC 9110 §8.6: a recipient MAY reject such a message, or replace the values with one"),
    rows("h1: content-length: a list of the same", "curl", REFUSED, TAKEN,
         "RFC 9110 §8.6: a recipient MAY reject such a message, or replace the values with one"),
    rows("h1: content-length: a list that differs; content-length: with a sign; content-length: beyond 64 bits", "curl",
         REFUSED, TAKEN, "RFC 9112 §6.3: an invalid content-length is an unrecoverable error; curl reads to the end"),
    rows("h1: content-length: two that differ", "curl", REFUSED, "200 hell; next: new",
         "RFC 9112 §6.3: an invalid content-length is an unrecoverable error; curl takes the last"),
    rows("h1: content-length: in hexadecimal", "curl", REFUSED, "200; next: new",
         "RFC 9112 §6.3: an invalid content-length is an unrecoverable error; curl reads 0x5 as 0"),
    rows("h1: content-length: empty", "go", REFUSED, TAKEN,
         "RFC 9112 §6.3: an invalid content-length is an unrecoverable error; Go reads until the end"),
    rows("h1: transfer-encoding and content-length; content-length and transfer-encoding", "go curl", REFUSED, TAKEN,
         "RFC 9112 §6.3: the coding overrides the length, and the message ought to be handled as an error"),
    rows("h1: HTTP/1.0, chunked", "go", REFUSED, "200 5*; next: new",
         "RFC 9112 §6.1: transfer-encoding in HTTP/1.0 MUST be treated as faulty framing"),
    rows("h1: HTTP/1.0, chunked", "curl", REFUSED, TAKEN,
         "RFC 9112 §6.1: transfer-encoding in HTTP/1.0 MUST be treated as faulty framing"),
    rows("h1: transfer-encoding: identity", "curl", REFUSED, TAKEN,
         "RFC 9112 §6.3: any coding beside a length ought to be handled as an error"),
    rows("h1: transfer-encoding: chunked twice", "curl", REFUSED, TAKEN,
         "RFC 9112 §6.1: a sender MUST NOT apply chunked more than once"),
)  # fmt: skip

CHUNKS = (
    rows("h1: chunks: whitespace behind a size", "go curl", REFUSED, KEPT,
         "RFC 9112 §7.1: whitespace is only before an extension; parsers that differ over it were attacked"),
    rows("h1: chunks: whitespace before an extension", "curl", REFUSED, KEPT,
         "RFC 9112 §7.1.1: bad whitespace, which headrace refuses in both roles: docs/reference/http1.md"),
    rows("h1: chunks: LF behind a size; chunks: LF behind a chunk; chunks: LF at the end", "curl", REFUSED, TAKEN,
         "RFC 9112 §7.1: lines of the coding end with CRLF; §2.2 allows LF alone in a head only"),
    rows("h1: chunks: trailers with a space before the colon", "go curl", REFUSED, TAKEN,
         "RFC 9112 §5.1: there is no whitespace before the colon; of responses only proxies MUST remove it"),
    rows("h1: chunks: a size with 0x; chunks: trailers without a colon", "curl", REFUSED, "error; next: nowhere",
         "RFC 9112 §7.1, §5: both are malformed; curl gives up its second request as well"),
    rows("h1: chunks: then bytes", "curl", TAKEN, KEPT,
         "RFC 9112 §9.2: a client SHOULD close a connection on which data answers no request"),
)  # fmt: skip

HEADS = (
    rows("h1: 101 that nobody asked for", "go", REFUSED, "101; next: new",
         "RFC 9110 §7.8: a server MUST NOT switch to a protocol that the client has not asked for"),
    rows("h1: HEAD with content", "curl", "200; next: new", "200; next: same",
         "RFC 9112 §6.3, §9.2: no content answers HEAD, and data that answers no request ends the connection"),
    rows("h1: the end within the head", "curl", REFUSED, "200 x=y; next: new",
         "RFC 9112 §8: a response that ends in its head is incomplete; its meaning cannot be assumed"),
    rows("h1: status line: two spaces", "go curl", REFUSED, KEPT,
         "RFC 9112 §4: a recipient MAY take any whitespace for the one space, and need not"),
    rows("h1: status line: status 099", "go", REFUSED, "99 hello; next: new",
         "RFC 9110 §15: invalid, to be processed as 5xx (SHOULD); an error is as little a success"),
    rows("h1: status line: version 2.0", "go", REFUSED, KEPT,
         "RFC 9112 §2.3: another major version is another syntax"),
    rows("h1: status line: version 2.0", "curl", REFUSED, TAKEN,
         "RFC 9112 §2.3: another major version is another syntax"),
    rows("h1: status line: version 0.9", "go", REFUSED, TAKEN,
         "RFC 9112 §2.3: another major version is another syntax"),
    rows("h1: status line: version 1.2", "curl", KEPT, REFUSED,
         "RFC 9110 §6.2: a higher minor version is processed as the highest that is known"),
    rows("h1: status line: version in lower case", "curl", REFUSED, "hello; next: new",
         "RFC 9112 §2.3: the version has a case; curl tells no status at all"),
    rows("h1: status line: LF; LF everywhere; LF behind the head", "go curl", REFUSED, KEPT,
         "RFC 9112 §2.2: a recipient MAY recognize LF alone as the end of a line, and need not"),
    rows("h1: CR alone behind a field", "curl", REFUSED, "200 hello x=y*; next: new",
         "RFC 9112 §2.2: a CR alone is invalid, or a space; no part of a value"),
    rows("h1: CR in a value", "curl", REFUSED, "200 hello x=a\rb; next: same",
         "RFC 9112 §2.2: a CR alone is invalid, or a space; no part of a value"),
    rows("h1: a control character in a value", "curl", REFUSED, "200 hello x=a\x01b; next: same",
         "RFC 9110 §5.5: invalid; a recipient MAY retain it where that is safe"),
    rows("h1: a space before the colon; a space in a name", "go curl", REFUSED, KEPT,
         "RFC 9112 §5.1: no whitespace in or behind a name; of responses only proxies MUST remove it"),
    rows("h1: a colon alone; a slash in a name; a byte above 127 in a name", "curl", REFUSED, KEPT,
         "RFC 9110 §5.1: a name is a token"),
    rows("h1: folded first line", "curl", REFUSED, "error; next: nowhere",
         "RFC 9112 §2.2: whitespace behind the start line is invalid; curl gives up its second request as well"),
    rows("h1: 500 fields", "go curl", REFUSED, KEPT,
         "RFC 9110 §5.4: various limits are found in practice; max_fields is 256 in both roles"),
    rows("h1: a field of 90,000 bytes", "go curl", REFUSED, "200 hello x=v*; next: same",
         "RFC 9110 §5.4: various limits are found in practice; max_field_section_size is 65,536 in both roles"),
)  # fmt: skip

MALFORMED = (
    rows("h2: two content-lengths that are the same; content-length: a list of the same", "go", RESET, KEPT,
         "RFC 9110 §8.6: a recipient MAY reject such a message, or replace the values with one"),
    rows("h2: content-length: not a number; content-length: negative; content-length: two that differ", "go", RESET,
         KEPT, "RFC 9113 §8.1.1: malformed, as the value is not the sum of the DATA"),
    rows("h2: connection; keep-alive; transfer-encoding; upgrade", "go", RESET, KEPT,
         "RFC 9113 §8.2.2: any message with connection-specific fields MUST be treated as malformed"),
    rows("h2: :status of two digits; :status of four digits; :status 099; :status 000", "go", RESET,
         "* hello; next: same", "RFC 9110 §15: not 100 to 599, so invalid; to be processed as 5xx at best"),
    rows("h2: :status 099; :status 000", "curl", RESET, "* hello; next: same",
         "RFC 9110 §15: invalid, to be processed as 5xx (SHOULD); an error is as little a success"),
    rows("h2: value: a space in front", "go curl", RESET, "200 hello x=*a; next: same",
         "RFC 9113 §8.2.1: a value MUST NOT start or end with whitespace; else the message is malformed"),
    rows("h2: trailers: a pseudo-header field; trailers: without END_STREAM; a second head", "go", RESET, REFUSED,
         "RFC 9113 §8.1.1: a stream error; §5.4.1: it MAY be treated as a connection error"),
    rows("h2: content-length: more than comes; content-length: less than comes; content-length: no content comes", "go",
         RESET, "error; next: same", "RFC 9113 §8.1.1: a stream error PROTOCOL_ERROR; Go tells its caller alone"),
    rows("h2: HEAD with content", "go", RESET, "200; RST PROTOCOL_ERROR; next: same",
         "RFC 9113 §8.1.1: clients MUST NOT accept a malformed response"),
    rows("h2: 204 with content; 304 with content", "go", RESET, "* hello; next: same",
         "RFC 9113 §8.1.1, RFC 9110 §6.4.1: such a response has no content, so this one is malformed"),
    rows("h2: 304 with content-length", "go", "304; next: same", "error; next: same",
         "RFC 9113 §8.1.1: a response without content MAY have a content-length that is not zero"),
    rows("h2: an interim response with content-length", "curl", "103 200 hello; next: same", RESET,
         "RFC 9110 §8.6: a server MUST NOT send it; nothing is asked of a client, and no DATA contradicts it"),
    rows("h2: DATA before the head; WINDOW_UPDATE of 0 on the stream", "curl", RESET, REFUSED,
         "RFC 9113 §8.1.1, §6.9: a stream error; §5.4.1: it MAY be treated as a connection error"),
    rows("h2: an early response, and the upload is not wanted", "curl", KEPT, "error; next: same",
         "RFC 9113 §8.1: clients MUST NOT discard responses as a result of that RST_STREAM"),
    rows("h2: an early response, and the upload goes on", "curl", KEPT, "waits; next: same",
         "RFC 9113 §8.1: a server can send a complete response before the whole request; curl 7.88 does not take it"),
    rows("h2: SETTINGS: no further stream", "curl", TAKEN, "200 hello; next: nowhere",
         "RFC 9113 §5.1.2: no stream beyond the limit; headrace and Go connect once more, curl waits"),
    rows("h2: 500 fields", "go curl", "error; RST ENHANCE_YOUR_CALM; next: same", KEPT,
         "RFC 9113 §10.5.1: a client can discard what it cannot process; max_fields is 256 in both roles"),
)  # fmt: skip

RESETS = (
    rows("h2: RST_STREAM(PROTOCOL_ERROR) for a response", "go", "error; next: same", "200 again; next: new",
         "RFC 9113 §8.7: only REFUSED_STREAM and GOAWAY say that nothing was processed; Go tries once more"),
    rows("h2: RST_STREAM(REFUSED_STREAM) for a response; RST_STREAM(REFUSED_STREAM) for an upload", "curl",
         "200 again; next: same", "200 again; next: new",
         "RFC 9113 §8.7: the request can be sent again; the connection is as good as before"),
    rows("h2: RST_STREAM(HTTP_1_1_REQUIRED) for a response", "curl", "error; next: same", "200 again; next: same",
         "RFC 9113 §7: the server wants HTTP/1.1; curl speaks it, headrace was told not to (http1=False)"),
    rows("h2: RST_STREAM(NO_ERROR) within the content", "curl", "error; next: same", "200 he; next: same",
         "RFC 9113 §8.1: NO_ERROR asks to stop an upload, once the response is complete; this one is cut off"),
    rows("h2: GOAWAY below: not processed; GOAWAY below, for an upload; GOAWAY below, with an error", "curl",
         "200 again; next: new", REFUSED, "RFC 9113 §8.7: the request can be sent again; nobody has to"),
    rows("h2: GOAWAY below, with an error", "go", "200 again; next: new", REFUSED,
         "RFC 9113 §8.7: the request can be sent again; nobody has to"),
    rows("h2: GOAWAY whose last stream rises", "curl", TAKEN, REFUSED,
         "RFC 9113 §6.8: endpoints MUST NOT increase it; what the first one said is what headrace goes by"),
)  # fmt: skip

CONNECTIONS = (
    rows("h2: SETTINGS: ENABLE_PUSH 1", "go", REFUSED, KEPT,
         "RFC 9113 §6.5.2: a client MUST treat 1 from a server as a connection error PROTOCOL_ERROR"),
    rows("h2: no SETTINGS first", "go", REFUSED, KEPT,
         "RFC 9113 §3.4: SETTINGS MUST be the server's first frame; else a connection error PROTOCOL_ERROR"),
    rows("h2: WINDOW_UPDATE on an idle stream; HEADERS on a stream that nobody opened; HEADERS on an even stream;"
         "RST_STREAM on an idle stream", "go", REFUSED, KEPT,
         "RFC 9113 §5.1, §5.1.1: such a frame on an idle stream MUST be a connection error PROTOCOL_ERROR"),
    rows("h2: PRIORITY_UPDATE of a server", "go curl", REFUSED, KEPT,
         "RFC 9218 §7.1: a client MUST respond with a connection error; the peers do not know the frame"),
    rows("h2: SETTINGS: with ACK that nobody asked for", "go curl", KEPT, REFUSED,
         "RFC 9113 §6.5 names no error; each counts among the odd frames that we bound"),
    rows("h2: WINDOW_UPDATE, the stream's overflows", "go", "error; RST FLOW_CONTROL_ERROR; next: same",
         "waits; next: nowhere", "RFC 9113 §6.9.1: RST_STREAM, or the end; Go 1.26 waits for its own lock for ever"),
    rows("h2: DATA behind END_STREAM; HEADERS behind END_STREAM", "go curl", TAKEN, KEPT,
         "RFC 9113 §5.1: any frame on a closed stream MAY be a connection error STREAM_CLOSED"),
    rows("h2: more padding than content", "curl", REFUSED, "waits; next: *",
         "RFC 9113 §6.1: a connection error PROTOCOL_ERROR; curl sends it, and does not tell its user"),
    rows("h2: 100 CONTINUATION frames", "go", REFUSED, KEPT,
         "RFC 9113 §10.5: max_continuations is 32 in both roles; Go counts bytes"),
)  # fmt: skip

TABLE: tuple[Row, ...] = (*LENGTHS, *CHUNKS, *HEADS, *MALFORMED, *RESETS, *CONNECTIONS)
