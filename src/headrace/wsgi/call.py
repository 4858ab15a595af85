"""The thread's side of a WSGI request: it calls the application and passes on its output (PEP 3333)."""

from __future__ import annotations

import io
from collections.abc import Callable, Hashable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from headrace.wsgi.files import FileWrapper, content_reader

if TYPE_CHECKING:
    from headrace.wsgi.line import Line

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
    Head = tuple[int, list[tuple[bytes, bytes]]]

_BODILESS: Final = (204, 304)


class WSGICall:
    """One call of `app`. `line` leads to the request's task, whose methods carry out its calls.

    `content` is the application's input; without it, the thread asks the task for it if the request `has_body`. Files
    that the application leaves to the server count for `client`.
    """

    def __init__(
        self,
        app: Callable[..., Iterable[bytes]],
        environ: dict[str, Any],
        line: Line,
        has_body: bool,
        content: io.BytesIO | io.BufferedReader | None = None,
        client: Hashable = None,
    ) -> None:
        self._app = app
        self._environ = environ
        self._line = line
        self._client = client
        self._head: Head | None = None
        """Status and fields, once the application has set them."""
        self._left: int | None = None
        """Bytes that the announced content-length leaves; None without one."""
        self._is_begun = False
        """True once the head has been handed over and cannot change any more."""
        self._is_finished = False
        self.is_running: bool = False
        if content is None:
            content = content_reader(self._fetch) if has_body else io.BytesIO()
        environ["wsgi.input"] = content

    def run(self) -> None:
        """Run the application to its end. Never raises: reports every failure, and always the end, to the task."""
        error: BaseException | None = None
        self.is_running = True
        try:
            self._run()
        except BaseException as raised:
            error = raised
        self.is_running = False
        if error is not None and not isinstance(error, (Exception, SystemExit)):
            # Cancellation and the like mean something to a task, and must not: they were meant for this thread.
            reason = RuntimeError(f"the WSGI application raised {type(error).__name__}")
            reason.__cause__ = error
            error = reason
        self._line.tell("ended", error)

    def _run(self) -> None:
        result = self._app(self._environ, self.start_response)
        try:
            if isinstance(result, (list, tuple)):
                self._send(b"".join([_bytes(piece) for piece in result]), is_last=True)
                return
            if isinstance(result, FileWrapper) and self._send_file(result):
                return
            for piece in result:
                if piece or not isinstance(piece, bytes):
                    self._send(_bytes(piece))
            if not self._is_finished:
                self._send(b"", is_last=True)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    # -- calls of the application ------------------------------------------------------------------------------

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Handle PEP 3333's `start_response`. With `exc_info` it replaces an earlier call, or raises it when that is
        too late.

        Raises TypeError and ValueError for arguments that are not as the specification has them.
        """
        if exc_info is not None:
            try:
                if self._is_begun and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # it holds this frame
        elif self._head is not None:
            raise RuntimeError("start_response was called a second time without exc_info")
        self._head = head = (_status(status), _fields(headers))
        lengths = [value for name, value in head[1] if name == b"content-length"]
        self._left = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        if head[0] in _BODILESS or self._environ["REQUEST_METHOD"] == "HEAD":
            self._left = None  # it belongs to content that is never sent
        return self._write

    def _write(self, data: bytes) -> None:
        """Handle the `write` that `start_response` returns, for applications that push their content."""
        self._send(_bytes(data))

    def _fetch(self) -> bytes:
        data: bytes = self._line.ask("read")
        return data

    # -- the response ------------------------------------------------------------------------------------------

    def _send(self, data: bytes, is_last: bool = False) -> None:
        """Hand a piece over and wait until it is accepted; do not wait for the last one."""
        head = self._head
        if head is None:
            raise RuntimeError("the WSGI application gave content before it called start_response, or never called it")
        if self._is_finished:
            if not data:
                return
            raise RuntimeError("the WSGI application gave more content than its content-length says")
        if self._left is not None:
            # Many frameworks return an iterator of one piece: their content-length says that it is the last one.
            self._left -= len(data)
            is_last = is_last or self._left == 0
        was_begun, self._is_begun = self._is_begun, True
        self._is_finished = is_last
        if not is_last:
            self._line.ask("send_piece", data, None if was_begun else head)
        elif was_begun:
            self._line.tell("finish", data)
        else:
            self._line.tell("respond_whole", *head, data)

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Leave the content to the task, if it is the rest of a file that the task can read itself."""
        part = wrapper.part(self._client) if self._head is not None and not self._is_begun else None
        if part is None or self._head is None:
            return False
        file, offset, size = part
        self._is_begun = self._is_finished = True
        self._line.tell("send_file", *self._head, file, offset, size if self._left is None else self._left)
        return True


def _bytes(piece: object) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a WSGI application gives bytes as content, not {type(piece).__name__}")


def _status(status: object) -> int:
    if not isinstance(status, str):
        raise TypeError(f"the status of start_response is text such as '200 OK', not {type(status).__name__}")
    code = status[:3]
    if not (code.isascii() and code.isdigit() and len(code) == 3 and status[3:4] in ("", " ")):
        raise ValueError(f"the status of start_response is '{status}'; it must be three digits, a space and a reason")
    if code[0] == "1":
        raise ValueError(f"the status of start_response is '{status}', which is not a final one")
    return int(code)


def _fields(headers: object) -> list[tuple[bytes, bytes]]:
    if not isinstance(headers, list):
        raise TypeError(f"the headers of start_response are a list, not {type(headers).__name__}")
    fields = []
    for name, value in headers:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a header of start_response is a pair of text, not {name!r} and {value!r}")
        fields.append((name.lower().encode("latin-1"), value.encode("latin-1")))
    return fields
