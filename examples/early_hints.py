"""103 (Early Hints): the browser fetches the style sheet while the page is still being made.

headrace serve examples.early_hints:handler --dev-tls --bind 127.0.0.1:8443
nghttp -v https://127.0.0.1:8443/
"""

import asyncio

from headrace import Request, Response

PAGE = "<!doctype html><title>Hints</title><link rel=stylesheet href=/style.css><p>Made with time.\n"


async def handler(request: Request) -> Response:
    if request.path == "/style.css":
        return Response(200, {"content-type": "text/css"}, "p { color: teal }\n")
    await request.early_hints({"link": "</style.css>; rel=preload; as=style"})
    await asyncio.sleep(0.05)  # a slow database
    return Response.html(PAGE)
