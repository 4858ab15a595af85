"""Digest access authentication (RFC 7616): the client sends a hash of the password with the server's nonce."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.client.calls.auth import Auth, as_bytes
from headrace.client.interface import Origin
from headrace.client.message.request import ClientRequest

if TYPE_CHECKING:
    from headrace.client.message.response import ClientResponse

# In order of preference. The server's order should count (RFC 7616 §3.7), but servers offer MD5 for old clients only.
_ALGORITHMS: Final = {"SHA-512-256": "sha512_256", "SHA-256": "sha256", "MD5": "md5"}
_PARAMETER: Final = re.compile(r"""[\s,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""")
_SCHEME: Final = re.compile(r"[\s,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?=\s|,|\Z)(?!\s*=)")
_TOKEN68: Final = re.compile(r"\s+[A-Za-z0-9\-._~+/]+=*\s*(?=,|\Z)")
_MOST_KNOWN: Final = 1_024  # largest number of origins that are remembered
_MOST_NONCES: Final = 64  # for each of them
_ESCAPED: Final = re.compile(r"\\(.)")


class Challenge(NamedTuple):
    """The challenge of a server."""

    realm: str
    nonce: str
    algorithm: str  # as the server wrote it, "" without one
    qop: str  # "auth", "auth-int", or "" for a server of RFC 2069
    opaque: str | None
    is_stale: bool
    has_user_hash: bool


class DigestAuth(Auth):
    """Name and password by digest. The first request to a server gets a nonce with a 401; the next requests use it.

    The content is then sent twice, so it must be content that can be sent again. `nonce` makes the client's own nonces,
    for tests.
    """

    def __init__(
        self,
        username: str | bytes,
        password: str | bytes,
        *,
        nonce: Callable[[], str] = lambda: os.urandom(16).hex(),
    ) -> None:
        self._username = as_bytes(username)
        self._password = as_bytes(password)
        self._make_nonce = nonce
        self._lock = threading.Lock()  # flows of a SyncClient run in threads
        self._known: dict[Origin, Challenge] = {}
        self._counts: dict[Origin, dict[bytes, int]] = {}
        """Number of requests with each nonce of an origin, by the nonce's hash, the last used last. Each origin has
        its own limit. Requests that run at once share the nonce, so the count belongs to the nonce (RFC 7616 §3.4: a
        count that comes twice is a replay)."""

    def auth_flow(self, request: ClientRequest) -> Generator[ClientRequest, ClientResponse, None]:
        """Yield the request with the known nonce, and again with the nonce of a 401 that asks for another."""
        origin = request.url.origin
        tried = ""
        known = self._known.get(origin)
        if known is not None:
            tried = known.nonce
            request.headers["authorization"] = self._answer(request, known)
        response = yield request
        for answered in range(2):
            if response.status != 401:
                return
            challenge = choose(response.headers.get_list("www-authenticate"), isinstance(request.content, bytes))
            if challenge is None:
                return
            if (answered or challenge.nonce == tried) and not challenge.is_stale:
                return  # the nonce is right, so the name or the password is wrong
            self._remember(origin, challenge)
            request.headers["authorization"] = self._answer(request, challenge)
            response = yield request

    def _remember(self, origin: Origin, challenge: Challenge) -> None:
        """Use this nonce for later requests to `origin`. The count of a known nonce goes on."""
        with self._lock:
            self._known.pop(origin, None)
            self._known[origin] = challenge
            if len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]

    def _count(self, origin: Origin, nonce: str) -> int:
        """Return the number of the next request with this nonce, from 1."""
        key = hashlib.sha256(nonce.encode("utf-8", "surrogatepass")).digest()
        with self._lock:
            counts = self._counts[origin] = self._counts.pop(origin, {})
            if len(self._counts) > _MOST_KNOWN:
                del self._counts[next(iter(self._counts))]
            count = counts[key] = counts.pop(key, 0) + 1
            if len(counts) > _MOST_NONCES:
                del counts[next(iter(counts))]
            return count

    def _answer(self, request: ClientRequest, challenge: Challenge) -> str:
        """Return the value of authorization (RFC 7616 §3.4)."""
        count = self._count(request.url.origin, challenge.nonce)
        name, session, _ = challenge.algorithm.upper().partition("-SESS")
        hash_name = _ALGORITHMS[name or "MD5"]

        def digest(*parts: bytes) -> bytes:
            return hashlib.new(hash_name, b":".join(parts), usedforsecurity=False).hexdigest().encode("ascii")

        realm, nonce = challenge.realm.encode(), challenge.nonce.encode()
        own_nonce = self._make_nonce()
        target = request.url.raw_path
        secret = digest(self._username, realm, self._password)
        if session:
            secret = digest(secret, nonce, own_nonce.encode())
        asked = [request.method.encode(), target]
        if challenge.qop == "auth-int":
            assert isinstance(request.content, bytes)  # else it was not chosen
            asked.append(digest(request.content))
        if challenge.qop:
            proof = digest(
                secret, nonce, f"{count:08x}".encode(), own_nonce.encode(), challenge.qop.encode(), digest(*asked)
            )
        else:
            proof = digest(secret, nonce, digest(*asked))
        user = digest(self._username, realm) if challenge.has_user_hash else self._username
        fields = [
            ("username", _quoted(user.decode("utf-8", "surrogateescape"))),
            ("realm", _quoted(challenge.realm)),
            ("nonce", _quoted(challenge.nonce)),
            ("uri", _quoted(target.decode("ascii"))),
            ("response", _quoted(proof.decode("ascii"))),
        ]
        if challenge.algorithm:
            fields.append(("algorithm", challenge.algorithm))
        if challenge.opaque is not None:
            fields.append(("opaque", _quoted(challenge.opaque)))
        if challenge.qop:
            fields += [("qop", challenge.qop), ("nc", f"{count:08x}")]
        if challenge.qop or session:
            fields.append(("cnonce", _quoted(own_nonce)))
        if challenge.has_user_hash:
            fields.append(("userhash", "true"))
        return "Digest " + ", ".join(f"{name}={value}" for name, value in fields)


def choose(values: Iterable[str], has_bytes: bool) -> Challenge | None:
    """Return the best digest challenge of a response's www-authenticate fields, or None when the client can meet none.

    `has_bytes` is True when the request's content can be hashed, as qop=auth-int asks.
    """
    found: list[tuple[int, Challenge]] = []
    for value in values:
        for scheme, parameters in parse_challenges(value):
            if scheme != "digest" or "nonce" not in parameters:
                continue
            algorithm = parameters.get("algorithm", "")
            name = (algorithm.upper().removesuffix("-SESS")) or "MD5"
            qops = [each.strip().lower() for each in parameters.get("qop", "").split(",")]
            if name not in _ALGORITHMS or _ALGORITHMS[name] not in hashlib.algorithms_available:
                continue
            if "auth" in qops:
                qop = "auth"
            elif "auth-int" in qops and has_bytes:
                qop = "auth-int"
            elif qops == [""]:
                qop = ""
            else:
                continue
            challenge = Challenge(
                parameters.get("realm", ""),
                parameters["nonce"],
                algorithm,
                qop,
                parameters.get("opaque"),
                parameters.get("stale", "").lower() == "true",
                parameters.get("userhash", "").lower() == "true",
            )
            found.append((list(_ALGORITHMS).index(name), challenge))
    return min(found, key=lambda each: each[0])[1] if found else None


def parse_challenges(value: str) -> list[tuple[str, dict[str, str]]]:
    """Return the challenges of one www-authenticate field: schemes in lower case, each with its parameters (RFC 9110
    §11.6.1). A malformed part ends the field."""
    challenges: list[tuple[str, dict[str, str]]] = []
    at = 0
    while (scheme := _SCHEME.match(value, at)) is not None:
        at = scheme.end()
        parameters: dict[str, str] = {}
        challenges.append((scheme[1].lower(), parameters))
        token = _TOKEN68.match(value, at)
        if token is not None:
            at = token.end()
        while (parameter := _PARAMETER.match(value, at)) is not None:
            quoted = parameter[2]
            text = _ESCAPED.sub(r"\1", quoted) if quoted is not None else parameter[3]
            parameters.setdefault(parameter[1].lower(), text)
            at = parameter.end()
    return challenges


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
