"""Where a head ends, and which bytes cannot be one, the same for requests and responses (RFC 9112 §2.2)."""

from __future__ import annotations

from headrace.engine.h1.faults import MessageFault
from headrace.engine.h1.parse.field_lines import BARE
from headrace.engine.h1.parse.memory import REMEMBERED_SIZE

TooLong = tuple[int, str, str, str]
"""The arguments of the MessageFault for a head beyond a limit."""


class HeadScanner:
    """Finds the end of each head of a connection.

    A first line has at most `line` bytes, and the lines behind it `size` together; with `line` 0 the whole head has
    at most `size`. `long_line` and `large_head` say what is raised for more.
    """

    def __init__(self, line: int, size: int, long_line: TooLong, large_head: TooLong) -> None:
        self._line = line
        self._size = size
        self._short: int = min(line, size) if line > 0 else size  # a head of no more bytes is within all limits
        self._long_line = long_line
        self._large_head = large_head
        self._scanned: int = 0  # bytes of a head that is not whole which were checked
        self._line_end: int = -1
        self._last = b""
        self.bare_at: int = -1
        """Where the CR or LF stands that the last MessageFault was raised for."""

    def repeated(self, data: bytes, start: int) -> int:
        """Return the size of the head before if it stands at `start` once more, as is usual; else 0.

        A comparison costs less than a search and a hash. A head ends with the empty line, so nothing else can begin
        with it.
        """
        last = self._last
        if not last or not (data == last if start == 0 and len(data) == len(last) else data.startswith(last, start)):
            return 0
        if self._scanned > 0:
            self._scanned = 0
            self._line_end = -1
        return len(last)

    def find_end(self, data: bytes, start: int) -> int:
        """Return the position behind the head that begins at `start`, -1 while it is not whole.

        Raises MessageFault when its part is larger than a head may be, or has a line that does not end with CRLF.
        """
        found = data.find(b"\r\n\r\n", max(start, start + self._scanned - 3))
        if found < 0:
            self._check(data, start, len(data))
            return -1
        return found + 4

    def check(self, data: bytes, start: int, end: int, head: bytes) -> None:
        """Check `head`, which stands from `start` to `end` of `data`, as `find_end` checks a part of one."""
        pairs = head.count(b"\r\n")
        if end - start > self._short or head.count(b"\n") != pairs or head.count(b"\r") != pairs:
            self._scanned = 0
            self._line_end = -1
            self._check(data, start, end)

    def keep(self, head: bytes) -> None:
        """Take note that these bytes were a head, for `repeated`."""
        self._scanned = 0
        self._line_end = -1
        self._last = head if len(head) <= REMEMBERED_SIZE else b""

    def _check(self, data: bytes, start: int, stop: int) -> None:
        """Check the bytes of a head up to `stop`. Of two faults the first in the bytes counts, however the bytes were
        cut on their way."""
        bare = BARE.search(data, max(start, start + self._scanned - 1), stop)
        at = stop if bare is None else bare.start()
        limit = start + self._size
        too_long = self._large_head
        if self._line > 0:
            line_end = self._line_end
            if line_end < 0:
                line_end = data.find(b"\n", start + self._scanned, stop) - start
                self._line_end = line_end
            if line_end < 0 or line_end > self._line + 1:
                limit = start + self._line + 1
                too_long = self._long_line
            else:
                limit += line_end + 1
        if stop > limit and at >= limit:
            status, reason, section, budget = too_long
            raise MessageFault(status, reason, section, budget)
        if bare is not None:
            self.bare_at = at
            raise MessageFault(400, "a line does not end with CRLF", "RFC 9112 §2.2")
        self._scanned = stop - start
