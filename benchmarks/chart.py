"""The chart: a panel a scenario, a bar a server, written as SVG without help.

Each panel has its own scale, since a request of 13 bytes and one of a megabyte have no common one.
"""

from __future__ import annotations

from html import escape
from typing import Final

from benchmarks.results import Results, ours

WIDTH: Final = 860
MARGIN: Final = 24
LABEL: Final = 150
BAR: Final = 17
GAP: Final = 5
PANEL_HEAD: Final = 30
VALUE_ROOM: Final = 200
STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1c2733; }
  .name { text-anchor: end; }
  .title { font-weight: 600; }
  .ours { fill: #0b7a75; }
  .peer { fill: #9aa9b5; }
  .ground { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #dde5ea; }
    .ours { fill: #35b7b0; }
    .peer { fill: #5d6d79; }
    .ground { fill: #10181f; }
  }
"""


def draw(results: Results) -> str:
    """Return the chart of all rates as the text of an SVG file. Cells with a fault have no bar."""
    parts: list[str] = []
    y = MARGIN
    for row in results.rows:
        rates = {name: rate for name, cell in row.cells.items() if (rate := cell.median("rate"))}
        if not rates:
            continue
        y += PANEL_HEAD
        title = f"{row.name}, {'messages' if row.section == 'websocket' else 'requests'} a second"
        parts.append(f'<text class="title" x="{MARGIN}" y="{y - 10}">{escape(title)}</text>')
        most = max(rates.values())
        for name, rate in rates.items():
            width = max(1.0, (WIDTH - 2 * MARGIN - LABEL - VALUE_ROOM) * rate / most)
            kind = "ours" if ours(name) else "peer"
            middle = y + BAR - 4
            parts += [
                f'<text class="name" x="{MARGIN + LABEL - 8}" y="{middle}">{escape(name)}</text>',
                f'<rect class="{kind}" x="{MARGIN + LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>',
                f'<text x="{MARGIN + LABEL + width + 8:.1f}" y="{middle}">{rate:,.0f}</text>',
            ]
            y += BAR + GAP
    height = y + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"><title>Benchmarks</title>'
    )
    ground = f'<rect class="ground" width="{WIDTH}" height="{height}"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ground, *parts, "</svg>", ""])
