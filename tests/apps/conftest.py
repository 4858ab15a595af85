"""Frameworks' applications over every wire, see `tests.protocols.conftest`."""

from tests.protocols.conftest import certificate, run, wire

__all__ = ["certificate", "run", "wire"]
