"""A chat room by loop responses: a request that is answered when messages come, without a task or a queue of your own.

headrace serve examples.long_polling:handler
curl -N http://127.0.0.1:8000/          # and elsewhere: curl -d 'hello' http://127.0.0.1:8000/
"""

from headrace import STOP, Drain, Dropped, LoopResponse, Mailbox, Push, Request, Response
from headrace.bus import LocalBus

bus = LocalBus()


async def on_start(mailbox: Mailbox, push: Push, name: str) -> None:
    bus.publish("room", f"{name} has come")


async def on_message(message: str, push: Push, name: str) -> object:
    await push(f"{message}\n".encode())
    return STOP if message == "/close" else None


async def on_notice(notice: object, push: Push, name: str) -> object:
    match notice:
        case Drain():
            await push(b"The server goes; come back in a minute.\n")
            return STOP
        case Dropped(count=count):
            await push(f"You read too slowly, and missed {count} messages.\n".encode())
    return None


def on_end(reason: str, name: str) -> None:
    bus.publish("room", f"{name} has gone: {reason}")


async def handler(request: Request) -> Response | LoopResponse:
    if request.method == "POST":
        return Response.text(f"{bus.publish('room', (await request.read(1_000)).decode('utf-8', 'replace'))} here\n")
    name = request.query_string.decode("ascii", "replace") or "somebody"
    headers = {"content-type": "text/plain; charset=utf-8"}
    return LoopResponse(
        200, headers, on_message, name, on_start=on_start, on_notice=on_notice, on_end=on_end, topics=["room"], bus=bus
    )
