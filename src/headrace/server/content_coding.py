"""Content codings: which one a client prefers (RFC 9110 §12.5.3), and which can be made here."""

from __future__ import annotations

import importlib
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, Protocol

IDENTITY: Final = "identity"

_MEMBER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_ALIASES: Final = {"x-gzip": "gzip", "x-compress": "compress"}  # RFC 9110 §8.4.1.3
_LEAST: Final = 0.0001  # below every weight: identity is acceptable if the field does not mention it, but comes last
_STREAM_WINDOW_BITS: Final = 18  # 256 KiB: the cost of a stream that stays open; the default would be megabytes


class ContentEncoder(Protocol):
    """An encoder for one content."""

    def add(self, data: bytes) -> bytes:
        """Add a piece. Return the output that is ready, often less than the piece or nothing."""

    def flush(self) -> bytes:
        """Return output that makes all pieces added so far readable for the client."""

    def finish(self) -> bytes:
        """Return the end of the content."""


def weights(accept_encoding: str) -> dict[str, float]:
    """Return the codings of an accept-encoding field with their weights, without malformed members."""
    found: dict[str, float] = {}
    for member in accept_encoding.split(","):
        match = _MEMBER.fullmatch(member.strip(" \t"))
        if match is not None:
            name = match[1].lower()
            name = _ALIASES.get(name, name)
            found[name] = max(found.get(name, 0.0), 1.0 if match[2] is None else float(match[2]))
    return found


def choose(accept_encoding: str | None, offered: Sequence[str]) -> str | None:
    """Return the best of the codings `offered`, or IDENTITY; None if the client accepts none of them.

    `offered` is in our order of preference, which decides between equal weights; identity is the last of equals.
    Without the field, return IDENTITY: everything is acceptable then, but only identity is sure to be understood.
    """
    if accept_encoding is None:
        return IDENTITY
    wanted = weights(accept_encoding)
    others = wanted.get("*")
    best = wanted.get(IDENTITY, _LEAST if others is None else others)
    chosen = IDENTITY if best > 0 else None
    for coding in reversed(offered):
        weight = wanted.get(coding, others or 0.0)
        if weight > 0 and weight >= best:
            best, chosen = weight, coding
    return chosen


# -- coding


class _GzipEncoder:
    def __init__(self, level: int) -> None:
        self._made = zlib.compressobj(level, zlib.DEFLATED, 31)
        self.add = self._made.compress

    def flush(self) -> bytes:
        return self._made.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._made.flush(zlib.Z_FINISH)


class _BrotliEncoder:
    def __init__(self, module: ModuleType, level: int, is_stream: bool) -> None:
        options = {"lgwin": _STREAM_WINDOW_BITS} if is_stream else {}
        made = module.Compressor(quality=level, **options)
        self.add: Callable[[bytes], bytes] = made.process
        self.flush: Callable[[], bytes] = made.flush
        self.finish: Callable[[], bytes] = made.finish


class _ZstdEncoder:
    def __init__(self, module: ModuleType, level: int, is_stream: bool) -> None:
        options = {module.CompressionParameter.compression_level: level}
        if is_stream:
            options[module.CompressionParameter.window_log] = _STREAM_WINDOW_BITS
        self._made: Any = module.ZstdCompressor(options=options)
        self.add: Callable[[bytes], bytes] = self._made.compress

    def flush(self) -> bytes:
        data: bytes = self._made.flush(self._made.FLUSH_BLOCK)
        return data

    def finish(self) -> bytes:
        data: bytes = self._made.flush(self._made.FLUSH_FRAME)
        return data


# Level: default, least, most. A zstd level above 19 uses windows that clients need not accept (RFC 9659 §3).
LEVELS: Final[Mapping[str, tuple[int, int, int]]] = {"zstd": (3, 1, 19), "br": (4, 0, 11), "gzip": (6, 1, 9)}
_MODULES: Final = {"zstd": ("compression.zstd", "backports.zstd"), "br": ("brotli",), "gzip": ("zlib",)}


def _module(coding: str) -> ModuleType | None:
    for name in _MODULES[coding]:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def available() -> tuple[str, ...]:
    """Return the codings that can be made here, in order of preference: gzip always, br and zstd if their packages are
    installed."""
    return tuple(coding for coding in LEVELS if _module(coding) is not None)


def encoder_factory(coding: str, level: int) -> Callable[[bool], ContentEncoder]:
    """Return a function that makes encoders: for whole contents (False) or for streams (True).

    Raises ValueError for a coding that is unknown or not installed, and for a level that the coding does not have.
    """
    if coding not in LEVELS:
        raise ValueError(f"the content coding {coding!r} is not known; the known ones are {', '.join(LEVELS)}")
    module = _module(coding)
    if module is None:
        raise ValueError(f"the content coding {coding} needs a package: pip install 'headrace[{_EXTRAS[coding]}]'")
    _, least, most = LEVELS[coding]
    if not least <= level <= most:
        raise ValueError(f"the level of {coding} is {level}; it must be from {least} to {most}")
    if coding == "gzip":
        return lambda is_stream: _GzipEncoder(level)
    kind = _BrotliEncoder if coding == "br" else _ZstdEncoder
    return lambda is_stream: kind(module, level, is_stream)


_EXTRAS: Final = {"zstd": "zstd", "br": "brotli"}
