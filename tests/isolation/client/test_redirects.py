"""What a caller says to one origin is not carried to another that a server chose."""

from __future__ import annotations

from http.cookiejar import CookieJar
from typing import Any

import pytest

from headrace.client import Client, Cookies, WebSocketRefused

from tests.client.support.fake import Answer, FakeTransport, Sent, redirect
from tests.security.client.test_types import OTHER_ORIGINS, follow
from tests.support.serving import Run

SECRETS = (
    *("x-api-key", "X-Auth-Token", "x-vault-token", "private-token", "cf-access-jwt-assertion", "dpop", "x-csrf-token"),
    *("ocp-apim-subscription-key", "x-amz-security-token", "x-session-id", "last-event-id", "x-signature"),
)
PLAIN = {"x-request-id": "1", "accept-language": "de", "idempotency-key": "2", "x-other": "3"}


@pytest.mark.parametrize(("start", "location"), OTHER_ORIGINS)
@pytest.mark.parametrize("of_client", [True, False], ids=["of the client", "of the call"])
def test_no_secret_field_goes_to_another_origin(run: Run, start: str, location: str, of_client: bool) -> None:
    """Only `authorization`, `cookie` and `proxy-authorization` were left out."""
    headers = {**dict.fromkeys(SECRETS, "hunter2"), **PLAIN}
    options: dict[str, Any] = {"client": {"headers": headers}} if of_client else {"headers": headers}
    first, second = follow(run, start, location, **options)
    assert {name.lower() for name in SECRETS} <= {name.decode() for name, _ in first.headers}
    assert [name for name, value in second.headers if value == b"hunter2"] == []
    assert {name: second.field(name) for name in PLAIN} == PLAIN


@pytest.mark.parametrize("location", ["/x", "https://A.example:443/y"])
def test_secret_fields_stay_within_the_origin(run: Run, location: str) -> None:
    _, second = follow(run, "https://a.example/", location, headers=dict.fromkeys(SECRETS, "hunter2"))
    assert [name for name in SECRETS if second.field(name.lower()) != "hunter2"] == []


def jar_of_the_callers() -> CookieJar:
    jar = CookieJar()
    Cookies(jar).set("sid", "hunter2", domain="a.example")
    Cookies(jar).set("any", "hunter2")
    return jar


@pytest.mark.parametrize(("start", "location"), OTHER_ORIGINS)
@pytest.mark.parametrize(
    "cookies", [lambda: {"sid": "hunter2"}, lambda: Cookies({"sid": "hunter2"})], ids=["mapping", "jar"]
)
def test_cookies_for_any_site_stay_with_whom_the_caller_asked(
    run: Run, start: str, location: str, cookies: Any
) -> None:
    """A cookie given to the client without a domain went wherever a server led, and back by a detour."""
    first, second, third = follow(run, start, location, start, client={"cookies": cookies()})
    assert [each.field("cookie") for each in (first, second, third)] == ["sid=hunter2", None, None]


def test_cookies_with_a_domain_go_where_they_belong(run: Run) -> None:
    async def main() -> None:
        answers = (redirect("https://b.example/"), redirect("https://a.example/x"), Answer(), Answer())
        transport = FakeTransport(*answers)
        answers[0].head.headers.append((b"set-cookie", b"set=1"))
        answers[1].head.headers.append((b"set-cookie", b"set=2"))
        async with Client(transport=transport, cookies={"any": "0"}) as client:
            client.cookies.set("own", "3", domain="b.example")
            await client.get("https://a.example/")
            await client.get("https://b.example/")
        found = [set((sent.field("cookie") or "").split("; ")) for sent in transport.sent]
        assert found == [{"any=0"}, {"own=3"}, {"set=1"}, {"any=0", "own=3", "set=2"}]

    run(main())


def test_a_jar_of_the_callers_keeps_its_policy_on_the_way(run: Run) -> None:
    jar = jar_of_the_callers()
    sent = follow(run, "https://a.example/", "https://b.example/", "https://a.example/", client={"cookies": jar})
    assert [each.field("cookie") for each in sent[1:]] == [None, "sid=hunter2"]
    assert len(jar) == 2


class Tunnels(FakeTransport):
    async def tunnel(self, outgoing: Any) -> Any:
        return await self.send(outgoing)


def test_websockets_and_event_streams_take_nothing_along(run: Run) -> None:
    headers = dict.fromkeys(("authorization", "cookie", *SECRETS), "hunter2")

    def respond(sent: Sent) -> Answer:
        if sent.origin == "https://a.example:443":
            return redirect("https://evil.example/", 307)
        return Answer(403 if sent.outgoing.protocol else 204)

    async def main() -> None:
        transport = Tunnels(respond=respond)
        async with Client(transport=transport, auth=("user", "hunter2"), cookies={"any": "hunter2"}) as client:
            with pytest.raises(WebSocketRefused):
                await client.websocket("wss://a.example/", headers=headers, follow_redirects=True)
            async with client.sse("https://a.example/", headers=headers, last_event_id="hunter2"):
                pass
        assert [sent.origin.split(":")[1] for sent in transport.sent] == ["//a.example", "//evil.example"] * 2
        for sent in transport.sent[1::2]:
            assert [name for name, value in sent.headers if b"hunter2" in value] == []

    run(main())
