"""A native handler: a function of the request that returns a response. A plain `def` would do as well.

headrace serve examples.native_hello:handler
curl --http2-prior-knowledge http://127.0.0.1:8000/you
"""

from headrace import Request, Response


async def handler(request: Request) -> Response:
    if request.method not in ("GET", "HEAD"):
        return Response.text("Ask with GET.\n", 405, {"allow": "GET, HEAD"})
    name = request.path.strip("/") or "world"
    return Response.text(f"Hello, {name}\n")
