"""Threads under `make coverage`, which has a trace function put into each of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _Patient(ModuleType):
    """The module sys, whose `settrace` waits for its turn."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    @staticmethod
    def settrace(function: Callable[..., Any] | None) -> None:
        """Install a trace function once no other thread is about to."""
        while True:
            try:
                sys.settrace(function)
                return
            except RuntimeError:
                time.sleep(0)


def be_patient() -> None:
    """Have threads wait to be traced. CPython 3.11 refuses a trace function while another thread installs one, and a
    thread that is being started in that moment ends before it has begun: a test waited in vain for its answer."""
    for name, attribute in (("threading", "_sys"), ("coverage.collector", "sys")):
        if name in sys.modules:
            setattr(sys.modules[name], attribute, _Patient("sys"))
