"""A Starlette application, unchanged: routes, JSON, and state from its lifespan.

headrace serve examples.starlette_app:app
curl --http2-prior-knowledge http://127.0.0.1:8000/fish/carp
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"ponds": {"carp": 12, "trout": 3}}


async def fish(request: Request) -> Response:
    count = request.state.ponds.get(request.path_params["kind"])
    return JSONResponse({"count": count}, status_code=200 if count is not None else 404)


app = Starlette(routes=[Route("/fish/{kind}", fish)], lifespan=lifespan)
