"""ASGI's TLS extension, version 0.2: it is there under TLS, and only there (its section "Spec Versions")."""

from __future__ import annotations

from typing import Any

from headrace.asgi.tls import first_certificate

from tests.protocols.conftest import Wire
from tests.support.serving import Run


def test_it_is_there_under_tls_only(run: Run, wire: Wire) -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope["extensions"]))
        scope["extensions"].clear()  # a request's own
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with wire.serving(app) as server, wire.peer(server) as peer:
            for path in ("/", "/", "/other"):
                await peer.get(path)

    run(main())
    if wire.folder is None:
        assert all("tls" not in extensions for extensions in seen)
        return
    assert seen[0] == seen[1] == seen[2]
    tls = dict(seen[0]["tls"])
    assert tls.pop("cipher_suite") in (0x1301, 0x1302, 0x1303)
    assert tls == {
        "server_cert": first_certificate(str(wire.folder / "localhost.pem")),
        "client_cert_chain": [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": 0x0304,
    }
    assert tls["server_cert"].startswith("-----BEGIN CERTIFICATE-----")
