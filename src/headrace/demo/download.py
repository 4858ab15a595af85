"""The file that the demo offers for download, made anew in a folder of its own."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Final

NAME: Final = "water.bin"
SIZE: Final = 4 * 1_048_576

_folder: tempfile.TemporaryDirectory[str] | None = None


def folder() -> Path:
    """Return the folder with the file and its SHA-256 beside it; made on the first call, removed when the process
    ends."""
    global _folder
    if _folder is None:
        _folder = tempfile.TemporaryDirectory(prefix="headrace-demo-")
        content = hashlib.shake_128(b"headrace").digest(SIZE)
        Path(_folder.name, NAME).write_bytes(content)
        Path(_folder.name, NAME + ".sha256").write_text(hashlib.sha256(content).hexdigest())
    return Path(_folder.name)
