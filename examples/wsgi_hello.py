"""A WSGI application, recognised by its two parameters: it reads, it streams, and each request has its own thread.

headrace serve examples.wsgi_hello:app
curl --data-binary @README.md http://127.0.0.1:8000/count
curl http://127.0.0.1:8000/stream
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

TEXT = [("content-type", "text/plain")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/count":
        lines = sum(1 for _ in environ["wsgi.input"])  # read as it comes; the client waits when this is slow
        start_response("200 OK", TEXT)
        return [f"{lines} lines\n".encode()]
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", TEXT)
        return count()
    start_response("200 OK", TEXT)
    return [f"Hello over {environ['SERVER_PROTOCOL']}\n".encode()]


def count() -> Iterator[bytes]:
    for number in range(1000):
        yield f"{number}\n".encode()  # handed over as the client takes it
