"""Each task, timer and callback that headrace makes says in which context it runs, or stands here with the reason.

What the event loop calls later runs in the context of whoever asked for it, unless it is told otherwise. So whoever
adds a call has to decide whose that is: with `context=`, or by a line below.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "headrace"
CALLS = {
    "Task", "Thread", "add_done_callback", "add_reader", "add_writer", "call_at", "call_later", "call_soon",
    "call_soon_threadsafe", "create_task", "ensure_future", "run_in_executor", "to_thread",
}  # fmt: skip
# Programs with one user, an application that shows what can be done, and what tests import.
NOT_HERE = ("cli/", "demo/", "testing.py", "pytest_plugin.py")

OWN = "it belongs to one request or call, in whose task it is asked for, and ends with it"
START = "it is asked for where the server is started, or by what was"
APART = "it is asked for in a copy of the connection's context already"
THREAD = "code of ours that looks at no context; executors take none along"
NO_CODE = "it changes a set, or lets somebody look: whoever waits goes on in a context of its own"
PUBLISHER = "a message is put into mailboxes; what is called of a receiver then runs in the receiver's context"

VERDICTS = {
    "asgi/lifespan.py Lifespan.startup create_task": START,
    "bus/local.py LocalBus.publish_threadsafe call_soon_threadsafe": PUBLISHER,
    "client/connection/tunnel.py ExchangeTunnel.abort_later call_later": OWN,
    "client/connect/addresses.py open_socket create_task": "the connection's task is in an empty context",
    "client/message/content.py FileContent._pieces to_thread": OWN,
    "client/message/content.py FileContent._to_its_end to_thread": OWN,
    "client/message/content.py IteratedContent._pieces to_thread": OWN,
    "client/loop_thread.py LoopThread.__init__ Thread": "threads begin with an empty context",
    "client/loop_thread.py LoopThread._end ensure_future": "the end of the process",
    "client/loop_thread.py LoopThread._close_soon call_soon_threadsafe": "whoever closes the iterator",
    "client/loop_thread.py LoopThread.run call_soon_threadsafe": "the calling thread's context is the caller's",
    "client/loop_thread.py LoopThread.stop call_soon_threadsafe": NO_CODE,
    "client/loop_thread.py _Call.start Task": "call_soon_threadsafe has taken the caller's context along",
    "client/pool/opening.py ConnectionOpener.open add_done_callback": NO_CODE,
    "client/sync/client.py SyncClient._hook.calling to_thread": OWN,
    "client/sync/client.py _AuthInThreads.async_auth_flow to_thread": OWN,
    "client/testing/asgi_response.py ASGIResponse.__init__ add_done_callback": NO_CODE,
    "client/testing/asgi_response.py ASGIResponse.__init__ create_task": "the application is called for its caller",
    "client/testing/asgi_response.py ASGIResponse._changed call_later": NO_CODE,
    "client/testing/asgi_websocket.py MemoryTunnel.abort call_soon": NO_CODE,
    "client/testing/asgi_websocket.py MemoryTunnel.abort_later call_later": OWN,
    "client/testing/asgi_websocket.py MemoryTunnel.consumed call_soon": NO_CODE,
    "client/testing/asgi_websocket.py MemoryTunnel.write call_soon": NO_CODE,
    "client/transports/bridge.py SyncBridgeContent._pieces to_thread": OWN,
    "client/testing/memory.py MemoryTransport.abort call_soon": NO_CODE,
    "client/testing/memory.py MemoryTransport.close call_soon": NO_CODE,
    "client/testing/memory.py MemoryTransport.resume_reading call_soon": NO_CODE,
    "proxy/places.py Hold.__del__ call_soon_threadsafe": NO_CODE,
    "proxy/places.py UpstreamPlaces.take call_later": NO_CODE,
    "client/testing/memory.py MemoryTransport.write call_soon": NO_CODE,
    "client/testing/memory.py MemoryTransport.write_eof call_soon": NO_CODE,
    "client/testing/mock_server.py MockConnection._begin add_done_callback": NO_CODE,
    "server/app.py Server._begin_drain create_task": APART,
    "server/handlers/events.py EventStream._send create_task": OWN,
    "server/connection/exchange.py ServerExchange.on_reset call_later": NO_CODE,
    "server/handlers/websocket.py _Watch.begin add_done_callback": NO_CODE,
    "server/files/response.py _send_chunks run_in_executor": THREAD,
    "server/files/response.py send_file run_in_executor": THREAD,
    "server/files/places.py FilePlaces._grant call_soon_threadsafe": NO_CODE,
    "server/files/sendfile.py KernelSend.run add_writer": OWN,
    "server/files/static.py StaticFiles.__call__ run_in_executor": THREAD,
    "server/files/static.py _parts.pieces run_in_executor": THREAD,
    "server/lifecycle.py ServerDrain.finished create_task": APART,
    "server/handlers/mailbox.py Mailbox.put_threadsafe call_soon_threadsafe": PUBLISHER,
    "server/middleware/compression.py Compression._coded to_thread": OWN,
    "server/middleware/compression.py StreamCoder.encode to_thread": OWN,
    "server/connection/driver.py ServerDriver._take_events Task": APART,
    "server/connection/worker.py start_worker Task": APART,
    "transport/listener.py Listener._accept add_done_callback": NO_CODE,
    "transport/listener.py Listener._accept create_task": START,
    "transport/listener.py Listener.close add_done_callback": NO_CODE,
    "transport/listener.py Listener.start create_task": START,
    "transport/proxy_protocol.py ProxiedProtocol.__init__ call_later": START,
    "transport/tls_transport.py TLSTransport.__init__ call_later": "the task that opens the connection is nobody's",
    "transport/tls_transport.py TLSTransport._wait_for_turn call_soon": APART,
    "websocket/connection.py WebSocket._say_close call_later": OWN,
    "wsgi/cycle.py WSGICycle._send_on run_in_executor": THREAD,
    "wsgi/line.py Line._post call_soon_threadsafe": NO_CODE,
    "wsgi/threads.py Threads._grow Thread": "threads begin with an empty context; each call runs in its request's",
    "wsgi/upload.py CollectedUpload.add run_in_executor": THREAD,
}


def calls(tree: ast.AST, name: str = "") -> Iterator[str]:
    """Where a tree asks for something without saying in which context."""
    for node in ast.iter_child_nodes(tree):
        inner = name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{name}.{node.name}" if name else node.name
        if isinstance(node, ast.Call):
            function = node.func
            called = getattr(function, "attr", getattr(function, "id", ""))
            if called in CALLS and all(each.arg != "context" for each in node.keywords):
                yield f"{name} {called}"
        yield from calls(node, inner)


def found() -> set[str]:
    places: set[str] = set()
    for file in SOURCE.rglob("*.py"):
        relative = file.relative_to(SOURCE).as_posix()
        if not relative.startswith(NOT_HERE):
            places.update(f"{relative} {each}" for each in calls(ast.parse(file.read_text("utf-8"))))
    return places


def test_each_has_a_verdict() -> None:
    places = found()
    assert sorted(places - set(VERDICTS)) == [], "say in which context these run: context=, or a line in VERDICTS"
    assert sorted(set(VERDICTS) - places) == [], "these are gone; take their lines out"


def test_it_would_be_seen() -> None:
    """The control: calls with a context, and without."""
    text = """
class A:
    def b(self):
        loop.call_soon(f)
        loop.call_soon(f, context=c)
        asyncio.Task(g(), loop=loop)
"""
    assert Counter(calls(ast.parse(text))) == Counter(["A.b call_soon", "A.b Task"])
