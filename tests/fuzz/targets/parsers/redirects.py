"""Redirects: any location, and what the request that follows it takes along.

Property: no location raises but TooManyRedirects and RemoteProtocolError, whose messages name no password. The target
is http or https and has no user. To another origin, judged by urllib's reading of the target's text, no credentials go;
the method and the content change where RFC 9110 §15.4 and browsers have it so, and nowhere else.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from headrace.client.calls.redirects import redirect_request
from headrace.client.errors import RemoteProtocolError, TooManyRedirects
from headrace.client.message.request import ClientRequest

from tests.fuzz.source import Source
from tests.fuzz.targets.parsers.url import text_of

OLD = ("http://user:hush@a.example/x?y#top", "https://a.example/", "http://a.example:81/z/", "https://[::1]:8443/")
SECRETS = ("authorization", "cookie", "x-api-key", "x-auth-token", "last-event-id", "proxy-authorization")
BEGINNINGS = (
    "",
    "//",
    "https://a.example",
    "http://a.example",
    "http://b.example@a.example",
    "https://a.example.",
    "/\\b.example",
)
PORTS = {"http": 80, "https": 443}


def target(data: bytes) -> None:
    """Follow one redirect after the other."""
    source = Source(data)
    method = source.pick(("GET", "POST", "HEAD", "PUT"))
    fields = {**dict.fromkeys(SECRETS, "hush"), "accept": "*/*"}
    request = ClientRequest(method, source.pick(OLD), headers=fields, content=b"abc")
    while source.more:
        status = source.pick((301, 302, 303, 307, 308))
        location = source.pick(BEGINNINGS) + text_of(source.take(source.below(30)))
        message = ""
        try:
            following = redirect_request(request, status, location)
        except (TooManyRedirects, RemoteProtocolError) as error:
            message = str(error)
        else:
            check(request, status, following)
            request = following
        assert "hush" not in message, message


def check(old: ClientRequest, status: int, new: ClientRequest) -> None:
    """Compare a request with the one that it follows."""
    text = str(new.url)
    split = urlsplit(text)
    assert split.scheme in PORTS and split.username is None and split.password is None, text
    was = urlsplit(str(old.url))
    before = was.scheme, was.hostname, was.port or PORTS[was.scheme]
    after = split.scheme, split.hostname, split.port or PORTS[split.scheme]
    is_upgrade = before == ("http", after[1], 80) and after == ("https", before[1], 443)
    kept = [name for name in SECRETS if name in new.headers]
    if before != after and not is_upgrade:
        assert not kept, f"{kept} go from {old.url!r} to {text}"
    else:
        assert kept == [name for name in SECRETS if name in old.headers]
    assert new.headers.get("accept") == "*/*" and new.headers.get("host") in (None, split.netloc)
    changes = (status == 303 and old.method != "HEAD") or (status in (301, 302) and old.method == "POST")
    assert new.method == ("GET" if changes else old.method)
    assert new.content == (b"" if changes and old.method != "GET" else old.content)


def seeds() -> list[bytes]:
    """Return locations of each kind."""
    kinds = [bytes((n % 5, n % 7, 4, 131, 128 + n, 134, 97)) for n in range(48)]
    return [bytes((n % 4, n % 4)) + each + kinds[n * 7 % 48] for n, each in enumerate(kinds)]
