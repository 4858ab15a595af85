"""The build of this engine."""

from __future__ import annotations

import importlib.util
from typing import Final

_MODULE: Final = "headrace.engine.h2.connection"


def engine_is_compiled() -> bool:
    """Return True when the imported engine is machine code, False for pure Python."""
    spec = importlib.util.find_spec(_MODULE)
    return spec is not None and spec.origin is not None and not spec.origin.endswith((".py", ".pyc"))
