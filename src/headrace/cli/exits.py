"""Exit codes of `headrace get` and `headrace bench` for failed requests: curl's codes, if curl has one for the
failure."""

from __future__ import annotations

from typing import Final

from headrace.cli.errors import EXIT_FAILED, CommandError
from headrace.cli.figures import printable
from headrace.client import errors

EXIT_DNS: Final = 6
EXIT_CONNECT: Final = 7
EXIT_PROTOCOL: Final = 16
EXIT_TRUNCATED: Final = 18
EXIT_STATUS: Final = 22
EXIT_WRITE: Final = 23
EXIT_TIMEOUT: Final = 28
EXIT_TLS: Final = 35
EXIT_REDIRECTS: Final = 47
EXIT_LOST: Final = 56
EXIT_CODING: Final = 61
EXIT_RESEND: Final = 65
EXIT_RESET: Final = 92
EXIT_PROXY: Final = 97
EXIT_INTERRUPTED: Final = 130

# The first that fits; subclasses before their base classes.
_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (errors.DNSError, EXIT_DNS),
    (errors.TLSError, EXIT_TLS),
    (errors.ProxyError, EXIT_PROXY),
    (errors.ConnectError, EXIT_CONNECT),
    (errors.RequestTimeout, EXIT_TIMEOUT),
    (errors.PoolError, EXIT_CONNECT),
    (errors.ConnectionLost, EXIT_LOST),
    (errors.StreamReset, EXIT_RESET),
    (errors.RemoteProtocolError, EXIT_PROTOCOL),
    (errors.TruncatedBody, EXIT_TRUNCATED),
    (errors.BodyConsumed, EXIT_RESEND),
    (errors.DecodingError, EXIT_CODING),
    (errors.TooManyRedirects, EXIT_REDIRECTS),
    (errors.HTTPStatusError, EXIT_STATUS),
)


class FetchError(CommandError):
    """A failed request, as the end of the command. Text of a peer in the message cannot control a terminal."""

    def __init__(self, message: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(printable(message))
        self.exit_code = exit_code


class WriteError(FetchError):
    """The output cannot be written to its destination. The message is empty if nobody can read it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EXIT_WRITE)


def fetch_error(error: errors.ClientError) -> FetchError:
    """Return the end of the command for an error of the client."""
    return FetchError(str(error), next((code for kind, code in _CODES if isinstance(error, kind)), EXIT_FAILED))
