"""An application for a process of its own: the file that the query names, and what that costs the process."""

from __future__ import annotations

from headrace.server.files.response import FileResponse
from headrace.server.handlers.request import Request
from headrace.server.handlers.response import Response


def handler(request: Request) -> Response | FileResponse:
    """Answers `/?PATH` with the file at PATH, and `/peak` with the most memory that the process ever had, in bytes."""
    if request.path == "/peak":
        with open("/proc/self/status", encoding="ascii") as status:
            peak = next(line for line in status if line.startswith("VmHWM:"))
        return Response.text(str(int(peak.split()[1]) * 1024))
    return FileResponse(200, (), request.query_string.decode())
