"""Exit codes, and the exceptions that carry them to `headrace.cli.main.run`."""

from __future__ import annotations

from typing import Final

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_APPLICATION: Final = 3


class CommandError(Exception):
    """An end of the command with one sentence for the user, without a traceback."""

    exit_code = EXIT_FAILED


class UsageError(CommandError):
    """The command line, the configuration or a certificate cannot be used."""

    exit_code = EXIT_USAGE


class ApplicationError(CommandError):
    """The application failed to load or to start."""

    exit_code = EXIT_APPLICATION
