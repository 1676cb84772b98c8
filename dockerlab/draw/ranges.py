"""Measurements as dots with their ranges on a logarithmic axis; a pure function, as the storage picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .geometry import MARGIN, WIDTH
from .palette import Theme
from .pen import Pen, number

__all__ = ["Range", "draw_ranges"]

HEAD, ROW, GROUP = 44, 26, 34
LEFT, RIGHT = 150, WIDTH - 120  # of the axis


@dataclass(frozen=True)
class Range:
    """A row of the plot: what was measured, and how far apart; all three are above 0."""

    group: str
    name: str
    colour: str
    lowest: float
    middle: float
    highest: float


def draw_ranges(title: str, ranges: Sequence[Range], unit: str, theme: Theme | None = None) -> str:
    """The plot as an SVG element, with a heading for each group of rows; without a theme it follows JupyterLab's."""
    pen = Pen(theme)
    first = math.floor(math.log10(min(each.lowest for each in ranges)))
    last = max(math.ceil(math.log10(max(each.highest for each in ranges))), first + 1)
    groups = {heading: list(rows) for heading, rows in groupby(ranges, key=lambda each: each.group)}
    height = HEAD + sum(GROUP + ROW * len(rows) for rows in groups.values()) + 36

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log10(value) - first) / (last - first)

    drawn = [
        pen.rect(0, 0, WIDTH, height, fill="paper"),
        pen.text(MARGIN, 27, title, size=15, bold=True),
        pen.text(WIDTH - MARGIN, 27, "dot: the median; line: slowest to fastest", fill="muted", anchor="end"),
    ]
    for decade in range(first, last + 1):
        at = x(10.0**decade)
        drawn.append(pen.path(f"M{number(at)},{HEAD} V{height - 28}", stroke="line", weight=1))
        drawn.append(pen.text(at, height - 12, f"{10.0**decade:,g}", fill="muted", anchor="middle"))
    drawn.append(pen.text(WIDTH - MARGIN, height - 12, unit, fill="muted", anchor="end"))
    y = float(HEAD)
    for heading, rows in groups.items():
        drawn.append(pen.rect(MARGIN - 4, y + 8, WIDTH - 2 * MARGIN + 8, 20, fill="shelf"))
        drawn.append(pen.text(MARGIN, y + 22, heading, size=12, bold=True))
        y += GROUP
        for row in rows:
            drawn.append(_row(pen, row, y + ROW / 2, [x(value) for value in (row.lowest, row.middle, row.highest)]))
            y += ROW
    told = ", ".join(f"{row.group}, {row.name}: {_figure(row.middle)} {unit}" for row in ranges)
    return pen.whole(height, f"{title}. {told}", "".join(drawn))


def _row(pen: Pen, row: Range, y: float, places: Sequence[float]) -> str:
    low, middle, high = places
    edge = f"{row.colour}-edge"
    ends = "".join(f" M{number(at)},{number(y - 4)} v8" for at in (low, high))
    return pen.group(
        pen.text(LEFT - 12, y + 4, row.name, size=12, anchor="end"),
        pen.path(f"M{number(low)},{number(y)} H{number(high)}{ends}", stroke=edge, weight=2.5),
        pen.circle(middle, y, 5.5, fill=row.colour, stroke=edge, weight=2.5),
        pen.text(WIDTH - MARGIN, y + 4, _figure(row.middle), size=12, anchor="end"),
    )


def _figure(value: float) -> str:
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"
