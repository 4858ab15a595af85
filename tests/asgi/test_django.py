"""A real Django application on its ASGI handler, unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from tests.h2_peer import H2Peer
from tests.serving import Run, live_handlers, port, serving, settled

log: list[str] = []
folder: list[Path] = []


def in_a_thread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} {request.get_full_path()} {request.scheme} {request.META['REMOTE_ADDR']}")


async def upload(request: HttpRequest) -> HttpResponse:
    if request.FILES:
        return JsonResponse({name: file.size for name, file in request.FILES.items()})
    return JsonResponse({"size": len(request.body), "cookies": dict(request.COOKIES)})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def produce() -> AsyncIterator[bytes]:
        try:
            for number in range(3):
                yield f"{number}\n".encode()
            if request.GET.get("wait"):
                await asyncio.Event().wait()
        finally:
            log.append("stream ended")

    return StreamingHttpResponse(produce())


async def slow(request: HttpRequest) -> HttpResponse:
    log.append("slow began")
    try:
        await asyncio.Event().wait()
    finally:
        log.append("slow ended")
    return HttpResponse()


def file(request: HttpRequest) -> FileResponse:
    return FileResponse((folder[0] / "file.bin").open("rb"))


async def crash(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("boom")


urlpatterns = [
    path("", in_a_thread),
    path("upload", upload),
    path("stream", stream),
    path("slow", slow),
    path("file", file),
    path("crash", crash),
]


@pytest.fixture(scope="module")
def application() -> Any:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["localhost"],
        DEBUG=False,
        SECRET_KEY="for tests",
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.gzip.GZipMiddleware"],
        LOGGING_CONFIG=None,
    )
    django.setup()
    return get_asgi_application()


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning")
def test_the_application(run: Run, application: Any, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1024
    (tmp_path / "file.bin").write_bytes(content)
    folder[:] = [tmp_path]
    log.clear()

    async def main() -> None:
        async with serving(application) as server, H2Peer.connected(port(server)) as peer:
            assert (await peer.get("/?a=1")).body == b"GET /?a=1 http 127.0.0.1"
            crumbs = [("cookie", "a=1"), ("cookie", "b=2")]
            answer = await peer.post("/upload", bytes(1_000_000), crumbs)
            assert answer.body == b'{"size": 1000000, "cookies": {"a": "1", "b": "2"}}'
            part = (
                b'--x\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n'
                + bytes(100_000)
                + b"\r\n--x--\r\n"
            )
            kind = [("content-type", "multipart/form-data; boundary=x"), ("content-length", str(len(part)))]
            answer = await peer.post("/upload", part, kind)
            assert answer.body == b'{"f": 100000}'
            assert (await peer.get("/stream")).body == b"0\n1\n2\n"
            assert (await peer.get("/file")).body == content
            assert (await peer.get("/nowhere")).status == 404
            assert (await peer.get("/crash")).status == 500
            assert (await peer.get("/", "HEAD")).body == b""

    run(main())


def test_clients_that_go_leave_nothing_behind(run: Run, application: Any) -> None:
    log.clear()

    async def main() -> None:
        async with serving(application) as server:
            async with H2Peer.connected(port(server)) as peer:
                stream_id = peer.open("/stream?wait=1")
                await peer.until(lambda: b"2" in peer.answers[stream_id].body)
                peer.reset(stream_id)
                await settled(lambda: "stream ended" in log)
                peer.open("/slow")
                await settled(lambda: "slow began" in log)
            await settled(lambda: live_handlers(server) == 0)
            assert "slow ended" in log

    run(main())
