"""A Django application with Channels' WebSocket consumers, unchanged, over every wire.

Django has one configuration a process, so this is the only module of the tests that gives it one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.testing import ApplicationCommunicator
from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient
from django.urls import path, re_path

from tests.apps.clients import FORM, everything, form, post, websocket
from tests.protocols.conftest import Wire
from tests.support.serving import Run, live_handlers, settled
from tests.support.ws_peer import Refused

# Django says so of its own FileResponse.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators:Warning")

CONTENT = bytes(range(256)) * 1_024
log: list[str] = []
folder: list[Path] = []


def in_a_thread(request: HttpRequest) -> HttpResponse:
    text = f"{request.method} {request.get_full_path()} {request.build_absolute_uri()} {request.is_secure()}"
    return HttpResponse(text, headers={"x-method": str(request.method)})


async def upload(request: HttpRequest) -> HttpResponse:
    if request.FILES:
        files = {name: file.size for name, file in request.FILES.items()}
        return JsonResponse({**files, **dict(request.POST.items())})
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


def stream_in_a_thread(request: HttpRequest) -> StreamingHttpResponse:
    def produce() -> Iterator[bytes]:
        for number in range(3):
            yield f"{number}\n".encode()

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


def session(request: HttpRequest) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


async def crash(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("boom")


urlpatterns = [
    path("", in_a_thread),
    path("upload", upload),
    path("stream", stream),
    path("stream-in-a-thread", stream_in_a_thread),
    path("slow", slow),
    path("file", file),
    path("session", session),
    path("crash", crash),
]


class Room(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    """Everybody in a room gets what one of them says, through Channels' layer."""

    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "closed":
            await self.close()
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    async def receive_json(self, content: Any, **options: Any) -> None:
        if content == "leave":
            await self.close(4001)
        elif content == "crash":
            raise RuntimeError("boom")
        else:
            await self.channel_layer.group_send(self.room, {"type": "said", "what": content})

    async def said(self, event: Any) -> None:
        await self.send_json({"room": self.room, "said": event["what"]})

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)
        log.append(f"left {code}")


class InAThread(WebsocketConsumer):  # type: ignore[misc]
    """The kind that runs in a thread."""

    def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        self.send(bytes_data=bytes_data[::-1]) if bytes_data is not None else self.send(text_data.upper())


@pytest.fixture(scope="module")
def application() -> Any:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["localhost", "testserver"],
        DEBUG=False,
        SECRET_KEY="for tests",
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.gzip.GZipMiddleware",
            "django.middleware.http.ConditionalGetMiddleware",
        ],
        LOGGING_CONFIG=None,
    )
    django.setup()
    sockets = URLRouter([re_path(r"^rooms/(?P<room>\w+)$", Room.as_asgi()), path("thread", InAThread.as_asgi())])
    return ProtocolTypeRouter({"http": get_asgi_application(), "websocket": AllowedHostsOriginValidator(sockets)})


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    folder[:] = [tmp_path]
    log.clear()


def test_views(run: Run, wire: Wire, application: Any) -> None:
    async def main() -> None:
        async with wire.serving(application) as server, wire.peer(server) as peer:
            answer = await peer.get("/?a=1")
            secure = wire.scheme == "https"
            assert answer.body.decode() == f"GET /?a=1 {wire.scheme}://localhost/?a=1 {secure}"
            cookies = [("cookie", "a=1"), ("cookie", "b=2")] if wire.version == "2" else [("cookie", "a=1; b=2")]
            # More than Django keeps in memory.
            answer = await post(peer, "/upload", bytes(2_000_000), cookies)
            assert answer.body == b'{"size": 2000000, "cookies": {"a": "1", "b": "2"}}'
            content = form({"word": "größe"}, {"f": bytes(3_000_000)})
            answer = await post(peer, "/upload", content, [FORM])
            assert json.loads(answer.body) == {"f": 3_000_000, "word": "größe"}
            assert (await peer.get("/stream")).body == b"0\n1\n2\n"
            assert (await peer.get("/stream-in-a-thread")).body == b"0\n1\n2\n"
            answer = await peer.get("/file")
            assert (answer.body, answer.header(b"content-length")) == (CONTENT, str(len(CONTENT)).encode())
            answer = await peer.get("/", "HEAD")
            assert (answer.body, answer.header(b"x-method"), answer.ended) == (b"", b"HEAD", True)
            etag = (await peer.get("/")).header(b"etag").decode()
            assert (await peer.get("/", headers=[("if-none-match", etag)])).status == 304
            cookie: list[tuple[str, str]] = []
            for number in range(1, 4):
                answer = await peer.get("/session", headers=cookie)
                assert answer.body == b"%d" % number
                cookie = [("cookie", answer.header(b"set-cookie").partition(b";")[0].decode())]
            assert (await peer.get("/nowhere")).status == 404
            assert (await peer.get("/crash")).status == 500
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_djangos_own_client_gets_the_same(run: Run, wire: Wire, application: Any) -> None:
    async def main() -> None:
        own = AsyncClient(raise_request_exception=False)
        async with wire.serving(application) as server, wire.peer(server) as peer:
            for asked in ("/upload", "/stream", "/file", "/nowhere", "/crash"):
                expected = await own.get(asked, secure=wire.scheme == "https")
                answer = await peer.get(asked)
                fields = [(n.lower().encode(), v.encode("latin-1")) for n, v in expected.headers.items()]
                if isinstance(expected, StreamingHttpResponse):
                    content = b"".join([piece async for piece in expected])
                else:
                    content = expected.content
                assert (answer.status, everything(answer.headers)) == (expected.status_code, everything(fields))
                assert bytes(answer.body) == content
            await settled(lambda: live_handlers(server) == 0)

    run(main())


def test_clients_that_go_leave_nothing_behind(run: Run, wire: Wire, application: Any) -> None:
    async def main() -> None:
        async with wire.serving(application) as server:
            async with wire.peer(server) as peer:
                number = await peer.open("/stream?wait=1")
                await peer.until(lambda: b"2" in peer.answers[number].body)
                peer.reset(number)
                await settled(lambda: "stream ended" in log)
            async with wire.peer(server) as peer:
                await peer.open("/slow")
                await settled(lambda: "slow began" in log)
            await settled(lambda: live_handlers(server) == 0)
            assert "slow ended" in log

    run(main())


def test_channels(run: Run, wire: Wire, application: Any) -> None:
    async def main() -> None:
        scope = {"type": "websocket", "path": "/rooms/blue", "query_string": b"", "subprotocols": []}
        scope["headers"] = [(b"origin", b"http://localhost")]
        own: Any = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
        await own.send_input({"type": "websocket.connect"})
        assert (await own.receive_output())["type"] == "websocket.accept"
        await own.send_input({"type": "websocket.receive", "text": '{"a": 1}'})
        expected = (await own.receive_output())["text"]
        await own.send_input({"type": "websocket.disconnect", "code": 4000})
        await own.wait()
        assert log == ["left 4000"]
        home = [("origin", "http://localhost")]
        async with wire.serving(application) as server:
            async with (
                websocket(wire, server, "/rooms/blue", subprotocols=["chat"], headers=home) as ann,
                websocket(wire, server, "/rooms/blue", compression=True, headers=home) as bob,
                websocket(wire, server, "/rooms/red", headers=home) as eve,
            ):
                assert ann.headers[b"sec-websocket-protocol"] == b"chat"
                ann.send('{"a": 1}')
                assert [await ann.message(), await bob.message()] == [expected, expected]
                bob.send('"crash"')
                assert (await bob.close_frame())[0] == 1011
                ann.send('"leave"')
                assert (await ann.close_frame())[0] == 4001
                eve.send('"alone"')
                assert await eve.message() == '{"room": "red", "said": "alone"}'
                eve.say_close(4000)
                await eve.close_frame()
            async with websocket(wire, server, "/thread", headers=home) as ws:
                ws.send("text")
                ws.send(CONTENT)
                assert [await ws.message(), await ws.message()] == ["TEXT", CONTENT[::-1]]
            for where, headers in (("/rooms/closed", home), ("/rooms/blue", [("origin", "https://evil.example")])):
                with pytest.raises(Refused) as caught:
                    async with websocket(wire, server, where, headers=headers):
                        pass
                assert caught.value.status == 403
            await settled(lambda: live_handlers(server) == 0)

    run(main())
    assert {"left 4000", "left 4001"} <= set(log)
