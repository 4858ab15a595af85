"""One server process: its event loop, its signals, and its lines at start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
from collections.abc import Callable
from types import FrameType
from typing import Final, Self

from headrace.cli.errors import EXIT_FAILED, ApplicationError, CommandError, UsageError
from headrace.cli.version import engine_is_compiled, is_free_threaded, version
from headrace.server.app import AppError, Server
from headrace.server.settings.config import Bind, Config
from headrace.transport.listener import ListenError

_PROTOCOLS: Final = {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}

logger: Final = logging.getLogger("headrace")


def run_process(app: object, target: str, config: Config, context: ssl.SSLContext | None) -> int:
    """Serve until a signal, and return the exit code. The start-up lines name the application `target`.

    Raises CommandError (exit code 1) if an address cannot be used, ApplicationError if the application's start failed,
    and UsageError if the chosen event loop is not installed.
    """
    name, factory = loop_factory(config.loop)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(app, target, config, context, name))


async def _serve(app: object, target: str, config: Config, context: ssl.SSLContext | None, loop_name: str) -> int:
    server = Server(app, config, ssl_context=context)
    start = asyncio.get_running_loop().create_task(server.start())
    with _Signals(server, start) as signals:
        try:
            await start
        except AppError as error:
            raise ApplicationError(f"{target}: {error}") from error
        except ListenError as error:
            raise CommandError(error.strerror) from error
        except asyncio.CancelledError:
            if signals.asked:
                logger.info("stopped before it had started")
                return 0
            raise
        _announce(server, target, loop_name)
        await server.wait_closed()
    logger.info("stopped")
    return 0


def _announce(server: Server, target: str, loop_name: str) -> None:
    """Log one line per address, with the facts that help when something is wrong."""
    engine = "compiled" if engine_is_compiled() else "pure"
    about = f"headrace {version()}, engine {engine}, {loop_name}"
    for bind, address in server.addresses:
        listening = _describe_bind(bind, address, server.config.protocols)
        logger.info("%s | app %s (%s) | %s | pid %d", listening, target, server.interface, about, os.getpid())
    if is_free_threaded():
        logger.warning("this Python is free-threaded: headrace is not supported there, and its objects have no locks")


class _Signals:
    """Handlers of SIGTERM and SIGINT: the first signal drains (or stops a start under way), the second ends the process
    at once.

    Plain signal handlers, not the loop's: a handler that blocks the loop must not disable the second signal.
    """

    def __init__(self, server: Server, start: asyncio.Task[None]) -> None:
        self.asked = False
        """True once the first signal has come."""
        self._server = server
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._old: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._old[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.asked:
            self._end_now()
        self.asked = True
        self._loop.call_soon_threadsafe(self._drain, signal.Signals(number).name)

    def _drain(self, name: str) -> None:
        if not self._start.done():
            self._start.cancel()
            return
        seconds = self._server.config.drain_timeout_s
        logger.info("%s: draining, for %g s at most; a second signal ends now", name, seconds)
        self._server.begin_drain()

    def _end_now(self) -> None:
        # Nothing here may need the event loop, or a lock that the interrupted code may hold, such as logging's.
        with contextlib.suppress(OSError):
            os.write(2, b"headrace: ended by a second signal\n")
        for bind, _ in self._server.addresses:
            if bind.kind == "unix":
                with contextlib.suppress(OSError):
                    os.unlink(bind.path)
        os._exit(EXIT_FAILED)


def loop_factory(loop: str) -> tuple[str, Callable[[], asyncio.AbstractEventLoop] | None]:
    """Return the name of the event loop and its factory; None leaves the loop to asyncio.

    `auto` means asyncio, too, where uvloop is installed but does not load, as one that was built for another Python; a
    warning gives the reason. Raises UsageError if `uvloop` cannot be had.
    """
    if loop == "asyncio":
        return "asyncio", None
    try:
        import uvloop
    except ImportError as error:
        is_absent = isinstance(error, ModuleNotFoundError) and error.name == "uvloop"
        if loop == "uvloop":
            why = "is not installed here; install it" if is_absent else f"does not load here ({error}); reinstall it"
            raise UsageError(f"--loop: uvloop {why}, or choose asyncio") from None
        if not is_absent:
            logger.warning("uvloop does not load here (%s); asyncio is the event loop instead", error)
        return "asyncio", None
    return "uvloop", uvloop.new_event_loop


def _describe_bind(bind: Bind, address: str, protocols: str) -> str:
    """Return `https://127.0.0.1:8443 (HTTP/2 and HTTP/1.1 over TLS)` and the like."""
    spoken = " and ".join(_PROTOCOLS[each] for each in protocols.split(","))
    scheme, how = ("https", "over TLS") if bind.tls else ("http", "in cleartext")
    return f"{scheme}://{address} ({spoken} {how})" if bind.kind == "tcp" else f"{address} ({spoken} {how})"
