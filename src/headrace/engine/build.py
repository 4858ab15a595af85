"""How this engine was built."""

from __future__ import annotations

import importlib.util
from typing import Final

_MODULE: Final = "headrace.engine.h2.connection"


def engine_is_compiled() -> bool:
    """True when the engine that is imported is machine code, False for pure Python."""
    spec = importlib.util.find_spec(_MODULE)
    return spec is not None and spec.origin is not None and not spec.origin.endswith((".py", ".pyc"))
