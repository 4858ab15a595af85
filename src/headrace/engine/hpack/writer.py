"""Selects BytesWriter: librt's, which mypyc turns into plain stores, or else a replacement over bytearray."""

from __future__ import annotations

try:
    from librt.strings import BytesWriter as BytesWriter
except ImportError:  # pragma: no cover: only where librt is missing, as on PyPy; a compiled engine depends on it
    from headrace.engine.hpack.pure_writer import BytesWriter as BytesWriter  # type: ignore[assignment]
