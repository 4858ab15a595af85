"""The file of wanted losses, `benchmarks/acknowledged.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = "benchmarks/acknowledged.toml"


class Loss(NamedTuple):
    """A case that may become slower, once."""

    case: str
    percent: float
    """The most that it may take more."""
    reason: str


class FileError(Exception):
    """The file says something that cannot be meant."""


def read(root: Path) -> list[Loss]:
    """Return what the file of a tree has; nothing where there is none. Raises FileError."""
    path = root / FILE
    return parse(path.read_text("utf-8")) if path.exists() else []


def parse(text: str) -> list[Loss]:
    """Return the entries of a file. Raises FileError, with the place."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{FILE}: {error}") from None
    entries = content.pop("loss", [])
    if content or not isinstance(entries, list):
        raise FileError(f"{FILE}: only [[loss]] tables may stand here")
    return [_entry(number, each) for number, each in enumerate(entries, 1)]


def _entry(number: int, entry: object) -> Loss:
    where = f"{FILE}: loss {number}"
    if not isinstance(entry, dict) or set(entry) != set(Loss._fields):
        raise FileError(f"{where} needs exactly {', '.join(Loss._fields)}")
    case, percent, reason = entry["case"], entry["percent"], entry["reason"]
    if not isinstance(case, str):
        raise FileError(f"{where}: case is the name of one, as the gate's table has it")
    if isinstance(percent, bool) or not isinstance(percent, (int, float)) or not 0 < percent < float("inf"):
        raise FileError(f"{where}: percent is a number above 0")
    if not isinstance(reason, str) or not reason.strip():
        raise FileError(f"{where}: reason is empty")
    return Loss(case, float(percent), reason)


def in_force(now: Collection[Loss], before: Collection[Loss], cases: Collection[str]) -> tuple[list[Loss], list[Loss]]:
    """Return the entries that came after the base, and those that it had already: these count no more.

    Raises FileError when a new one names a case that does not exist.
    """
    new = [loss for loss in now if loss not in before]
    for loss in new:
        if loss.case not in cases:
            raise FileError(f"{FILE}: there is no case {loss.case!r}")
    return new, [loss for loss in now if loss in before]
