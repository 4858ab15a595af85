"""The pictures: small SVGs, each with a hue of its own, its request's number, and a wave that meets its neighbours'."""

from __future__ import annotations

from typing import Final

COUNT: Final = 200

_TURN: Final = 300  # degrees of the colour circle that the mosaic covers, so that its ends differ
_START: Final = 185

_PICTURE: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">\
<rect width="64" height="64" fill="hsl({hue} 58% 40%)"/>\
<path d="M0 {a}q16-{swing} 32 0t32 0v64H0z" fill="hsl({hue} 62% 33%)"/>\
<path d="M0 {b}q16 {swing} 32 0t32 0v64H0z" fill="hsl({hue} 66% 26%)"/>\
<text x="32" y="33" fill="#fff" font-family="system-ui,sans-serif" font-size="{size}" font-weight="600" \
text-anchor="middle" dominant-baseline="middle">{number}</text></svg>
"""


def picture(index: int, number: int) -> bytes:
    """Return the SVG of tile `index` (0 to COUNT - 1) that shows `number`."""
    hue = (_START + index * _TURN // COUNT) % 360
    # The waves begin and end a tile at the same height, so they continue through a row of any width.
    size = 24 if number < 1000 else 19
    drawn = _PICTURE.format(hue=hue, a=30, b=46, swing=10 + index % 3 * 2, number=number, size=size)
    return drawn.encode("ascii")
