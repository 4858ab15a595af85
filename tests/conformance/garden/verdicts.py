"""Why we take what another server of the garden does not, or read it otherwise: who is right, by the RFC's section.

A row is one reason for some inputs and some peers; no row covers more than was looked at. There is none for an input
that every peer refuses: such a difference is ours to mend.
"""

from __future__ import annotations

from typing import NamedTuple


class Verdict(NamedTuple):
    """A reason for the inputs `names` with the `peers`, where the difference is one of `kinds` (see `Difference`)."""

    names: frozenset[str]
    peers: frozenset[str]
    reason: str
    kinds: frozenset[str]

    def covers(self, name: str, peer: str, kind: str) -> bool:
        """Whether this explains a difference."""
        return name in self.names and peer in self.peers and kind in self.kinds


def row(names: str, peers: str, reason: str, kinds: str = "refused") -> Verdict:
    """A row; names are separated by semicolons, with their group before them, peers and kinds by spaces."""
    group, _, rest = names.partition(": ")
    full = frozenset(f"{group}: {name.strip()}" for name in rest.split(";"))
    return Verdict(full, frozenset(peers.split()), reason, frozenset(kinds.split()))


LLHTTP = "httptools uvicorn-httptools aiohttp node"
ALL = f"headrace-served {LLHTTP} h11 uvicorn-h11 hypercorn granian gunicorn go nginx haproxy"
EXPLAINED: tuple[Verdict, ...] = (
    row(
        "line: absolute form, OPTIONS", ALL,
        "RFC 9112 §3.2.4: an absolute form without a path, with OPTIONS, is the server as a whole, which is *",
        "otherwise refused",
    ),
    row(
        "line: lower case method; unknown method; a method with marks; a long method",
        f"{LLHTTP} gunicorn nginx haproxy",
        "RFC 9110 §9.1: any token is a method, in its own case; which there are the application says (405, 501)",
        "refused otherwise",  # nginx answers 405 itself, and goes on
    ),
    row(
        "line: version 1.2; version 1.9", f"{LLHTTP} granian",
        "RFC 9110 §6.2: a higher minor version is taken as the highest that is known",
    ),
    row("line: lower case method", "hypercorn", "RFC 9110 §9.1: methods have a case; it is changed there", "otherwise"),
    row(
        "lines: bytes behind content", f"{LLHTTP} gunicorn nginx haproxy",
        "RFC 9110 §9.1: abcGET is a token, so this is a request that no application knows", "refused waits",
    ),
    row("lines: bytes behind content", "hypercorn", "RFC 9110 §9.1: methods have a case", "otherwise"),
    row(
        "field: keep-alive in HTTP/1.0", "h11 uvicorn-h11 uvicorn-httptools hypercorn node haproxy",
        "RFC 9112 §9.3, §C.2.2: a server may keep the connection when it is asked to, and says so", "waits refused",
    ),
    row(
        "content: a length in HTTP/1.0, kept", "h11 uvicorn-h11 uvicorn-httptools hypercorn node haproxy",
        "RFC 9112 §9.3, §C.2.2: a server may keep the connection when it is asked to, and says so", "waits refused",
    ),
    row(
        "lines: an empty line before; two empty lines before; an empty line behind content",
        "h11 uvicorn-h11 hypercorn gunicorn go",
        "RFC 9112 §2.2: a server should ignore at least one empty line before a request line",
    ),
    row(
        "field: upgrade to what is not known; upgrade to h2c", f"{LLHTTP} hypercorn",
        "RFC 9110 §7.8: an upgrade may be ignored, and then HTTP/1.1 goes on; h2c is not negotiated (RFC 9113 §3.1)",
        "waits",
    ),
    row(
        "attack: WebSocket with content (CVE-2026-69243)",
        "headrace-served httptools uvicorn-httptools hypercorn granian node",
        "RFC 9110 §7.8: where no WebSockets are taken this is a request with content; where they are, we refuse it",
        "otherwise refused waits",
    ),
    row(
        "line: an empty query", "headrace-served uvicorn-h11 uvicorn-httptools hypercorn granian",
        "RFC 3986 §3.4: an empty query is not the same as none; ASGI's scope cannot tell them apart, the engine does",
        "otherwise",
    ),
    row(
        "line: absolute form without a path; absolute form, a query only", "uvicorn-httptools haproxy",
        "RFC 9112 §3.2.2: servers must accept the absolute form; an empty path is / (RFC 9110 §4.2.3)",
    ),
    row(
        "line: absolute form, another host; absolute form, an address", "haproxy",
        "RFC 9112 §3.2.2: an origin server ignores Host when the target has an authority",
    ),
    row(
        "line: version 1.0", "hypercorn aiohttp node",
        "RFC 9112 §9.6: what comes behind a last request is not read; it is no reason to refuse that one",
    ),
    row(
        "field: connection: close; connection: close, keep-alive; connection: CLOSE; connection twice;"
        "connection: a list with empty members", "hypercorn aiohttp node",
        "RFC 9112 §9.6: what comes behind a last request is not read; it is no reason to refuse that one",
    ),
    row(
        "host: no host in HTTP/1.0", "hypercorn aiohttp node",
        "RFC 9112 §9.6: what comes behind a last request is not read; HTTP/1.0 needs no Host (§3.2)",
    ),
    row(
        "content: a length in HTTP/1.0", "hypercorn aiohttp node",
        "RFC 9112 §9.6: what comes behind a last request is not read; it is no reason to refuse that one",
    ),
    row(
        "content: expect in HTTP/1.0", "hypercorn gunicorn aiohttp node go",
        "RFC 9110 §10.1.1: an expectation in HTTP/1.0 must be ignored",
    ),
    row(
        "lines: spaces between requests", "aiohttp node",
        "RFC 9112 §9.3.2: the first request is sound and is answered; the second is refused by all",
    ),
    row(
        "content: a length with spaces around", "node nginx",
        "RFC 9110 §5.5: whitespace around a value is no part of it",
    ),
    row(
        "line: brackets", "granian",
        "RFC 9112 §3.2: browsers send such bytes as they are; the target reaches the application as it came",
    ),
    row(
        "line: percent; percent without digits", "go nginx",
        "RFC 9112 §3.2: the target reaches the application as it came; files are looked up by a strict reader",
    ),
    row(
        "line: asterisk", "go nginx", "RFC 9110 §9.3.7: OPTIONS * is a request; Go answers it itself",
        "refused otherwise",
    ),
    row(
        "content: a length with OPTIONS *", "go nginx", "RFC 9110 §9.3.7: OPTIONS * is a request, and may have content",
        "refused otherwise",
    ),
    row("line: TRACE", "nginx", "RFC 9110 §9.3.8: whether there is TRACE is the application's to say; nginx says 405"),
    row("content: a length with TRACE", "nginx", "RFC 9110 §9.3.8: a client must not, a server need not mind"),
    row("host: host empty", "nginx", "RFC 9112 §3.2: a client whose target has no authority sends an empty Host"),
    row(
        "content: trailers with authorization", "gunicorn",
        "RFC 9110 §6.5.1: trailers are kept apart from the header fields, so that none is taken for one",
    ),
)  # fmt: skip
