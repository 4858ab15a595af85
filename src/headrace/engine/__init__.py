"""The sans-I/O protocol engine: bytes in, events out; no sockets, no clock, no asyncio."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import PathFinder


def _refuse_subinterpreters() -> None:
    """Raise ImportError if this is a subinterpreter and the engine is compiled, which has one state a process.

    Otherwise the import fails with a remark on circular imports, or not at all once the main interpreter has done it.
    """
    try:
        interpreters = import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    except ImportError:  # pragma: no cover: another Python, or one that was built without
        return
    if interpreters.get_current() == interpreters.get_main():  # pragma: no branch: nothing is measured in another one
        return
    found = PathFinder.find_spec(f"{__name__}.limits", __path__)  # pragma: no cover: in a subinterpreter
    if found is not None and not str(found.origin).endswith((".py", ".pyc")):  # pragma: no cover: in a subinterpreter
        raise ImportError(
            "headrace's compiled engine does not load in a subinterpreter; use the main interpreter, or install "
            "headrace as pure Python (HEADRACE_PURE=1), whose client loads there"
        )


_refuse_subinterpreters()
