"""The deadline that a request names itself, so that its client's reset can be told from one without a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_DIGITS: Final = 8  # of a grpc-timeout at most
_UNITS: Final = {b"H": 3_600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def own_deadline_s(headers: Sequence[tuple[bytes, bytes]]) -> float:
    """Return the seconds that a request gives its server, -1 when it does not say.

    Read are `grpc-timeout` (gRPC over HTTP2: up to eight digits and a unit) and, where that is missing,
    `x-envoy-expected-rq-timeout-ms`, by which Envoy and the meshes made of it say when they will give up.
    """
    found = -1.0
    for name, value in headers:
        if name == b"grpc-timeout":
            unit = _UNITS.get(value[-1:])
            if unit is not None and len(value) <= _DIGITS + 1 and value[:-1].isdigit():
                return int(value[:-1]) * unit
        elif name == b"x-envoy-expected-rq-timeout-ms" and len(value) <= _DIGITS and value.isdigit():
            found = int(value) * 1e-3
    return found
