"""The distribution of latencies as a chart: in characters for a terminal, and as SVG."""

from __future__ import annotations

import math
from html import escape
from typing import Final

from headrace.cli.bench.latency import Histogram
from headrace.cli.bench.result import BenchResult, Interval
from headrace.cli.figures import count, duration, three_digits

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_STEPS: Final = (1.0, 2.0, 5.0)

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _PANEL = 860, 640, 70, 20, 220
_SHOWN: Final = (50.0, 90.0, 99.0, 99.9, 99.99)


def edges_for(latency: Histogram, most: int = 14) -> list[float]:
    """Return the edges of bars from the shortest to the longest: 1, 2, 5 and their tens where these are enough, else
    finer."""
    low = max(latency.shortest, 1e-6)
    high = max(latency.longest, low * 1.001)
    steps = [step * 10.0**power for power in range(-7, 5) for step in _STEPS]
    inside = [step for step in steps if low < step < high]
    if 5 <= len(inside) <= most:
        return inside
    number = min(most, 10)
    ratio = (high / low) ** (1 / (number + 1))
    return [low * ratio**index for index in range(1, number + 1)]


def text_chart(latency: Histogram, width: int = 80) -> list[str]:
    """Return lines of at most `width` columns: one bar for each range of latencies, with the share of requests in it
    and below."""
    if not latency.count:
        return []
    edges = edges_for(latency)
    counts = latency.bars(edges)
    uppers = [*edges, latency.longest]
    most = max(counts)
    room = max(10, width - 34)
    lines = []
    seen = 0
    for upper, number in zip(uppers, counts, strict=True):
        seen += number
        below = 100 * seen / latency.count
        bar = _bar(number / most, room)
        lines.append(f"  ≤ {duration(upper):>8}  {bar:<{room}} {count(number):>9} {below:>7.2f} %")
    return lines


def _bar(share: float, room: int) -> str:
    """Return a bar in eighths of a column; even the smallest share is visible."""
    eighths = math.ceil(share * room * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def svg_chart(result: BenchResult) -> str:
    """Return one SVG document: latency by percentile above, requests per second over time below. It is readable on
    light and dark backgrounds."""
    latency = result.tally.latency
    plan = result.plan
    mode = f"{count(plan.rate)} a second, open loop" if plan.rate else "closed loop"
    shape = f"{plan.connections} × {plan.streams} streams" if plan.streams > 1 else f"{plan.connections} connections"
    title = f"{plan.method} {plan.url}: {count(result.requests_per_s)} requests/s"
    subtitle = f"HTTP/{result.http_version}, {shape}, {mode}, {duration(result.seconds)}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        "<style>svg{background:#fff;color:#1f2933}.grid{stroke:currentColor;opacity:.15}text{fill:currentColor}"
        ".one{stroke:#0f766e;fill:none;stroke-width:2}.two{fill:#0f766e;opacity:.75}.bad{fill:#b91c1c}"
        "@media(prefers-color-scheme:dark){svg{background:#14191f;color:#d5dde5}.one{stroke:#2dd4bf}.two{fill:#2dd4bf}}"
        "</style>",
        f'<text x="{_LEFT}" y="26" font-size="16">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="46" opacity=".7">{escape(subtitle)}</text>',
    ]
    parts += _percentile_panel(latency, 70)
    parts += _time_panel(result.tally.intervals, 370)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _percentile_panel(latency: Histogram, top: int) -> list[str]:
    """Return the panel of latency, logarithmic, over the percentile as 1/(1-p), also logarithmic: the tail matters
    most."""
    parts = [f'<text x="{_LEFT}" y="{top + 14}" opacity=".7">latency by percentile</text>']
    if not latency.count:
        return parts
    top += 24
    decades = max(1.0, min(6.0, math.log10(latency.count)))
    low, high = _log_range(latency.shortest, latency.longest)

    def x(percent: float) -> float:
        tail = decades if percent >= 100 else min(decades, -math.log10(1 - percent / 100))
        return _LEFT + tail / decades * (_WIDTH - _LEFT - _RIGHT)

    def y(seconds: float) -> float:
        share = (math.log10(max(seconds, 10**low)) - low) / (high - low)
        return top + _PANEL - share * _PANEL

    for power in range(math.floor(low), math.ceil(high) + 1):
        for step in _STEPS:
            value = step * 10.0**power
            if low <= math.log10(value) <= high:
                parts += _level(y(value), duration(value))
    for percent in _SHOWN:
        if -math.log10(1 - percent / 100) <= decades:
            at = x(percent)
            parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{top + _PANEL}"/>')
            parts.append(f'<text x="{at:.1f}" y="{top + _PANEL + 16}" text-anchor="middle">p{percent:g}</text>')
    percents = tuple(100 * (1 - 10 ** -(index / 40)) for index in range(int(decades * 40) + 1))
    points = [*zip(percents, latency.percentiles(percents), strict=True), (100.0, latency.longest)]
    path = " ".join(f"{x(percent):.1f},{y(seconds):.1f}" for percent, seconds in points)
    parts.append(f'<polyline class="one" points="{path}"/>')
    return parts


def _time_panel(intervals: list[Interval], top: int) -> list[str]:
    parts = [f'<text x="{_LEFT}" y="{top + 14}" opacity=".7">requests a second over time, in s</text>']
    if not intervals:
        return parts
    top += 24
    rates = [each.requests / (each.end - each.begin) for each in intervals]
    most = _round_up(max(rates))
    end = intervals[-1].end
    scale = (_WIDTH - _LEFT - _RIGHT) / end
    for quarter in range(5):
        value = most * quarter / 4
        parts += _level(top + _PANEL - quarter / 4 * _PANEL, count(value))
    for each, rate in zip(intervals, rates, strict=True):
        height = rate / most * _PANEL
        left, wide = _LEFT + each.begin * scale, max(0.5, (each.end - each.begin) * scale - 1)
        place = f'x="{left:.1f}" width="{wide:.1f}"'
        parts.append(f'<rect class="two" {place} y="{top + _PANEL - height:.1f}" height="{height:.1f}"/>')
        if each.errors:
            parts.append(f'<rect class="bad" {place} y="{top + _PANEL - 4}" height="4"/>')
    for eighth in range(0, 9, 2):
        at = _LEFT + eighth / 8 * (_WIDTH - _LEFT - _RIGHT)
        moment = three_digits(end * eighth / 8)
        parts.append(f'<text x="{at:.1f}" y="{top + _PANEL + 16}" text-anchor="middle">{moment}</text>')
    return parts


def _level(y: float, label: str) -> list[str]:
    return [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
        f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(label)}</text>',
    ]


def _log_range(shortest: float, longest: float) -> tuple[float, float]:
    """Return powers of ten around both, at least a factor of four apart."""
    low = math.log10(max(shortest, 1e-7))
    high = math.log10(max(longest, 1e-7))
    gap = max(0.0, 0.6 - (high - low))
    return low - 0.05 - gap / 2, high + 0.05 + gap / 2


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5 and their tens."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (*_STEPS, 10.0) if step * power >= value), value)
