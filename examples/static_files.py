"""A folder of files beside routes; here, the folder of these examples.

headrace serve examples.static_files:app
curl --http2-prior-knowledge -r 0-99 http://127.0.0.1:8000/source/static_files.py
"""

from pathlib import Path

from headrace import Mount, Request, Response, Router, StaticFiles


async def home(request: Request) -> Response:
    return Response.html('<a href="/source/">the examples</a>')


source = StaticFiles(Path(__file__).parent, listing=True, cache_control="no-cache")

app = Router([Mount("/source", source)])
app.get("/")(home)
