"""The `date` field, written once a second at most, and only on demand (RFC 9110 §6.6.1)."""

from __future__ import annotations

from email.utils import formatdate

DateFields = tuple[tuple[bytes, bytes], ...]


class DateClock:
    """Keeps the fields that every response of a server carries. `fields` is the same object while it is valid, so that
    a caller can check by identity whether data made from it is still valid."""

    __slots__ = ("_others", "fields", "valid_until")

    def __init__(self, others: DateFields = ()) -> None:
        self._others = others
        self.fields: DateFields = others
        self.valid_until: float = 0.0
        """On the caller's monotonic clock: from then on call `renew`."""

    def renew(self, now: float) -> DateFields:
        """Return `fields` with the current date; `now` is the caller's monotonic clock, in seconds."""
        self.fields = ((b"date", formatdate(usegmt=True).encode("ascii")), *self._others)
        self.valid_until = now + 1.0
        return self.fields
