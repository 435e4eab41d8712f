"""Draws a diagram as SVG from a text: boxes on a grid, arrows between them.

    title   A sentence above the drawing
    grid    WIDTH HEIGHT BOX             of a cell, and the width of a box, in pixels
    head    COLUMN "text"                a heading above a column
    group   COLUMN ROW COLUMN ROW "text" a frame around cells, the first and the last one
    box     name COLUMN ROW "text" "second line" …
    strong  name COLUMN ROW "text" …     a box that stands out
    arrow   from to "label"
    dashed  from to "label"

Columns and rows begin with 1. An arrow within a row or a column is straight; any other leaves downwards or upwards, turns into
the column of its goal, and ends at its edge. Nothing is measured: a text must fit in its box.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from html import escape

MARGIN = 16
LINE = 17

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 15px; font-weight: 600; }
.head { font-weight: 600; fill: #3a4a5c; }
.small { font-size: 12px; fill: #59636e; }
.label { font-size: 12px; fill: #3a4a5c; paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round; }
.paper { fill: #ffffff; }
.box { fill: #f3f6fa; stroke: #8fa3b8; }
.strong { fill: #e3f3ea; stroke: #1f7a4d; }
.group { fill: none; stroke: #b6c2cf; stroke-dasharray: 4 4; }
.arrow { fill: none; stroke: #4b5b6b; stroke-width: 1.4; marker-end: url(#tip); }
.dashed { stroke-dasharray: 5 4; }
"""


@dataclass
class Box:
    """One box: its cell, its texts, and whether it stands out."""

    column: int
    row: int
    texts: list[str]
    kind: str


@dataclass
class Drawing:
    """The content of the text."""

    title: str = ""
    width: int = 200
    height: int = 90
    box: int = 160
    boxes: dict[str, Box] = field(default_factory=dict)
    heads: list[tuple[int, str]] = field(default_factory=list)
    groups: list[tuple[list[int], str]] = field(default_factory=list)
    arrows: list[tuple[str, str, str, str]] = field(default_factory=list)

    @property
    def top(self) -> int:
        """Where the first row begins."""
        return MARGIN + (30 if self.title else 0) + (26 if self.heads else 0)

    def middle(self, box: Box) -> tuple[float, float]:
        """The middle of its cell."""
        return MARGIN + (box.column - 0.5) * self.width, self.top + (box.row - 0.5) * self.height

    def half(self, box: Box) -> tuple[float, float]:
        """Half its width and half its height."""
        return self.box / 2, (len(box.texts) * LINE + 16) / 2


def read(text: str) -> Drawing:
    """Reads the text; a word that is unknown is a `ValueError` with its line."""
    drawing = Drawing()
    for number, line in enumerate(text.splitlines(), 1):
        word, *rest = shlex.split(line, comments=True) or [""]
        if word == "":
            continue
        if word == "title":
            drawing.title = " ".join(rest)
        elif word == "grid":
            drawing.width, drawing.height, drawing.box = (int(part) for part in rest)
        elif word == "head":
            drawing.heads.append((int(rest[0]), rest[1]))
        elif word == "group":
            drawing.groups.append(([int(part) for part in rest[:4]], rest[4]))
        elif word in ("box", "strong"):
            drawing.boxes[rest[0]] = Box(int(rest[1]), int(rest[2]), rest[3:], word)
        elif word in ("arrow", "dashed"):
            drawing.arrows.append((word, rest[0], rest[1], rest[2] if len(rest) > 2 else ""))
        else:
            raise ValueError(f"line {number}: a diagram has no {word!r}")
    return drawing


def render(text: str) -> str:
    """The drawing as SVG."""
    drawing = read(text)
    columns = max(box.column for box in drawing.boxes.values())
    rows = max(box.row for box in drawing.boxes.values())
    width = 2 * MARGIN + columns * drawing.width
    height = drawing.top + rows * drawing.height + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(drawing.title)}">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 10 5 0 10z" fill="#4b5b6b"/></marker></defs>',
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>',
    ]
    if drawing.title:
        parts.append(f'<text class="title" x="{MARGIN}" y="{MARGIN + 14}">{escape(drawing.title)}</text>')
    parts += [
        f'<text class="head" text-anchor="middle" x="{MARGIN + (column - 0.5) * drawing.width:g}" y="{drawing.top - 8}">'
        f"{escape(name)}</text>"
        for column, name in drawing.heads
    ]
    parts += [_group(drawing, cells, name) for cells, name in drawing.groups]
    parts += [_arrow(drawing, kind, drawing.boxes[start], drawing.boxes[end]) for kind, start, end, _ in drawing.arrows]
    parts += [_box(drawing, box) for box in drawing.boxes.values()]
    parts += [_label(drawing, drawing.boxes[start], drawing.boxes[end], label) for _, start, end, label in drawing.arrows]
    return "\n".join(part for part in parts if part) + "\n</svg>\n"


def _group(drawing: Drawing, cells: list[int], name: str) -> str:
    left, top, right, bottom = cells
    x, y = MARGIN + (left - 1) * drawing.width + 4, drawing.top + (top - 1) * drawing.height + 2
    width, height = (right - left + 1) * drawing.width - 8, (bottom - top + 1) * drawing.height - 4
    return (
        f'<rect class="group" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8"/>'
        f'<text class="small" x="{x + 10:g}" y="{y + 16:g}">{escape(name)}</text>'
    )


def _box(drawing: Drawing, box: Box) -> str:
    (x, y), (half_width, half_height) = drawing.middle(box), drawing.half(box)
    first = y - (len(box.texts) - 1) * LINE / 2 + 4.5
    texts = "".join(
        f'<text class="{"name" if index == 0 else "small"}" text-anchor="middle" x="{x:g}" y="{first + index * LINE:g}">'
        f"{escape(words)}</text>"
        for index, words in enumerate(box.texts)
    )
    return (
        f'<rect class="{box.kind}" x="{x - half_width:g}" y="{y - half_height:g}" width="{2 * half_width:g}" '
        f'height="{2 * half_height:g}" rx="6"/>{texts}'
    )


def _way(drawing: Drawing, start: Box, end: Box) -> list[tuple[float, float]]:
    (x1, y1), (x2, y2) = drawing.middle(start), drawing.middle(end)
    (width1, height1), (width2, height2) = drawing.half(start), drawing.half(end)
    if start.row == end.row:
        direction = 1 if x2 > x1 else -1
        return [(x1 + direction * width1, y1), (x2 - direction * width2, y2)]
    direction = 1 if y2 > y1 else -1
    if start.column == end.column:
        return [(x1, y1 + direction * height1), (x2, y2 - direction * height2)]
    turn = y2 - direction * (height2 + (drawing.height - 2 * height2) / 2)
    return [(x1, y1 + direction * height1), (x1, turn), (x2, turn), (x2, y2 - direction * height2)]


def _arrow(drawing: Drawing, kind: str, start: Box, end: Box) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in _way(drawing, start, end))
    return f'<polyline class="arrow{" dashed" if kind == "dashed" else ""}" points="{points}"/>'


def _label(drawing: Drawing, start: Box, end: Box, label: str) -> str:
    if not label:
        return ""
    way = _way(drawing, start, end)
    (x1, y1), (x2, y2) = (way[1], way[2]) if len(way) == 4 else (way[0], way[1])
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return f'<text class="label" text-anchor="middle" x="{x:g}" y="{y + 4:g}">{escape(label)}</text>'
