"""Files as answers: a whole one, a part of one, and one for the client to keep.

On cleartext HTTP/1.1 the kernel sends them; on HTTP/2 and under TLS they are read as the client takes them. Either way
a file of any size costs the same little memory.

headrace serve examples.files:handler
curl http://127.0.0.1:8000/
"""

from pathlib import Path

from headrace import FileResponse, Request, Response

HERE = Path(__file__).resolve()


async def handler(request: Request) -> Response | FileResponse:
    match request.path:
        case "/":
            return FileResponse(file=HERE, content_type="text/plain; charset=utf-8")
        case "/beginning":
            return FileResponse(file=HERE, length=3, content_type="text/plain")
        case "/download":
            return FileResponse(200, {"content-disposition": 'attachment; filename="files.py"'}, HERE)
    return Response.text("There is nothing here.\n", 404)
