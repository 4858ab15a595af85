"""Numbers for people: durations, bytes, counts; and text from a peer, made safe for a terminal."""

from __future__ import annotations

from typing import Final

_BYTES: Final = ("KiB", "MiB", "GiB", "TiB")


def duration(seconds: float) -> str:
    """Return seconds with three significant digits and a fitting unit: `812 µs`, `3.21 ms`, `1.24 s`, `2 min 5 s`."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 0.000_999_5:
        return f"{three_digits(seconds * 1e6)} µs" if seconds else "0 s"
    if seconds < 0.999_5:
        return f"{three_digits(seconds * 1e3)} ms"
    if seconds < 99.95:
        return f"{three_digits(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def byte_size(count: float) -> str:
    """Return bytes in binary units: `999 B`, `1.21 KiB`, `12.3 MiB`."""
    if count < 999.5:
        return f"{count:.0f} B"
    for unit in _BYTES:
        count /= 1024
        if count < 999.5 or unit == _BYTES[-1]:
            break
    return f"{three_digits(count)} {unit}"


def count(number: float) -> str:
    """Return a whole number with its thousands apart; below ten with one decimal if it is not whole."""
    if number < 10 and number != int(number):
        return f"{number:.1f}"
    return f"{number:,.0f}"


def three_digits(number: float) -> str:
    """Return `1.23`, `12.3`, `123`, `1234`: never an exponent."""
    if number < 9.995:
        return f"{number:.2f}"
    if number < 99.95:
        return f"{number:.1f}"
    return f"{number:.0f}"


def printable(text: bytes | str) -> str:
    """Return text from a peer on one line: characters that could move a cursor or change a colour are escaped."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else _escaped(each) for each in text])


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
