"""A bar chart with interval whiskers as plain SVG.

One bar per server, longest first, ours in another colour; the whisker is the 95 % interval of the median. Colours are
classes of a style sheet that follows the reader's light or dark scheme, and nothing is said by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH = 760
LEFT = 190
RIGHT = 90
ROW = 26
TOP = 58

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 14px; font-weight: 600; }
.note { fill: #59636e; }
.bar { fill: #8fa3b8; }
.ours { fill: #1f7a4d; }
.whisker { stroke: #1f2328; stroke-width: 1.3; fill: none; }
.grid { stroke: #d1d9e0; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .note { fill: #9198a1; }
  .bar { fill: #5a6f86; }
  .ours { fill: #3fb97c; }
  .whisker { stroke: #e6edf3; }
  .grid { stroke: #3d444d; }
}
"""


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    low: float
    high: float
    ours: bool = False


def number(value: float) -> str:
    """Three significant digits, thousands as k."""
    if value >= 1_000_000:
        return f"{value / 1e6:.2f} M"
    if value >= 1000:
        return f"{value / 1000:.1f} k" if value < 100_000 else f"{value / 1000:.0f} k"
    return f"{value:.3g}"


def _step(most: float) -> float:
    """A round distance between grid lines, four to ten of them."""
    step = 1.0
    while most / step > 10:
        step *= 10
    for divisor in (5, 2):
        if most / (step / divisor) <= 10:
            return step / divisor
    return step


def bars(title: str, note: str, rows: list[Bar]) -> str:
    rows = sorted(rows, key=lambda row: -row.value)
    most = max((max(row.high, row.value) for row in rows), default=1.0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + ROW * len(rows) + 30
    bottom = TOP + ROW * len(rows) + 4
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="12" y="22">{escape(title)}</text>',
        f'<text class="note" x="12" y="41">{escape(note)}</text>',
    ]
    step = _step(most)
    for index in range(int(most / step) + 1):
        x = LEFT + index * step * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{bottom}"/>')
        parts.append(f'<text class="note" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number(index * step)}</text>')
    for index, row in enumerate(rows):
        top = TOP + index * ROW
        middle = top + ROW / 2 - 1
        low, high = LEFT + row.low * scale, LEFT + row.high * scale
        kind = "ours" if row.ours else "bar"
        parts.append(f'<text x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(row.label)}</text>')
        parts.append(
            f'<rect class="{kind}" x="{LEFT}" y="{top + 3}" width="{max(row.value * scale, 1):.1f}" height="{ROW - 8}" rx="2"/>'
        )
        parts.append(
            f'<path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8"/>'
        )
        parts.append(f'<text x="{max(high, LEFT + row.value * scale) + 6:.1f}" y="{middle + 4:.1f}">{number(row.value)}</text>')
    parts.append("</svg>\n")
    return "\n".join(parts)
