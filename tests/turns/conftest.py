"""Fixtures of these tests."""

from tests.serving import run

__all__ = ["run"]
