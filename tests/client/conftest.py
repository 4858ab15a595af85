"""Fixtures of these tests."""

from tests.support.serving import run

__all__ = ["run"]
