"""Why headrace answers a session otherwise than another server does: who is right, or that both are allowed.

The peers are Go's net/http 1.26, Node 20 and nghttpd 1.52; the last two stand on nghttp2, and of nghttpd, which serves
files, only statuses are compared.
"""

from __future__ import annotations

from tests.differential.table import Row, row

OK = "200 *; alive"
REFUSED = "RST PROTOCOL_ERROR; alive"
DEAD = "GOAWAY PROTOCOL_ERROR"
NODE_CODE = "RFC 9113 §5.4.1, §7: the code is a hint; Node says INTERNAL_ERROR of whatever nghttp2 calls fatal"

REQUESTS = (
    row("OPTIONS *", "go", OK, "200; alive",
        "RFC 9110 §9.3.7: OPTIONS * is of the server as a whole; Go answers it itself"),
    row("CONNECT", "go node", "501; alive", "403; alive",
        "RFC 9110 §9.3.6: a server that makes no tunnels may refuse; headrace does before its application is asked"),
    row("extended CONNECT", "nghttpd", "403; alive", REFUSED, "RFC 8441 §3: nghttpd does not offer extended CONNECT"),
    row("extended CONNECT to a protocol that nobody knows", "go node", "501; alive", "403; alive",
        "RFC 8441 §4 names no answer; headrace answers what its applications cannot take, theirs refuse all"),
    row("extended CONNECT to a protocol that nobody knows", "nghttpd", "501; alive", REFUSED,
        "RFC 8441 §3: nghttpd does not offer extended CONNECT"),
    row("extended CONNECT without :scheme", "go", REFUSED, "403; alive",
        "RFC 8441 §4: with :protocol, :scheme and :path MUST be included as well"),
    row("a second length that is the same; content-length: two that differ", "go", REFUSED, OK,
        "RFC 9110 §8.6: a recipient rejects several lengths, or replaces equal ones; Go takes the first of any"),
    row("expect 100-continue, and not waited for", "node nghttpd", "200*; alive", "100 200*; alive",
        "RFC 9110 §10.1.1: a server MAY omit 100 once it has some of the content"),
    row("expect what nobody knows", "node", OK, "417; alive",
        "RFC 9110 §10.1.1: a server MAY answer an expectation that it does not know with 417"),
    row("te: Trailers", "go", OK, "400; alive",
        "RFC 9110 §10.1.4, §2.1: a string of the grammar has no case; the value is still trailers (RFC 9113 §8.2.2)"),
    row("no :authority and no host", "node nghttpd", "200*; alive", REFUSED,
        "RFC 9113 §8.3.1 makes :authority no mandatory field, and §8.1.1 nothing else malformed; both are in use"),
    row(":protocol without CONNECT", "go", REFUSED, OK,
        "RFC 9113 §8.3: an undefined pseudo-header field makes malformed; RFC 8441 §4 defines this one for CONNECT"),
    row(":scheme unknown", "go", "400; alive", REFUSED,
        "RFC 9110 §7.4, RFC 9113 §8.3.1: a scheme that is not served may be rejected, docs/adr/0022"),
    row(":scheme unknown", "node nghttpd", "400; alive", "200*; alive",
        "RFC 9110 §7.4, RFC 9113 §8.3.1: a scheme that is not served may be rejected, docs/adr/0022"),
)  # fmt: skip

FIELDS = (
    row("name: empty; name: a space; name: a space at its end; name: a colon; name: NUL; name: CR LF; name: DEL;"
        "name: a byte above 127; name: a slash; value: NUL; value: CR; value: LF; value: CR LF and a field;"
        "value: a space in front; value: a space behind; value: a tab behind; value: a control character; value: DEL;"
        "trailers: LF in a value", "node", REFUSED, OK,
        "RFC 9113 §8.2.1: MUST be treated as malformed; Node leaves such fields out and takes the rest"),
    row("value: a space in front; value: a space behind; value: a tab behind", "go", REFUSED, OK,
        "RFC 9113 §8.2.1: a value MUST NOT start or end with whitespace; else the request is malformed"),
    row("connection: close; connection: keep-alive; keep-alive; proxy-connection; transfer-encoding; upgrade; te: gzip;"
        "te: trailers, gzip", "go", REFUSED, "400; alive",
        "RFC 9113 §8.1.1, §8.2.2: a stream error; a server MAY send a response before it"),
    row(":method with a space", "go", REFUSED, OK, "RFC 9110 §9.1: a method is a token; RFC 9113 §8.3.1: valid values"),
    row(":path * with GET; :path in absolute form; :path with a space; :path with a fragment", "go", REFUSED, OK,
        "RFC 9113 §8.3.1: path and query of the URI; * only with OPTIONS"),
    row(":path with a fragment", "node", REFUSED, OK, "RFC 9113 §8.3.1: path and query of the URI, not its fragment"),
    row(":path with a fragment", "nghttpd", REFUSED, "404; alive",
        "RFC 9113 §8.3.1: path and query of the URI, not its fragment"),
    row(":path with a byte above 127", "go node nghttpd", "400; alive", "200*; alive",
        "RFC 9110 §4.1, RFC 9112 §3.2: no byte of a URI, so 400 for a request line; over HTTP/2 the same"),
    row(":authority empty", "go", REFUSED, OK,
        "RFC 9110 §4.2.1: a recipient MUST reject an http URI with an empty host"),
    row(":authority with userinfo", "node nghttpd", REFUSED, "200*; alive",
        "RFC 9113 §8.3.1: :authority MUST NOT include userinfo"),
    row(":authority with a space; :authority with a slash; host with a slash", "go", REFUSED, OK,
        "RFC 9110 §4.1, §7.2: neither is in a host with its port; RFC 9113 §8.3.1: valid values"),
    row(":authority with a port that is none", "go node nghttpd", REFUSED, "200*; alive",
        "RFC 9110 §4.1: a port is digits; RFC 9113 §8.3.1: valid values"),
    row("host and :authority, not the same", "go node nghttpd", REFUSED, "200*; alive",
        "RFC 9113 §8.3.1: a server SHOULD treat that as malformed"),
    row("host twice, not the same; host twice, the same", "go", REFUSED, OK,
        "RFC 9110 §5.3, §7.2: Host is no list, so a second one is of a sender that breaks the rules"),
    row("trailers: content-length", "go", OK, REFUSED,
        "RFC 9110 §6.5.1: no sender's to send; a recipient may ignore it, as it is kept apart from the header section"),
    row("content-length: more than comes; content-length: less with trailers", "go", REFUSED, "400; alive",
        "RFC 9113 §8.1.1: a stream error; a response MAY be sent before it, and this one is the application's"),
    row("content-length: no content comes", "go", REFUSED, OK,
        "RFC 9113 §8.1.1: malformed, as 3 is not the sum of no frames"),
)  # fmt: skip

CONNECTIONS = (
    row("preface: HTTP/1.1 that asks for h2c; preface: HTTP/1.1", "node", "HTTP/1.1 200", "GOAWAY INTERNAL_ERROR",
        "RFC 9113 §3.1: h2c by upgrade is deprecated; our port serves both protocols, theirs HTTP/2 alone"),
    row("preface: HTTP/1.1 that asks for h2c; preface: HTTP/1.1", "nghttpd", "HTTP/1.1 200", "closed",
        "RFC 9113 §3.1: h2c by upgrade is deprecated; our port serves both protocols, theirs HTTP/2 alone"),
    row("preface: cut off and wrong", "go node nghttpd", "HTTP/1.1 505", "*",
        "RFC 9113 §3.4: GOAWAY MAY be omitted; for a port with both this is HTTP/1.1, of a version that is not served"),
    row("preface: without SETTINGS; preface: PING before SETTINGS; preface: SETTINGS with ACK first; stream 0: HEADERS;"
        "stream 0: PRIORITY; stream 0: RST_STREAM; stream 1: SETTINGS; stream 1: PING; stream 1: GOAWAY;"
        "an even stream; idle: RST_STREAM; idle: WINDOW_UPDATE; idle: WINDOW_UPDATE of an even stream;"
        "a request behind RST_STREAM on its stream; PUSH_PROMISE; setting: ENABLE_PUSH 2;"
        "setting: MAX_FRAME_SIZE 16,383; setting: MAX_FRAME_SIZE 2^24; setting: ENABLE_CONNECT_PROTOCOL 2;"
        "window: increment 0 on the connection;"
        "SETTINGS, NO_RFC7540_PRIORITIES changes", "node", DEAD, "GOAWAY INTERNAL_ERROR", NODE_CODE),
    row("setting: INITIAL_WINDOW_SIZE 2^31; window: the connection's overflows", "node", "GOAWAY FLOW_CONTROL_ERROR",
        "GOAWAY INTERNAL_ERROR", NODE_CODE),
    row("PING with ACK that nobody asked for; SETTINGS with ACK that nobody asked for", "node", OK,
        "GOAWAY INTERNAL_ERROR", "RFC 9113 §6.5, §6.7 name no error; each counts among the odd frames that we bound"),
    row("SETTINGS with ACK that nobody asked for", "go nghttpd", "200*; alive", DEAD,
        "RFC 9113 §6.5 names no error; each counts among the odd frames that we bound"),
    row("SETTINGS, an entry twice", "go", OK, DEAD, "RFC 9113 §6.5.3: the values are processed in order"),
    row("SETTINGS, NO_RFC7540_PRIORITIES changes", "go", DEAD, OK,
        "RFC 9218 §2.1: a change MAY be a connection error; Go does not know the setting"),
    row("HEADER_TABLE_SIZE down and up", "go", "1: 200 *; 3: 200 *; alive", "200 *; GOAWAY PROTOCOL_ERROR",
        "RFC 9113 §6.5.2: any value, any number of times in a frame; Go refuses an entry twice"),
    row("preface: SETTINGS with ACK first", "go", DEAD, OK, "RFC 9113 §3.4: the preface ends with a SETTINGS frame"),
    row("GOAWAY of the client, and its upload ends; GOAWAY of the client with an error", "go",
        "200 *; GOAWAY NO_ERROR", OK, "RFC 9113 §6.8: who may close when is open; Go waits for the client"),
    row("GOAWAY of the client, and its upload ends; GOAWAY of the client with an error", "nghttpd",
        "200; GOAWAY NO_ERROR", "200; closed",
        "RFC 9113 §6.8: a receiver of GOAWAY SHOULD still send GOAWAY before it terminates the connection"),
    row("a request behind one's own GOAWAY", "nghttpd", "GOAWAY NO_ERROR", "closed",
        "RFC 9113 §6.8: a receiver of GOAWAY SHOULD still send GOAWAY before it terminates the connection"),
)  # fmt: skip

FRAMES = (
    row("length: PRIORITY of 4", "go node nghttpd", "RST FRAME_SIZE_ERROR; alive", "GOAWAY FRAME_SIZE_ERROR",
        "RFC 9113 §6.3: a stream error; §5.4.1: it MAY be treated as a connection error"),
    row("length: HEADERS without its priority; length: HEADERS without its padding; length: DATA without its padding",
        "go", "GOAWAY FRAME_SIZE_ERROR", "closed",
        "RFC 9113 §4.2: MUST send FRAME_SIZE_ERROR for a frame too small for what is mandatory"),
    row("length: HEADERS without its padding; length: DATA without its padding", "node nghttpd",
        "GOAWAY FRAME_SIZE_ERROR", DEAD,
        "RFC 9113 §4.2: MUST send FRAME_SIZE_ERROR for a frame too small for what is mandatory"),
    row("length: HEADERS, more padding than content", "go", DEAD, REFUSED,
        "RFC 9113 §6.1, §6.2: padding that exceeds the payload is a connection error PROTOCOL_ERROR"),
    row("stream 1: PRIORITY_UPDATE; PRIORITY_UPDATE of stream 0", "go node nghttpd", DEAD, "alive",
        "RFC 9218 §7.1: a connection error PROTOCOL_ERROR; the peers do not know the frame (RFC 9113 §5.5)"),
    row("PRIORITY_UPDATE of 3 bytes", "go node nghttpd", "GOAWAY FRAME_SIZE_ERROR", "alive",
        "RFC 9113 §4.2: too small for what is mandatory; the peers do not know the frame (§5.5)"),
    row("a lower stream", "node nghttpd", "200*; GOAWAY PROTOCOL_ERROR", "200*; alive",
        "RFC 9113 §5.1.1: an unexpected stream id MUST be a connection error PROTOCOL_ERROR"),
    row("half-closed: DATA", "node", "RST STREAM_CLOSED; alive", "GOAWAY STREAM_CLOSED",
        "RFC 9113 §5.1: a stream error STREAM_CLOSED; §5.4.1: it MAY be treated as a connection error"),
    row("half-closed: HEADERS", "node", "RST STREAM_CLOSED; alive", "GOAWAY INTERNAL_ERROR",
        "RFC 9113 §5.1: a stream error STREAM_CLOSED; §5.4.1: it MAY be treated as a connection error"),
    row("closed: DATA", "go", "200 *; GOAWAY STREAM_CLOSED", "200 * RST STREAM_CLOSED; alive",
        "RFC 9113 §5.1: any frame on a closed stream MAY be a connection error STREAM_CLOSED"),
    row("closed: DATA; closed: HEADERS", "node", "200 *; GOAWAY STREAM_CLOSED", OK,
        "RFC 9113 §5.1: any frame on a closed stream MAY be a connection error STREAM_CLOSED"),
    row("closed: HEADERS", "go", "200 *; GOAWAY STREAM_CLOSED", "200 *; GOAWAY PROTOCOL_ERROR",
        "RFC 9113 §5.1, §5.1.1: a closed stream, or an id that is not greater: both rules apply"),
    row("closed by RST_STREAM: DATA", "node", "RST STREAM_CLOSED; alive", "alive",
        "RFC 9113 §5.1: MAY be a connection error, or be discarded; a stream error stands between the two"),
    row("closed by RST_STREAM: DATA; closed by RST_STREAM: HEADERS", "nghttpd", "RST STREAM_CLOSED; alive",
        "GOAWAY STREAM_CLOSED",
        "RFC 9113 §5.1: MAY be a connection error, or be discarded; a stream error stands between the two"),
    row("closed by RST_STREAM: HEADERS", "node", "RST STREAM_CLOSED; alive", "alive",
        "RFC 9113 §5.1: MAY be a connection error, or be discarded; a stream error stands between the two"),
    row("closed by RST_STREAM: HEADERS", "go", "RST STREAM_CLOSED; alive", DEAD,
        "RFC 9113 §5.1, §5.1.1: a closed stream, or an id that is not greater: both rules apply"),
    row("PRIORITY on itself", "go", DEAD, "1: RST PROTOCOL_ERROR; 3: 200 *; alive",
        "RFC 9113 §5.3.2, §6.4: RFC 7540's stream error; but an idle stream MUST NOT be reset"),
    row("HEADERS on itself; window: increment 0 on a stream", "node", REFUSED, "GOAWAY INTERNAL_ERROR",
        "RFC 9113 §5.4.1: a stream error (§6.9, RFC 7540 §5.3.1) MAY be treated as a connection error"),
    row("HEADERS on itself; window: increment 0 on a stream", "nghttpd", REFUSED, DEAD,
        "RFC 9113 §5.4.1: a stream error (§6.9, RFC 7540 §5.3.1) MAY be treated as a connection error"),
    row("window: a stream's overflows", "node", "RST FLOW_CONTROL_ERROR; alive",
        "RST FLOW_CONTROL_ERROR; GOAWAY INTERNAL_ERROR",
        "RFC 9113 §6.9.1: RST_STREAM for a stream; §5.4.1: it MAY be treated as a connection error"),
    row("window: a stream's overflows by SETTINGS", "node nghttpd", "GOAWAY FLOW_CONTROL_ERROR",
        "RST FLOW_CONTROL_ERROR; alive", "RFC 9113 §6.9.2: MUST be a connection error FLOW_CONTROL_ERROR"),
    row("HPACK: a table size update at the end", "go", "GOAWAY COMPRESSION_ERROR", OK,
        "RFC 7541 §4.2: an update MUST be at the beginning of a block"),
    row("HPACK: wrong on a stream that was reset", "nghttpd", "GOAWAY COMPRESSION_ERROR", "GOAWAY STREAM_CLOSED",
        "RFC 9113 §5.1: MAY be a connection error STREAM_CLOSED, or minimally processed, which fails"),
)  # fmt: skip

LIMITS = (
    row("limit: 70,000 bytes of fields", "go node", "431; alive", OK,
        "RFC 9113 §10.5.1: a server may answer 431; max_field_section_size is 65,536, theirs are larger"),
    row("limit: 70,000 bytes of fields", "nghttpd", "431; alive", "RST INTERNAL_ERROR; alive",
        "RFC 9113 §10.5.1: a server may answer 431, so that the client knows why"),
    row("limit: 1,000 fields", "go nghttpd", "431; alive", "200*; alive",
        "RFC 9113 §10.5.1: a server may answer 431; max_fields is 256, they have no such limit"),
    row("limit: 1,000 fields", "node", "431; alive", "RST ENHANCE_YOUR_CALM; alive",
        "RFC 9113 §10.5.1: a server may answer 431, so that the client knows why"),
    row("limit: 100 CONTINUATION frames", "go", "GOAWAY ENHANCE_YOUR_CALM", OK,
        "RFC 9113 §10.5: max_continuations is 32; Go counts bytes"),
    row("limit: 100 CONTINUATION frames", "node", "GOAWAY ENHANCE_YOUR_CALM", "GOAWAY INTERNAL_ERROR", NODE_CODE),
    row("limit: 100 CONTINUATION frames", "nghttpd", "GOAWAY ENHANCE_YOUR_CALM", "closed",
        "RFC 9113 §5.4.1: GOAWAY SHOULD be sent first"),
    row("limit: 100 entries of SETTINGS", "go", "GOAWAY ENHANCE_YOUR_CALM", DEAD,
        "RFC 9113 §10.5: max_settings is 32; Go refuses an entry twice"),
)  # fmt: skip

TABLE: tuple[Row, ...] = (*REQUESTS, *FIELDS, *CONNECTIONS, *FRAMES, *LIMITS)
