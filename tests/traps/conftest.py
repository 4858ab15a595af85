"""The two event loops that tests of a server run on."""

from tests.support.serving import run

__all__ = ["run"]
