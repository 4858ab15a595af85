"""An upload of any size, read as it comes; and a small one, read whole with a limit.

The client may send more only as the handler reads: an unread upload stalls alone.

headrace serve examples.upload:handler
curl --http2-prior-knowledge -T some-file http://127.0.0.1:8000/
"""

import hashlib

from headrace import Request, Response


async def handler(request: Request) -> Response:
    if request.path == "/note":
        note = await request.read(1000)  # a larger one gets 413
        return Response.text(f"noted: {note.decode()}\n")
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return Response.json({"bytes": size, "sha256": digest.hexdigest()})
