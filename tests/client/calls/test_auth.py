"""Credentials: basic, bearer, digest, netrc, those of a URL, and a program's own flows."""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import b64decode
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace.client import (
    Auth,
    BasicAuth,
    BearerAuth,
    BodyConsumed,
    Client,
    DigestAuth,
    NetRCAuth,
    Request,
    Response,
)
from headrace.client.calls.digest import choose, parse_challenges

from tests.client.support.fake import Answer, FakeTransport, redirect
from tests.support.serving import Run

HERE = "https://example.org/dir/index.html"


def go(run: Run, *answers: Any, url: str = HERE, method: str = "GET", times: int = 1, **options: Any) -> Any:
    async def main() -> Any:
        transport = FakeTransport(*answers)
        async with Client(transport=transport) as client:
            for _ in range(times):
                response = await client.request(method, url, **options)
        return response, transport

    return run(main())


def basic(value: str | None) -> str | None:
    return None if value is None else b64decode(value.removeprefix("Basic ")).decode()


def test_basic(run: Run) -> None:
    for auth in (("Aladdin", "open sesame"), BasicAuth("Aladdin", b"open sesame")):
        _, transport = go(run, Answer(), auth=auth)
        assert transport.sent[0].field("authorization") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617 §2
    _, transport = go(run, Answer(), auth=("test", "123£"))
    assert transport.sent[0].field("authorization") == "Basic dGVzdDoxMjPCow=="  # RFC 7617 §2.1, UTF-8
    with pytest.raises(ValueError, match="must not have a colon"):
        BasicAuth("a:b", "c")


def test_credentials_in_a_url_become_basic_and_are_not_sent_otherwise(run: Run) -> None:
    _, transport = go(run, Answer(), url="https://u%40x:p%3Aw@example.org/")
    sent = transport.sent[0]
    assert basic(sent.field("authorization")) == "u@x:p:w"
    assert sent.outgoing.authority == b"example.org" and sent.url == "https://example.org/"
    _, transport = go(run, Answer(), url="https://u:p@example.org/", auth=None)
    assert transport.sent[0].field("authorization") is None
    _, transport = go(run, Answer(), url="https://u:p@example.org/", auth=("other", "x"))
    assert basic(transport.sent[0].field("authorization")) == "other:x"


def test_bearer(run: Run) -> None:
    _, transport = go(run, Answer(), auth=BearerAuth("abc"))
    assert transport.sent[0].field("authorization") == "Bearer abc"
    tokens = iter(["one", "two"])
    _, transport = go(run, Answer(), Answer(), auth=BearerAuth(lambda: next(tokens)), times=2)
    assert [sent.field("authorization") for sent in transport.sent] == ["Bearer one", "Bearer two"]
    with pytest.raises(ValueError, match="control character"):
        go(run, auth=BearerAuth("abc\r\nx: y"))


def test_netrc(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine example.org login me password secret\ndefault login any password leak\n")
    _, transport = go(run, Answer(), auth=NetRCAuth(path))
    assert basic(transport.sent[0].field("authorization")) == "me:secret"
    for other in ("https://other.example/", "https://default/"):
        _, transport = go(run, Answer(), auth=NetRCAuth(path), url=other)
        assert transport.sent[0].field("authorization") is None, "the default entry is for nobody"
    monkeypatch.setenv("NETRC", str(path))
    _, transport = go(run, Answer(), auth=NetRCAuth())
    assert basic(transport.sent[0].field("authorization")) == "me:secret"
    monkeypatch.setenv("NETRC", str(tmp_path / "missing"))
    _, transport = go(run, Answer(), auth=NetRCAuth())
    assert transport.sent[0].field("authorization") is None
    with pytest.raises(FileNotFoundError):
        NetRCAuth(tmp_path / "missing")


def test_a_function(run: Run) -> None:
    def sign(request: Request) -> None:
        request.headers["x-signature"] = request.method + request.url.path

    _, transport = go(run, Answer(), auth=sign)
    assert transport.sent[0].field("x-signature") == "GET/dir/index.html"
    _, transport = go(run, Answer(), auth=lambda request: Request("PUT", request.url))
    assert transport.sent[0].method == "PUT"
    with pytest.raises(TypeError, match="not int"):
        go(run, auth=5)


class Token(Auth):
    """A flow that learns a token from the content of a 401."""

    requires_response_body = True

    def auth_flow(self, request: Request) -> Generator[Request, Response, None]:
        response = yield request
        if response.status == 401:
            request.headers["authorization"] = f"Bearer {response.text}"
            yield request


def test_a_flow_that_reads_responses(run: Run) -> None:
    response, transport = go(run, Answer(401, content=b"key"), Answer(content=b"ok"), auth=Token())
    assert response.content == b"ok" and transport.sent[1].field("authorization") == "Bearer key"

    async def main() -> None:
        first = Answer(401, content=[b"k", b"ey"])
        transport = FakeTransport(first, Answer(content=b"ok"))
        async with Client(transport=transport, auth=Token()) as client, client.stream("GET", HERE) as response:
            assert await response.aread() == b"ok"
        assert transport.sent[1].field("authorization") == "Bearer key" and first.is_ended

    run(main())


def test_a_flow_that_waits_and_needs_the_content(run: Run) -> None:
    class Signed(Auth):
        requires_request_body = True

        async def async_auth_flow(self, request: Request) -> AsyncGenerator[Request, Response]:
            assert request.content == b"ab"
            request.headers["x-sum"] = str(len(request.content))
            response = yield request
            assert response.status == 200

    _, transport = go(run, Answer(), method="POST", content=iter([b"a", b"b"]), auth=Signed())
    assert transport.sent[0].field("x-sum") == "2" and transport.sent[0].content == b"ab"


def test_the_callers_request_is_not_changed(run: Run) -> None:
    async def main() -> None:
        async with Client(transport=FakeTransport(Answer())) as client:
            request = client.build_request("GET", HERE)
            await client.send(request, auth=("a", "b"))
            assert "authorization" not in request.headers

    run(main())


def test_auth_of_the_client_and_of_one_request(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: Answer())
        async with Client(transport=transport, auth=("a", "b")) as client:
            await client.get(HERE)
            await client.get(HERE, auth=("c", "d"))
            await client.get(HERE, auth=None)
            client.auth = None
            await client.get(HERE)
            assert client.auth is None
        assert [basic(sent.field("authorization")) for sent in transport.sent] == ["a:b", "c:d", None, None]

    run(main())


# -- digest (RFC 7616)


def fields_of(value: str | None) -> dict[str, str]:
    assert value is not None and value.startswith("Digest ")
    return {
        name: (quoted if quoted else bare) for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', value)
    }


RFC_NONCE = (
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
RFC_REALM = 'Digest realm="http-auth@example.org", qop="auth, auth-int"'


@pytest.mark.parametrize(
    ("algorithm", "proof"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_example_of_the_rfc(run: Run, algorithm: str, proof: str) -> None:
    """RFC 7616 §3.9.1."""
    auth = DigestAuth("Mufasa", "Circle of Life", nonce=lambda: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    challenge = Answer(401, [("www-authenticate", f"{RFC_REALM}, algorithm={algorithm}, {RFC_NONCE}")])
    response, transport = go(run, challenge, Answer(), url="http://www.example.org/dir/index.html", auth=auth)
    assert response.status == 200 and transport.sent[0].field("authorization") is None
    fields = fields_of(transport.sent[1].field("authorization"))
    assert fields["response"] == proof
    assert fields == {
        "username": "Mufasa", "realm": "http-auth@example.org", "uri": "/dir/index.html", "algorithm": algorithm,
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", "nc": "00000001", "qop": "auth", "response": proof,
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
    }  # fmt: skip


class DigestServer:
    """Check digests by the formula of RFC 7616 §3.4.1, written again here."""

    def __init__(self, algorithm: str = "SHA-256", qop: str = "auth", more: str = "") -> None:
        self.algorithm = algorithm
        self.qop = qop
        self.more = more
        self.nonce = "nonce-0"
        self.is_stale = False
        self.counts: list[str] = []

    def __call__(self, sent: Any) -> Answer:
        value = sent.field("authorization")
        if value is not None:
            fields = fields_of(value)
            if fields["nonce"] == self.nonce and fields["response"] == self.proof(fields, sent):
                self.counts.append(fields.get("nc", ""))
                return Answer(content=b"in")
        stale = ", stale=true" if value is not None and self.is_stale else ""
        algorithm = f", algorithm={self.algorithm}" if self.algorithm else ""
        qop = f', qop="{self.qop}"' if self.qop else ""
        challenge = f'Digest realm="r", nonce="{self.nonce}"{algorithm}{qop}{stale}{self.more}'
        return Answer(401, [("www-authenticate", challenge)])

    def proof(self, fields: dict[str, str], sent: Any) -> str:
        name = self.algorithm.upper().removesuffix("-SESS") or "MD5"

        def h(text: str) -> str:
            return hashlib.new(
                {"SHA-512-256": "sha512_256"}.get(name, name.replace("-", "")), text.encode()
            ).hexdigest()

        user = h("me:r") if fields.get("userhash") == "true" else "me"
        assert fields["username"] == user and fields["uri"] == sent.target
        a1 = h("me:r:secret")
        if self.algorithm.endswith("-sess"):
            a1 = h(f"{a1}:{fields['nonce']}:{fields['cnonce']}")
        a2 = f"{sent.method}:{sent.target}"
        if fields.get("qop") == "auth-int":
            a2 += ":" + h(sent.content.decode())
        if "qop" not in fields:
            return h(f"{a1}:{fields['nonce']}:{h(a2)}")
        return h(f"{a1}:{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:{fields['qop']}:{h(a2)}")


def digest(run: Run, server: DigestServer, times: int = 1, password: str = "secret", **options: Any) -> Any:
    async def main() -> Any:
        transport = FakeTransport(respond=server)
        statuses = []
        async with Client(transport=transport, auth=DigestAuth("me", password)) as client:
            for number in range(times):
                statuses.append((await client.request("POST", f"https://a.example/{number}?x", **options)).status)
        return statuses, len(transport.sent)

    return run(main())


@pytest.mark.parametrize("algorithm", ["", "MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256"])
@pytest.mark.parametrize("qop", ["", "auth", "auth-int", "auth-int,auth"])
def test_algorithms_and_qualities(run: Run, algorithm: str, qop: str) -> None:
    if algorithm == "SHA-512-256" and "sha512_256" not in hashlib.algorithms_available:
        pytest.skip("this OpenSSL has no SHA-512/256")
    server = DigestServer(algorithm, qop)
    assert digest(run, server, content=b"content") == ([200], 2)


def test_the_nonce_is_used_again_and_counted(run: Run) -> None:
    server = DigestServer()
    assert digest(run, server, times=3) == ([200, 200, 200], 4)
    assert server.counts == ["00000001", "00000002", "00000003"]


class StrictServer(DigestServer):
    """A server that refuses a count which it has seen with the nonce (RFC 7616 §3.4: a replay), and delays its first
    answers until all of `at_once` requests have come."""

    def __init__(self, at_once: int, nonces: int = 1) -> None:
        super().__init__()
        self.seen: set[tuple[str, str]] = set()
        self.asked = 0
        self.at_once = at_once
        self.nonces = nonces
        self.all_have_asked = asyncio.Event()

    async def respond(self, sent: Any) -> Answer:
        value = sent.field("authorization")
        if value is None:
            number = self.asked
            self.asked += 1
            if self.asked == self.at_once:
                self.all_have_asked.set()
            await self.all_have_asked.wait()
            nonce = f"nonce-{number % self.nonces}"
            return Answer(401, [("www-authenticate", f'Digest realm="r", nonce="{nonce}", qop="auth"')])
        fields = fields_of(value)
        use = fields["nonce"], fields["nc"]
        self.nonce = fields["nonce"]
        self.algorithm = ""
        if use in self.seen or fields["response"] != self.proof(fields, sent):
            return Answer(401, [("www-authenticate", f'Digest realm="r", nonce="{fields["nonce"]}", qop="auth"')])
        self.seen.add(use)
        return Answer()


@pytest.mark.parametrize("nonces", [1, 2, 5])
@pytest.mark.parametrize("clients", [1, 2])
def test_requests_at_once_count_each_use_of_a_nonce_once(run: Run, nonces: int, clients: int) -> None:
    async def main() -> None:
        server = StrictServer(5, nonces)
        auth = DigestAuth("me", "secret")
        several = [Client(transport=FakeTransport(respond=server.respond), auth=auth) for _ in range(clients)]
        for _ in range(2):
            answers = await asyncio.gather(
                *(several[each % clients].get(f"https://a.example/{each}") for each in range(5))
            )
            assert [answer.status for answer in answers] == [200] * 5
        assert len(server.seen) == 10
        for number in range(nonces):
            counts = sorted(int(count, 16) for nonce, count in server.seen if nonce == f"nonce-{number}")
            assert counts == list(range(1, len(counts) + 1)), "nothing is left out either"

    run(main())


def test_threads_count_each_use_of_a_nonce_once() -> None:
    auth = DigestAuth("me", "secret")
    challenge = choose(['Digest realm="r", nonce="n", qop="auth"'], True)
    assert challenge is not None

    def answers(_: int) -> list[str]:
        request = Request("GET", "https://a.example/")
        return [fields_of(auth._answer(request, challenge))["nc"] for _ in range(200)]

    with ThreadPoolExecutor(8) as pool:
        counts = [int(each, 16) for some in pool.map(answers, range(8)) for each in some]
    assert sorted(counts) == list(range(1, 1_601))


def test_what_is_remembered_of_nonces_is_bounded() -> None:
    auth = DigestAuth("me", "secret")
    for number in range(3_000):
        origin = Request("GET", f"https://h{number}.example/").url.origin
        challenge = choose([f'Digest realm="r", nonce="{number}", qop="auth"'], True)
        assert challenge is not None
        auth._remember(origin, challenge)
        assert auth._count(origin, challenge.nonce) == 1 and auth._count(origin, challenge.nonce) == 2
    assert len(auth._known) == len(auth._counts) == 1_024


def test_an_origin_pushes_out_no_nonces_of_another() -> None:
    """With one limit for all origins, a server that made up nonces made the client repeat a count elsewhere."""
    auth = DigestAuth("me", "secret")
    good, evil = (Request("GET", f"https://{name}.example/").url.origin for name in ("good", "evil"))
    assert [auth._count(good, "nonce") for _ in range(3)] == [1, 2, 3]
    for number in range(3_000):
        assert auth._count(evil, f"{number}") == 1
    assert auth._count(good, "nonce") == 4
    assert len(auth._counts[evil]) == 64 and auth._count(evil, "2999") == 2


def test_user_hash(run: Run) -> None:
    assert digest(run, DigestServer(more=", userhash=true")) == ([200], 2)


def test_a_wrong_password_is_said_once(run: Run) -> None:
    assert digest(run, DigestServer(), password="wrong") == ([401], 2)


def test_a_stale_nonce_is_replaced(run: Run) -> None:
    server = DigestServer()
    server.is_stale = True

    async def main() -> None:
        transport = FakeTransport(respond=server)
        async with Client(transport=transport, auth=DigestAuth("me", "secret")) as client:
            assert (await client.get("https://a.example/")).status == 200
            server.nonce = "nonce-1"
            assert (await client.get("https://a.example/")).status == 200
            assert len(transport.sent) == 4
            server.is_stale = False
            server.nonce = "nonce-2"
            assert (await client.get("https://a.example/")).status == 200, "another nonce is tried, whatever it says"

    run(main())


def test_a_server_whose_nonce_is_always_stale(run: Run) -> None:
    asked = []

    def respond(sent: Any) -> Answer:
        asked.append(sent)
        return Answer(401, [("www-authenticate", f'Digest realm="r", nonce="{len(asked)}", qop="auth", stale=true')])

    async def main() -> None:
        async with Client(transport=FakeTransport(respond=respond), auth=DigestAuth("me", "x")) as client:
            assert (await client.get("https://a.example/")).status == 401
        assert len(asked) == 3

    run(main())


def test_content_that_was_used_up_by_the_first_try(run: Run) -> None:
    """An iterator that the first attempt used up is not sent again empty: the error explains it."""
    with pytest.raises(BodyConsumed, match="401 asks for the request once more"):
        digest(run, DigestServer(), content=iter([b"a"]))
    assert digest(run, DigestServer(), content=[b"a"]) == ([200], 2)


def test_nonces_are_not_told_to_other_origins(run: Run) -> None:
    async def main() -> None:
        transport = FakeTransport(respond=DigestServer())
        async with Client(transport=transport, auth=DigestAuth("me", "secret")) as client:
            await client.get("https://a.example/")
            await client.get("https://b.example/")
        assert [sent.field("authorization") is None for sent in transport.sent] == [True, False, True, False]

    run(main())


def test_the_strongest_challenge_is_met() -> None:
    values = [
        'Digest realm="a", nonce="1", algorithm=MD5, qop="auth", Basic realm="b"',
        'Negotiate dG9rZW4=, Digest realm="c", nonce="2", algorithm=SHA-256, qop="auth"',
    ]
    best = choose(values, True)
    assert best is not None and (best.realm, best.nonce, best.algorithm) == ("c", "2", "SHA-256")
    assert choose(['Digest realm="a", nonce="1", algorithm=SHA-1'], True) is None
    assert choose(['Digest realm="a", nonce="1", qop="auth-int"'], False) is None
    assert choose(['Digest realm="a"', "Basic", "Digest", "", ", ,"], True) is None


def test_challenges_as_they_come() -> None:
    assert parse_challenges('Basic realm="a \\"b\\", c"') == [("basic", {"realm": 'a "b", c'})]
    assert parse_challenges("NewAuth token68==, Basic realm=x") == [("newauth", {}), ("basic", {"realm": "x"})]
    assert parse_challenges('Digest qop="auth" , REALM = "r",, nonce=n') == [
        ("digest", {"qop": "auth", "realm": "r", "nonce": "n"})
    ]
    assert parse_challenges("=") == [] == parse_challenges('"')


def test_credentials_after_a_redirect(run: Run) -> None:
    """Within the origin the flow sends them along; elsewhere they are left out, see tests/security."""
    _, transport = go(run, redirect("/x"), Answer(), auth=("a", "b"))
    assert [basic(sent.field("authorization")) for sent in transport.sent] == ["a:b", "a:b"]
