"""`headrace get` against our own server: requests, output, and every exit code."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import PATIENCE_S, environment
from tests.cli.get.fetched import LARGE
from tests.cli.get.fetching import Done, Run, answering, h2_answer, runner, unused_port
from tests.support import wire
from tests.support.process import Served, serving


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving("tests.cli.get.fetched:app", tls=True) as served:
        yield served


@pytest.fixture
def get(capfd: pytest.CaptureFixture[str]) -> Run:
    run = runner(capfd)
    return lambda *arguments: run("get", *arguments)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def echo(server: Served, get: Run) -> Any:
    """A request as the server saw it."""

    def ask(*arguments: str, path: str = "/echo") -> Any:
        done = get(*arguments, server.url(path))
        assert done.code == 0, done
        return json.loads(done.out)

    return ask


def header(told: Any, name: str) -> str | None:
    return next((value for key, value in told["headers"] if key == name), None)


# -- protocols -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "scheme", "version"),
    [
        ((), "http", "1.1"), (("--http1",), "http", "1.1"), (("--h2c",), "http", "2"), (("--http2",), "http", "2"),
        (("-k",), "https", "2"), (("-k", "--http1"), "https", "1.1"), (("-k", "--http2"), "https", "2"),
        (("-k", "--h2c"), "https", "2"),
    ],
)  # fmt: skip
def test_the_protocol_is_the_one_that_is_asked_for(
    server: Served, get: Run, flags: tuple[str, ...], scheme: str, version: str
) -> None:
    done = get("-i", *flags, server.url("/echo", scheme))
    assert done.code == 0, done
    head, _, content = done.out.partition("\n\n")
    assert head.startswith(f"HTTP/{version} 200")
    assert json.loads(content)["http"] == version


def test_the_authority_of_a_certificate_is_believed(server: Served, get: Run, tmp_path: Path) -> None:
    authority = Path(server.log.split("a client that trusts ")[1].split(" accepts it")[0])
    port = server.ports["https"]
    done = get(
        "--cacert", str(authority), "--resolve", f"localhost:{port}:127.0.0.1", f"https://localhost:{port}/hello/you"
    )
    assert (done.code, done.out) == (0, "hello you\n"), done


def test_several_urls_go_over_one_connection_and_come_out_in_order(server: Served, get: Run) -> None:
    urls = [server.url("/large"), *[server.url("/echo") for _ in range(20)], server.url("/hello/last")]
    done = get("--h2c", *urls)
    assert done.code == 0, done
    assert done.out.startswith(LARGE.decode())
    assert done.out.endswith("hello last\n")
    middle = done.out[len(LARGE) : -len("hello last\n")]
    told = [json.loads(each + "}") for each in middle.split("}")[:-1]]
    assert len({each["port"] for each in told}) == 1


def test_one_that_fails_does_not_keep_the_others(server: Served, get: Run) -> None:
    done = get(
        "-f", server.url("/hello/a"), server.url("/status/404"), server.url("/status/503"), server.url("/hello/b")
    )
    assert (done.code, done.out) == (22, "hello a\nhello b\n")
    assert sorted(done.err.splitlines()) == [
        f"headrace: the server answered 404 Not Found ({server.url('/status/404')})",
        f"headrace: the server answered 503 Service Unavailable ({server.url('/status/503')})",
    ]


def test_a_url_without_a_scheme_is_http(server: Served, get: Run) -> None:
    assert get(f"127.0.0.1:{server.ports['http']}/hello/you").out == "hello you\n"


def test_connect_to_leads_elsewhere(server: Served, get: Run) -> None:
    done = get("--connect-to", f"elsewhere.test:80:127.0.0.1:{server.ports['http']}", "http://elsewhere.test/hello/you")
    assert (done.code, done.out) == (0, "hello you\n"), done


# -- requests that are sent ------------------------------------------------------------------------------------------


def test_a_plain_request(echo: Any) -> None:
    told = echo()
    assert (told["method"], told["content"]) == ("GET", "")
    assert str(header(told, "user-agent")).startswith("headrace/")
    assert header(told, "accept") == "*/*"
    assert header(told, "accept-encoding") is None


def test_data_is_a_form_that_is_posted(echo: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"c=3\r\n&d=\n4\n")
    told = echo("-d", "a=1", "-d", "b=2", "-d", f"@{tmp_path}/data")
    assert (told["method"], told["content"]) == ("POST", "a=1&b=2&c=3&d=4")
    assert header(told, "content-type") == "application/x-www-form-urlencoded"


def test_data_raw_and_binary(echo: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a\r\nb\n")
    assert echo("--data-raw", "@a")["content"] == "@a"
    assert echo("--data-binary", f"@{tmp_path}/data")["content"] == "a\r\nb\n"


def test_data_in_the_url(echo: Any) -> None:
    told = echo("-G", "-d", "b=2", "-d", "c=3", path="/echo?a=1")
    assert (told["method"], told["query"]) == ("GET", "a=1&b=2&c=3")


def test_json(echo: Any, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("2]")
    told = echo("--json", "[1,", "--json", f"@{tmp_path}/more")
    assert (told["method"], told["content"]) == ("POST", "[1,2]")
    assert (header(told, "content-type"), header(told, "accept")) == ("application/json", "application/json")


def test_a_multipart_form(echo: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a file\n")
    (tmp_path / "b").write_text("from a file")
    told = echo(
        "-F", "x=1", "-F", f"file=@{tmp_path}/a.txt;type=text/x-test;filename=other.txt", "-F", f"y=<{tmp_path}/b",
        "-F", f"plain=@{tmp_path}/a.txt",
    )  # fmt: skip
    assert told["method"] == "POST"
    media_type = header(told, "content-type")
    assert media_type is not None
    boundary = media_type.removeprefix("multipart/form-data; boundary=")
    parts = [part.strip("\r\n") for part in told["content"].split(f"--{boundary}")[1:-1]]
    assert parts[0].endswith('name="x"\r\n\r\n1')
    assert parts[1].endswith('name="y"\r\n\r\nfrom a file')
    assert 'name="file"; filename="other.txt"' in parts[2]
    assert "text/x-test" in parts[2]
    assert parts[2].endswith("\r\n\r\na file")
    assert 'filename="a.txt"' in parts[3]


def test_an_upload(echo: Any, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    told = echo("-T", f"{tmp_path}/large", "--h2c")
    assert (told["method"], told["content"]) == ("PUT", LARGE.decode())
    assert header(told, "content-length") == str(len(LARGE))


def test_headers_are_added_replaced_and_left_out(echo: Any, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("x-three: 3\n\nx-four: 4\n")
    told = echo("-H", "X-One: 1", "-H", "x-two;", "-H", "User-Agent: me", "-H", "Accept:", "-H", f"@{tmp_path}/headers",
                "-H", "host: other.test", "-d", "{}", "-H", "content-type: text/plain")  # fmt: skip
    names = [name for name, _ in told["headers"]]
    assert [header(told, name) for name in ("x-one", "x-two", "x-three", "x-four")] == ["1", "", "3", "4"]
    assert header(told, "user-agent") == "me"
    assert "accept" not in names
    assert names.count("content-type") == 1
    assert header(told, "content-type") == "text/plain"
    assert header(told, "host") == "other.test"


def test_a_method_an_agent_and_codings(echo: Any) -> None:
    told = echo("-X", "patch", "-A", "agent", "--compressed")
    assert (told["method"], header(told, "user-agent")) == ("PATCH", "agent")
    assert "gzip" in str(header(told, "accept-encoding"))


@pytest.mark.parametrize("user", ["flag", "url"])
def test_a_name_and_password(server: Served, get: Run, user: str) -> None:
    url = server.url("/hidden")
    done = get("-u", "name:secret", url) if user == "flag" else get(url.replace("://", "://name:secret@"))
    assert (done.code, done.out) == (0, "found\n")


# -- output ----------------------------------------------------------------------------------------------------------


def test_the_head_of_every_response_on_the_way(server: Served, get: Run) -> None:
    done = get("-iL", server.url("/redirect/302/hello/you"))
    assert done.code == 0
    statuses = [line for line in done.out.splitlines() if line.startswith("HTTP/")]
    assert statuses == ["HTTP/1.1 302 Found", "HTTP/1.1 200 OK"]
    assert done.out.endswith("\n\nhello you\n")


def test_a_redirect_that_is_not_followed_is_an_answer_like_others(server: Served, get: Run) -> None:
    done = get("-i", server.url("/redirect/302/hello/you"))
    assert "location: /hello/you" in done.out
    assert "hello you" not in done.out


def test_the_head_alone(server: Served, get: Run) -> None:
    done = get("-I", "--h2c", server.url("/large"))
    assert done.code == 0
    assert done.out.startswith("HTTP/2 200\n")
    assert "content-length: 1048576\n" in done.out
    assert len(done.out) < 1000


def test_files(server: Served, get: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = get("-o", "a", "-o", "-", server.url("/large"), server.url("/hello/two"), server.url("/hello/three"))
    assert (done.code, done.out) == (0, "hello two\nhello three\n")
    assert (tmp_path / "a").read_bytes() == LARGE
    done = get("-O", server.url("/hello/a%0Ab?q=/x"), server.url("/large"))
    assert done.code == 0
    assert (tmp_path / "a%0Ab").read_text() == "hello a\nb\n"
    assert (tmp_path / "large").read_bytes() == LARGE


def test_an_empty_response_makes_an_empty_file(server: Served, get: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    assert get("-o", str(tmp_path / "a"), server.url("/redirect/302/x")).code == 0
    assert (tmp_path / "a").read_bytes() == b""


def test_with_fail_nothing_is_written(server: Served, get: Run, tmp_path: Path) -> None:
    done = get("-f", "-o", str(tmp_path / "a"), server.url("/status/404"))
    assert (done.code, done.out, (tmp_path / "a").exists()) == (22, "", False)


def test_codings_are_taken_off_only_when_asked_for(get: Run, tmp_path: Path) -> None:
    import gzip

    packed = gzip.compress(b"content")
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with answering(head + packed) as url:
        assert get(url, "-o", str(tmp_path / "a")).code == 0
        assert (tmp_path / "a").read_bytes() == packed
        assert get(url, "--compressed").out == "content"


# -- output ----------------------------------------------------------------------------------------------------------


def test_verbose_tells_frames_fields_and_times_without_colour(server: Served, get: Run) -> None:
    done = get("-v", "--h2c", "-u", "name:secret", server.url("/hello/you"))
    assert (done.code, done.out) == (0, "hello you\n")
    lines = [line[9:].strip() for line in done.err.splitlines()]
    times = [float(line[:9]) for line in done.err.splitlines()]
    assert times == sorted(times)
    for line in (
        "> connection preface", ">     :path: /hello/you", ">     authorization: Basic [hidden, 16 bytes]",
        "<     :status: 200",
    ):  # fmt: skip
        assert line in lines, line
    text = "\n".join(lines)
    assert "> SETTINGS        stream 0" in text
    assert "< DATA            stream 1           10  END_STREAM" in text
    assert f"* connected to 127.0.0.1:{server.ports['http']}" in lines
    assert "status 200 over HTTP/2" in text
    assert "\x1b" not in done.err
    assert "secret" not in done.err and "bmFtZ" not in done.err


def test_verbose_over_tls_and_http_1(server: Served, get: Run) -> None:
    done = get("-vk", "--http1", server.url("/hello/you", "https"))
    assert "* TLS: TLSv1.3" in done.err
    assert "> GET /hello/you HTTP/1.1" in done.err
    assert "< HTTP/1.1 200 OK" in done.err


def test_silent_says_nothing(server: Served, get: Run) -> None:
    assert get("-sf", server.url("/status/404")) == Done(22, "", "")


# -- exit codes ------------------------------------------------------------------------------------------------------


def fails(done: Done, code: int, sentence: str) -> None:
    """Assert that the command ended with `code` and one sentence."""
    assert done.code == code, done
    lines = done.err.splitlines()
    assert len(lines) == 1, done
    assert lines[0].startswith(f"headrace: {sentence}"), done


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ftp://a/",), "'ftp://a/' cannot be fetched"),
        (("http://a b/",), ""),
        (("http://a:99999/",), ""),
        (("--http1", "--http2", "http://a/"), "--http1, --http2 and --h2c exclude each other"),
        (("-k", "--cacert", "x", "http://a/"), "--insecure and --cacert exclude each other"),
        (("--cacert", "/missing.pem", "http://a/"), "/missing.pem: no such file or directory"),
        (("--key", "x", "http://a/"), "--key is the key of --cert, which is missing"),
        (("-d", "a", "-F", "b=c", "http://a/"), "-d and -F exclude each other"),
        (("-F", "b", "http://a/"), "-F 'b': a field is name=value"),
        (("-F", "b=@x;colour=red", "http://a/"), "-F 'b=@x;colour=red': 'colour=red' is neither type=... nor"),
        (("-G", "--json", "1", "http://a/"), "-G puts the data of -d into the URL"),
        (("-H", "no colon", "http://a/"), "-H 'no colon': a header is 'Name: value'"),
        (("-H", "a: b\r\nc: d", "http://a/"), "-H "),
        (("-H", "a b: c", "http://a/"), ""),
        (("-H", "connection: close", "http://a/"), ""),
        (("-X", "a b", "http://a/"), ""),
        (("-o", "a", "-o", "b", "http://a/"), "-o is given 2 times for 1 URLs"),
        (("-o", "a", "-O", "http://a/"), "-o and -O exclude each other"),
        (("-O", "http://a/b/"), "http://a/b/ has no name at its end that -O could use"),
        (("-O", "http://a/.."), "http://a/ has no name at its end that -O could use"),
        (("-m", "soon", "http://a/"), "--max-time 'soon' is not a time"),
        (("-m", "0", "http://a/"), "--max-time must be above 0"),
        (("--resolve", "a:80", "http://a/"), "--resolve 'a:80' is not HOST:PORT:ADDRESS"),
        (("--resolve", "a:http:b", "http://a/"), "'a:http:b': 'http' is not a port"),
        (("--connect-to", "a", "http://a/"), "--connect-to 'a' is not HOST1:PORT1:HOST2:PORT2"),
        (("--proxy", "gopher://a", "http://a/"), ""),
        (("-u", "name", "http://a/"), "-u has no password"),
        (("--ws", "ws://a/", "ws://b/"), "--ws takes one URL"),
        (("--ws", "--ws-protocol", "a b", "ws://a/"), ""),
        (("--nonsense", "http://a/"), "no such option"),
        (("--h2c", "http://a/", "https://b/"), "--h2c is for http:// URLs"),
        ((), "missing argument"),
    ],
)  # fmt: skip
def test_2_usage(get: Run, arguments: tuple[str, ...], sentence: str) -> None:
    fails(get(*arguments), 2, sentence)


def test_6_no_address(get: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    fails(get("http://nowhere.test/"), 6, "")


def test_7_no_connection(get: Run) -> None:
    fails(get(f"http://127.0.0.1:{unused_port()}/"), 7, "no connection to 127.0.0.1")


@pytest.mark.parametrize("answer", [b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"])
def test_16_a_rule_of_http_is_broken(get: Run, answer: bytes) -> None:
    with answering(answer) as url:
        fails(get(url), 16, "")


def test_16_a_rule_of_http_2_is_broken(get: Run) -> None:
    with answering(h2_answer(wire.data(0, b"x")), until=wire.PREFACE) as url:
        fails(get("--h2c", url), 16, "")


def test_what_a_server_says_of_its_end_cannot_command_the_terminal(get: Run) -> None:
    with answering(h2_answer(wire.goaway(0, wire.PROTOCOL_ERROR, b"\x1b[2J\nno")), until=wire.PREFACE) as url:
        done = get("--h2c", url)
    assert done.code != 0
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "answer", [b"content-length: 10\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
def test_18_content_is_cut_short(get: Run, answer: bytes) -> None:
    with answering(b"HTTP/1.1 200 OK\r\n" + answer) as url:
        done = get(url)
    assert done.out == "abc"
    fails(done, 18, "")


@pytest.mark.parametrize("flag", ["-f", "--fail-with-body"])
def test_22_a_status_of_failure(server: Served, get: Run, flag: str) -> None:
    done = get(flag, server.url("/status/404"))
    assert done.out == ("" if flag == "-f" else "this is 404\n")
    fails(done, 22, f"the server answered 404 Not Found ({server.url('/status/404')})")


@pytest.mark.parametrize("file", ["/missing/file", "/dev/full"])
def test_23_the_file_cannot_be_written(server: Served, get: Run, file: str) -> None:
    fails(get("-o", file, server.url("/hello/you")), 23, f"{file}: no ")


@pytest.mark.parametrize(
    ("redirection", "reason"), [(">/dev/full", "no space left on device"), (">&-", "it is closed")]
)
def test_23_stdout_cannot_be_written(server: Served, redirection: str, reason: str) -> None:
    command = f"exec {sys.executable} -m headrace get {server.url('/hello/you')} {redirection}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment(), timeout=PATIENCE_S)
    assert (done.returncode, done.stderr) == (23, f"headrace: stdout: {reason}\n")


def test_26_what_to_send_cannot_be_read(get: Run, tmp_path: Path) -> None:
    for arguments in (("-T", "/missing"), ("-d", "@/missing"), ("-F", "a=@/missing"), ("-F", "a=</missing"),
                      ("--json", "@/missing"), ("-H", "@/missing")):  # fmt: skip
        fails(get(*arguments, "http://127.0.0.1:1/"), 26, "/missing: no such file or directory")
    fails(get("-T", str(tmp_path), "http://127.0.0.1:1/"), 26, f"{tmp_path}: is a directory")


def test_28_no_answer_in_time(server: Served, get: Run) -> None:
    fails(get("-m", "100ms", server.url("/slow")), 28, "")


def test_28_content_does_not_come_in_time(server: Served, get: Run) -> None:
    fails(get("-m", "500ms", server.url("/trickle")), 28, "")


def test_28_no_handshake_in_time(get: Run) -> None:
    with answering(closes=False, until=b"never") as url:
        fails(get("--connect-timeout", "100ms", url.replace("http:", "https:")), 28, "")


def test_35_not_tls(server: Served, get: Run) -> None:
    fails(get(server.url("/").replace("http:", "https:")), 35, "")


def test_35_a_certificate_that_nobody_vouches_for(server: Served, get: Run) -> None:
    fails(get(server.url("/", "https")), 35, "the certificate of 127.0.0.1 ")


def test_47_redirects_without_end(server: Served, get: Run) -> None:
    fails(get("-L", "--max-redirs", "3", server.url("/loop")), 47, "")


def test_56_the_connection_is_lost(get: Run) -> None:
    with answering() as url:
        fails(get(url), 56, "")


def test_61_a_coding_that_is_wrong(server: Served, get: Run) -> None:
    fails(get("--compressed", server.url("/bad-gzip")), 61, "")


def test_65_content_that_cannot_be_sent_again(
    server: Served, get: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()
    os.write(write, b"once")
    os.close(write)
    saved = os.dup(0)
    try:
        os.dup2(read, 0)
        fails(get("-L", "-T", "-", server.url("/redirect/307/echo")), 65, "")
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(read)


def test_92_a_stream_is_reset(server: Served, get: Run) -> None:
    done = get("--h2c", server.url("/breaks"))
    assert done.out == "beginning"
    fails(done, 92, "")


def test_97_no_proxy(get: Run) -> None:
    fails(get("--proxy", f"http://127.0.0.1:{unused_port()}", "http://example.test/"), 97, "")
