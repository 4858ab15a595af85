"""Selects BytesWriter: librt's, which mypyc turns into plain stores, or else a replacement over bytearray."""

from __future__ import annotations

try:
    from librt.strings import BytesWriter as BytesWriter
except ImportError:  # only in the interpreter: a compiled engine has librt as a dependency
    from headrace.engine.hpack.pure_writer import BytesWriter as BytesWriter  # type: ignore[assignment]
