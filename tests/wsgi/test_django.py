"""A real Django application on its WSGI handler, unchanged. In a process of its own: Django has one configuration."""

from __future__ import annotations

from pathlib import Path

from tests.support.fetch import fetch
from tests.support.process import serving

SITE = """
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

def index(request):
    return HttpResponse(f"{request.method} {request.get_full_path()} {request.META['REMOTE_ADDR']}")

def upload(request):
    return JsonResponse({"size": len(request.body), "cookies": dict(request.COOKIES)})

def stream(request):
    return StreamingHttpResponse(f"{number}\\n".encode() for number in range(3))

def file(request):
    return FileResponse(open(__file__, "rb"))

def crash(request):
    raise RuntimeError("boom")

urlpatterns = [
    path("", index), path("upload", upload), path("stream", stream), path("file", file), path("crash", crash)
]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False, SECRET_KEY="for tests", MIDDLEWARE=[
    "django.middleware.common.CommonMiddleware", "django.middleware.gzip.GZipMiddleware",
])
django.setup()
application = get_wsgi_application()
"""


def test_the_application(tmp_path: Path) -> None:
    file = tmp_path / "site_of_django.py"
    file.write_text(SITE, "utf-8")
    with serving("site_of_django:application", app_dir=tmp_path) as server:
        port = server.ports["http"]
        assert "(wsgi)" in server.log
        assert fetch(port, "/?a=1").text == "GET /?a=1 127.0.0.1"
        content = bytes(1_000_000)
        fields = [("content-length", str(len(content))), ("cookie", "a=1"), ("cookie", "b=2")]
        answer = fetch(port, "/upload", "POST", content, fields)
        assert answer.text == '{"size": 1000000, "cookies": {"a": "1", "b": "2"}}'
        assert fetch(port, "/stream").text == "0\n1\n2\n"
        assert fetch(port, "/file").text == SITE
        assert fetch(port, "/nowhere").status == 404
        assert fetch(port, "/crash").status == 500
        assert fetch(port, "/", "HEAD").body == b""
        assert server.stop() == 0
