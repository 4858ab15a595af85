"""RFC 9112 §2.3, §3: method, target and version; the four forms of a target; host; the line's length."""

from __future__ import annotations

import pytest

from headrace.engine import events as ev

from tests.support.h1_rig import GET, OK, H1Rig, head, refusal

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def request(line: bytes, *lines: bytes, **arguments: object) -> ev.RequestReceived:
    """The event of a request that is accepted."""
    rig = H1Rig(**arguments)  # type: ignore[arg-type]
    rig.feed(head(*lines, request=line))
    (event,) = rig.requests
    assert isinstance(event, ev.RequestReceived)
    return event


def line(data: bytes) -> object:
    """What becomes of a request line behind a request that was well."""
    return refusal(GET + head(request=data))


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_method(byte: int) -> None:
    """§3.1 method = token (RFC 9110 §5.6.2), and case-sensitive: it is passed on as it is."""
    c = bytes((byte,))
    for method in (b"G" + c + b"T", b"GT" + c):
        assert line(method + b" / HTTP/1.1") == (OK if byte in TOKEN else 400), method
        if byte in TOKEN:
            assert request(method + b" / HTTP/1.1").method == method


@pytest.mark.parametrize("method", [b"GET", b"QUERY", b"PROPFIND", b"get", b"PLAY", b"X-Y", b"A" * 300])
def test_any_method_is_passed_on(method: bytes) -> None:
    """RFC 9110 §9.1 The set of methods is open: what the application does not know is the application's to refuse."""
    assert request(method + b" /x HTTP/1.1").method == method


@pytest.mark.parametrize("byte", range(256))
def test_each_byte_in_a_target(byte: int) -> None:
    """§3.2 No whitespace is allowed in the request-target; nor controls, nor a fragment, nor what is not ASCII."""
    c = bytes((byte,))
    good = 0x20 < byte < 0x7F and byte != 0x23
    assert line(b"GET /a" + c + b"b HTTP/1.1") == (OK if good else 400)
    if good:
        assert request(b"GET /a" + c + b"b HTTP/1.1").path == b"/a" + c + b"b"


@pytest.mark.parametrize(
    "data",
    [
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b" GET / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"GET / HTTP/1.1\t",
        b"GET /a b HTTP/1.1",
        b"GET HTTP/1.1",
        b"GET /",
        b"GET",
        b"GET / http/1.1",
        b"GET / HTTP/1",
        b"GET / HTTP/1.",
        b"GET / HTTP/.1",
        b"GET / HTTP/11",
        b"GET / HTTP/1.10",
        b"GET / HTTP/01.1",
        b"GET / HTTP/1.1x",
        b"GET / HTTP/+1.1",
        b"GET / HTTP/1,1",
        b"GET / HTTP/a.1",
        b"GET / HTTP/1.\xb2",
        b"GET / FTTP/1.1",
        b"GET / HTTP 1.1",
        b"GET / ICE/1.0",
        b"GET / RTSP/1.0",
        b"GET / HTTP/1.1 HTTP/1.1",
    ],
)
def test_malformed_request_lines(data: bytes) -> None:
    """§3 request-line = method SP request-target SP HTTP-version: recipients SHOULD respond with 400, not guess."""
    assert line(data) == 400


@pytest.mark.parametrize("version", [b"0.9", b"2.0", b"3.0", b"9.9", b"0.0"])
def test_other_versions(version: bytes) -> None:
    """RFC 9110 §15.6.6 505: the server does not support the major version."""
    assert line(b"GET / HTTP/" + version) == 505


@pytest.mark.parametrize("version", [b"1.2", b"1.9"])
def test_a_higher_minor_version_is_the_highest_that_we_know(version: bytes) -> None:
    """RFC 9110 §6.2: process the message as if it was in the highest minor version to which the recipient conforms."""
    assert request(b"GET / HTTP/" + version).shared.http_version == "1.1"


def test_versions() -> None:
    """§2.3 HTTP/1.1 and HTTP/1.0 are told to the application."""
    assert request(b"GET / HTTP/1.1").shared.http_version == "1.1"
    assert request(b"GET / HTTP/1.0").shared.http_version == "1.0"


@pytest.mark.parametrize("size", [8_192, 8_193])
@pytest.mark.parametrize("cut", [0, 1_000])
def test_the_length_of_a_request_line(size: int, cut: int) -> None:
    """§3 A server that receives a request-target longer than any URI it wishes to parse MUST respond with 414; it is
    RECOMMENDED to support lines of 8,000 bytes."""
    data = b"GET /" + b"a" * (size - len(b"GET / HTTP/1.1")) + b" HTTP/1.1"
    assert len(data) == size
    assert refusal(head(request=data), cut) == (OK if size == 8_192 else 414)


def test_a_request_line_without_an_end_is_refused_at_its_limit() -> None:
    """§3 414 comes as soon as the line is too long: it is not collected any further."""
    rig = H1Rig()
    for _ in range(8):
        rig.feed(b"GET /" + b"a" * 1_019 if not rig.conn.bytes_in else b"a" * 1_024)
        assert not rig.conn.closed
    rig.feed(b"aa")
    assert rig.conn.closed
    assert rig.fault.budget == "request_line"
    assert rig.responses()[0].status == 414


# -- the four forms of a target --


@pytest.mark.parametrize(
    ("data", "authority", "path"),
    [
        (b"GET http://b/ HTTP/1.1", b"b", b"/"),
        (b"GET http://b HTTP/1.1", b"b", b"/"),
        (b"GET HTTP://b:81/x?y=/z HTTP/1.1", b"b:81", b"/x?y=/z"),
        (b"GET https://b/x HTTP/1.1", b"b", b"/x"),
        (b"GET http://b?q HTTP/1.1", b"b", b"/?q"),
        (b"GET http://b?q/r HTTP/1.1", b"b", b"/?q/r"),
        (b"GET http://[::1]:80/ HTTP/1.1", b"[::1]:80", b"/"),
        (b"OPTIONS http://b HTTP/1.1", b"b", b"*"),
        (b"OPTIONS http://b/ HTTP/1.1", b"b", b"/"),
        (b"GET /x HTTP/1.1", b"a", b"/x"),
        (b"GET //b/x HTTP/1.1", b"a", b"//b/x"),
        (b"GET /http://b/ HTTP/1.1", b"a", b"/http://b/"),
        (b"OPTIONS * HTTP/1.1", b"a", b"*"),
    ],
)
def test_forms_of_a_target(data: bytes, authority: bytes, path: bytes) -> None:
    """§3.2.2 A server MUST accept the absolute-form, and ignore the received Host: the target's host wins."""
    event = request(data)
    assert (event.authority, event.path) == (authority, path)
    assert event.headers == [(b"host", authority)]
    assert event.shared.has_host


def test_the_scheme_is_the_connections() -> None:
    """RFC 9110 §7.1: what the target says of the scheme does not make a connection secure."""
    assert request(b"GET https://b/ HTTP/1.1").scheme == b"http"
    assert request(b"GET http://b/ HTTP/1.1", scheme=b"https").scheme == b"https"


@pytest.mark.parametrize(
    "data",
    [
        b"GET * HTTP/1.1",  # §3.2.4: for OPTIONS only
        b"GET a:80 HTTP/1.1",  # §3.2.3: for CONNECT only
        b"GET a HTTP/1.1",
        b"GET ?x HTTP/1.1",
        b"GET ftp://b/ HTTP/1.1",
        b"GET http:/b/ HTTP/1.1",
        b"GET http:// HTTP/1.1",
        b"GET http:///x HTTP/1.1",
        b"GET http://u@b/ HTTP/1.1",  # RFC 9110 §4.2.4
        b"GET http://u:p@b/ HTTP/1.1",
        b"GET http://b:x/ HTTP/1.1",
        b"GET http://b:80:80/ HTTP/1.1",
        b"GET http://[::1/ HTTP/1.1",
        b"GET http://b\\c/ HTTP/1.1",
        b"OPTIONS *x HTTP/1.1",
        b"CONNECT / HTTP/1.1",
        b"CONNECT b HTTP/1.1",
        b"CONNECT b: HTTP/1.1",
        b"CONNECT http://b:80/ HTTP/1.1",
        b"CONNECT u@b:80 HTTP/1.1",
    ],
)
def test_targets_in_no_form(data: bytes) -> None:
    """§3.2 Recipients of an invalid request-line SHOULD respond with 400."""
    assert line(data) == 400


def test_connect_is_not_served() -> None:
    """RFC 9110 §9.3.6: not every server is a proxy: 501, and the connection ends, as a tunnel may be what follows."""
    assert line(b"CONNECT b:443 HTTP/1.1") == 501


# -- host --


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ([], 400),
        ([b"Host: a", b"Host: a"], 400),
        ([b"Host: a", b"HOST: b"], 400),
        ([b"Host: a, b"], 400),
        ([b"Host: a b"], 400),
        ([b"Host: a/b"], 400),
        ([b"Host: u@a"], 400),
        ([b"Host: a:b"], 400),
        ([b"Host: a:80:80"], 400),
        ([b"Host: :80"], 400),
        ([b"Host: [::1"], 400),
        ([b"Host: ::1"], 400),
        ([b"Host: []"], 400),
        ([b"Host: [::1]x"], 400),
        ([b"Host: [::g]"], 400),
        ([b"Host: a#b"], 400),
        ([b"Host: a?b"], 400),
        ([b"Host: a\\b"], 400),
        ([b"Host: \x80"], 400),
        ([b"Host: http://a"], 400),
        ([b"Host: a"], OK),
        ([b"Host: a:80"], OK),
        ([b"Host: a:"], OK),
        ([b"Host: [::1]"], OK),
        ([b"Host: [::ffff:1.2.3.4]:8080"], OK),
        ([b"Host: 1.2.3.4:8080"], OK),
        ([b"Host: a_b-c.example."], OK),
        ([b"Host: a%20b"], OK),
        ([b"Host:"], OK),  # §3.2: empty where the target has no authority
    ],
)
def test_host(lines: list[bytes], outcome: object) -> None:
    """§3.2 A server MUST respond with 400 to an HTTP/1.1 request that lacks a Host header field and to any request that
    contains more than one, or one with an invalid value."""
    assert refusal(head(*lines, host=None)) == outcome
    if lines:
        assert refusal(head(*lines, host=None, request=b"GET / HTTP/1.0")) == outcome


def test_http_1_0_needs_no_host() -> None:
    """§3.2 The rule is for HTTP/1.1."""
    rig = H1Rig()
    rig.feed(head(host=None, request=b"GET / HTTP/1.0"))
    assert rig.requests[0].authority == b""
    assert not rig.requests[0].shared.has_host


def test_a_bad_host_is_refused_though_the_target_wins() -> None:
    """§3.2 ... any request message: also one in absolute form."""
    assert refusal(head(b"Host: a b", host=None, request=b"GET http://b/ HTTP/1.1")) == 400
    assert refusal(head(host=None, request=b"GET http://b/ HTTP/1.1")) == 400
