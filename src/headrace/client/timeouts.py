"""The timeouts of a request, phase by phase."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for each phase of a request; None for no limit. Raises ValueError for a number that is not above 0.

    The phases follow each other. `total` covers all of them, with retries and redirects.
    """

    pool: float | None = 30.0
    """Waiting for a place on a connection; making a new one counts under `connect` and `tls`."""
    connect: float | None = 10.0
    """DNS and TCP, all addresses together, and a proxy's answer."""
    tls: float | None = 10.0
    """The TLS handshake."""
    headers: float | None = 60.0
    """From the last byte of the request to the head of the response; interim responses do not extend it."""
    read: float | None = 30.0
    """Between two pieces of the response's content, while the reader has room for it."""
    write: float | None = 30.0
    """Between two pieces of the request's content that the server accepts."""
    total: float | None = None
    """From the call to the last byte of the response."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not value > 0:
                raise ValueError(f"the timeout {each.name} is {value!r}; it must be above 0, or None for no limit")

    @classmethod
    def of(cls, value: float | Timeouts | None) -> Timeouts:
        """Return the Timeouts for a value: a number counts for every phase except `total`; None is no limit at all."""
        if isinstance(value, Timeouts):
            return value
        return cls(value, value, value, value, value, value, None)


DEFAULT_TIMEOUTS = Timeouts()
NO_TIMEOUTS = Timeouts.of(None)
