"""Routes: paths with parameters, methods, a mount, URLs by name, and a handler for unknown paths.

headrace serve examples.routes:app
curl --http2-prior-knowledge http://127.0.0.1:8000/fish/7
"""

from headrace import Mount, Request, Response, Router

FISH = {7: "carp", 8: "pike"}


async def not_found(request: Request) -> Response:
    return Response.json({"error": f"there is no {request.path}"}, 404)


fish = Router()


@fish.get("/")
async def list_fish(request: Request) -> Response:
    return Response.json([{"name": name, "url": app.url_for("fish:one", id=key)} for key, name in FISH.items()])


@fish.get("/{id:int}", name="one")
async def show_fish(request: Request) -> Response:
    name = FISH.get(request.params["id"])
    return Response.json({"name": name}) if name is not None else await not_found(request)


@fish.put("/{id:int}")
async def put_fish(request: Request) -> Response:
    FISH[request.params["id"]] = (await request.read(100)).decode()
    return Response(204)


app = Router([Mount("/fish", fish, name="fish")], not_found=not_found)
